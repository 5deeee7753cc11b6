"""The layers of a `.tflite` file, in LiteRT."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import WorkerError, reason
from edgekit.extras import needs
from edgekit.inspection import tflite
from edgekit.inspection.activations import Operator, Seen, channels_last, points
from edgekit.quiet import silenced
from edgekit.runtimes.litert import version

PASSES = {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "RELU", "RELU6", "QUANTIZE", "DEQUANTIZE"}


class LitertLayers:
    """Without the XNNPACK delegate, which keeps what is between its operators to itself."""

    def __init__(self, file: Path) -> None:
        operators = _operators(file)
        with needs("run-tflite"):
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        try:
            with silenced():
                self.interpreter = Interpreter(
                    str(file),
                    num_threads=1,
                    experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                )
                self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise WorkerError(f"{version('ai-edge-litert')} cannot open {file}: {reason(error)}") from error
        self.given = self.interpreter.get_input_details()[0]
        outputs = self.interpreter.get_output_details()
        answers = [int(output["index"]) for output in outputs]
        found = points(operators, int(self.given["index"]), answers, tflite.LAYERS, PASSES)
        self.names, self.outputs = found.names, found.output_names([output["name"] for output in outputs])
        self.how = f"{version('ai-edge-litert')} without XNNPACK"
        self._details = {int(t["index"]): t for t in self.interpreter.get_tensor_details()}
        self._found = found

    def takes(self) -> tuple[tuple[int, ...], str]:
        return tuple(int(n) for n in self.given["shape"]), np.dtype(self.given["dtype"]).name

    def run(self, tensor: NDArray[Any]) -> Seen:
        try:
            self.interpreter.set_tensor(self.given["index"], tensor)
            self.interpreter.invoke()
            # NHWC: the channels are last already
            layers = [channels_last(self._real(point.tensor), -1) for point in self._found.layers]
            return Seen(layers, [self._real(point.tensor) for point in self._found.outputs])
        except (ValueError, RuntimeError) as error:
            raise WorkerError(f"{version('ai-edge-litert')}: {reason(error)}") from error

    def _real(self, index: int) -> NDArray[np.float32]:
        values: NDArray[Any] = self.interpreter.get_tensor(index)
        grid = self._details[index]["quantization_parameters"]
        if len(grid["scales"]) == 1 and values.dtype.kind in "iu":
            values = (values.astype(np.float32) - grid["zero_points"][0]) * grid["scales"][0]
        return values.astype(np.float32, copy=False)


def _operators(file: Path) -> list[Operator]:
    model = tflite.load(file)
    graph = model.subgraphs[0]
    return [
        Operator(
            tflite.kind(model, operator),
            tflite.short_name(graph.tensors[operator.outputs[0]].name),
            tuple(int(i) for i in operator.inputs),
            tuple(int(i) for i in operator.outputs),
        )
        for operator in graph.operators
    ]
