"""Make the detector that is bundled with edgekit, `yolox_micro`, and its card.

    python benchmarks/fetch.py fashion photos
    python benchmarks/train_detector.py train      a run that was cut short goes on
    python benchmarks/train_detector.py store      halve the weights, write edgekit/models/bundled/yolox_micro.*
    python benchmarks/train_detector.py images     the sheet that calibrates it
    python benchmarks/train_detector.py measure    fp32 and what --int8 takes, in every runtime, on the test images: the card

The scenes are train_segmenter.py's with more and smaller items, whose boxes are exact: an item is where its pixels are above
24, an item hides at most a fifth of another, and none is pasted where it could not be seen. It learns from the training
split on photographs of scikit-image and scikit-learn and on edgekit's own scenes; it is tried on the test split on
photographs of a Debian package, of which it saw none. The seed and the number of a step fix its images; torch's CPU
kernels do not promise the same bits on another machine.
"""

import argparse
import hashlib
import math
import time
import tomllib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import photos
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save as serialise
from torch import nn
from train_segmenter import CLOTH, ROOT, SIZE, Collage, free_to_travel, held_in, save_sheet, write
from train_segmenter import LABELS as PARTS

from edgekit import artifact, pipeline
from edgekit.answering import start_answering
from edgekit.devices import host
from edgekit.errors import ParityError
from edgekit.models.detecting import PAD
from edgekit.models.yolox import YoloX
from edgekit.preprocess import open_picture
from edgekit.recipe import Quantize, Recipe, Scheme
from edgekit.runtimes import Options
from edgekit.tasks import Detection
from edgekit.tasks.average_precision import Matched, Objects, average_precision, match, mean
from edgekit.tasks.detection import FLOOR
from edgekit.tensors import Values
from edgekit.training.simota import SimOta
from edgekit.zoo import BUNDLED

WORK = ROOT / ".cache" / "detector"
LABELS = PARTS[1:]  # without the background
NAME = "yolox_micro"
WEIGHTS = BUNDLED / f"{NAME}.safetensors"
WIDTH = 0.25  # as edgekit/models/yolox.py has it
TEST = 512  # images
SEED = 0
BATCH = 16
STEPS = 16_000
RATE = 2.5e-3
WARM_UP = 100  # steps
TAIL = 5000  # steps in which the rate falls to nothing
DECAY = 0.02
EVERY = 25  # steps between two saves of the state
ITEM = 28  # pixels of an item's side as it is stored
LARGEST = 2.8  # times that
MOST = 6  # items in an image
TILT = 30  # degrees
HIDDEN = 0.2  # of an item's pixels that later ones may hide
SEEN = 45  # levels by which an item differs from what is behind it, on average
SMALLEST = 150  # pixels of an item that lie in the image
TRIES = 6  # places for an item

Picture = NDArray[np.uint8]


