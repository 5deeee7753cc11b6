"""What the layers inside a file answer, in the file's own runtime. One reader per format.

A layer is an operator that multiplies with weights: a convolution, a linear layer. What counts as its answer is what
comes out once its bias, its activation and its rounding are done, because formats divide these differently between
operators: TFLite fuses a ReLU into the convolution, ONNX has it behind, int8 files leave it to the rounding. A hard sigmoid
is one operator in ONNX and an addition, a ReLU6 and a product in TFLite.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UnsupportedError
from edgekit.inspection import fitting

Values = NDArray[np.float32]  # one layer's answer to one image: [positions, channels]


class Seen(NamedTuple):
    """What one image makes of an opened file.

    layers   of every layer the answer, in the order of `Layers.names`
    answers  of every output, as real numbers in the file's own shape
    """

    layers: list[Values]
    answers: list[NDArray[np.float32]]


class Layers(Protocol):
    """An opened file. A layer whose answer is an output's is told as that output alone.

    names    of the layers; outputs: what the file's outputs are called here, the name of the layer where it is one's
    how      the runtime, and what it computes otherwise than when nobody looks
    """

    names: tuple[str, ...]
    outputs: tuple[str, ...]
    how: str

    def takes(self) -> tuple[tuple[int, ...], str]: ...
    def run(self, tensor: NDArray[Any]) -> Seen: ...


class Operator(NamedTuple):
    """One node of a file's graph; tensors are named by whatever tells them apart in that format."""

    kind: str
    name: str
    reads: tuple[Hashable, ...]
    makes: tuple[Hashable, ...]


class Point(NamedTuple):
    """Where an answer is read: a layer's, or an output's, which is a layer's too or none's."""

    layer: Operator | None
    tensor: Any


class Points(NamedTuple):
    layers: list[Point]
    outputs: list[Point]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(point.layer.name for point in self.layers if point.layer)

    def output_names(self, files: Sequence[str]) -> tuple[str, ...]:
        """files: what the file calls its outputs; of a single one that tells a user nothing."""
        called = ["the answer"] if len(self.outputs) == 1 else [f"output {name}" for name in files]
        return tuple(p.layer.name if p.layer else name for p, name in zip(self.outputs, called, strict=True))


SHAPES = {"SHAPE", "Shape", "ShapeOf"}  # what they answer does not depend on the image


def points(
    operators: Iterable[Operator],
    given: Hashable,
    answers: Sequence[Hashable],
    layers: Collection[str],
    passes: Collection[str],
) -> Points:
    """Every layer's point, the shallowest layer first: formats order parallel branches differently. And every output's.

    operators  in an order in which what is read was made before
    layers     kinds that multiply with weights; products of two activations do not count
    passes     kinds that only change a layer's answer value by value
    """
    depth: dict[Hashable, int] = {given: 0}  # of what depends on the image: how many layers lie before it
    readers: dict[Hashable, list[Operator]] = defaultdict(list)
    found: list[tuple[int, Operator]] = []
    for operator in operators:
        depends = [t for t in operator.reads if t in depth]
        if not depends or operator.kind in SHAPES:
            continue
        for tensor in depends:
            readers[tensor].append(operator)
        is_layer = operator.kind in layers and len(depends) == 1
        if is_layer:
            found.append((max(depth[t] for t in depends), operator))
        depth |= dict.fromkeys(operator.makes, max(depth[t] for t in depends) + is_layer)

    def settled(tensor: Hashable) -> Hashable:
        passed = set()
        while tensor not in answers and len(readers[tensor]) == 1:
            if tensor in passed:
                raise ValueError(f"what reads {tensor} makes it")
            passed.add(tensor)
            (reader,) = readers[tensor]
            if reader.kind not in passes or sum(t in depth for t in reader.reads) > 1:
                break
            tensor = reader.makes[0]
        return tensor

    found.sort(key=lambda pair: pair[0])
    known = [Point(operator, settled(operator.makes[0])) for _, operator in found]
    last = {point.tensor: point for point in known}
    return Points(
        [point for point in known if point.tensor not in answers],
        [last.get(answer, Point(None, answer)) for answer in answers],
    )


def channels_last(values: NDArray[Any], axis: int) -> Values:
    """[1, ..., channels, ...] with the channels at an axis, as [positions, channels]."""
    last = np.moveaxis(values, axis, -1)
    return last.reshape(-1, last.shape[-1]).astype(np.float32, copy=False)


def open_layers(file: Path) -> Layers:
    """Raises UnsupportedError for what no runtime shows the inside of, MissingExtraError, ArtifactError, WorkerError."""
    with fitting(file):
        match file.suffix:
            case ".tflite":
                from edgekit.inspection.activations.litert import LitertLayers

                return LitertLayers(file)
            case ".onnx":
                from edgekit.inspection.activations.onnxruntime import OnnxLayers

                return OnnxLayers(file)
            case ".xml":
                from edgekit.inspection.activations.openvino import OpenvinoLayers

                return OpenvinoLayers(file)
    raise UnsupportedError(
        f"what happens inside {file.suffix or file.name} files cannot be seen",
        hint="a .tflite, an .onnx or an .xml file",
    )
