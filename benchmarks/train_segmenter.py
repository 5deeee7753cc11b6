"""Make the segmenter that is bundled with edgekit, `unet_micro`, and its card.

    python benchmarks/fetch.py fashion photos
    python benchmarks/train_segmenter.py train      13 CPU minutes; a run that was cut short goes on
    python benchmarks/train_segmenter.py store      halve the weights, write edgekit/models/bundled/unet_micro.*
    python benchmarks/train_segmenter.py images     the sheet that calibrates it
    python benchmarks/train_segmenter.py measure    every scheme in every runtime on the test images: the card

Fashion-MNIST's items of clothing are tinted, turned and pasted on images, so that the mask is exact: an item is where
its pixels are above 24. It learns from the training split on photographs of scikit-image and scikit-learn and on edgekit's
own scenes; it is tried on the test split on photographs of a Debian package, of which it saw none. The seed and the
number of a step fix its images; torch's CPU kernels do not promise the same bits on another machine.
"""

import argparse
import hashlib
import math
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fashion
import msgspec.toml
import numpy as np
import photos
import skimage.data
import sklearn.datasets
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save as serialise
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekit import artifact, pipeline, registry
from edgekit.answering import start_answering
from edgekit.devices import host
from edgekit.models.unet import UNet
from edgekit.preprocess import open_picture, placement
from edgekit.recipe import SCHEMES, Quantize, Recipe, Scheme
from edgekit.runtimes import Options
from edgekit.scenes import scenes
from edgekit.tasks import Segmentation
from edgekit.zoo import BUNDLED

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "segmenter"
NAME = "unet_micro"
WEIGHTS = BUNDLED / f"{NAME}.safetensors"
SIZE = 128
LABELS = ["background", "tops", "trousers", "dresses", "shoes", "bags"]
KIND = np.array([1, 2, 1, 3, 1, 4, 1, 4, 5, 4])  # of Fashion-MNIST's ten classes
CLOTH = 24  # an item is where its pixels are above this
SEED = 0
BATCH = 32
STEPS = 1300
RATE = 3e-3
WARM_UP = 100  # steps
TAIL = 450  # steps in which the rate falls to nothing
EMA = 0.99
EVERY = 100  # steps between two looks at the validation images
TEST = 512  # images
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
# whose authors gave up their rights: they may travel with edgekit
FREE = ["astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "rocket"]

Picture = NDArray[np.uint8]


class Collage:
    """Items pasted on images; image `number` of a series is always the same one."""

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
        """The item turned, at most by 40 degrees, 40 to 100 pixels large, its middle within the image."""
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
    """Intersection over union of each class over all of a series' images, at the images' own size."""
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
    network.to(memory_format=torch.channels_last)
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


def trained() -> tuple[nn.Module, dict[str, Any]]:
    """The averaged weights as they are stored: rounded to float16, run in float32; and the state of the run."""
    state: dict[str, Any] = torch.load(WORK / "training.pt", weights_only=True)
    if state["step"] < STEPS:
        raise SystemExit(f"{state['step']} of {STEPS} steps: python benchmarks/train_segmenter.py train")
    mean = AveragedModel(UNet(len(LABELS)), use_buffers=True)
    mean.load_state_dict(state["mean"])
    return mean.module.half().float(), state


def held_out() -> Collage:
    """Items of the test split on photographs that nothing was learned on."""
    return Collage("test", [open_picture(path) for path in photos.photographs()])


def store() -> None:
    """Weights as float16 with a card; `measure` adds what the files are worth."""
    network, state = trained()
    halves = {k: v.half().contiguous() for k, v in network.state_dict().items() if "num_batches_tracked" not in k}
    WEIGHTS.write_bytes(serialise(halves))
    found = ious(network, held_out(), TEST)
    write(
        {
            "schema": 1,
            "architecture": NAME,
            "data": "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist, MIT; pasted on images",
            "licence": "MIT (trained from scratch; data MIT, photographs public domain, CC0 or CC BY 2.0)",
            "commands": ["python benchmarks/train_segmenter.py train"],
            "seed": SEED,
            "steps": STEPS,
            "cpu_minutes": round(state["cpu_seconds"] / 60),
            "made_with": {"torch": str(torch.__version__), "timm": timm.__version__},
            "test_pictures": TEST,
            "test_miou": round(float(found.mean()), 4),
            "test_iou": dict(zip(LABELS, found.round(4).tolist(), strict=True)),
            "labels": LABELS,
            "preprocess": {
                "input_size": [SIZE, SIZE], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear",
                "mean": [0.5] * 3, "std": [0.5] * 3,
            },
        }
    )  # fmt: skip


def write(card: dict[str, Any], weights: Path = WEIGHTS, script: str = "train_segmenter.py") -> None:
    text = msgspec.toml.encode({k: v for k, v in card.items() if k != "measured"}).decode()
    for row in card.get("measured", []):
        text += f"\n[[measured]]\n{msgspec.toml.encode(row).decode()}"
    said = f"# The card of {weights.name}: float16 weights. Made by benchmarks/{script}.\n{text}"
    weights.with_suffix(".toml").write_text(said, "utf-8")


def measure() -> None:
    """Export the bundled weights to every target, ask each file about the test images, fill the card."""
    card = tomllib.loads(WEIGHTS.with_suffix(".toml").read_text("utf-8"))
    unseen = held_out()
    drawn = [unseen.picture(SEED, 2, at, i) for at in range(0, TEST, BATCH) for i in range(BATCH)]
    pixels, masks = (np.stack(part) for part in zip(*drawn, strict=True))
    reference = answered("torch", "fp32", pixels)
    card |= {"measured_on": host.cpu_class(), "measured": []}
    for target in ("tflite", "onnx", "openvino"):
        for scheme in (s for s in SCHEMES if s in registry.exporter(target).schemes):
            found = answered(target, scheme, pixels)
            drop, low, high = paired_drop(tables(masks, reference), tables(masks, found))
            same = (found == reference).mean((1, 2))
            row = {
                "target": target, "scheme": scheme, "miou": round(miou(tables(masks, found).sum(0)), 4),
                "drop": round(drop, 5), "drop_interval": [round(low, 4), round(high, 4)],
                "pixels": round(float(same.mean()), 5), "pixels_of_the_worst": round(float(same.min()), 4),
            }  # fmt: skip
            card["measured"].append(row)
            print(row, flush=True)
    write(card)


def answered(target: str, scheme: Scheme, pixels: Picture) -> Picture:
    """The mask that a file gives for each of the images, kept until the weights change: uint8 [n, 128, 128]."""
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]
    folder = WORK / f"{target}-{scheme}-{digest}"
    kept = folder.with_suffix(".npy")
    if not kept.is_file():
        if not folder.is_dir():
            pipeline.export(Recipe(NAME, target, weights="bundled", quantize=Quantize(scheme)), folder)
        made = artifact.load(folder)
        spec, task = made.manifest.preprocess, made.manifest.task
        assert isinstance(task, Segmentation)
        with start_answering(made, None, Options()) as opened:
            values = [opened.values(pixels[i : i + BATCH])[0] for i in range(0, len(pixels), BATCH)]
        at = placement((SIZE, SIZE), spec)
        np.save(kept, [task.read((scores,), at, spec.input_size).labels for some in values for scores in some])
    masks: Picture = np.load(kept)
    return masks


