"""The bundled MobileNetV2 on the 10,000 Fashion-MNIST test images: `edgekit eval`, each file against the first.

python benchmarks/fetch.py fashion
python benchmarks/fashion.py build/mobilenetv2-tflite-fp32 build/mobilenetv2-tflite-int8
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import artifact
from edgekit.answering import start_answering
from edgekit.artifact import Artifact
from edgekit.cli.evaluate import text
from edgekit.data import idx, open_data
from edgekit.evaluation import STATE, Evaluation, evaluate
from edgekit.preprocess import fit
from edgekit.runtimes import Options

CHUNK = 500  # images held at once
DATA = Path(__file__).resolve().parent.parent / ".cache" / "data" / "fashion-mnist"


def read(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Fashion-MNIST: uint8 [n, 28, 28] and int64 [n]; split is "train" or "test"."""
    return idx.array(DATA, split)


def kept(path: Path, find: Callable[[], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """What was found before, or is found now and kept."""
    if not path.is_file():
        np.save(path, find())
    known: NDArray[np.bool_] = np.load(path)
    return known


def right(folder: Path) -> NDArray[np.bool_]:
    """Which of the 10,000 test images an artifact names rightly, in its runtime."""
    made = artifact.load(folder)
    images, labels = read("test")
    found = np.empty(len(labels), bool)
    with start_answering(made, None, Options()) as opened:
        for i in range(0, len(labels), CHUNK):
            pictures = (Image.fromarray(image).convert("RGB") for image in images[i : i + CHUNK])
            fitted = np.stack([fit(picture, made.manifest.preprocess) for picture in pictures])
            found[i : i + CHUNK] = opened.values(fitted)[0].argmax(-1) == labels[i : i + CHUNK]
    return found


def measure(artifacts: Sequence[Artifact], count: int | None = None, state: Path = STATE) -> Evaluation:
    """One artifact, or a candidate and its reference, on the test images or a sample of them."""
    return evaluate(artifacts, open_data(DATA, artifacts[0].labels()), limit=count, state=state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=None, help="a sample of so many images")
    arguments = parser.parse_args()
    first, *others = (artifact.load(folder) for folder in arguments.artifacts)
    for made in [[other, first] for other in others] or [[first]]:
        print(text(measure(made, arguments.count)), flush=True)


if __name__ == "__main__":
    main()
