"""How fast `predict` goes through a folder, beside its two stages: decoding alone, and inference alone.

    python benchmarks/predict_rate.py ARTIFACT [-n 1000] [--rounds 3] [--workers 2]

Images are JPEGs of 500 x 375 made of noise over colours. Each round times the three in turn, on the wall; the least of each counts,
because other processes only ever add. The aim: both together at 0.85 of the slower stage or more.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import edgekit
from edgekit import prediction
from edgekit.answering import start_answering
from edgekit.data import Picture
from edgekit.data.decoding import Seen, decoded
from edgekit.devices import host
from edgekit.preprocess import decode_picture
from edgekit.runtimes import Options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("artifact")
    parser.add_argument("-n", "--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    artifact = edgekit.load(asked.artifact)
    spec, held = artifact.manifest.preprocess, prediction.together(artifact, None)
    with tempfile.TemporaryDirectory() as folder, start_answering(artifact, None, Options()) as opened:
        files = photos(Path(folder), asked.pictures)

        def opened_later(path: Path) -> Callable[[], Image.Image]:
            return lambda: decode_picture(path, path.name)

        def decode() -> list[Seen]:
            pictures = (Picture(i, path.name, (), opened_later(path), bytes) for i, path in enumerate(files))
            seen = [seen for _, seen in decoded(pictures, [spec], asked.workers, 2 * held)]
            return [one for one in seen if isinstance(one, Seen)]

        fitted = [one.pixels[0] for one in decode()]

        def infer() -> None:
            for i in range(0, len(fitted), held):
                opened.values(np.stack(fitted[i : i + held]))

        def both() -> None:
            assert len(list(prediction.answers(opened, files, asked.workers, held))) == len(files)

        stages = {"decoding alone": decode, "inference alone": infer, "predict": both}
        least = dict.fromkeys(stages, float("inf"))
        for _ in range(asked.rounds):
            for name, act in stages.items():
                begin = time.monotonic()
                act()
                least[name] = min(least[name], time.monotonic() - begin)
    for name, seconds in least.items():
        print(f"{name:16} {len(files) / seconds:7.0f} images/s")
    slower = max(least["decoding alone"], least["inference alone"])
    print(f"predict goes at {slower / least['predict']:.2f} of its slower stage")
    print(f"{asked.workers} threads decode, {os.cpu_count()} cores, CPU class {host.cpu_class()}, {artifact.name}")


def photos(folder: Path, count: int) -> list[Path]:
    """JPEGs with as much detail as photographs have."""
    drawn = np.random.default_rng(0)
    files = []
    for i in range(count):
        picture = Image.fromarray(drawn.integers(0, 256, (47, 63, 3), dtype=np.uint8)).resize((500, 375))
        noise = drawn.normal(0, 8, (375, 500, 1))
        files.append(folder / f"{i:04}.jpg")
        Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


if __name__ == "__main__":
    main()
