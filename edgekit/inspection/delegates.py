"""Which operators of a .tflite an accelerator leaves to the CPU's own kernels.

XNNPACK is asked itself, in LiteRT on this CPU. A GPU is not at hand: its answer is read from the list in LiteRT's source.
(LiteRT's own analyzer, in its wheel 2.3.0, calls every file fit for the GPU, also one with operators that its list lacks.)
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit.errors import UnsupportedError
from edgekit.inspection import fitting, tflite
from edgekit.inspection.kernels import kernels

Delegate = Literal["gpu", "xnnpack"]

GPU_SOURCE = "google-ai-edge/LiteRT, tflite/tools/versioning/gpu_compatibility.cc, commit 007226f4, read on 2026-11-29"
NOT_LISTED = "not in its list"
LISTED = """
    ABS ADD ADD_N ATAN2 AVERAGE_POOL_2D BATCH_MATMUL BITCAST CAST CEIL CONCATENATION CONV_2D COS CUMSUM DENSIFY
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV
    FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND
    LOGICAL_NOT LOGICAL_OR LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL ONE_HOT PACK PAD PADV2
    POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RIGHT_SHIFT ROUND RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX
    SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CBRT STABLEHLO_CLAMP
    STABLEHLO_REMAINDER STABLEHLO_SHIFT_LEFT STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV
"""
GPU = frozenset(LISTED.split())
GPU_CUSTOM = (b"Convolution2DTransposeBias", b"MaxPoolingWithArgmax2D", b"MaxUnpooling2D", b"Resampler")
GPU_CASTS = {
    *(("bool", to) for to in ("float16", "float32")),
    *((of, "bool") for of in ("float16", "float32")),
    *((of, to) for of in ("float32", "int32") for to in ("float32", "int32")),
}


class Left(msgspec.Struct, frozen=True):
    """Operators of one type that stay on the CPU, for one reason."""

    operator: str
    count: int
    why: str


class Delegation(msgspec.Struct, frozen=True):
    """source: who says so. operators: all of the file's, of which `left` are not taken."""

    delegate: Delegate
    source: str
    operators: int
    left: tuple[Left, ...]

    @property
    def stay(self) -> int:
        return sum(part.count for part in self.left)


def delegation(file: Path, delegate: Delegate) -> Delegation:
    """Raises UnsupportedError for other files than .tflite, ArtifactError, MissingExtraError, WorkerError."""
    if file.suffix != ".tflite":
        hint = "edgekit export MODEL --target tflite"
        raise UnsupportedError(f"delegates take operators of .tflite files, and this is {file.name}", hint=hint)
    return _xnnpack(file) if delegate == "xnnpack" else _gpu(file)


def _xnnpack(file: Path) -> Delegation:
    run = kernels(file)
    left = tuple(Left(k.name, k.count, "not taken here") for k in run.kernels if k.name != "XNNPACK")
    return Delegation("xnnpack", f"XNNPACK in {run.runtime}, on this CPU", sum(k.count for k in run.kernels), left)


def _gpu(file: Path) -> Delegation:
    left: Counter[tuple[str, str]] = Counter()
    count = 0
    with fitting(file):
        model = tflite.load(file)
        for graph in model.subgraphs:
            for operator in graph.operators:
                count += 1
                name = tflite.kind(model, operator)
                if why := _refused(model, graph, operator, name):
                    left[name, why] += 1
    return Delegation("gpu", GPU_SOURCE, count, tuple(Left(name, n, why) for (name, why), n in left.most_common()))


def _refused(model: Any, graph: Any, operator: Any, name: str) -> str:
    """Why the GPU does not take it; "" where it does."""
    if name == "CUSTOM":
        code = model.operatorCodes[operator.opcodeIndex].customCode or b""
        return "" if code in GPU_CUSTOM else f"{NOT_LISTED}: {code.decode(errors='replace')}"
    if name not in GPU:
        return NOT_LISTED
    return CONDITIONS[name](Given(model, graph, operator)) if name in CONDITIONS else ""


class Given:
    """An operator's options and tensors."""

    def __init__(self, model: Any, graph: Any, operator: Any) -> None:
        self.model, self.options = model, operator.builtinOptions
        self.inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
        self.outputs = [graph.tensors[i] for i in operator.outputs]

    def shape(self, place: int) -> Sequence[int]:
        found = self.inputs[place].shape
        return () if found is None else tuple(int(n) for n in found)

    def type(self, tensor: Any) -> str:
        return tflite.types()[tensor.type]

    def is_constant(self, place: int) -> bool:
        return bool(tflite.size(self.model.buffers[self.inputs[place].buffer]))


def _constant_axes(of: Given) -> str:
    return "" if of.is_constant(1) else "its axes are computed"


def _dimensions(of: Given) -> str:
    rank = len(of.shape(0))
    return "" if rank in (3, 4) else f"its input has {rank} dimensions, not 3 or 4"


def _strided(of: Given) -> str:
    o = of.options
    return "it adds or drops a dimension" if o.ellipsisMask or o.newAxisMask or o.shrinkAxisMask else _dimensions(of)


def _padding(of: Given) -> str:
    return "" if of.shape(1) in ((3, 2), (4, 2)) else "it does not pad 3 or 4 dimensions"


def _gather(of: Given) -> str:
    plain = len(of.shape(1)) == 1 and of.type(of.inputs[1]) == "int32"
    return "" if plain else "its indices are no int32 vector"


def _cast(of: Given) -> str:
    pair = of.type(of.inputs[0]), of.type(of.outputs[0])
    return "" if pair in GPU_CASTS else f"from {pair[0]} to {pair[1]}"


def _dequantize(of: Given) -> str:
    return "from int16" if of.type(of.inputs[0]) == "int16" else ""


def _softmax(of: Given) -> str:
    return "" if of.options.beta == 1 else f"its beta is {of.options.beta:g}"


def _fully_connected(of: Given) -> str:
    answers = of.outputs[0].shape
    if of.options.keepNumDims and len(of.shape(0)) != (0 if answers is None else len(answers)):
        return "its answer has another number of dimensions"
    return "its weights are shuffled" if of.options.weightsFormat else ""


CONDITIONS: dict[str, Callable[[Given], str]] = {
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"), _constant_axes
    ),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _padding),
    "REVERSE_V2": _constant_axes,
    "SLICE": _dimensions,
    "STRIDED_SLICE": _strided,
    "GATHER": _gather,
    "CAST": _cast,
    "DEQUANTIZE": _dequantize,
    "SOFTMAX": _softmax,
    "FULLY_CONNECTED": _fully_connected,
}