def tables(masks: Picture, found: Picture) -> NDArray[np.int64]:
    """Of each image how many pixels of a class (rows) were given which (columns): [n, classes, classes]."""
    count = len(LABELS)
    pairs = masks.astype(np.int64) * count + found
    return np.stack([np.bincount(p.ravel(), minlength=count * count).reshape(count, count) for p in pairs])


def miou(table: NDArray[np.int64]) -> float:
    hits = table.diagonal()
    return float((hits / np.maximum(table.sum(0) + table.sum(1) - hits, 1)).mean())


def paired_drop(
    reference: NDArray[np.int64], found: NDArray[np.int64], rounds: int = 2000
) -> tuple[float, float, float]:
    """How much mIoU is lost, with a 95 % interval: a bootstrap of images, the same ones of both."""
    rng, count = np.random.default_rng(SEED), len(reference)
    lost = []
    for _ in range(rounds):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        lost.append(miou(np.tensordot(times, reference, 1)) - miou(np.tensordot(times, found, 1)))
    low, high = np.percentile(lost, [2.5, 97.5])
    return miou(reference.sum(0)) - miou(found.sum(0)), float(low), float(high)


def images() -> None:
    """160 images of the kind it learned from, 16 side by side, for calibration."""
    save_sheet(Collage("train", free_to_travel(), slice(5000, None)), WEIGHTS)


def free_to_travel() -> list[Image.Image]:
    folder = Path(skimage.data.__file__).parent
    free = [open_picture(next(folder.glob(f"{name}.*g"))) for name in FREE]
    return free + [Image.fromarray(scene) for scene in scenes(2 * len(free), 192, 192)]


def save_sheet(collage: Collage, weights: Path) -> None:
    tiles = np.stack([collage.picture(SEED, 3, i)[0] for i in range(160)])
    sheet = tiles.reshape(10, 16, SIZE, SIZE, 3).transpose(0, 2, 1, 3, 4).reshape(10 * SIZE, 16 * SIZE, 3)
    Image.fromarray(sheet).save(weights.with_suffix(".webp"), quality=50, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["train", "store", "measure", "images"])
    torch.set_num_threads(1)
    {"train": train, "store": store, "measure": measure, "images": images}[parser.parse_args().verb]()


if __name__ == "__main__":
    main()
