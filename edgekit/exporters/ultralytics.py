"""What tools of Ultralytics read beside a detector's tensors: https://docs.ultralytics.com/modes/export/

In an .onnx they are metadata, a text each; in a .tflite `metadata.json`, the first file of the archive behind the
flatbuffer; beside a model.xml `metadata.yaml`. None of their code is used or needed.
"""

import json
import math
from typing import Any

from edgekit import __version__
from edgekit.models import LoadedModel

STRIDE = 32  # pixels: the coarsest level of usual detectors


def metadata(model: LoadedModel) -> dict[str, Any]:
    """By the names that these tools look for.

    stride  sides of the input are multiples of it, which is what their readers hold a size against
    """
    height, width = model.preprocess.input_size
    return {
        "description": f"{model.name}, which knows {model.weights.knows}",
        "author": "edgekit",
        "version": __version__,
        "license": model.weights.licence,
        "task": "detect",
        "stride": math.gcd(height, width, STRIDE),
        "batch": 1,
        "imgsz": [height, width],
        "channels": model.preprocess.channels,
        "names": dict(enumerate(model.labels)),
        "args": {"batch": 1, "nms": False},
    }


def as_texts(found: dict[str, Any]) -> dict[str, str]:
    """As literals of Python, which is how an .onnx holds them."""
    return {key: str(value) for key, value in found.items()}


def as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False)


def as_yaml(found: dict[str, Any]) -> str:
    """A line for each key; names below each other. What JSON writes is YAML, too."""
    names = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in found["names"].items())
    rest = {key: value for key, value in found.items() if key != "names"}
    lines = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in rest.items())
    return f"{lines}names:\n{names}"
