"""Does decoding overlap inference? Images a second of `edgekit eval` beside those of its two stages alone.

    python benchmarks/fetch.py fashion photos
    python benchmarks/eval_rate.py build/mobilenetv2-tflite-int8

On Fashion-MNIST, and on a folder of JPEGs of ImageNet's usual size (500 x 375) made of the photographs. Wall time, the
three taking turns. The share is that of the slower stage's own rate; on n cores it cannot exceed the share that n cores
leave to two stages of this much CPU time each, which is said beside it.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import fashion
import numpy as np
import photos
from PIL import ImageOps

from edgekit import artifact
from edgekit.answering import Answering, start_answering
from edgekit.data import DataSet, open_data
from edgekit.data.decoding import decoded
from edgekit.devices import host
from edgekit.devices.local import Local
from edgekit.devices.worker import timed
from edgekit.errors import DataError
from edgekit.evaluation import run as evaluation
from edgekit.preprocess import Pixels, open_picture
from edgekit.runtimes import Options


@contextmanager
def jpegs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        for i, path in enumerate(photos.photographs()):
            ImageOps.fit(open_picture(path), (500, 375)).save(Path(folder, f"{i:03}.jpg"), quality=90)
        yield Path(folder)


def rates(made: Answering, data: DataSet, count: int, workers: int, rounds: int) -> str:
    positions, spec = data.sample(count), [made.artifact.manifest.preprocess]

    def decode() -> list[tuple[Pixels, ...]]:
        return [
            f.pixels for _, f in decoded(data.read(positions), spec, workers, count) if not isinstance(f, DataError)
        ]

    fitted = [pixels for (pixels,) in decode()]

    def infer() -> None:
        for i in range(0, len(fitted), Local.at_once):
            made.values(np.stack(fitted[i : i + Local.at_once]))

    def together() -> None:
        for _ in evaluation.ask(evaluation.counting([made], data), data.read(positions), workers):
            pass

    phases = [[timed(stage)[1] for stage in (decode, infer, together)] for _ in range(rounds)]
    wall = [statistics.median(round[i].wall_ns for round in phases) / 1e9 for i in range(3)]
    decoding = statistics.median(round[0].ns for round in phases) / 1e9
    slower, cores = max(wall[:2]), len(os.sched_getaffinity(0))
    bound = slower / max(slower, (decoding + wall[1]) / cores)  # a file runs on one thread
    alone, inferred, both = (len(positions) / seconds for seconds in wall)
    return (
        f"{alone:.0f}/s decoded, {inferred:.0f}/s inferred, {both:.0f}/s together: "
        f"{slower / wall[2]:.2f} of the slower stage ({cores} cores allow {bound:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", type=int, default=400, help="images of each data set")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    made = artifact.load(arguments.artifact)
    print(f"{made.name}, CPU class {host.cpu_class()}, {arguments.workers} decoding workers")
    with start_answering(made, Local(), Options(), evaluation.TIMEOUT) as opened, jpegs() as folder:
        for name, place in (("Fashion-MNIST", fashion.DATA), ("JPEGs", folder)):
            data = open_data(place, made.labels(), unlabelled=True)
            run = partial(rates, opened, data, min(arguments.count, len(data)))
            print(f"{name}: {run(arguments.workers, arguments.rounds)}", flush=True)


if __name__ == "__main__":
    main()
