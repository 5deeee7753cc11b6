"""The bundled MobileNetV2 on the 10,000 Fashion-MNIST test pictures, in the runtime.

python benchmarks/fetch.py fashion
python benchmarks/fashion.py build/mobilenetv2-tflite-fp32 build/mobilenetv2-tflite-int8
"""

import argparse
import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import artifact, parity, registry
from edgekit.artifact import Artifact
from edgekit.devices import host
from edgekit.preprocess import fit

DATA = Path(__file__).resolve().parent.parent / ".cache" / "data" / "fashion-mnist"


def read(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Fashion-MNIST: uint8 [n, 28, 28] and int64 [n]; split is "train" or "t10k"."""
    images = gzip.decompress((DATA / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((DATA / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28).copy(),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def right(made: Artifact, count: int | None = None) -> NDArray[np.bool_]:
    """Which test pictures the file names rightly."""
    images, labels = read("t10k")
    images, labels = images[:count], labels[:count]
    session = registry.runtime_for(made.manifest.target).open(made)
    spec = made.manifest.preprocess
    answers = [
        int(parity.answers(made, session, fit(Image.fromarray(i).convert("RGB"), spec)[None]).argmax()) for i in images
    ]
    session.close()
    return np.asarray(np.array(answers) == labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=None, help="only the first pictures")
    arguments = parser.parse_args()
    print(f"CPU class {host.cpu_class()}")
    first: NDArray[np.bool_] | None = None
    for folder in arguments.artifacts:
        made = artifact.load(folder)
        hits = right(made, arguments.count)
        error = 1.96 * math.sqrt(hits.mean() * (1 - hits.mean()) / len(hits))
        line = f"{made.name}: top-1 {hits.mean():.2%} +- {error:.2%} on {len(hits):,} test pictures"
        if first is None:
            first = hits
        else:
            line += f"; against the first: lost {(first & ~hits).sum()}, won {(hits & ~first).sum()}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
