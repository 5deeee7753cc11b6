"""A model's graph, and what ONNX Runtime makes of its nodes on a CPU.

Two notations of int8 exist. QDQ: a float operator between DequantizeLinear and QuantizeLinear, which the runtime fuses
into an integer kernel if it has one. Operators: QLinearConv, MatMulInteger and their like.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import overflow

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
EIGHT_BITS = ("int8", "uint8")
# Floats between dequantized inputs and quantized outputs that become one integer kernel -> how many inputs must be
# dequantized (None: all). Seen in the graphs that ONNX Runtime 1.32 makes of QDQ files on x86.
FUSED: dict[str, int | None] = {
    "Conv": 2,
    "Gemm": 2,
    "MatMul": 2,
    "Add": None,
    "Mul": None,
    "Concat": None,
    **dict.fromkeys(("AveragePool", "GlobalAveragePool", "MaxPool", "LeakyRelu", "Sigmoid", "Softmax"), 1),
    **dict.fromkeys(("DepthToSpace", "Flatten", "Gather", "Reshape", "Resize", "Slice", "Squeeze"), 1),
    **dict.fromkeys(("Split", "Transpose", "Unsqueeze"), 1),
}
FLOAT_OUTPUT = ("Gemm", "MatMul")  # their integer kernels can also answer in float
# Operators with multiply-adds -> which input holds the weights.
CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
PRODUCTS = {"Gemm": 1, "MatMul": 1, "MatMulInteger": 1, "MatMulIntegerToFloat": 1, "QGemm": 3, "QLinearMatMul": 3}
PRODUCTS |= {"DynamicQuantizeMatMul": 1, "FusedMatMul": 1}
WEIGHTS_AT = CONVOLUTIONS | PRODUCTS
WIDENED = "/widened"  # ends the name of integers that have channels of zeros (exporters/onnx_widening.py)


class Graph:
    """The nodes of a model with its subgraphs: who makes and who reads a tensor, its type, its shape, its numbers."""

    def __init__(self, model: Any) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.types: dict[str, str] = {}
        self.shapes: dict[str, tuple[int | None, ...]] = {}
        self.makers: dict[str, Any] = {}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        self.outputs = [value.name for value in model.graph.output]
        for graph in graphs(_with_shapes(model).graph):
            self._learn(graph)
        for node in self.nodes:
            self.makers |= dict.fromkeys(node.output, node)
            for tensor in node.input:
                self.readers[tensor].append(node)
        self.inputs = [value.name for value in model.graph.input if value.name not in self.constants]
        self._quantize_constants()
        self._guess_types()

    def _learn(self, graph: Any) -> None:
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            self.types[value.name] = _type(tensor.elem_type)
            if tensor.HasField("shape"):
                dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
                self.shapes[value.name] = tuple(dims)
        for node in graph.node:
            if node.op_type != "Constant":
                self.nodes.append(node)
            elif node.attribute[0].name == "value":
                self._add(node.output[0], node.attribute[0].t)
        for tensor in graph.initializer:
            self._add(tensor.name, tensor)

    def _add(self, name: str, tensor: Any) -> None:
        self.constants[name] = tensor
        self.types[name] = _type(tensor.data_type)
        self.shapes[name] = tuple(tensor.dims)

    def _quantize_constants(self) -> None:
        """Some tools store float weights with a QuantizeLinear behind them, which the runtime computes once."""
        from onnx import numpy_helper
        from onnx.reference import ReferenceEvaluator

        for node in self.nodes:
            if node.op_type == "QuantizeLinear" and all(i in self.constants for i in node.input):
                quantized = ReferenceEvaluator(node).run(None, {i: self.numbers(i) for i in node.input})[0]
                self._add(node.output[0], numpy_helper.from_array(np.asarray(quantized)))

    def _guess_types(self) -> None:
        """Behind ONNX Runtime's own operators, which nothing infers: they answer in what they read, but for one."""
        for node in self.nodes:
            read = self.types.get(node.input[0]) if node.input else None
            if node.op_type == "MatMulIntegerToFloat":
                read = "float32"
            for output in node.output:
                if output and read:
                    self.types.setdefault(output, read)

    def numbers(self, name: str) -> NDArray[Any]:
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.constants[name]))

    def stored(self, tensor: str) -> str:
        """The tensor as it is stored: before DequantizeLinear."""
        maker = self.makers.get(tensor)
        return str(maker.input[0]) if maker is not None and maker.op_type == "DequantizeLinear" else tensor

    def precision(self, node: Any) -> str:
        """What a node computes in."""
        if node.op_type in CONVERSIONS:
            return "conversion"
        if node.op_type.startswith("QLinear") or node.op_type == "QGemm" or self.is_fused(node):
            return "int8"
        if node.op_type == "DynamicQuantizeMatMul":
            return "int8 (dynamic)"
        if node.op_type in ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"):
            maker = self.makers.get(node.input[0])
            return "int8 (dynamic)" if maker is not None and maker.op_type == "DynamicQuantizeLinear" else "int8"
        known = [self.types[t] for t in (*node.input, *node.output) if t in self.types]
        computed = known[0] if known else "unknown"
        packed = {self.types[s] for i in node.input if (s := self.stored(i)) != i and s in self.constants}
        packed -= {"int32"}  # a bias
        return f"{computed}, {'/'.join(sorted(packed))} weights" if packed else computed

    def is_fused(self, node: Any) -> bool:
        """Whether ONNX Runtime makes an integer kernel of a float operator."""
        if self.is_swallowed(node):
            maker = self.makers.get(node.input[0])
            return maker is not None and (maker.op_type == "DequantizeLinear" or self.is_fused(maker))
        if node.op_type not in FUSED:
            return False
        inputs = node.input[: FUSED[node.op_type]]
        if not all(self.stored(i) != i and self.types.get(self.stored(i)) in EIGHT_BITS for i in inputs):
            return False
        return node.op_type in FLOAT_OUTPUT or all(self.is_quantized(output) for output in node.output)

    def is_quantized(self, tensor: str) -> bool:
        """Whether everybody who reads a tensor reads it in 8 bits."""
        readers = self.readers[tensor]
        return (
            bool(readers)
            and tensor not in self.outputs
            and all(
                (r.op_type == "QuantizeLinear" and self.types.get(r.output[0]) in EIGHT_BITS) or self.is_swallowed(r)
                for r in readers
            )
        )

    def is_swallowed(self, node: Any) -> bool:
        """Whether a Relu or Clip does nothing that the QuantizeLinear behind it does not do, so that it is left out."""
        if node.op_type not in ("Relu", "Clip"):
            return False
        readers = self.readers[node.output[0]]
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
            return False
        bounds = self._bounds(node)
        quantized = self._quantized_range(readers[0])
        if bounds is None or quantized is None:
            return False
        epsilon = np.finfo(np.float32).eps  # the runtime's own tolerance
        return bool(bounds[0] - quantized[0] <= epsilon and quantized[1] - bounds[1] <= epsilon)

    def _bounds(self, node: Any) -> tuple[float, float] | None:
        """What a Relu or a Clip with constant bounds lets through."""
        if node.op_type == "Relu":
            return 0.0, math.inf
        given = {a.name: float(a.f) for a in node.attribute}  # before opset 11
        for name, tensor in zip(("min", "max"), node.input[1:], strict=False):
            if tensor and tensor not in self.constants:
                return None
            if tensor:
                given[name] = float(self.numbers(tensor))
        return given.get("min", -math.inf), given.get("max", math.inf)

    def _quantized_range(self, node: Any) -> tuple[float, float] | None:
        """The real numbers that a QuantizeLinear with one constant 8-bit scale can tell apart."""
        if len(node.input) < 3 or not all(i in self.constants for i in node.input[1:3]):
            return None
        scale, zero = (self.numbers(i) for i in node.input[1:3])
        if scale.size != 1 or zero.dtype.name not in EIGHT_BITS:
            return None
        limits = np.iinfo(zero.dtype)
        low, high = (np.float32(limit - int(zero)) * np.float32(scale) for limit in (limits.min, limits.max))
        return float(low), float(high)

    def macs(self, node: Any) -> int | None:
        """Multiply-adds for one image; None where a size is not known."""
        answer = self.shapes.get(node.output[0])
        weights = self.shapes.get(node.input[WEIGHTS_AT[node.op_type]])
        if not answer or not weights:
            return None
        added = weights[1:] if node.op_type in CONVOLUTIONS else weights[-1:] if _trans_b(node) else weights[-2:-1]
        sizes = (answer[0] or 1, *answer[1:], *added)  # a free first size is the batch
        return None if None in sizes else math.prod(s for s in sizes if s is not None)

    def rows_at_risk(self, node: Any) -> NDArray[np.int8] | None:
        """int8 weights of an int8 node, [out, K] in the order the kernel adds them; None for others.

        Depthwise convolutions have kernels of their own, which add in 32 bits.
        """
        name = self.stored(node.input[WEIGHTS_AT[node.op_type]])
        if name not in self.constants or self.types[name] != "int8":
            return None
        weights = self.numbers(name)
        if node.op_type not in CONVOLUTIONS:
            return overflow.matrix_rows(weights, transposed=_trans_b(node))
        groups = attribute(node, "group", 1)
        is_depthwise = groups > 1 and groups == len(weights) and weights.shape[1] == 1
        return None if is_depthwise else overflow.convolution_rows(weights)


def attribute(node: Any, name: str, otherwise: int) -> int:
    """A whole number that a node is given, or what it has where it is given none."""
    return next((a.i for a in node.attribute if a.name == name), otherwise)


def graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its nodes (the branches of an If)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def _with_shapes(model: Any) -> Any:
    from onnx import shape_inference

    try:
        return shape_inference.infer_shapes(model)
    except Exception:  # what a file does not let infer stays unknown, and is said to be
        return model


def _type(number: int) -> str:
    from onnx import TensorProto

    name = str(TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _trans_b(node: Any) -> bool:
    return bool(attribute(node, "transB", 0))
