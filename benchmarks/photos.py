"""EfficientNet-Lite0, real ImageNet weights, 117 labelled photographs: is the int8 file as good as fp32?

    python benchmarks/fetch.py photos
    python benchmarks/photos.py build/efficientnet_lite0-tflite-int8 --reference build/efficientnet_lite0-tflite-fp32

It is `edgekit eval` with tests/data/photo_labels.json. Top-1 on 117 photos is not ImageNet accuracy: the photos are
iconic, several labels are sets, and the standard error is 3 points. What counts is the pairing with fp32. `--crops` adds
seeded random crops of all photographs there are (labelled or not), which have no labels but show agreement on 1,000
more images.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit import artifact
from edgekit.artifact import Artifact
from edgekit.calibration import random_crop
from edgekit.cli.evaluate import text
from edgekit.data import open_data
from edgekit.data.dataset import Content, Opener, Source, without_labels
from edgekit.errors import DataError
from edgekit.evaluation import STATE, Evaluation, evaluate
from edgekit.preprocess import Pixels, Preprocess, fit, open_picture

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT / ".cache" / "data" / "photos"
LABELS = ROOT / "tests" / "data" / "photo_labels.json"


def photographs() -> list[Path]:
    """Every real photograph; drawings are small files."""
    files = sorted(p for p in PHOTOS.rglob("*") if p.suffix in (".webp", ".jpg") and p.stat().st_size > 15_000)
    return [path for path in files if min(_size(path)) >= 180]


def _size(path: Path) -> tuple[int, int]:
    try:
        return open_picture(path).size
    except DataError:
        return 0, 0


def random_crops(count: int) -> Iterator[Image.Image]:
    """Seeded random crops of every real photograph."""
    rng = np.random.default_rng(1)
    opened = [open_picture(path) for path in photographs()]
    for i in range(count):
        yield random_crop(opened[i % len(opened)], rng)


def crops(spec: Preprocess, count: int) -> Iterator[Pixels]:
    for crop in random_crops(count):
        yield fit(crop, spec)


def on_photos(artifacts: Sequence[Artifact], state: Path = STATE) -> Evaluation:
    """A candidate and its reference."""
    return evaluate(artifacts, open_data(PHOTOS, artifacts[0].labels(), labels_file=LABELS), state=state)


def on_crops(artifacts: Sequence[Artifact], count: int) -> Evaluation:
    def read(positions: Sequence[int]) -> Iterator[tuple[str, Opener, Content]]:
        for i, crop in enumerate(random_crops(count)):
            if i in positions:
                yield f"crop {i}", crop.copy, crop.tobytes

    what = f"random crops of photographs in {PHOTOS}"
    stamp = hashlib.sha256("".join(path.name for path in photographs()).encode()).hexdigest()
    return evaluate(artifacts, without_labels(Source(what, stamp, None, count, read)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="+", type=Path)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    reference = artifact.load(arguments.reference)
    for folder in arguments.candidates:
        made = [artifact.load(folder), reference]
        print(text(on_photos(made)), flush=True)
        if arguments.crops:
            print(f"\n{arguments.crops} crops\n{text(on_crops(made, arguments.crops))}", flush=True)


if __name__ == "__main__":
    main()
