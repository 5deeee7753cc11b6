"""Which optional package is which extra, and what to install where one is missing."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from edgekit.errors import MissingExtraError

# top-level module -> the extra that brings it
EXTRAS = {
    "ai_edge_litert": "run-tflite",
    "tflite_runtime": "run-tflite-runtime",
    "tensorflow": "run-tensorflow",
    "onnxruntime": "run-onnx",
    "openvino": "run-openvino",
    "torch": "models",
    "torchvision": "models",
    "timm": "models",
    "safetensors": "models",
    "torch_pruning": "prune",
    "segmentation_models_pytorch": "smp",
    "litert_torch": "tflite",
    "ai_edge_quantizer": "tflite",
    "flatbuffers": "tflite",
    "onnx": "run-onnx",
    "onnxscript": "onnx",
    "skimage": "pictures",
    "sklearn": "pictures",
    "av": "video",
    "cryptography": "verify",
    "huggingface_hub": "hub",
    "ray": "ray",
}

# target -> the top-level module that runs its files
RUNNERS = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}


@contextmanager
def needs(extra: str | None = None) -> Iterator[None]:
    """Turn "no module named X" into the extra that brings X. A broken plugin keeps its own traceback.

    A torchvision built for another torch cannot load its operators ("operator torchvision::nms does not exist").
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise MissingExtraError(module, extra or EXTRAS[module]) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        mismatch = MissingExtraError("torchvision", extra or "models")
        mismatch.message = f"the installed torchvision does not fit the installed torch ({error})"
        mismatch.hint = "pip install --force-reinstall torch torchvision, both from the same index"
        raise mismatch from error


def installed(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None
