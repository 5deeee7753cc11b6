"""The layers of an `.onnx` file, in ONNX Runtime."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ArtifactError, WorkerError, reason
from edgekit.extras import needs
from edgekit.inspection import onnx as reader
from edgekit.inspection.activations import Operator, Point, Seen, channels_last, points
from edgekit.inspection.onnx_graph import CONVOLUTIONS, WEIGHTS_AT, WIDENED

CONVERSIONS = {"Cast", "QuantizeLinear", "DequantizeLinear"}
PASSES = CONVERSIONS | {"Add", "Sub", "Mul", "Max", "Min", "Relu", "Clip", "HardSigmoid"}


class OnnxLayers:
    """With the kernels that the file runs with anyway: inner tensors become answers of a copy of the graph in memory.

    Of an int8 file the integers are asked for, and made real numbers here: a float in their place would keep the
    runtime from fusing the layers into integer kernels.
    """

    def __init__(self, file: Path) -> None:
        model = reader.load(file)[0]
        from onnx import numpy_helper

        with needs("run-onnx"):
            import onnxruntime
        nodes = model.graph.node
        stored = {tensor.name for tensor in model.graph.initializer}
        given = [value for value in model.graph.input if value.name not in stored]
        if len(given) != 1:
            raise ArtifactError(f"{file} takes {len(given)} tensors, not one image")
        answers = [value.name for value in model.graph.output]
        found = points(map(_operator, nodes), given[0].name, answers, set(WEIGHTS_AT), PASSES)
        makers = {tensor: node for node in nodes for tensor in node.output}
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if math.prod(t.dims) == 1}
        widened = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith(WIDENED)}

        def asked_for(point: Point) -> _Asked:
            unpacking = makers.get(point.layer.reads[1]) if point.layer else None
            stored = unpacking.input if unpacking else ()
            weight = next((widened[name] for name in stored if name in widened), None)
            return _Asked(point, makers.get(point.tensor), constants, weight)

        self._layers = [asked_for(point) for point in found.layers]
        self._answers = [asked_for(point) for point in found.outputs]
        outputs = set(answers)
        for asked in (*self._layers, *self._answers):
            if asked.tensor not in outputs:
                model.graph.output.add(name=asked.tensor)
                outputs.add(asked.tensor)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.log_severity_level = 4
        self.how = f"onnxruntime {onnxruntime.__version__}"
        try:
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise WorkerError(f"{self.how} cannot open {file}: {reason(error)}") from error
        self.names, self.outputs = found.names, found.output_names(answers)

    def takes(self) -> tuple[tuple[int, ...], str]:
        given = self.session.get_inputs()[0]
        shape = tuple(n if isinstance(n, int) else 1 for n in given.shape)
        return shape, {"float": "float32", "double": "float64"}.get(kind := given.type[7:-1], kind)

    def run(self, tensor: NDArray[Any]) -> Seen:
        asked = (*self._layers, *self._answers)
        try:
            wanted = [one.tensor for one in asked]
            values = self.session.run(wanted, {self.session.get_inputs()[0].name: tensor})
        except Exception as error:  # as above
            raise WorkerError(f"{self.how}: {reason(error)}") from error
        real = [one.real(found) for one, found in zip(asked, values, strict=True)]
        layers, answers = real[: len(self._layers)], real[len(self._layers) :]
        return Seen([channels_last(v, one.axis) for one, v in zip(self._layers, layers, strict=True)], answers)


class _Asked:
    """A point, asked for in integers where the file has them, and without channels of zeros that an export put in
    (`widened`: the weight that has them, [out, in, ...])."""

    def __init__(
        self, point: Point, maker: Any, constants: dict[str, NDArray[Any]], widened: NDArray[Any] | None
    ) -> None:
        self.tensor, self.grid = str(point.tensor), None
        self.channels = None if widened is None else np.flatnonzero(widened.reshape(len(widened), -1).any(1))
        self.axis = 1 if point.layer and point.layer.kind in CONVOLUTIONS else -1
        if maker is not None and maker.op_type == "DequantizeLinear":
            numbers = [constants.get(name) for name in maker.input[1:]]
            if all(n is not None for n in numbers):
                self.tensor, self.grid = str(maker.input[0]), numbers

    def real(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if self.channels is not None:
            values = values.take(self.channels, self.axis)
        if self.grid:
            scale, *zero = (n.astype(np.float32) for n in self.grid if n is not None)
            values = (values.astype(np.float32) - (zero[0] if zero else 0)) * scale
        return values.astype(np.float32, copy=False)


def _operator(node: Any) -> Operator:
    """Of a dynamic quantization only the integers count as dependent on the image: its scale is multiplied in behind
    the layer like a constant."""
    made = node.output[:1] if node.op_type == "DynamicQuantizeLinear" else node.output
    return Operator(node.op_type, str(node.name or node.output[0]), tuple(node.input), tuple(made))
