"""`edgekit train ssdlite` on boxes, and what int8 leaves of what it finds, in the three targets.

    python benchmarks/fetch.py fashion photos
    python benchmarks/train_ssdlite.py images     train_detector.py's scenes, as YOLO's tools have boxes
    python benchmarks/train_ssdlite.py train      from nothing; a run that was cut short goes on
    python benchmarks/train_ssdlite.py measure [--on val] [--target T]...   own mAP with its interval, time and bytes

Files lie in .cache/ssdlite. The test images show items and photographs that it never saw; what is chosen is chosen `--on val`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from detection import TARGETS, size, time_of
from PIL import Image
from train_detector import LABELS, SEED, Scenes, held_out, learning
from train_segmenter import ROOT, SIZE

import edgekit
from edgekit import artifact
from edgekit.answering import start_answering
from edgekit.artifact import Artifact
from edgekit.devices import host
from edgekit.errors import ParityError
from edgekit.preprocess import fit, open_picture
from edgekit.recipe import Quantize, Recipe, Scheme
from edgekit.runtimes import Options
from edgekit.tasks import Detection
from edgekit.tasks.agreeing import Agreement, together
from edgekit.tensors import Values
from edgekit.training import Settings
from edgekit.training import train as train_run

WORK = ROOT / ".cache" / "ssdlite"
DATA, RUN = WORK / "data", WORK / "run"
PARTS = {"train": (6000, 7), "val": (256, 8), "test": (256, 2)}  # images, and the number of their series
SETTINGS = Settings(
    "ssdlite", str(DATA), weights="random", input_size=(SIZE, SIZE), augment="none", epochs=5, batch=16, lr=2e-3,
    seed=SEED, workers=1, threads=1,
)  # fmt: skip
DRAWS = 1000  # of images, for an interval
COLUMNS = (
    "target",
    "scheme",
    "boxes found",
    "own mAP, F1, IoU",
    "of the mAP",
    "the proof's",
    "time",
    "bytes",
    "CPU class",
)


def images() -> None:
    for part, (count, series) in PARTS.items():
        scenes: Scenes = held_out() if part == "test" else learning()
        for kind in ("images", "labels"):
            (DATA / kind / part).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels, boxes = scenes.picture(SEED, series, i)
            Image.fromarray(pixels).save(DATA / "images" / part / f"{i:04}.png", compress_level=1)
            corners = boxes[:, :4] / SIZE
            middles, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
            rows = zip(boxes[:, 4].astype(int), np.hstack([middles, sides]), strict=True)
            lines = [f"{kind} {' '.join(f'{share:.6f}' for share in box)}\n" for kind, box in rows]
            (DATA / "labels" / part / f"{i:04}.txt").write_text("".join(lines))
    (DATA / "data.yaml").write_text("names:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(LABELS)))


def train() -> None:
    card = train_run(SETTINGS, RUN, resume=RUN.is_dir(), say=lambda line: print(line, flush=True))
    print(f"{card.cpu_seconds:.0f} CPU seconds; val {card.val}, test {card.test}")


def measure(part: str, targets: list[str], schemes: list[Scheme]) -> None:
    shown = [open_picture(path) for path in sorted((DATA / "images" / part).glob("*.png"))]
    print("\n".join([f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]))
    for target in targets:
        plain = made(target, "fp32")
        wanted, task = answers(plain, shown), plain.manifest.task
        assert isinstance(task, Detection)
        for scheme in schemes:
            file = made(target, scheme)
            agreed = agreements(task, wanted, answers(file, shown))
            low, high = interval(agreed)
            cells = (
                target,
                file.manifest.scheme,
                str(sum(a.reference for a in agreed)),
                ", ".join(f"{value:.3f}" for value in together(agreed)),
                f"[{low:.3f}, {high:.3f}]",
                ", ".join(f"{m.value:.3f}" for m in file.manifest.proof.measures),
                time_of(file, plain),
                f"{size(file) / size(plain):.2f}",
                host.cpu_class(),
            )
            print(f"| {' | '.join(cells)} |", flush=True)


def made(target: str, scheme: Scheme) -> Artifact:
    """The artifact; a rejected one, too, because its figures are what is asked for."""
    recipe = Recipe(str(RUN), target, quantize=Quantize(scheme))
    folder = WORK / f"{target}-{scheme}"
    if (folder / "manifest.json").is_file():
        return artifact.load(folder)
    try:
        return edgekit.export(recipe, folder)
    except ParityError as error:
        print(f"{folder.name}: {error}")
        return artifact.load(Path(f"{folder}.rejected"))


def answers(file: Artifact, shown: list[Image.Image]) -> list[Values]:
    with start_answering(file, None, Options()) as opened:
        return [opened.values(fit(picture, file.manifest.preprocess)[None]) for picture in shown]


def agreements(task: Detection, wanted: list[Values], found: list[Values]) -> list[Agreement]:
    """Of each image: what fp32's file shows of it taken for the truth."""
    return [task.alike(a, b).agreements[0] for a, b in zip(wanted, found, strict=True)]


def interval(agreed: list[Agreement]) -> tuple[float, float]:
    """Of the own mAP, 95 %: a bootstrap of images."""
    rng = np.random.default_rng(SEED)
    draws = (rng.integers(0, len(agreed), len(agreed)) for _ in range(DRAWS))
    low, high = np.percentile([together([agreed[i] for i in draw])[0] for draw in draws], [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["images", "train", "measure"])
    parser.add_argument("--on", choices=["val", "test"], default="test")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--scheme", action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.verb == "measure":
        measure(given.on, given.target or list(TARGETS), given.scheme or ["int8"])
    else:
        {"images": images, "train": train}[given.verb]()


if __name__ == "__main__":
    main()
