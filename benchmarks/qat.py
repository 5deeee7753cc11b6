"""Does quantization-aware training earn its place? Against as many steps of ordinary fine-tuning, each then quantized.

    python benchmarks/fetch.py fashion backbone
    python benchmarks/qat.py mobilenetv3_small_050 mobilenetv2_100 [--plain] [--seeds 3]

A network is trained on Fashion-MNIST (FIRST), then tuned for EPOCHS more at a tenth of the rate, in as many ways as SAID has:
not at all, as before, with --qat, and with --qat and the first network as its teacher. Each becomes an int8-static file in
three runtimes, by edgekit's own recipe or, with --plain, as plain converters do it (true extremes for ranges, nearest
rounding, no equalisation, weights of all 8 bits). All 10,000 test images. --seeds repeats the tuning; intervals are then
over images, each with the mean over the seeds. Goes on where it stopped, in .cache/qat; the table goes to stdout.
"""

import argparse
from pathlib import Path
from typing import Any

import fashion
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from train_bundled import IMAGENET, backbone

from edgekit import pipeline
from edgekit.devices import host
from edgekit.errors import ParityError
from edgekit.recipe import Quantize, Recipe
from edgekit.reporting.table import markdown_table
from edgekit.training import Settings, train

WORK = Path(__file__).resolve().parent.parent / ".cache" / "qat"
TARGETS = ("tflite", "onnx", "openvino")
EPOCHS = 1
PLAIN = Quantize("int8-static", ranges="minmax", equalize=False, rounding="nearest")
ALL_BITS = msgspec.structs.replace(PLAIN, int8_for="vnni")  # plain converters know no other CPU
FIRST: dict[
    str, dict[str, Any]
] = {  # how a network is trained before it is tuned; "scratch": where nothing else is said
    "scratch": {"weights": "random", "input_size": (32, 32), "crop_pct": 1.0, "epochs": 2, "batch": 128, "lr": 4e-3},
    "mobilenetv2_100": {"weights": str(IMAGENET), "input_size": (48, 48), "epochs": 2, "batch": 64, "lr": 1e-3},
}
SAID = {
    "whole": "not tuned",
    "tuned": "tuned",
    "aware": "tuned with --qat",
    "taught": "tuned with --qat --distill",
}


def run(name: str, way: str, seed: int) -> Path:
    out = folder(name, way, seed)
    first = Settings(
        model=f"timm:{name}", data=str(fashion.DATA), augment="none", val_share=0.05, threads=1, workers=1,
        **(FIRST["scratch"] | FIRST.get(name, {})),
    )  # fmt: skip
    if first.weights == str(IMAGENET) and not IMAGENET.is_file():
        backbone()
    whole = str(folder(name, "whole", 0))
    tuning = msgspec.structs.replace(
        first, model=whole, weights="auto", input_size=None, crop_pct=None, epochs=EPOCHS, lr=first.lr / 10, seed=seed,
        qat=way in ("aware", "taught"), distill=whole if way == "taught" else None,
    )  # fmt: skip
    train(first if way == "whole" else tuning, out, resume=out.is_dir(), say=print)
    return out


def folder(name: str, way: str, seed: int) -> Path:
    return WORK / (f"{name}-whole" if way == "whole" else f"{name}-{way}-{seed}")


def right(name: str, way: str, seed: int, target: str, quantize: Quantize) -> NDArray[np.bool_]:
    """Which of the 10,000 test images the file names rightly."""
    how = "float" if quantize.scheme == "fp32" else "plain" if quantize in (PLAIN, ALL_BITS) else "own"
    model = folder(name, way, seed)
    made = WORK / f"{model.name}-{target}-{how}"

    def find() -> NDArray[np.bool_]:
        if not made.is_dir():
            try:
                pipeline.export(Recipe(str(run(name, way, seed)), target, quantize=quantize), made)
            except ParityError:  # it is measured as it is
                made.with_name(f"{made.name}.rejected").rename(made)
        return fashion.right(made)

    return fashion.kept(made.with_suffix(".npy"), find)


def points(gains: NDArray[np.float64]) -> str:
    """The mean of [seeds, images] in points, with its 95 % interval over the images, and every seed's own."""
    of_picture = gains.mean(0)
    half = 1.96 * of_picture.std(ddof=1) / len(of_picture) ** 0.5
    mean, *seeds = (f"{100 * g:+.2f}" for g in (of_picture.mean(), *gains.mean(1)))
    around = f"{mean} [{100 * (of_picture.mean() - half):+.2f}, {100 * (of_picture.mean() + half):+.2f}]"
    return around + (f" ({', '.join(seeds)})" if len(seeds) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="of timm's networks")
    parser.add_argument("--plain", action="store_true", help="quantize as plain converters do")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)

    def quantize(target: str) -> Quantize:
        if not asked.plain:
            return Quantize("int8-static")
        return PLAIN if target == "tflite" else ALL_BITS

    def rights(name: str, way: str, target: str, scheme: Quantize) -> NDArray[np.float64]:
        """[seeds, images], 1 or 0."""
        return np.stack([right(name, way, seed, target, scheme) for seed in range(asked.seeds)]).astype(np.float64)

    rows = []
    for name in asked.names:
        whole = rights(name, "whole", "onnx", Quantize("fp32"))
        for target in TARGETS:
            control = rights(name, "tuned", target, quantize(target))
            for way in SAID:
                found, in_float = (
                    rights(name, way, target, quantize(target)),
                    rights(name, way, "onnx", Quantize("fp32")),
                )
                rows.append(
                    [
                        name, target, SAID[way],
                        f"{100 * in_float.mean():.2f}",
                        f"{100 * found.mean():.2f}",
                        points(in_float - found),
                        points(whole - found),
                        "" if way in ("whole", "tuned") else points(found - control),
                    ]
                )  # fmt: skip
    print(f"CPU class {host.cpu_class()}\n")
    head = [
        "network",
        "target",
        "",
        "float",
        "int8",
        "lost by int8",
        "lost against the first in float",
        "won over tuned",
    ]
    print(markdown_table(head, rows, [False, False, False, *[True] * 5]))


if __name__ == "__main__":
    main()
