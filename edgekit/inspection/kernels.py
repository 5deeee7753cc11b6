"""What a runtime makes of a file's operators on this CPU: fused, taken by a delegate, in which precision.

Unlike the readers of files this opens the file in its runtime, so the answer is this machine's and this version's.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edgekit.devices.apart import apart
from edgekit.errors import UnsupportedError, WorkerError, reason
from edgekit.extras import needs
from edgekit.quiet import silenced

Found = tuple[str, Counter[tuple[str, str]]]  # the runtime, and how often it runs (a kernel, in a precision)


class Kernel(msgspec.Struct, frozen=True):
    """precision: as the runtime names it; empty where it does not say."""

    name: str
    precision: str
    count: int


class Kernels(msgspec.Struct, frozen=True):
    """kernels: the most frequent first. Of TFLite files those that XNNPACK takes count together, by its name."""

    runtime: str
    kernels: tuple[Kernel, ...]


def kernels(file: Path) -> Kernels:
    """Raises MissingExtraError, WorkerError where the runtime refuses the file, UnsupportedError for other formats."""
    readers = {".tflite": _litert, ".onnx": _onnxruntime, ".ort": _onnxruntime, ".xml": _openvino}
    if file.suffix not in readers:
        raise UnsupportedError(f"no runtime tells of its kernels for {file.suffix or file.name} files")
    runtime, found = apart(f"{file} in its runtime", _kernels, readers[file.suffix], file)
    return Kernels(runtime, tuple(Kernel(*key, count) for key, count in found.most_common()))


def _kernels(read: Callable[[Path], Found], file: Path) -> Found:
    try:
        return read(file)
    except (RuntimeError, ValueError, AttributeError) as error:  # AttributeError: a private call that is gone
        raise WorkerError(f"{file} does not show its kernels: {reason(error)}") from error


def _litert(file: Path) -> Found:
    """A delegate's node comes last and makes what the nodes it replaces made: what still counts is found from the end."""
    with needs("run-tflite"):
        from ai_edge_litert.interpreter import Interpreter
    from edgekit.runtimes.litert import version

    with silenced():
        interpreter = Interpreter(str(file), num_threads=1)
        interpreter.allocate_tensors()
        nodes = interpreter._get_ops_details()
    makers: dict[int, dict[str, Any]] = {int(t): node for node in nodes for t in node["outputs"]}
    todo, live = [int(t["index"]) for t in interpreter.get_output_details()], {}
    while todo:
        node = makers.get(todo.pop())
        if node is not None and node["index"] not in live:
            live[node["index"]] = node
            todo += [int(t) for t in node["inputs"]]
    left = Counter((node["op_name"], "") for node in live.values() if node["op_name"] != "DELEGATE")
    taken = sum(node["op_name"] != "DELEGATE" for node in nodes) - left.total()
    return version("ai-edge-litert"), Counter({("XNNPACK", ""): taken} if taken else {}) + left


def _onnxruntime(file: Path) -> Found:
    """The graph that the runtime writes down once it has fused what it can."""
    with needs("run-onnx"):
        import onnx
        import onnxruntime

    with tempfile.TemporaryDirectory(prefix="edgekit-") as work:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.optimized_model_filepath = str(Path(work, "fused.onnx"))
        settings.add_session_config_entry("session.save_model_format", "ONNX")
        try:
            onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise RuntimeError(reason(error)) from error
        fused = onnx.load(settings.optimized_model_filepath, load_external_data=False)
    counts = Counter((node.op_type, "") for node in fused.graph.node)
    return f"onnxruntime {onnxruntime.__version__}, CPUExecutionProvider", counts


def _openvino(file: Path) -> Found:
    from edgekit.runtimes.openvino import VERSION, core

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core().compile_model(str(file), "CPU", settings)
    found: Counter[tuple[str, str]] = Counter()
    for node in compiled.get_runtime_model().get_ordered_ops():
        said = {key: str(node.get_rt_info()[key].get()) for key in ("layerType", "runtimePrecision")}
        if said["layerType"] not in ("Const", "Input", "Output"):
            found[said["layerType"], said["runtimePrecision"]] += 1
    return f"{VERSION}, f32 where not int8", found
