"""Ranges of what a sigmoid reads, chosen by what comes out behind it.

A sigmoid of 8 is one but for a half of its own 8-bit step, so nothing beyond is worth a step of what it reads. What SiLU
reads, y * sigmoid(y) or y * sigmoid(y / s) (see silu.py), can be cut far below zero: what is lost there is a few
hundredths, and everything else gains. What hard-swish alone reads, y * relu6(y + 3) (see tflite_hardswish.py), is cut at -3,
where nothing is lost; further up, what half of the values lose would add up.
"""

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType
from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer
from numpy.typing import NDArray

from edgekit.exporters.ranges import Range
from edgekit.inspection.tflite import kind

SAMPLED = 16384  # values of a tensor, over all images
PICTURES = 32  # that they come from
FLAT = 8.0  # where sigmoids are
THREE = 3.0  # below minus this, hard-swish is nothing
LOW = (0.06, 0.09, 0.125, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0)  # shares of a range below zero, and above, that are tried
HIGH = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

Floats = NDArray[np.float32]


class Smooth:
    """Watches what SiLUs of a float file read, image by image; and knows what hard-swishes read."""

    def __init__(self, float_file: Path) -> None:
        self.gates, self.silus, self.hard = _gated(float_file)
        self._sampled: dict[str, list[Floats]] = {name: [] for name in self.silus}
        self._rng = np.random.default_rng(0)

    def see(self, name: str, values: Floats) -> None:
        """Take in one image's values of a tensor, channels last."""
        sampled = self._sampled.get(name)
        if sampled is not None and len(sampled) < PICTURES:
            inverse = np.broadcast_to(self.silus[name], values.shape[-1:])
            places = self._rng.integers(0, values.size, min(SAMPLED // PICTURES, values.size))
            sampled.append(np.stack([values.reshape(-1)[places], inverse[places % len(inverse)]]))

    def found(self, ranges: dict[str, Range]) -> dict[str, Range]:
        """The ranges, those of what sigmoids and hard-swishes read replaced."""
        cut = {n: (max(ranges[n][0], -FLAT), min(ranges[n][1], FLAT)) for n in self.gates if n in ranges}
        cut |= {n: (max(ranges[n][0], -THREE), ranges[n][1]) for n in self.hard if n in ranges}
        best = {n: _best(np.concatenate(sampled, 1), ranges[n]) for n, sampled in self._sampled.items() if sampled}
        return ranges | cut | best


def _best(sampled: Floats, within: Range) -> Range:
    """The range whose 8-bit grid has the smallest mean squared error behind SiLU.

    sampled: values, and what each is multiplied with inside the sigmoid, [2, n].
    """
    values, inverse = sampled
    wanted = values * _sigmoid(values * inverse)
    low, high = min(within[0], float(values.min()), 0.0), max(within[1], float(values.max()), 0.0)
    choices = [(low * a, high * b) for a in LOW for b in HIGH]

    def error(choice: Range) -> float:
        scale = max((choice[1] - choice[0]) / 255, 1e-12)
        zero = round(-choice[0] / scale)
        got = (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * np.float32(scale)
        return float(np.square(got * _sigmoid(got * inverse) - wanted).mean())

    return min(choices, key=error)


def _sigmoid(x: Floats) -> Floats:
    answer: Floats = (1 / (1 + np.exp(-np.clip(x, -30, 30)))).astype(np.float32)
    return answer


def _gated(float_file: Path) -> tuple[set[str], dict[str, Floats], set[str]]:
    """Names of tensors that sigmoids alone read; of those that SiLUs read, with what they are multiplied with inside; and of
    those that hard-swishes alone read.
    """
    model = flatbuffer.read_model(str(float_file))
    graph = model.subgraphs[0]
    makers = {i: operator for operator in graph.operators for i in operator.outputs}
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for i in set(operator.inputs):
            readers.setdefault(i, []).append(operator)
    sigmoids = [o for o in graph.operators if kind(model, o) == "LOGISTIC"]
    gates, silus = set(), {}
    for sigmoid in sigmoids:
        given = sigmoid.inputs[0]
        if all(kind(model, reader) == "LOGISTIC" for reader in readers[given]):
            gates.add(graph.tensors[given].name.decode())
        sources = {given: np.ones(1, np.float32)} | _scaled(model, graph, makers.get(given))
        for reader in readers.get(sigmoid.outputs[0], []):
            source = next((i for i in reader.inputs if i in sources), None)
            if kind(model, reader) == "MUL" and source is not None:
                silus[graph.tensors[source].name.decode()] = sources[source]
    return gates, silus, {graph.tensors[i].name.decode() for i in readers if _is_hard(model, graph, i, readers)}


def _is_hard(model: Any, graph: Any, given: int, readers: dict[int, list[Any]]) -> bool:
    """Whether all that reads a tensor y is y * relu6(y + 3)."""
    kinds = {kind(model, reader): reader for reader in readers[given]}
    if len(readers[given]) != 2 or set(kinds) != {"ADD", "MUL"}:
        return False
    gate, product = kinds["ADD"], kinds["MUL"]
    data = [model.buffers[graph.tensors[i].buffer].data for i in gate.inputs if i != given]
    three = [d is not None and np.array_equal(np.frombuffer(bytes(d), np.float32), [THREE]) for d in data]
    clipped = gate.builtinOptions.fusedActivationFunction == ActivationFunctionType.RELU6
    return clipped and three == [True] and set(product.inputs) == {given, gate.outputs[0]}


def _scaled(model: Any, graph: Any, maker: Any) -> dict[int, Floats]:
    """What a multiplication with a constant reads, and the constant."""
    if maker is None or kind(model, maker) != "MUL":
        return {}
    data = {i: model.buffers[graph.tensors[i].buffer].data for i in maker.inputs}
    variable = [i for i in maker.inputs if data[i] is None]
    constant = [np.frombuffer(bytes(d), np.float32) for d in data.values() if d is not None]
    return {variable[0]: constant[0]} if len(variable) == len(constant) == 1 else {}