class Scenes(Collage):
    """Items pasted on images, and their boxes; image `number` of a series is always the same one."""

    def picture(self, *number: int) -> tuple[Picture, NDArray[np.float32]]:  # type: ignore[override]
        """uint8 [128, 128, 3] and float32 [k, 5]: x1 y1 x2 y2 in pixels, and the index into LABELS."""
        rng = np.random.default_rng(number)
        pixels = self._ground(rng).astype(np.float32)
        owner, areas = np.zeros((SIZE, SIZE), np.int64), [1.0]
        boxes = []
        for _ in range(rng.integers(1, MOST + 1)):
            kind = int(rng.integers(len(LABELS)))
            item = self._turned(rng, self.images[rng.choice(self.of_kind[kind + 1])])
            bright = rng.uniform(0.4, 1)
            dark = rng.uniform(0, 0.7) * bright
            tint = rng.uniform(0.3, 1, 3) ** rng.uniform(0, 1.5)
            light = 255 * (dark + (bright - dark) * item[..., None] / 255.0) * tint
            for _ in range(TRIES):
                corner = (rng.uniform(0.12 * SIZE, 0.88 * SIZE, 2) - len(item) / 2).round().astype(int)
                on, of = zip(*(_within(int(at), len(item)) for at in corner[::-1]), strict=True)
                there = item[of] > CLOTH
                hides = np.bincount(owner[on][there], minlength=len(areas))[1:]
                apart = np.abs(light[of][there] - pixels[on][there]).mean() if there.any() else 0
                if apart < SEEN or there.sum() < SMALLEST or (hides > HIDDEN * np.array(areas[1:])).any():
                    continue
                pixels[on][there] = light[of][there]
                owner[on][there] = len(areas)
                areas.append(float(there.sum()))
                rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
                (top, left) = (side.start for side in on)
                box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
                boxes.append((*box, kind))
                break
        return pixels.clip(0, 255).astype(np.uint8), np.array(boxes, np.float32).reshape(-1, 5)

    def batch(self, count: int, *series: int) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [count, 3, 128, 128] in -1 to 1, float32 [count, MOST, 5] as simota.py takes them."""
        drawn = [self.picture(*series, i) for i in range(count)]
        pixels = torch.from_numpy(np.stack([p for p, _ in drawn])).permute(0, 3, 1, 2)
        truths = torch.full((count, MOST, 5), -1.0)
        for truth, (_, boxes) in zip(truths, drawn, strict=True):
            truth[: len(boxes)] = torch.from_numpy(boxes)
        return pixels / 127.5 - 1, truths

    @staticmethod
    def _turned(rng: np.random.Generator, item: Picture) -> Picture:
        """The item turned and larger, in a square that holds all of it."""
        times, angle = LARGEST ** rng.uniform(), math.radians(rng.uniform(-TILT, TILT))
        side = math.ceil(ITEM * times * (math.cos(angle) + abs(math.sin(angle))))
        cos, sin = math.cos(angle) / times, math.sin(angle) / times
        turn = (cos, sin, (ITEM - (cos + sin) * side) / 2, -sin, cos, (ITEM - (cos - sin) * side) / 2)
        flipped = Image.fromarray(np.ascontiguousarray(item[:, :: rng.choice([1, -1])]))
        return np.asarray(flipped.transform((side, side), Image.Transform.AFFINE, turn, Image.Resampling.BILINEAR))


def _within(at: int, length: int) -> tuple[slice, slice]:
    """The part of SIZE that `length` from `at` on covers, and the part of `length` that lies in it."""
    first, last = max(at, 0), min(at + length, SIZE)
    return slice(first, last), slice(first - at, last - at)


def learning() -> Scenes:
    return Scenes("train", held_in(), slice(5000, None))


def rate(step: int) -> float:
    return min((step + 1) / WARM_UP, 1, (STEPS - step) / TAIL)


def train() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    learned = learning()
    network = YoloX(len(LABELS), width=WIDTH)
    network.to(memory_format=torch.channels_last)
    groups = [[p for p in network.parameters() if (p.ndim > 1) is whole] for whole in (True, False)]
    decays = [{"params": some, "weight_decay": decay} for some, decay in zip(groups, (DECAY, 0.0), strict=True)]
    optimizer = torch.optim.AdamW(decays, RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    lessons = SimOta((SIZE, SIZE))
    taught = lessons.taught(network)
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    kept, begun, spent, losses = WORK / "training.pt", 0, 0.0, []
    if kept.is_file():
        state = torch.load(kept, weights_only=True)
        begun, spent = state["step"], state["cpu_seconds"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    spent -= time.process_time()
    for step in range(begun, STEPS):
        network.train()
        pixels, truths = learned.batch(BATCH, SEED, 1, step)
        answers = taught(pixels.contiguous(memory_format=torch.channels_last))
        error = lessons.loss(answers, truths).mean()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(error.item())
        if (step + 1) % EVERY == 0 or step + 1 == STEPS:
            seconds = spent + time.process_time()
            print(f"{step + 1} {seconds / 60:.1f} min loss {np.mean(losses[-EVERY:]):.3f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save(state | {"step": step + 1, "cpu_seconds": seconds}, kept.with_suffix(".part"))
            kept.with_suffix(".part").replace(kept)


def trained() -> tuple[YoloX, dict[str, Any]]:
    """The network as it is stored: rounded to float16, run in float32; and the state of the run."""
    state: dict[str, Any] = torch.load(WORK / "training.pt", weights_only=True)
    if state["step"] < STEPS:
        raise SystemExit(f"{state['step']} of {STEPS} steps: python benchmarks/train_detector.py train")
    network = YoloX(len(LABELS), width=WIDTH)
    network.load_state_dict(state["network"])
    return network.half().float().eval(), state


def held_out() -> Scenes:
    """Items of the test split on photographs that nothing was learned on."""
    return Scenes("test", [open_picture(path) for path in photos.photographs()])


def drawn(unseen: Scenes, count: int) -> list[tuple[Picture, Objects]]:
    """The first of the test images, and what is on them."""
    found = []
    for i in range(count):
        pixels, boxes = unseen.picture(SEED, 2, i)
        found.append((pixels, Objects.of(boxes[:, :4].astype(np.float64), boxes[:, 4].astype(np.int64))))
    return found


@torch.inference_mode()
def matched(network: nn.Module, pictures: Sequence[tuple[Picture, Objects]]) -> list[Matched]:
    network.eval()
    kept = []
    for pixels, truth in pictures:
        values = network(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1)
        kept.append(against((values[0][0].numpy(), values[1][0].numpy()), truth))
    return kept


def against(values: Values, truth: Objects) -> Matched:
    """The answer to one image, held against what is there."""
    found = Detection().found(values, FLOOR)
    return match(found.boxes.astype(np.float64), found.scores, found.labels, truth)


def store() -> None:
    """Weights as float16 with a card; `measure` adds what the files are worth."""
    network, state = trained()
    halves = {k: v.half().contiguous() for k, v in network.state_dict().items() if "num_batches_tracked" not in k}
    WEIGHTS.write_bytes(serialise(halves))
    precision = average_precision(matched(network, drawn(held_out(), TEST)), len(LABELS))
    write(
        {
            "schema": 1,
            "architecture": NAME,
            "data": "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist, MIT; pasted on images",
            "licence": "MIT (trained from scratch; data MIT, photographs public domain, CC0 or CC BY 2.0)",
            "commands": ["python benchmarks/train_detector.py train"],
            "seed": SEED,
            "steps": STEPS,
            "cpu_minutes": round(state["cpu_seconds"] / 60),
            "made_with": {"torch": str(torch.__version__), "timm": timm.__version__},
            "test_pictures": TEST,
            "test_map": round(float(mean(precision)[0]), 4),
            "test_ap50": round(float(mean(precision, 0)[0]), 4),
            "test_ap50_by_label": dict(zip(LABELS, precision[0, :, 0].round(4).tolist(), strict=True)),
            "labels": LABELS,
            "preprocess": {
                "input_size": [SIZE, SIZE], "crop_pct": 1.0, "crop_mode": "letterbox", "interpolation": "bilinear",
                "mean": [0.5] * 3, "std": [0.5] * 3, "pad": PAD,
            },
        },
        WEIGHTS,
        "train_detector.py",
    )  # fmt: skip


def measure() -> None:
    """Export the bundled weights to every target, ask each file about the test images, fill the card."""
    card = tomllib.loads(WEIGHTS.with_suffix(".toml").read_text("utf-8"))
    pictures = drawn(held_out(), TEST)
    _, reference = answered("torch", "fp32", pictures)
    card |= {"measured_on": host.cpu_class(), "measured": []}
    for target in ("tflite", "onnx", "openvino"):
        for asked in ("fp32", "int8"):
            try:
                scheme, found = answered(target, asked, pictures)
            except ParityError as error:
                card["measured"].append({"target": target, "asked": asked, "refused": error.message})
                scheme, found = answered(target, "int8-weight-only", pictures)
            drop, low, high = paired_drop(reference, found)
            precision = average_precision(found, len(LABELS))
            row = {
                "target": target, "scheme": scheme, "map": round(float(mean(precision)[0]), 4),
                "ap50": round(float(mean(precision, 0)[0]), 4), "drop": round(drop, 5),
                "drop_interval": [round(low, 4), round(high, 4)],
            }  # fmt: skip
            card["measured"].append(row)
            print(row, flush=True)
            write(card, WEIGHTS, "train_detector.py")


def answered(
    target: str, scheme: Scheme | Literal["int8"], pictures: Sequence[tuple[Picture, Objects]]
) -> tuple[str, list[Matched]]:
    """The scheme of a file, and what it finds on each of the images."""
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]
    folder = WORK / f"{target}-{scheme}-{digest}"
    if not folder.is_dir():
        pipeline.export(Recipe(NAME, target, weights="bundled", quantize=Quantize(scheme)), folder)
    kept, file = [], artifact.load(folder)
    with start_answering(file, None, Options()) as opened:
        for pixels, truth in pictures:
            boxes, scores = opened.values(pixels[None])
            kept.append(against((boxes[0], scores[0]), truth))
    return file.manifest.scheme, kept


def paired_drop(reference: list[Matched], found: list[Matched], rounds: int = 1000) -> tuple[float, float, float]:
    """How much mAP is lost, with a 95 % interval: a bootstrap of images, the same ones of both."""
    rng, count = np.random.default_rng(SEED), len(reference)
    times = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(rounds)]).astype(float)
    whole, lost = (
        mean(average_precision(reference, times=often)) - mean(average_precision(found, times=often))
        for often in (np.ones((1, count)), times)
    )
    low, high = np.percentile(lost, [2.5, 97.5])
    return float(whole[0]), float(low), float(high)


def images() -> None:
    """160 images of the kind it learned from, 16 side by side, for calibration."""
    save_sheet(Scenes("train", free_to_travel(), slice(5000, None)), WEIGHTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["train", "store", "measure", "images"])
    torch.set_num_threads(1)
    {"train": train, "store": store, "measure": measure, "images": images}[parser.parse_args().verb]()


if __name__ == "__main__":
    main()
