"""Hard-swish and hard sigmoid as integers can compute them: XNNPACK has no integer kernel for HARD_SWISH, and each one
would cut a static file in two, with a way to floats and back.

x * relu6(x + 3) is six times hard-swish, and a sum and a product, which XNNPACK has. The sixth goes into the weights of what
reads it, and so does that of a hard sigmoid, relu6(x + 3) / 6: exact, and free. Where a sum lies on the way, the
convolutions that answer its other side are multiplied by six instead. Where something lies there that bears no factor (a
softmax, the network's answer), a product with 1/6 stays.

This is done to the converter's file, not to the network: whoever wrote hard-swish, as a module, a function or out of clamp
and products, the converter made HARD_SWISH of it, and it would do so again from PyTorch if the sixth stood beside the product.
Scales of weights go along with the factor, so that what rounding has chosen stays on its grid.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from edgekit.exporters.tflite_file import inline_buffers, pack
from edgekit.inspection.tflite import kind

SIX = 6.0
RELU6 = tflite.ActivationFunctionType.RELU6
EVEN = (tflite.ActivationFunctionType.NONE, tflite.ActivationFunctionType.RELU)  # twice as much for twice as much
INPUT = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 0, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 2}  # where layers have theirs
JOINTS = ("ADD", "SUB", "CONCATENATION", "MAXIMUM", "MINIMUM")  # all that they read has the factor, or nothing
KEEPS = (  # twice as much for twice as much, of the first that they read
    "PAD", "MEAN", "SUM", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "SLICE",
    "STRIDED_SLICE", "GATHER", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "RELU",
    "LEAKY_RELU",
)  # fmt: skip


def with_products(model: bytes) -> bytes:
    """A float file without HARD_SWISH, which answers the same; as it is where it has none, and no hard sigmoid."""
    file = tflite.ModelT.InitFromPackedBuf(model, 0)
    inline_buffers(file, model)
    graph = _Graph(file)
    if not graph.factors:
        return model
    graph.rewrite()
    return pack(file, b"TFL3")


@dataclass
class _Group:
    """Tensors that share a factor.

    sources    those whose own multiplication is left out
    constants  numbers that are multiplied
    makers     layers that are multiplied
    readers    layers whose weights are divided
    """

    tensors: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    constants: set[int] = field(default_factory=set)
    makers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)


class _Graph:
    """The main graph of a file."""

    def __init__(self, file: Any) -> None:
        self.file, self.graph = file, file.subgraphs[0]
        self.makers = {int(i): operator for operator in self.graph.operators for i in operator.outputs}
        self.readers: dict[int, list[Any]] = {}
        for operator in self.graph.operators:
            for i in {int(i) for i in operator.inputs}:
                self.readers.setdefault(i, []).append(operator)
        self.buffers = Counter(tensor.buffer for sub in file.subgraphs for tensor in sub.tensors)
        self.factors = {int(o.outputs[0]): f for o in self.graph.operators if (f := self._factor(o))}
        self.moved: set[int] = set()  # sources that are multiplied
        self.constants: dict[float, int] = {}

    def _factor(self, operator: Any) -> float | None:
        """What an operator's answer is multiplied with where its own multiplication, by a sixth, is left out."""
        what = kind(self.file, operator)
        if what == "HARD_SWISH":
            return SIX
        constant = [int(i) for i in operator.inputs if self._is_constant(int(i))]
        maker = self.makers.get(self._variable(operator))
        if what != "MUL" or len(constant) != 1 or maker is None or _activation(maker) != RELU6:
            return None
        numbers = self._numbers(constant[0])
        alone = numbers.size == 1 and numbers[0] > 0 and _activation(operator) in EVEN
        return 1 / float(numbers[0]) if alone else None

    def _variable(self, operator: Any) -> int:
        """The first of what it reads that is not constant; -1 where all is."""
        return next((int(i) for i in operator.inputs if not self._is_constant(int(i))), -1)

    def rewrite(self) -> None:
        """Leave out the multiplications that others can make up for, and write hard-swish as a product."""
        for source in list(self.factors):
            group = None if source in self.moved else self._group(source)
            if group:
                self._move(group, self.factors[source])
                self.moved |= group.sources
        operators: list[Any] = []
        for operator in self.graph.operators:
            made = int(operator.outputs[0])
            if kind(self.file, operator) == "HARD_SWISH":
                operators += self._product(operator, made in self.moved)
            elif made in self.moved:
                self._leave_out(operator)
            else:
                operators.append(operator)
        self.graph.operators = operators
        self._drop_unused()

    def _group(self, source: int) -> _Group | None:
        """All that has the factor if a source has it; None where something on the way does not bear it."""
        factor, group, todo = self.factors[source], _Group(), [source]
        while todo:
            tensor = todo.pop()
            if tensor in group.tensors:
                continue
            group.tensors.add(tensor)
            if tensor in self.graph.outputs:
                return None
            if self._is_constant(tensor):
                if not self._is_own(tensor):
                    return None
                group.constants.add(tensor)
                continue
            maker = self.makers.get(tensor)
            above = None if maker is None else self._above(maker, tensor, factor, group)
            below = [self._below(reader, tensor, group) for reader in self.readers.get(tensor, [])]
            if above is None or None in below:
                return None
            todo += [*above, *itertools.chain.from_iterable(b for b in below if b)]
        products = (self.makers[t] for t in group.tensors - group.sources - group.constants)
        once = all(sum(i in group.tensors for i in p.inputs) == 1 for p in products if kind(self.file, p) == "MUL")
        return group if once and group.readers else None

    def _above(self, maker: Any, tensor: int, factor: float, group: _Group) -> list[int] | None:
        """What has to have the factor too, so that a tensor has it; None where it cannot have it."""
        what = kind(self.file, maker)
        if self.factors.get(tensor) == factor and tensor not in self.moved:
            group.sources.add(tensor)
            return []
        if tensor in self.factors or _activation(maker) not in EVEN:
            return None
        if what == "MUL":  # one side of it; whether it has it is seen when all are known
            return []
        if what in INPUT and all(map(self._is_own, self._weights(maker))):
            group.makers.append(maker)
            return []
        return self._given(maker) if what in (*JOINTS, *KEEPS) else None

    def _below(self, reader: Any, tensor: int, group: _Group) -> list[int] | None:
        """What has the factor because its reader computes with it; None where the reader does not bear it."""
        what = kind(self.file, reader)
        if what in INPUT:
            alone = int(reader.inputs[INPUT[what]]) == tensor and [int(i) for i in reader.inputs].count(tensor) == 1
            group.readers.append(reader)
            return [] if alone and self._is_own(self._weights(reader)[0]) else None
        bears = what == "MUL" or (what in (*JOINTS, *KEEPS) and tensor in self._given(reader))
        return [int(i) for i in reader.outputs] if bears and _activation(reader) in EVEN else None

    def _given(self, operator: Any) -> list[int]:
        """What it computes with, without axes and sizes."""
        return [int(i) for i in (operator.inputs if kind(self.file, operator) in JOINTS else operator.inputs[:1])]

    def _move(self, group: _Group, factor: float) -> None:
        for reader in group.readers:
            self._multiply(self._weights(reader)[0], 1 / factor)
        for i in itertools.chain.from_iterable(map(self._weights, group.makers)):
            self._multiply(i, factor)
        for constant in group.constants:
            self._multiply(constant, factor)

    def _product(self, operator: Any, moved: bool) -> Iterator[Any]:
        """What stands for a hard-swish."""
        given, made = int(operator.inputs[0]), int(operator.outputs[0])
        gate = self._tensor(made, b"gate")
        product = made if moved else self._tensor(made, b"product")
        yield self._operator("ADD", given, self._constant(3.0), gate, RELU6)
        yield self._operator("MUL", given, gate, product)
        if not moved:
            yield self._operator("MUL", product, self._constant(1 / SIX), made)

    def _leave_out(self, operator: Any) -> None:
        """Let what reads a product with a constant read what it multiplies."""
        given, made = self._variable(operator), int(operator.outputs[0])
        for reader in self.readers[made]:
            reader.inputs = [given if i == made else int(i) for i in reader.inputs]
        self.readers[given] += self.readers[made]

    def _drop_unused(self) -> None:
        """Tensors that nothing makes any more have no numbers, and the quantizer asks for those of all."""
        operators, signatures = self.graph.operators, self.file.signatureDefs or []
        ports = [port for s in signatures if not s.subgraphIndex for port in (*(s.inputs or []), *(s.outputs or []))]
        used = {int(i) for o in operators for i in (*o.inputs, *o.outputs)}
        used |= {*map(int, self.graph.inputs), *map(int, self.graph.outputs)}
        kept = [i for i in range(len(self.graph.tensors)) if i in used]
        now = {before: i for i, before in enumerate(kept)} | {-1: -1}
        self.graph.tensors = [self.graph.tensors[i] for i in kept]
        for part in (*operators, self.graph):
            part.inputs, part.outputs = ([now[int(i)] for i in side] for side in (part.inputs, part.outputs))
        for port in ports:
            port.tensorIndex = now[int(port.tensorIndex)]

    def _operator(self, what: str, first: int, second: int, made: int, activation: int = EVEN[0]) -> Any:
        code, options = getattr(tflite.BuiltinOperator, what), f"{what.title()}Options"
        codes = [c.builtinCode for c in self.file.operatorCodes]
        if code not in codes:
            new = tflite.OperatorCodeT()
            new.builtinCode = new.deprecatedBuiltinCode = code
            new.version = 1
            self.file.operatorCodes.append(new)
            codes.append(code)
        operator = tflite.OperatorT()
        operator.opcodeIndex = codes.index(code)
        operator.inputs, operator.outputs = [first, second], [made]
        operator.builtinOptionsType = getattr(tflite.BuiltinOptions, options)
        operator.builtinOptions = getattr(tflite, f"{options}T")()
        operator.builtinOptions.fusedActivationFunction = activation
        return operator

    def _tensor(self, like: int, suffix: bytes) -> int:
        model, tensor = self.graph.tensors[like], tflite.TensorT()
        tensor.shape, tensor.shapeSignature, tensor.type = model.shape, model.shapeSignature, model.type
        tensor.name = model.name + b"/" + suffix
        return self._added(tensor, None)

    def _constant(self, number: float) -> int:
        if number not in self.constants:
            tensor = tflite.TensorT()
            tensor.shape, tensor.type, tensor.name = [], tflite.TensorType.FLOAT32, f"hardswish/{number:.3g}".encode()
            self.constants[number] = self._added(tensor, np.float32(number))
        return self.constants[number]

    def _added(self, tensor: Any, number: np.float32 | None) -> int:
        buffer = tflite.BufferT()
        if number is not None:
            buffer.data = np.frombuffer(number.tobytes(), np.uint8)
        self.file.buffers.append(buffer)
        tensor.buffer = len(self.file.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _is_constant(self, tensor: int) -> bool:
        data = self.file.buffers[self.graph.tensors[tensor].buffer].data if tensor >= 0 else None
        return data is not None and len(data) > 0

    def _is_own(self, tensor: int) -> bool:
        """Whether it is floats of the file's own that nothing else reads."""
        told = self.graph.tensors[tensor]
        alone = self.buffers[told.buffer] == 1 and len(self.readers[tensor]) == 1
        return self._is_constant(tensor) and alone and told.type == tflite.TensorType.FLOAT32

    def _weights(self, layer: Any) -> list[int]:
        """Weights, and a bias where there is one."""
        given = INPUT[kind(self.file, layer)]
        return [int(i) for n, i in enumerate(layer.inputs) if n > 0 and n != given and i >= 0]

    def _numbers(self, tensor: int) -> NDArray[np.float32]:
        return np.frombuffer(bytes(self.file.buffers[self.graph.tensors[tensor].buffer].data), np.float32)

    def _multiply(self, tensor: int, factor: float) -> None:
        numbers = (self._numbers(tensor) * factor).astype(np.float32)
        self.file.buffers[self.graph.tensors[tensor].buffer].data = np.frombuffer(numbers.tobytes(), np.uint8)


def _activation(operator: Any) -> int:
    return int(getattr(operator.builtinOptions, "fusedActivationFunction", EVEN[0]))
