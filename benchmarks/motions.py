"""A small TSM learns how a crop of a photograph moves, and its files are asked about photographs that it never saw.

    python benchmarks/motions.py [--out build/motions] [--results benchmarks/results/motions-<cpu class>.md] [--seed 0]

Labels are exact: clips are made, as videos, of 9 photographs to learn from and 5 others to report on (`edgekit/motion.py`: four
directions, closer, farther, two turns). Everything is done by the commands that a user types; what lies in --out is not made again.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import edgekit
from edgekit import calibration
from edgekit.artifact import Artifact
from edgekit.devices import host
from edgekit.evaluation.words import percent
from edgekit.motion import MOTIONS, moving_crop
from edgekit.preprocess import Pixels, Preprocess, open_picture
from edgekit.recipe import Scheme

NEW = ("chelsea.png", "hubble_deep_field.jpg", "grass.png", "camera.png", "flower.jpg")  # not learned from
FRAMES, RATE, SIDE = 8, 8, 32
SEEN = Preprocess((56, 56), 1.0, frames=10, rate=RATE)  # a video; the model sees 8 of its frames
EACH = {"train": 300, "test": 60}  # videos of every motion
TARGETS = ("tflite", "onnx", "openvino")
PAGE = """\
# Motions

CPU class {cpu}, seed {seed}. `benchmarks/motions.py`: `py:edgekit.models.tsm:micro` learned {learned:,} videos of crops that move over
9 photographs, in {minutes:.0f} CPU minutes, and names which of 8 motions {of} videos of 5 other photographs show. Shares of videos, with Wilson's
intervals; of int8 what it loses against the float file of the same target, paired.

| file | right | points lost | SQNR dB |
| --- | --- | --- | --- |
{rows}
"""


def written(path: Path, clip: Pixels) -> None:
    """A clip [t, h, w, 3] as a video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(RATE))
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def make_data(root: Path, seed: int) -> None:
    known = calibration._photographs()
    for split, each in EACH.items():
        pictures = [open_picture(path) for path in known if (path.name in NEW) == (split == "test")]
        rng = np.random.default_rng((seed, len(pictures)))
        for motion in MOTIONS:
            folder = root / split / motion.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(each):
                clip = moving_crop(pictures[number % len(pictures)], SEEN, rng, motion)
                written(folder / f"{number:04}.mp4", clip)


def file(run: Path, out: Path, target: str, scheme: Scheme) -> Artifact:
    """An export of a run, made once."""
    return edgekit.load(out) if out.is_dir() else edgekit.export(run, out, target=target, scheme=scheme)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/motions"))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    asked = parser.parse_args()
    data, run = asked.out / "data", asked.out / "run"
    if not data.is_dir():
        make_data(data, asked.seed)
    made = edgekit.train(
        "py:edgekit.models.tsm:micro", data, run, frames=FRAMES, frame_rate=RATE, input_size=SIDE, crop_pct=1.0, mean=0.5,
        std=0.25, flip=False, epochs=asked.epochs, batch=32, lr=4e-3, weight_decay=0.02, seed=asked.seed, threads=1, workers=1,
        resume=run.is_dir(), say=lambda line: print(line, flush=True),
    )  # fmt: skip
    rows = []
    for target in TARGETS:
        exact, rounded = (
            file(run, asked.out / f"{target}-{scheme}", target, scheme) for scheme in ("fp32", "int8-static")
        )
        found = edgekit.evaluate(rounded, data, reference=exact, split="test", state=asked.out / "state")
        assert found.change
        assert found.change.drop
        drop = found.change.drop
        lost = f"{100 * drop.estimate:.1f} [{100 * drop.low:.1f}, {100 * drop.high:.1f}]"
        sqnr = rounded.manifest.proof.sqnr_db
        rows += [
            f"| {target} fp32 | {percent(found.results[1].headline)} | | |",
            f"| {target} int8-static | {percent(found.results[0].headline)} | {lost} | {sqnr:.1f} |",
        ]
    page = PAGE.format(
        cpu=host.cpu_class(), seed=asked.seed, learned=made.card.data.train_pictures, minutes=made.card.cpu_seconds / 60,
        of=made.card.data.test_pictures, rows="\n".join(rows),
    )  # fmt: skip
    print(page)
    if asked.results:
        asked.results.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
