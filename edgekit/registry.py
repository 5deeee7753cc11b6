"""From a name to a plugin: the only door to heavy imports.

Built-ins register through the same entry points as third parties: `edgekit.exporters`, `edgekit.runtimes` and
`edgekit.devices` (see pyproject.toml). Nothing is imported until a plugin is asked for by name.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from edgekit.errors import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    from edgekit.devices import Device
    from edgekit.exporters import Exporter
    from edgekit.runtimes import Runtime

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
    "litert_torch": "tflite",
    "ai_edge_quantizer": "tflite",
    "flatbuffers": "tflite",
    "onnx": "run-onnx",
    "onnxscript": "onnx",
    "skimage": "pictures",
    "sklearn": "pictures",
}

# target -> the top-level module that runs its files
RUNNERS = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}


def exporter(target: str) -> "Exporter":
    plugin: Exporter = _load("target", "edgekit.exporters", target)
    return plugin


def runtime(name: str) -> "Runtime":
    plugin: Runtime = _load("runtime", "edgekit.runtimes", name)
    return plugin


def device(name: str) -> "Device":
    """`local`, or `arm64:cortex-a76`: a plugin, and which of its devices."""
    kind, _, which = name.partition(":")
    plugin: Device = _load("device", "edgekit.devices", kind, which or None)
    return plugin


def targets() -> list[str]:
    return sorted(p.name for p in entry_points(group="edgekit.exporters"))


def devices() -> list[str]:
    return sorted(p.name for p in entry_points(group="edgekit.devices"))


def runtimes() -> list[str]:
    return sorted(p.name for p in entry_points(group="edgekit.runtimes"))


def opening(target: str) -> Iterator[str]:
    """The installed runtimes that open files of a target, one at a time: looking at all would import torch for a .tflite."""
    return (name for name in runtimes() if _importable(name) and target in runtime(name).targets)


def runtime_for(target: str) -> "Runtime":
    """The first runtime that opens files of a target; the fake one only where nothing else does."""
    for name in opening(target):
        return runtime(name)
    if target in RUNNERS:
        raise MissingExtraError(RUNNERS[target], EXTRAS[RUNNERS[target]])
    raise UnknownNameError("target", target, targets())


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


def _load(kind: str, group: str, name: str, *arguments: Any) -> Any:
    plugins: dict[str, EntryPoint] = {p.name: p for p in entry_points(group=group)}
    if name not in plugins:
        raise UnknownNameError(kind, name, plugins)
    with needs(name if group == "edgekit.exporters" and name in ("tflite", "onnx", "openvino") else None):
        return plugins[name].load()(*arguments)


def _importable(name: str) -> bool:
    try:
        runtime(name)
    except MissingExtraError:
        return False
    return True


def installed(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None
