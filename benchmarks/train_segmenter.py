"""Make the segmenter that is bundled with edgekit, `unet_micro`, and its card.

    python benchmarks/fetch.py fashion photos
    python benchmarks/train_segmenter.py train      about an hour on one core; a run that was cut short goes on

Fashion-MNIST's items of clothing are tinted, turned and pasted on pictures, so that the mask is exact: an item is where
its pixels are above 24. It learns from the training split on photographs of scikit-image and scikit-learn and on edgekit's
own scenes; it is tried on the test split on photographs of a Debian package, of which it saw none. The seed and the
number of a step fix its pictures; torch's CPU kernels do not promise the same bits on another machine.
"""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fashion
import numpy as np
import photos
import skimage.data
import sklearn.datasets
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekit.models.unet import UNet
from edgekit.preprocess import open_picture
from edgekit.scenes import scenes

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "segmenter"
SIZE = 128
LABELS = ["background", "tops", "trousers", "dresses", "shoes", "bags"]
KIND = np.array([1, 2, 1, 3, 1, 4, 1, 4, 5, 4])  # of Fashion-MNIST's ten classes
CLOTH = 24  # an item is where its pixels are above this
SEED = 0
BATCH = 32
STEPS = 1600
RATE = 3e-3
WARM_UP = 100  # steps
TAIL = 600  # steps in which the rate falls to nothing
EMA = 0.99
EVERY = 100  # steps between two looks at the validation pictures
TEST = 512  # pictures
PHOTOGRAPHS = [
    "astronaut",
    "brick",
    "camera",
    "cell",
    "chelsea",
    "clock_motion",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "ihc",
    "moon",
    "motorcycle_left",
    "page",
    "retina",
    "rocket",
    "text",
]

Picture = NDArray[np.uint8]


class Collage:
    """Items pasted on pictures; picture `number` of a series is always the same one."""

    def __init__(self, split: str, behind: Sequence[Image.Image], items: slice = slice(None)) -> None:
        images, classes = fashion.read(split)
        self.images, kinds = images[items], KIND[classes[items]]
        self.of_kind = [np.flatnonzero(kinds == kind) for kind in range(len(LABELS))]
        self.behind = behind

    def picture(self, *number: int) -> tuple[Picture, Picture]:
        """uint8 [128, 128, 3] and its mask, uint8 [128, 128] of indices into LABELS."""
        rng = np.random.default_rng(number)
        pixels = self._ground(rng).astype(np.float32)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        for _ in range(rng.integers(1, 5)):
            kind = rng.integers(1, len(LABELS))
            item = self._placed(rng, self.images[rng.choice(self.of_kind[kind])])
            there = item > CLOTH
            bright = rng.uniform(0.3, 1)
            dark = rng.uniform(0, 0.8) * bright
            tint = rng.uniform(0.3, 1, 3) ** rng.uniform(0, 2)
            light = 255 * (dark + (bright - dark) * item[there, None] / 255.0)
            pixels[there] = light * tint
            mask[there] = kind
        return pixels.clip(0, 255).astype(np.uint8), mask

    def batch(self, count: int, *series: int) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [count, 3, 128, 128] in -1 to 1, int64 [count, 128, 128]."""
        drawn = [self.picture(*series, i) for i in range(count)]
        pixels = torch.from_numpy(np.stack([p for p, _ in drawn])).permute(0, 3, 1, 2)
        return pixels / 127.5 - 1, torch.from_numpy(np.stack([m for _, m in drawn])).long()

    def _ground(self, rng: np.random.Generator) -> Picture:
        photo = self.behind[int(rng.integers(len(self.behind)))]
        side = int(min(photo.size) * rng.uniform(0.3, 1))
        x, y = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        crop = photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR, (x, y, x + side, y + side))
        pixels = np.asarray(crop)[:, :: rng.choice([1, -1]), rng.permutation(3)]
        return (255 * (pixels / 255.0) ** rng.uniform(0.6, 1.6)).astype(np.uint8)

    @staticmethod
    def _placed(rng: np.random.Generator, item: Picture) -> Picture:
        """The item turned, at most by 40 degrees, 40 to 100 pixels large, its middle within the picture."""
        scale = 28 / (40 * 2.5 ** rng.uniform())
        angle = math.radians(rng.uniform(-40, 40))
        x, y = rng.uniform(0.15 * SIZE, 0.85 * SIZE, 2)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        turn = (cos, sin, 14 - cos * x - sin * y, -sin, cos, 14 + sin * x - cos * y)
        flipped = np.ascontiguousarray(item[:, :: rng.choice([1, -1])])
        placed = Image.fromarray(flipped).transform(
            (SIZE, SIZE), Image.Transform.AFFINE, turn, Image.Resampling.BILINEAR
        )
        return np.asarray(placed)


def held_in() -> list[Image.Image]:
    """What it learns before: as often photographs as scenes."""
    folder = Path(skimage.data.__file__).parent
    files = [next(folder.glob(f"{name}.*g")) for name in PHOTOGRAPHS]
    files += [Path(sklearn.datasets.__file__).parent / "images" / name for name in ("china.jpg", "flower.jpg")]
    taken = [open_picture(path) for path in files]
    drawn = [Image.fromarray(scene) for scene in scenes(2 * len(taken), 192, 192)]
    return 2 * taken + drawn


def learning() -> tuple[Collage, Collage]:
    """What it learns from, and what its curve is drawn on: other items, on the same photographs."""
    behind = held_in()
    return Collage("train", behind, slice(5000, None)), Collage("train", behind, slice(5000))


def loss(scores: torch.Tensor, masks: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with class weights, and Dice of the batch (V-Net, https://arxiv.org/abs/1606.04797), half and half."""
    scores = functional.interpolate(scores.float(), masks.shape[1:], mode="bilinear", align_corners=False)
    shares = scores.softmax(1)
    truth = functional.one_hot(masks, len(LABELS)).permute(0, 3, 1, 2)
    both = (shares * truth).sum((0, 2, 3))
    dice = (2 * both + 1) / (shares.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)
    return functional.cross_entropy(scores, masks, weights) + 1 - dice.mean()


