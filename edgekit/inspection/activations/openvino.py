"""The layers of OpenVINO's IR (`.xml`), in OpenVINO."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ArtifactError, WorkerError, reason
from edgekit.inspection.activations import Operator, Seen, channels_last, points

CONVOLUTIONS = {"Convolution", "GroupConvolution"}
LAYERS = CONVOLUTIONS | {"MatMul"}
ARITHMETIC = {"Add", "Subtract", "Multiply", "Maximum", "Minimum"}
PASSES = ARITHMETIC | {"Clamp", "Relu", "HardSigmoid", "HSigmoid", "FakeQuantize", "Convert"}


class OpenvinoLayers:
    """With the kernels that the file runs with anyway: inner tensors become answers of the model in memory."""

    def __init__(self, file: Path) -> None:
        from edgekit.runtimes.openvino import VERSION, core

        self.how = f"{VERSION}, f32"
        try:
            model = core().read_model(str(file))
            if len(model.inputs) != 1:
                raise ArtifactError(f"{file} takes {len(model.inputs)} tensors, not one image")
            operators = [_operator(node) for node in model.get_ordered_ops()]
            given = model.input(0).get_node().output(0)
            answers = [_tensor(output.get_node().input_value(0)) for output in model.outputs]
            found = points(operators, _tensor(given), answers, LAYERS, PASSES)
            called = [min(output.get_names(), default=f"{number}") for number, output in enumerate(model.outputs)]
            outputs = {_tensor(out): out for node in model.get_ordered_ops() for out in node.outputs()}
            for number, point in enumerate(found.layers):
                outputs[point.tensor].get_tensor().add_names({f"edgekit layer {number}"})
            model.add_outputs([outputs[point.tensor] for point in found.layers])
            settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
            self.compiled = core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise WorkerError(f"{self.how} cannot open {file}: {reason(error)}") from error
        self.names, self.outputs = found.names, found.output_names(called)
        self._axes = [1 if point.layer and point.layer.kind in CONVOLUTIONS else -1 for point in found.layers]

    def takes(self) -> tuple[tuple[int, ...], str]:
        given = self.compiled.input(0)
        shape = tuple(n.get_length() if n.is_static else 1 for n in given.get_partial_shape())
        return shape, given.get_element_type().to_dtype().name

    def run(self, tensor: NDArray[Any]) -> Seen:
        try:
            values = self.compiled([tensor])
        except RuntimeError as error:
            raise WorkerError(f"{self.how}: {reason(error)}") from error
        layers = [values[self.compiled.output(f"edgekit layer {n}")] for n in range(len(self._axes))]
        answers = [values[self.compiled.output(n)] for n in range(len(self.outputs))]
        return Seen(
            [channels_last(v, axis) for v, axis in zip(layers, self._axes, strict=True)],
            [v.astype(np.float32, copy=False) for v in answers],
        )


def _operator(node: Any) -> Operator:
    name = node.get_friendly_name().removesuffix("/WithoutBiases")
    reads = tuple(_tensor(given.get_source_output()) for given in node.inputs())
    return Operator(node.get_type_name(), name, reads, tuple(_tensor(out) for out in node.outputs()))


def _tensor(output: Any) -> tuple[str, int]:
    return output.get_node().get_friendly_name(), output.get_index()
