"""Does quantization-aware training earn its place? Against as many steps of ordinary fine-tuning, each then quantized.

    python benchmarks/fetch.py fashion backbone
    python benchmarks/qat.py mobilenetv3_small_050 mobilenetv2_100 [--plain]

A network is trained on Fashion-MNIST (FIRST), then tuned for EPOCHS more in three ways: not at all, as before, and with --qat;
each becomes an int8-static file in three runtimes, by edgekit's own recipe or, with --plain, as plain converters do it
(true extremes for ranges, nearest rounding, no equalisation). All 10,000 test pictures, each file against the untuned
network in float. Goes on where it stopped, in .cache/qat; the table goes to stdout.
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
from edgekit.bench.proportions import Drop, agresti_min
from edgekit.devices import host
from edgekit.errors import ParityError
from edgekit.recipe import Quantize, Recipe
from edgekit.report.table import markdown_table
from edgekit.training import Settings, train

WORK = Path(__file__).resolve().parent.parent / ".cache" / "qat"
TARGETS = ("tflite", "onnx", "openvino")
EPOCHS = 1
PLAIN = Quantize("int8-static", ranges="minmax", equalize=False, rounding="nearest")
FIRST: dict[
    str, dict[str, Any]
] = {  # how a network is trained before it is tuned; "scratch": where nothing else is said
    "scratch": {"weights": "random", "input_size": (32, 32), "crop_pct": 1.0, "epochs": 2, "batch": 128, "lr": 4e-3},
    "mobilenetv2_100": {"weights": str(IMAGENET), "input_size": (48, 48), "epochs": 1, "batch": 64, "lr": 1e-3},
}
SAID = {
    "whole": "not tuned",
    "tuned": "tuned, then quantized",
    "aware": "tuned with --qat, then quantized",
    "taught": "tuned with --qat --distill, then quantized",
}


def run(name: str, way: str) -> Path:
    out = WORK / f"{name}-{way}"
    first = Settings(
        model=f"timm:{name}", data=str(fashion.DATA), augment="none", val_share=0.05, threads=1, workers=1,
        **(FIRST["scratch"] | FIRST.get(name, {})),
    )  # fmt: skip
    if first.weights == str(IMAGENET) and not IMAGENET.is_file():
        backbone()
    tuning = msgspec.structs.replace(
        first, model=str(WORK / f"{name}-whole"), weights="auto", input_size=None, crop_pct=None, epochs=EPOCHS,
        lr=first.lr / 4, qat=way in ("aware", "taught"),
        distill=str(run(name, "tuned")) if way == "taught" else None,
    )  # fmt: skip
    begun = out.is_dir()
    train(first if way == "whole" else tuning, out, resume=begun, say=print)
    return out


def right(name: str, way: str, target: str, quantize: Quantize) -> NDArray[np.bool_]:
    how = "float" if quantize.scheme == "fp32" else "plain" if quantize == PLAIN else "own"
    made = WORK / f"{name}-{way}-{target}-{how}"
    kept = made.with_suffix(".npy")
    if not kept.is_file():
        if not made.is_dir():
            try:
                pipeline.export(Recipe(str(run(name, way)), target, quantize=quantize), made)
            except ParityError:  # it is measured as it is
                made.with_name(f"{made.name}.rejected").rename(made)
        np.save(kept, fashion.right(made))
    known: NDArray[np.bool_] = np.load(kept)
    return known


def lost(reference: NDArray[np.bool_], found: NDArray[np.bool_]) -> Drop:
    return agresti_min(int((reference & ~found).sum()), int((found & ~reference).sum()), len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="of timm's networks")
    parser.add_argument("--plain", action="store_true", help="quantize as plain converters do")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    quantize = PLAIN if asked.plain else Quantize("int8-static")
    rows = []
    for name in asked.names:
        reference = right(name, "whole", "onnx", Quantize("fp32"))
        for target in TARGETS:
            control = right(name, "tuned", target, quantize)
            for way in SAID:
                found = right(name, way, target, quantize)
                drop, against = lost(reference, found), lost(control, found)
                rows.append(
                    [
                        name,
                        target,
                        SAID[way],
                        f"{100 * right(name, way, 'onnx', Quantize('fp32')).mean():.2f}",
                        f"{100 * found.mean():.2f}",
                        f"{100 * drop.estimate:+.2f} [{100 * drop.low:+.2f}, {100 * drop.high:+.2f}]",
                        ""
                        if way == "tuned"
                        else f"{-100 * against.estimate:+.2f} [{-100 * against.high:+.2f}, {-100 * against.low:+.2f}]",
                    ]
                )
    print(f"CPU class {host.cpu_class()}\n")
    head = [
        "network",
        "target",
        "",
        "its float",
        "int8-static",
        "lost against the float of the first",
        "won over tuned",
    ]
    print(markdown_table(head, rows, [False, False, False, True, True, True, True]))


if __name__ == "__main__":
    main()
