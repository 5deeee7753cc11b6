"""Artifacts for the checks of this folder, exported into .cache/android/models: each kind of network, each scheme.

    python android_demo/verify/models.py            all of them
    python android_demo/verify/models.py --app      those that the app's own tests take; where the app has no model, it gets the first three

Bundled weights, and those of a package that is installed, which need no network. What was exported stays until they change.
"""

import argparse
import shutil
import sys
from pathlib import Path

from toolchain import CACHE, say

import edgekit
from edgekit import android
from edgekit.zoo import BUNDLED

MODELS = CACHE / "models"
APP = Path(__file__).resolve().parents[1]
OF_THE_APP = (
    # what an app without a model gets: it shows boxes first; by itself in int8 41 CPU seconds, in fp32 31 (x86-vnni)
    ("yolox_micro", "bundled", "tflite", "fp32"),
    ("mobilenetv2", "bundled", "tflite", "int8-static"),
    ("unet_micro", "bundled", "tflite", "fp32"),
    ("efficientnet_lite0", "package", "tflite", "fp32"),  # knows photographs; not quantized, which would take minutes
)
WANTED = (
    *OF_THE_APP,
    ("mobilenetv2", "bundled", "tflite", "int8-dynamic"),
    ("mobilenetv2", "bundled", "onnx", "int8-static"),
    ("efficientnet_lite0", "bundled", "tflite", "int8-static"),
    ("unet_micro", "bundled", "tflite", "int8-static"),
    ("vit_micro", "bundled", "tflite", "fp32"),
    ("vit_micro", "bundled", "tflite", "int8-static"),
    ("vit_micro", "bundled", "tflite", "int8-dynamic"),
    ("vit_micro", "bundled", "onnx", "int8-dynamic"),
    ("swin_micro", "bundled", "tflite", "fp32"),
    ("swin_micro", "bundled", "tflite", "int8-static"),
)


def export(wanted: tuple[tuple[str, str, str, str], ...]) -> list[Path]:
    """The artifacts, made where they are not there yet; all in this process, because a start of the exporters costs as much as a small
    network."""
    made = []
    for model, weights, target, scheme in wanted:
        folder = MODELS / f"{model}-{target}-{scheme}"
        made.append(folder)
        known = BUNDLED / f"{model}.safetensors"  # a package's do not change
        if folder.is_dir() and (weights == "package" or folder.stat().st_mtime > known.stat().st_mtime):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        say(f"exporting {folder.name}")
        edgekit.export(model, folder, weights=weights, target=target, scheme=scheme)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--app", action="store_true", help="only those that the app's own tests take")
    asked = parser.parse_args()
    made = export(OF_THE_APP if asked.app else WANTED)
    if asked.app and not android.carried(APP):
        for folder in made[:3]:  # a detector, a classifier, a segmenter
            android.add(folder, APP)
            say(f"the app had no model: {folder.name} was put into {android.MODELS}")
    sys.stdout.writelines(f"{folder}\n" for folder in made)


if __name__ == "__main__":
    main()
