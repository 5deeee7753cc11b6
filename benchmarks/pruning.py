"""What pruning gives and what it costs: latency in three runtimes, instructions of an ARM core, accuracy. Goes on where it stopped.

    python benchmarks/fetch.py fashion
    python benchmarks/pruning.py vit_micro swin_micro
    python benchmarks/train_bundled.py train mobilenetv2     leaves mobilenetv2-96 on its way
    python benchmarks/pruning.py mobilenetv2-96

Each network is cut to a few shares of its latency (CURVES) and fine-tuned with `edgekit prune`, on Fashion-MNIST; then every
file of it is timed in turns with the same file of the whole network: CPU time, one thread. top-1: all 10,000 test images
in PyTorch, before and after, paired. Runs, files and figures lie in .cache/pruning; the table goes to stdout. EDGEKIT_CACHE
says where the emulated ARM core is (edgekit doctor --setup arm64).
"""

import argparse
from pathlib import Path
from typing import Any

import fashion
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from train_bundled import LABELS

from edgekit import artifact, pipeline, registry
from edgekit.benchmarking import harness
from edgekit.devices import Device, host
from edgekit.models import trained
from edgekit.pruning import Goal, costs
from edgekit.pruning.run import prune_run
from edgekit.recipe import Quantize, Recipe
from edgekit.reporting.table import markdown_table
from edgekit.statistics.proportions import agresti_min
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
TUNING: dict[str, Any] = {
    "epochs": 2,
    "lr": 1e-3,
    "smoothing": 0.05,
    "ema": 0.999,
    "val_share": 0.05,
    "threads": 1,
    "workers": 1,
}
AS_TRAINED: dict[str, dict[str, Any]] = {"mobilenetv2-96": {"batch": 64}}
OTHERWISE: dict[str, Any] = {"batch": 128, "augment": "none"}
PLAN = harness.Plan(runs=100, launches=5, warmup=3)
FILES = [(target, scheme) for target in ("tflite", "onnx", "openvino") for scheme in ("fp32", "int8")]


def whole(name: str) -> tuple[str, str]:
    """A model and its weights: bundled, but for mobilenetv2-96."""
    return (str(RUNS / name), "auto") if name == "mobilenetv2-96" else (name, "bundled")


def pruned(name: str, keep: float, scheme: Any) -> Path:
    out, names = WORK / f"{name}-{keep}", WORK / "classes.txt"
    names.write_text("\n".join(LABELS) + "\n", "utf-8")
    model, weights = whole(name)
    settings = Settings(
        model=model, weights=weights, data=str(fashion.DATA),
        classes=str(names) if weights == "bundled" else None,  # a run of train_bundled.py knows them by number
        **TUNING, **AS_TRAINED.get(name, OTHERWISE),
    )  # fmt: skip
    if not (out / "run.toml").is_file() or not trained.read(out).finished:
        begun = out.with_name(f"{out.name}.steps").is_dir()
        prune_run(Goal(keep, "latency", "tflite", scheme), settings, out, resume=begun, fresh=not begun, say=print)
    return out


def file(model: str, weights: str, target: str, scheme: Any) -> Path:
    made = WORK / f"{Path(model).name}-{target}-{scheme}"
    if not made.is_dir():
        recipe = Recipe(model, target, weights=weights, quantize=Quantize(scheme))
        pipeline.export(recipe, made, say=lambda line: None)
    return made


def ratio(whole: Path, smaller: Path, device: Device) -> float:
    kept = WORK / f"{smaller.name}-{device.name.replace(':', '-')}.json"
    if not kept.is_file():
        kept.write_bytes(msgspec.json.encode(costs.ratio(whole, smaller, device, PLAN)))
    return float(msgspec.json.decode(kept.read_bytes()))


def right(made: Path) -> NDArray[np.bool_]:
    return fashion.kept(made.with_name(f"{made.name}.npy"), lambda: fashion.right(made))


def row(name: str, run: Path) -> list[str]:
    cut = trained.read(run).pruned
    assert cut
    local, arm = registry.device("local"), registry.device(ARM)

    def pair(target: str, scheme: str) -> tuple[Path, Path]:
        return file(*whole(name), target, scheme), file(str(run), "auto", target, scheme)

    pairs = {key: pair(*key) for key in FILES}
    figures = [f"{ratio(*pairs[key], local):.2f}" for key in FILES]
    figures += [f"{ratio(*pairs[key], arm):.2f}" for key in FILES[:2]]
    sizes = [artifact.load(made).model_file.stat().st_size for made in pairs["tflite", "int8"]]
    before, after = (right(made) for made in pair("torch", "fp32"))
    lost = agresti_min(int((before & ~after).sum()), int((after & ~before).sum()), len(before))
    return [
        name,
        f"{cut.keep} of {cut.how}",
        f"{cut.macs[1] / cut.macs[0]:.2f}",
        *figures,
        f"{sizes[1] / sizes[0]:.2f}",
        f"{100 * before.mean():.2f}",
        f"{100 * cut.val_top1[2]:.1f}",
        f"{100 * after.mean():.2f}",
        f"{-100 * lost.estimate:+.2f} [{-100 * lost.high:+.2f}, {-100 * lost.low:+.2f}]",
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
