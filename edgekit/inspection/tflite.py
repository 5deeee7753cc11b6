"""Reads .tflite files."""

from collections import defaultdict
from pathlib import Path

from edgekit.errors import ArtifactError
from edgekit.inspection import Inspection, Operators, tally
from edgekit.registry import needs


def read(file: Path) -> Inspection:
    return Inspection(file.name, file.stat().st_size, _operators(file))


def _operators(file: Path) -> tuple[Operators, ...]:
    with needs("run-tflite"):
        from ai_edge_litert import schema_py_generated as schema
    blob = file.read_bytes()
    if blob[4:8] != b"TFL3":
        raise ArtifactError(f"{file} is not a TFLite file")
    try:
        model = schema.ModelT.InitFromPackedBuf(blob, 0)
    except Exception as error:  # flatbuffers reads wherever a damaged offset points
        raise ArtifactError(f"{file} is damaged: {error}") from error
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
    count: dict[tuple[str, str], int] = defaultdict(int)
    weights: dict[tuple[str, str], int] = defaultdict(int)
    for graph in model.subgraphs:
        unpacked: dict[int, int] = {}  # a constant that a DEQUANTIZE unpacks -> the constant as it is stored
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = names.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
            stored_at = operator.inputs[0] if len(operator.inputs) else -1
            if name == "DEQUANTIZE" and _size(model.buffers[graph.tensors[stored_at].buffer]):
                unpacked[operator.outputs[0]] = stored_at
                continue
            reads = [graph.tensors[unpacked.get(i, i)] for i in operator.inputs if i >= 0]
            constants = [t for t in reads if _size(model.buffers[t.buffer])]
            computed = types[reads[0].type] if reads else "none"
            stored = {types[t.type] for t in constants if t.shape is not None and len(t.shape) > 1}
            if computed == "float32" and stored & {"int8", "int4"}:
                dynamic = name in ("CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")
                computed = "int8 (dynamic)" if dynamic else "float32, int8 weights"
            key = (name, computed)
            count[key] += 1
            weights[key] += sum(_size(model.buffers[t.buffer]) for t in constants)
    return tally(count, weights)


def _size(buffer: object) -> int:
    """Bytes of a buffer: inside the flatbuffer, or behind it."""
    data = getattr(buffer, "data", None)
    return len(data) if data is not None and len(data) else int(getattr(buffer, "size", 0))
