"""EfficientNet-Lite0, real ImageNet weights, 117 labelled photographs: is the int8 file as good as fp32?

    python benchmarks/fetch.py photos
    python benchmarks/photos.py build/efficientnet_lite0-tflite-int8 --reference build/efficientnet_lite0-tflite-fp32

Top-1 on 117 photos is not ImageNet accuracy: the photos are iconic, several labels are sets, and the standard error is
3 points. What counts is the pairing with fp32. `--crops` adds seeded random crops of all photographs there are
(labelled or not), which have no labels but show agreement on 1,000 more pictures.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit import artifact, parity, registry
from edgekit.artifact import Artifact
from edgekit.calibration import random_crop
from edgekit.devices import host
from edgekit.errors import DataError
from edgekit.preprocess import Pixels, Preprocess, fit, load_pixels, open_picture
from edgekit.tasks.classification import agreement, softmax, sqnr_db

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / ".cache" / "data" / "photos"
LABELS = ROOT / "tests" / "data" / "photo_labels.json"
CONFIDENT = 0.3


@dataclass(frozen=True)
class Paired:
    """A candidate against its reference on the same pictures; right/lost/won only where there are labels."""

    pictures: int
    agreement: float
    confident: int
    confident_agreement: float
    sqnr_db: float
    right: tuple[int, int] | None = None  # reference, candidate
    lost: int = 0
    won: int = 0

    def __str__(self) -> str:
        text = (
            f"{self.pictures} pictures: agreement {self.agreement:.1%}, {self.confident_agreement:.1%} of the "
            f"{self.confident} where fp32 p > {CONFIDENT}, SQNR {self.sqnr_db:.1f} dB"
        )
        return text + (
            f"; right {self.right[0]} -> {self.right[1]} (lost {self.lost}, won {self.won})" if self.right else ""
        )


def labelled() -> dict[Path, list[int]]:
    """Photo -> the classes that count as right."""
    table = json.loads(LABELS.read_text("utf-8"))
    return {PHOTOS / name: classes for name, classes in table.items() if not name.startswith("_")}


def photographs() -> list[Path]:
    """Every real photograph; drawings are small files."""
    files = sorted(p for p in PHOTOS.rglob("*") if p.suffix in (".webp", ".jpg") and p.stat().st_size > 15_000)
    return [path for path, size in zip(files, map(_size, files), strict=True) if min(size) >= 180]


def _size(path: Path) -> tuple[int, int]:
    try:
        return open_picture(path).size
    except DataError:
        return 0, 0


def crops(spec: Preprocess, count: int) -> Iterator[Pixels]:
    """Seeded random crops of every real photograph."""
    rng = np.random.default_rng(1)
    opened = [open_picture(path) for path in photographs()]
    for i in range(count):
        yield fit(random_crop(opened[i % len(opened)], rng), spec)


def scores(made: Artifact, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = registry.runtime_for(made.manifest.target).open(made)
    try:
        return parity.answers(made, session, pictures)
    finally:
        session.close()


def compare(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], truth: list[list[int]] | None = None
) -> Paired:
    sure = softmax(reference).max(-1) > CONFIDENT
    right = None
    lost = won = 0
    if truth is not None:
        a, b = (
            np.array([s.argmax() in classes for s, classes in zip(x, truth, strict=True)])
            for x in (reference, candidate)
        )
        right, lost, won = (int(a.sum()), int(b.sum())), int((a & ~b).sum()), int((b & ~a).sum())
    return Paired(
        len(reference),
        agreement(reference, candidate),
        int(sure.sum()),
        agreement(reference[sure], candidate[sure]),
        sqnr_db(reference, candidate),
        right,
        lost,
        won,
    )


def on_photos(candidate: Artifact, reference: Artifact) -> Paired:
    truth = labelled()
    pictures = np.stack([load_pixels(path, candidate.manifest.preprocess) for path in truth])
    return compare(scores(reference, pictures), scores(candidate, pictures), list(truth.values()))


def on_crops(candidate: Artifact, reference: Artifact, count: int) -> Paired:
    pictures = np.stack(list(crops(candidate.manifest.preprocess, count)))
    return compare(scores(reference, pictures), scores(candidate, pictures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="+", type=Path)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    reference = artifact.load(arguments.reference)
    print(f"CPU class {host.cpu_class()}")
    for folder in arguments.candidates:
        candidate = artifact.load(folder)
        print(f"{candidate.name}: {on_photos(candidate, reference)}")
        if arguments.crops:
            print(f"{candidate.name}, crops: {on_crops(candidate, reference, arguments.crops)}")


if __name__ == "__main__":
    main()
