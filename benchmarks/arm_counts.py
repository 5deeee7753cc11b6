"""Instructions of one inference on emulated ARM cores, by network, scheme and runtime.

    edgekit doctor --setup arm64
    python benchmarks/arm_counts.py                       everything that --int8 takes, and fp32; an hour
    python benchmarks/arm_counts.py vit_tiny --all        every scheme

Files come from `.cache/grid`, where `grid.py` has its own; what is missing is exported, with random weights where no
others are to be had: they do not change a count. Every count is appended to `results/arm-counts.jsonl`: a second run
goes on where the first stopped. A count is the least of four inferences, one image, one thread.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec
from grid import WEIGHTS, export

from edgekit import artifact, registry, schemes
from edgekit.devices import Job, host, opened

FAMILIES = {
    "mobilenetv2": "cnn", "efficientnet_lite0": "cnn", "vit_tiny": "attention", "efficientnet_b0": "cnn",
    "swin_tiny": "attention", "mobilenetv3_large": "hardswish", "mobilenetv3_small": "hardswish", "convnext_atto": "mixed",
    "timm:mixer_s32_224": "mlp",
}  # fmt: skip
RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}
CORES = ("cortex-a76", "cortex-a72", "cortex-a53")
SCHEMES = ("fp32", "fp16", "int8-weight-only", "int8-dynamic", "int8-static")
COUNTS = Path(__file__).parent / "results" / "arm-counts.jsonl"  # those before 2026-11-30 to 0.1 million
RESULTS = COUNTS.with_suffix(".md")
HANG = 3600.0  # a transformer in fp32 takes minutes


class Count(msgspec.Struct, frozen=True):
    """`spread`: of the four, the most over the least, less one. `kept`: the file passed its proof, which is
    advisory with random weights."""

    model: str
    target: str
    scheme: str
    core: str
    runtime: str
    emulator: str
    instructions: int
    spread: float
    kept: bool

    @property
    def cell(self) -> tuple[str, str, str, str]:
        return self.model, self.target, self.scheme, self.core


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(FAMILIES))
    parser.add_argument("--all", action="store_true", help="every scheme, not only fp32 and what --int8 takes")
    arguments = parser.parse_args()
    for model, target, scheme, core in cells(arguments.models, arguments.all):
        if (model, target, scheme, core) not in known():
            count = measure(model, target, scheme, core)
            print(count, flush=True)
            with COUNTS.open("ab") as file:
                file.write(msgspec.json.encode(count) + b"\n")
    RESULTS.write_text(page(list(known().values())), "utf-8")


def cells(models: list[str], every: bool) -> Iterator[tuple[str, str, str, str]]:
    for model in models:
        for target in RUNTIMES:
            taken = ("fp32", chosen(model, target))
            for scheme in SCHEMES if every else taken:
                for core in CORES:
                    yield model, target, scheme, core


def chosen(model: str, target: str) -> str:
    row = schemes.recommended(FAMILIES[model], model, target)
    assert row
    return row.scheme


def known() -> dict[tuple[str, str, str, str], Count]:
    if not COUNTS.is_file():
        return {}
    counts = [msgspec.json.decode(line, type=Count) for line in COUNTS.read_bytes().splitlines()]
    return {count.cell: count for count in counts}


def measure(model: str, target: str, scheme: str, core: str) -> Count:
    cell = artifact.load(export(model, target, scheme)[0])
    proof = cell.manifest.proof
    assert proof
    with opened(registry.device(f"arm64:{core}"), Job(str(cell.folder), RUNTIMES[target]), HANG) as worker:
        counts = worker.count(4)
        return Count(
            model=model,
            target=target,
            scheme=scheme,
            core=core,
            runtime=worker.ready.facts["runtime"],
            emulator=worker.ready.host["emulator"],
            instructions=min(counts),
            spread=max(counts) / min(counts) - 1,
            kept=proof.passed,
        )


def page(counts: list[Count]) -> str:
    """A row for each network, runtime and core; a note where --int8 does not take the least."""
    cells = {count.cell: count for count in counts}
    lines = [("network", "runtime", "core", *SCHEMES, "fp32 / `--int8`"), ("---",) * (len(SCHEMES) + 4)]
    notes = []
    for model in FAMILIES:
        for target in RUNTIMES:
            for core in CORES:
                row = {s: cells[model, target, s, core] for s in SCHEMES if (model, target, s, core) in cells}
                taken = row.get(chosen(model, target))
                if taken is None or "fp32" not in row:
                    continue
                shown = [_millions(row[s], bold=row[s] is taken) if s in row else "" for s in SCHEMES]
                gain = f"{row['fp32'].instructions / taken.instructions:.2f}"
                lines.append((model, taken.runtime, core, *shown, gain))
                less = [s for s, c in row.items() if c.kept and c.instructions < taken.instructions]
                notes += [f"- {model}, {target}, {core}: {s} takes less than {taken.scheme}" for s in less]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    spread = max(count.spread for count in counts)
    return f"""# Instructions on ARM

Made by `benchmarks/arm_counts.py`. Million instructions of one inference at 224 px, one image, one thread, counted
in {counts[0].emulator} (on {host.cpu_class()}); the least of four, which lay within {spread:.1g} of each other.
Instructions are not time, and compare only within one core and one version of a runtime. Bold: what `--int8` takes.
In brackets: files that fail their proof. Weights: {", ".join(f"{m} {WEIGHTS.get(m, 'random')}" for m in FAMILIES)}.
Empty: not measured.

{table}

Where `--int8` does not take the least of the schemes measured that pass their proof:

{chr(10).join(notes) or "- nowhere"}
"""


def _millions(count: Count, *, bold: bool) -> str:
    text = f"{count.instructions / 1e6:.1f}"
    return f"**{text}**" if bold else text if count.kept else f"({text})"


if __name__ == "__main__":
    main()
