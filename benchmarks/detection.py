"""A detector with published weights in the three targets: what int8 costs in mAP, time, bytes and ARM instructions.

    python benchmarks/detection.py WEIGHTS PICTURES CALIBRATION [--target T]... [--scheme S]... [--count]

WEIGHTS are YOLOX-Nano's, of github.com/Megvii-BaseDetection/YOLOX (.pth or .onnx); PICTURES a folder with boxes, COCO's or YOLO's
way; CALIBRATION a folder of other images, or default. Files lie in --out, and those that are there are not made again; a file that fails
its proof is measured, too. Without --scheme: what `--int8` takes. --count: instructions on an emulated Cortex-A76
(`edgekit doctor --setup arm64`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import edgekit
from edgekit import artifact, evaluation, registry
from edgekit.artifact import Artifact
from edgekit.benchmarking import harness
from edgekit.devices import Job, host, opened
from edgekit.errors import ParityError
from edgekit.recipe import Quantize, Recipe
from edgekit.runs import ratio
from edgekit.runtimes import Options

RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}
TARGETS = ("tflite", "onnx", "openvino")
HANG = 3600.0
ROUNDS = 40
COLUMNS = (
    "target", "scheme", "mAP", "AP50", "change", "own mAP, F1, IoU", "the proof's", "time", "bytes", "instructions", "CPU class",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--scheme", action="append")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(".cache/detection"))
    given = parser.parse_args()
    lines = [
        line
        for target in given.target or TARGETS
        for line in measured(target, given.scheme or ["int8"], given, count=given.count)
    ]
    print("\n".join([f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", *lines]))


def measured(target: str, schemes: Sequence[str], given: argparse.Namespace, *, count: bool) -> list[str]:
    """A line of a table for each scheme, beside fp32."""
    plain = made(target, "fp32", given)
    lines = []
    for scheme in schemes:
        file = made(target, scheme, given)
        found = evaluation.evaluate([file, plain], evaluation.open_for(file, given.pictures), state=given.out / "state")
        assert found.change
        assert found.change.drop
        lost = found.change.drop
        figures = {figure.name: figure.value for figure in found.results[0].figures}
        cells = (
            target,
            file.manifest.scheme,
            f"{figures['mAP']:.4f}",
            f"{figures['AP50']:.4f}",
            f"{-lost.estimate:+.4f} [{-lost.high:+.4f}, {-lost.low:+.4f}]",
            ", ".join(f"{a.value:.3f}" for a in found.change.alike),
            ", ".join(f"{m.value:.3f}" for m in file.manifest.proof.measures),
            time_of(file, plain),
            f"{size(file) / size(plain):.2f}",
            f"{instructions(file) / instructions(plain):.3f}" if count and target in RUNTIMES else "",
            found.cpu_class,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def made(target: str, scheme: str, given: argparse.Namespace) -> Artifact:
    """The artifact; a rejected one, too, because its figures are what is asked for."""
    recipe = Recipe(
        model="yolox_nano",
        target=target,
        weights=str(given.weights),
        calibration=str(given.calibration),
        quantize=Quantize(scheme=scheme),  # type: ignore[arg-type]
    )
    folder = given.out / recipe.folder_name
    if not (folder / "manifest.json").is_file():
        try:
            return edgekit.export(recipe, folder)
        except ParityError as error:
            print(f"{folder.name}: {error}")
            return artifact.load(Path(f"{folder}.rejected"))
    return artifact.load(folder)


def time_of(file: Artifact, plain: Artifact) -> str:
    """Of process CPU, one thread, interleaved in fresh processes: the ratio with its 95 % interval."""
    entries = harness.entries([file.folder, plain.folder], (), (1,), Options(), None)
    ours, theirs = harness.compare(entries, registry.device("local"), harness.Plan(runs=ROUNDS, budget=600))
    found = ratio(ours, theirs)
    assert found
    value, low, high = np.exp([found.value, found.low, found.high])
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def size(file: Artifact) -> int:
    return sum(f.stat().st_size for f in file.folder.glob("model.*"))


def instructions(file: Artifact) -> int:
    """Of one image, the least of two."""
    with opened(registry.device("arm64:cortex-a76"), Job(str(file.folder), RUNTIMES[file.target]), HANG) as worker:
        return min(worker.count(2))


if __name__ == "__main__":
    print(host.cpu_class())
    main()
