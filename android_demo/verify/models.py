"""Artifacts for the checks of this folder, exported once into .cache/android/models: each kind of network, each scheme.

    python android_demo/verify/models.py

Bundled weights, which need no network; swin_micro has none, and its random ones will do where answers are only compared.
"""

import subprocess
import sys
from pathlib import Path

from toolchain import CACHE, say

MODELS = CACHE / "models"
WANTED = (
    ("mobilenetv2", "bundled", "tflite", "int8-static"),
    ("mobilenetv2", "bundled", "tflite", "int8-dynamic"),
    ("mobilenetv2", "bundled", "onnx", "int8-static"),
    ("efficientnet_lite0", "bundled", "tflite", "int8-static"),
    ("vit_micro", "bundled", "tflite", "fp32"),
    ("vit_micro", "bundled", "tflite", "int8-static"),
    ("vit_micro", "bundled", "tflite", "int8-dynamic"),
    ("vit_micro", "bundled", "onnx", "int8-dynamic"),
    ("swin_micro", "random", "tflite", "fp32"),
    ("swin_micro", "random", "tflite", "int8-static"),
)


def export() -> list[Path]:
    """The artifacts; those that are there already are not made again."""
    made = []
    for model, weights, target, scheme in WANTED:
        folder = MODELS / f"{model}-{target}-{scheme}"
        made.append(folder)
        if folder.is_dir():
            continue
        say(f"exporting {folder.name}")
        command = [sys.executable, "-m", "edgekit", "export", model, "--weights", weights, "--target", target]
        subprocess.run([*command, "--scheme", scheme, "-o", folder], check=True, stdout=subprocess.DEVNULL)
    return made


if __name__ == "__main__":
    sys.stdout.writelines(f"{folder}\n" for folder in export())
