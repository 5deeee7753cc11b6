"""What pruning gives and what it costs: latency in three runtimes, instructions of an ARM core, accuracy. Goes on where it stopped.

    python benchmarks/fetch.py fashion
    python benchmarks/train_bundled.py train vit_micro       the networks that are cut, see there
    python benchmarks/pruning.py vit_micro swin_micro mobilenetv2-96

Each network is cut to a few shares of its latency (CURVES) and fine-tuned with `edgekit prune`, on Fashion-MNIST; then every
file of it is timed in turns with the same file of the whole network: CPU time, one thread. Runs, files and figures lie in
.cache/pruning; the table goes to stdout. EDGEKIT_CACHE says where the emulated ARM core is (edgekit doctor --setup arm64).
"""

import argparse
from pathlib import Path
from typing import Any

import fashion
import msgspec
import torch

from edgekit import artifact, pipeline, registry
from edgekit.bench import harness
from edgekit.devices import Device, host
from edgekit.models import trained
from edgekit.pruning import Goal, costs
from edgekit.pruning.run import prune_run
from edgekit.recipe import Quantize, Recipe
from edgekit.report.table import markdown_table
from edgekit.training import Settings

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / ".cache" / "bundled"
WORK = ROOT / ".cache" / "pruning"
ARM = "arm64:cortex-a76"
CURVES = {  # shares of the latency, of which file
    "mobilenetv2-96": ((0.65, 0.8, 0.5), "int8"),
    "vit_micro": ((0.7, 0.85, 0.5), "fp32"),
    "swin_micro": ((0.7, 0.85, 0.5), "fp32"),
}
EPOCHS = 2
PLAN = harness.Plan(runs=100, launches=5, warmup=3)
FILES = [(target, scheme) for target in ("tflite", "onnx", "openvino") for scheme in ("fp32", "int8")]


def pruned(name: str, keep: float, scheme: Any) -> Path:
    out = WORK / f"{name}-{keep}"
    whole = trained.read(RUNS / name).settings
    same: dict[str, Any] = {k: whole[k] for k in ("smoothing", "ema", "augment", "batch") if k in whole}
    settings = Settings(
        model=str(RUNS / name), data=str(fashion.DATA), val_share=0.05, epochs=EPOCHS, lr=1e-3, threads=1, workers=1, **same
    )  # fmt: skip
    if not (out / "run.toml").is_file() or not trained.read(out).finished:
        begun = out.with_name(f"{out.name}.steps").is_dir()
        prune_run(Goal(keep, "latency", "tflite", scheme), settings, out, resume=begun, fresh=not begun, say=print)
    return out


def file(run: Path, target: str, scheme: Any) -> Path:
    made = WORK / f"{run.name}-{target}-{scheme}"
    if not made.is_dir():
        pipeline.export(Recipe(str(run), target, quantize=Quantize(scheme)), made, say=lambda line: None)
    return made


def ratio(whole: Path, smaller: Path, device: Device) -> float:
    kept = WORK / f"{smaller.name}-{device.name.replace(':', '-')}.json"
    if not kept.is_file():
        kept.write_bytes(msgspec.json.encode(costs.ratio(whole, smaller, device, PLAN)))
    return float(msgspec.json.decode(kept.read_bytes()))


def row(name: str, run: Path) -> list[str]:
    card, whole = trained.read(run), RUNS / name
    before = trained.read(whole).test
    assert card.test
    assert before
    cut = card.pruned
    local, arm = registry.device("local"), registry.device(ARM)
    pairs = {key: (file(whole, *key), file(run, *key)) for key in FILES}
    figures = [f"{ratio(*pairs[key], local):.2f}" for key in FILES]
    figures += [f"{ratio(*pairs[key], arm):.2f}" for key in FILES[:2]]
    sizes = [artifact.load(made).model_file.stat().st_size for made in pairs["tflite", "int8"]]
    return [
        name,
        f"{cut.keep} of {cut.how}" if cut else "",
        f"{cut.macs[1] / cut.macs[0]:.2f}" if cut else "1",
        *figures,
        f"{sizes[1] / sizes[0]:.2f}",
        f"{100 * before.top1:.2f}",
        f"{100 * cut.val_top1[2]:.1f}" if cut else "",
        f"{100 * card.test.top1:.2f}",
        f"{100 * (card.test.top1 - before.top1):+.2f}",
    ]


HEAD = [
    "network", "asked for", "MACs", *(f"{target} {scheme}" for target, scheme in FILES), "A76 fp32", "A76 int8", "MB int8",
    "top-1 before", "cut (val)", "top-1 after", "points",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(CURVES))
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in parser.parse_args().names:
        keeps, scheme = CURVES[name]
        for keep in keeps:
            rows.append(row(name, pruned(name, keep, scheme)))
            print(rows[-1], flush=True)
    print(f"CPU class {host.cpu_class()}; shares of the whole network's cost\n")
    print(markdown_table(HEAD, rows, [False, False, *[True] * (len(HEAD) - 2)]))


if __name__ == "__main__":
    main()
