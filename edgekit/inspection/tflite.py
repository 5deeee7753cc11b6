"""Reads .tflite files."""

import math
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from edgekit.errors import ArtifactError
from edgekit.extras import needs
from edgekit.inspection import Inspection, Layer, Port, tally

IMAGE = {"TRANSPOSE_CONV": 2, "CONV_3D_TRANSPOSE": 2, "SPLIT": 1}  # where it is not the first of what an operator reads
LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
DYNAMIC = ("CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL")  # float operators that multiply in integers with int8 weights


class Operator(NamedTuple):
    kind: str
    name: str
    precision: str
    weight_bytes: int
    macs: int  # multiply-adds for one image


def read(file: Path) -> Inspection:
    model = load(file)
    operators = _operators(model)
    whole = model.subgraphs[0]
    count: dict[tuple[str, str], int] = defaultdict(int)
    weights: dict[tuple[str, str], int] = defaultdict(int)
    for o in operators:
        count[o.kind, o.precision] += 1
        weights[o.kind, o.precision] += o.weight_bytes
    layers = [o for o in operators if o.kind in LAYERS]
    integer = [o for o in layers if o.precision.startswith("int8")]
    total = sum(o.macs for o in layers)
    return Inspection(
        file.name,
        file.stat().st_size,
        tally(count, weights),
        sum(o.macs for o in integer) / total if total else None,
        tuple(o.name for o in layers if integer and o not in integer),
        layers=tuple(Layer(o.name, o.kind, o.precision, o.weight_bytes) for o in layers),
        inputs=tuple(_port(whole.tensors[i]) for i in whole.inputs),
        outputs=tuple(_port(whole.tensors[i]) for i in whole.outputs),
    )


def _port(tensor: Any) -> Port:
    sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature  # -1 where open
    shape = tuple(int(n) if n >= 0 else None for n in (() if sizes is None else sizes))
    name, dtype, stored = tensor.name.decode(errors="replace"), types()[tensor.type], tensor.quantization
    if stored is None or stored.scale is None or len(stored.scale) != 1:
        return Port(name, dtype, shape)
    zero = 0 if stored.zeroPoint is None or not len(stored.zeroPoint) else int(stored.zeroPoint[0])
    return Port(name, dtype, shape, float(stored.scale[0]), zero)


@cache
def types() -> dict[int, str]:
    """A number of the schema's -> `float32`."""
    from ai_edge_litert import schema_py_generated as schema

    return {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}


def load(file: Path) -> Any:
    """The flatbuffer as objects. Raises ArtifactError."""
    with needs("run-tflite"):
        from ai_edge_litert import schema_py_generated as schema
    blob = file.read_bytes()
    if blob[4:8] != b"TFL3":
        raise ArtifactError(f"{file} is not a TFLite file")
    try:
        return schema.ModelT.InitFromPackedBuf(blob, 0)
    except Exception as error:  # flatbuffers reads wherever a damaged offset points
        raise ArtifactError(f"{file} is damaged: {error}", hint="copy or export it again") from error


def kind(model: Any, operator: Any) -> str:
    """`CONV_2D`"""
    from ai_edge_litert import schema_py_generated as schema

    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next((k for k, v in vars(schema.BuiltinOperator).items() if v == number), "CUSTOM")


WITH_WEIGHTS = re.compile(r"\.(Conv|Linear)\w*$")


def short_name(tensor: bytes) -> str:
    """`blocks/1/0/conv_pwl` of litert-torch's `...Sequential_blocks/...InvertedResidual_0/...Conv2d_conv_pwl;2`.

    Where several modules became one operator (`...LayerNorm_norm1;;...Linear_qkv;1`), that of the last with weights.
    """
    return _module_path(own_part(tensor))


def own_part(tensor: bytes) -> str:
    """What a tensor's name says of the module that made it, classes and all. The rest tells whom it shares a constant with, too."""
    parts = _parts(tensor)
    return next((part for part in reversed(parts) if WITH_WEIGHTS.search(part)), parts[0])


def module_paths(tensor: bytes) -> list[str]:
    """Of every module that a tensor's name tells."""
    return [_module_path(part) for part in _parts(tensor)]


def _parts(tensor: bytes) -> list[str]:
    first, *others = tensor.decode(errors="replace").split(";")
    return [first, *(part for part in others if "/" in part)]


def _module_path(part: str) -> str:
    path = part.split("/")
    names = [step.rpartition(".")[2].partition("_")[2] if "." in step else step for step in path]
    return "/".join(filter(None, names)).removeprefix("wrapped/") or part


def _operators(model: Any) -> list[Operator]:
    named = types()
    found = []
    for graph in model.subgraphs:
        unpacked: dict[int, int] = {}  # a constant that a DEQUANTIZE unpacks -> the constant as it is stored
        for operator in graph.operators:
            name = kind(model, operator)
            stored_at = operator.inputs[0] if len(operator.inputs) else -1
            if name == "DEQUANTIZE" and size(model.buffers[graph.tensors[stored_at].buffer]):
                unpacked[operator.outputs[0]] = stored_at
                continue
            reads = [graph.tensors[unpacked.get(i, i)] for i in operator.inputs if i >= 0]
            constants = [t for t in reads if size(model.buffers[t.buffer])]
            computed = named[reads[IMAGE.get(name, 0)].type] if reads else "none"
            stored = {named[t.type] for t in constants if t.shape is not None and len(t.shape) > 1}
            if computed == "float32" and stored & {"int8", "int4"}:
                computed = "int8 (dynamic)" if name in DYNAMIC else "float32, int8 weights"
            answer = graph.tensors[operator.outputs[0]] if len(operator.outputs) else None
            found.append(
                Operator(
                    name,
                    short_name(answer.name) if answer and answer.name else name,
                    computed,
                    sum(size(model.buffers[t.buffer]) for t in constants),
                    _macs(name, operator, reads, answer) if name in LAYERS else 0,
                )
            )
    return found


def _macs(name: str, operator: Any, reads: list[Any], answer: Any) -> int:
    """Weights are [out, h, w, in], of depthwise convolutions [1, h, w, out], of linear layers [out, in]."""
    shapes = [tuple(int(n) for n in t.shape) for t in reads]
    answers = math.prod(int(n) for n in answer.shape)
    match name:
        case "TRANSPOSE_CONV":  # reads its output's shape, the weights, the image
            return math.prod(shapes[2]) * math.prod(shapes[1][:3])
        case "BATCH_MATMUL":
            return answers * shapes[0][-2 if operator.builtinOptions.adjX else -1]
        case "DEPTHWISE_CONV_2D":
            return answers * math.prod(shapes[1][1:3])
    return answers * math.prod(shapes[1][1:])


def size(buffer: object) -> int:
    """Bytes of a buffer: inside the flatbuffer, or behind it."""
    data = getattr(buffer, "data", None)
    return len(data) if data is not None and len(data) else int(getattr(buffer, "size", 0))