def class_weights(collage: Collage) -> torch.Tensor:
    """The root of how rare a class is, 1 on average."""
    _, masks = collage.batch(256, SEED, 0)
    rare = 1 / torch.bincount(masks.flatten(), minlength=len(LABELS)).float().sqrt()
    return rare / rare.mean()


@torch.inference_mode()
def ious(network: nn.Module, collage: Collage, count: int) -> NDArray[np.float64]:
    """Intersection over union of each class over all of a series' pictures, at the pictures' own size."""
    network.eval()
    table = np.zeros((len(LABELS), len(LABELS)), np.int64)
    for at in range(0, count, BATCH):
        pixels, masks = collage.batch(min(BATCH, count - at), SEED, 2, at)
        scores = functional.interpolate(network(pixels), masks.shape[1:], mode="bilinear", align_corners=False)
        pairs = masks * len(LABELS) + scores.argmax(1)
        table += np.bincount(pairs.flatten().numpy(), minlength=table.size).reshape(table.shape)
    hits = table.diagonal()
    found: NDArray[np.float64] = hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1)
    return found


def rate(step: int) -> float:
    return min((step + 1) / WARM_UP, 1, (STEPS - step) / TAIL)


def train() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    learned, curve = learning()
    weights = class_weights(learned)
    network = UNet(len(LABELS))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(EMA), use_buffers=True)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    parts: dict[str, Any] = {"network": network, "mean": mean, "optimizer": optimizer, "schedule": schedule}
    kept, begun, spent = WORK / "training.pt", 0, 0.0
    if kept.is_file():
        state = torch.load(kept, weights_only=True)
        begun, spent = state["step"], state["cpu_seconds"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    spent -= time.process_time()
    for step in range(begun, STEPS):
        network.train()
        pixels, masks = learned.batch(BATCH, SEED, 1, step)
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(pixels.contiguous(memory_format=torch.channels_last))
        error = loss(scores, masks, weights)
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        mean.update_parameters(network)
        if (step + 1) % EVERY == 0 or step + 1 == STEPS:
            found = ious(mean, curve, 128)
            seconds = spent + time.process_time()
            print(
                f"{step + 1} {seconds / 60:.1f} min loss {error.item():.3f} mIoU {found.mean():.3f}", found.round(2),
                flush=True,
            )  # fmt: skip
            state = {name: part.state_dict() for name, part in parts.items()}
            torch.save(state | {"step": step + 1, "cpu_seconds": seconds}, kept.with_suffix(".part"))
            kept.with_suffix(".part").replace(kept)


def test() -> None:
    mean = AveragedModel(UNet(len(LABELS)), use_buffers=True)
    mean.load_state_dict(torch.load(WORK / "training.pt", weights_only=True)["mean"])
    unseen = Collage("test", [open_picture(path) for path in photos.photographs()])
    found = ious(mean, unseen, TEST)
    print(f"{found.mean():.3f}", dict(zip(LABELS, found.round(3).tolist(), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["train", "test"])
    {"train": train, "test": test}[parser.parse_args().verb]()


if __name__ == "__main__":
    main()
