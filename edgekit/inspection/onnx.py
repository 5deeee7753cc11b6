"""Reads .onnx files as ONNX Runtime runs them on a CPU: what it fuses into an integer kernel counts as int8."""

import math
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from edgekit.devices.apart import apart
from edgekit.errors import ArtifactError, reason
from edgekit.extras import needs
from edgekit.inspection import Inspection, Layer, Operators, Overflow, Port, overflowing, tally
from edgekit.inspection.onnx_graph import WEIGHTS_AT, Graph
from edgekit.model_files import model_files


def read(file: Path) -> Inspection:
    model, outside = load(file)
    return _inspection(file, Graph(model), outside)


def load(file: Path) -> tuple[Any, int]:
    """The model with its weights, and the size of the files beside it that hold some. Raises ArtifactError."""
    model = _parse(file)
    return model, _load_external(file, model)


def _inspection(file: Path, graph: Graph, outside: int) -> Inspection:
    precisions = [graph.precision(node) for node in graph.nodes]
    weights = _weight_bytes(graph, precisions)
    integer = any(p.startswith("int8") for p in precisions)
    layers = [(n, p) for n, p in zip(graph.nodes, precisions, strict=True) if n.op_type in WEIGHTS_AT]
    return Inspection(
        file.name,
        file.stat().st_size + outside,
        _operators(graph, precisions, weights),
        _int8_macs(graph, layers),
        tuple(_name(n) for n, p in layers if integer and not p.startswith("int8")),
        _overflow(graph, [n for n, p in layers if p.startswith("int8")]),
        tuple(
            Layer(_name(n), n.op_type, p, size)
            for n, p, size in zip(graph.nodes, precisions, weights, strict=True)
            if n.op_type in WEIGHTS_AT
        ),
        *(
            tuple(Port(n, graph.types[n], graph.shapes.get(n, ())) for n in ends)
            for ends in (graph.inputs, graph.outputs)
        ),
    )


def _weight_bytes(graph: Graph, precisions: list[str]) -> list[int]:
    """Of the constants that each node reads; what several read counts at the first."""
    sizes = []
    seen: set[str] = set()
    for node, precision in zip(graph.nodes, precisions, strict=True):
        reads = {stored for i in node.input if (stored := graph.stored(i)) in graph.constants} - seen
        if precision == "conversion":
            reads = set()  # weights count where they are used
        sizes.append(sum(_bytes(graph.constants[name]) for name in reads))
        seen |= reads
    return sizes


def _operators(graph: Graph, precisions: list[str], sizes: list[int]) -> tuple[Operators, ...]:
    count: dict[tuple[str, str], int] = defaultdict(int)
    weights: dict[tuple[str, str], int] = defaultdict(int)
    for node, precision, size in zip(graph.nodes, precisions, sizes, strict=True):
        count[node.op_type, precision] += 1
        weights[node.op_type, precision] += size
    return tally(count, weights)


def _int8_macs(graph: Graph, layers: list[tuple[Any, str]]) -> float | None:
    """The share of multiply-adds in int8; None where there are none, or a size is not known."""
    total, integer = 0, 0
    for node, precision in layers:
        macs = graph.macs(node)
        if macs is None:
            return None
        total += macs
        integer += macs * precision.startswith("int8")
    return integer / total if total else None


def _overflow(graph: Graph, layers: list[Any]) -> tuple[Overflow, ...] | None:
    """Those of the int8 layers that can overflow; None where no layer is int8."""
    at_risk = ((_name(n), rows) for n in layers if (rows := graph.rows_at_risk(n)) is not None)
    return overflowing(at_risk) if layers else None


def _parse(file: Path) -> Any:
    with needs("run-onnx"):
        import onnx
        from google.protobuf.message import DecodeError
    blob = apart(f"{file} in ONNX Runtime", _as_onnx, file) if file.suffix == ".ort" else file.read_bytes()
    if blob[:1] != b"\x08":  # how every ONNX file starts: the field ir_version
        raise ArtifactError(f"{file} is not an ONNX file")
    try:
        model = onnx.load_model_from_string(blob)
    except DecodeError as error:
        raise ArtifactError(f"{file} is damaged: it ends too soon, or bytes of it are wrong") from error
    if not model.graph.node:
        raise ArtifactError(f"{file} is damaged: there are no operators in it")
    return model


def _as_onnx(file: Path) -> bytes:
    """ONNX Runtime's own format, written back as ONNX by ONNX Runtime. Raises ArtifactError."""
    with needs("run-onnx"):
        import onnxruntime

    with tempfile.TemporaryDirectory(prefix="edgekit-") as work:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.optimized_model_filepath = str(Path(work, "model.onnx"))
        settings.add_session_config_entry("session.save_model_format", "ONNX")
        try:
            onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise ArtifactError(f"{file} is damaged, or not an .ort file: {reason(error)}") from error
        return Path(settings.optimized_model_filepath).read_bytes()


def _load_external(file: Path, model: Any) -> int:
    """Read the weights that lie in files beside the model; the size of these files."""
    from onnx import external_data_helper

    beside = model_files(file)[1:]
    try:
        external_data_helper.load_external_data_for_model(model, str(file.parent))
    except Exception as error:  # too short, a place or a length that is none, a link
        raise ArtifactError(f"the weights beside {file} cannot be read: {reason(error)}") from error
    return sum(path.stat().st_size for path in beside)


def _name(node: Any) -> str:
    return str(node.name or node.output[0])


def _bytes(tensor: Any) -> int:
    from onnx import helper

    return len(tensor.raw_data) or math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
