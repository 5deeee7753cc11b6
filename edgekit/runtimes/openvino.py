"""Runs OpenVINO's `.xml` (with the `.bin` beside it) and `.onnx` files in OpenVINO, on the CPU."""

from collections import Counter
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Model
from edgekit.errors import UnsupportedError, WorkerError
from edgekit.extras import needs
from edgekit.runtimes import InputSpec, OperatorTime, Options, sole
from edgekit.tensors import Arrays

with needs("run-openvino"):
    import openvino

VERSION = f"openvino {openvino.__version__.partition('-')[0]}"


@cache
def core() -> openvino.Core:
    """The one Core of this process: everything that compiles a file for a CPU takes this one.

    A Core's CPU plugin gives the thread a stack for signals, and when it goes, puts back the one it found. Of two that
    overlap, the second to go puts back the first one's, which is freed: the next signal would kill the process.
    """
    return openvino.Core()


class OpenvinoSession:
    def __init__(self, artifact: Model, options: Options) -> None:
        if artifact.model_file.suffix == ".ort":
            raise UnsupportedError(
                f"OpenVINO cannot open {artifact.model_file}: .ort is ONNX Runtime's own format",
                hint="export without --ort",
            )
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.threads,
            # left alone it is bfloat16 on CPUs that have it: other answers, and no fp32 to compare with
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": options.profile,
        }
        try:
            self.compiled = core().compile_model(str(artifact.model_file), "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError, and whatever its readers raise
            raise WorkerError(f"{VERSION} cannot open {artifact.model_file}: {_reason(error)}") from error
        self.input = sole(self.compiled.inputs, "input", artifact.model_file)
        self.request = self.compiled.create_infer_request()

    def input_spec(self) -> InputSpec:
        shape = tuple(-1 if size.is_dynamic else size.get_length() for size in self.input.partial_shape)
        return InputSpec(shape, np.dtype(self.input.element_type.to_dtype()).name)

    def run(self, tensor: NDArray[Any]) -> Arrays:
        """Raises WorkerError for a tensor that the file does not take."""
        try:
            answers = self.request.infer([tensor], share_inputs=True)
        except RuntimeError as error:
            raise WorkerError(f"{VERSION} cannot run this file: {_reason(error)}") from error
        # copies: the request's own memory is written again by the next run
        return tuple(answers[output].copy() for output in self.compiled.outputs)

    def facts(self) -> dict[str, str]:
        """Threads and precision as the compiled model reports them, not as they were asked for."""
        return {
            "runtime": VERSION,
            "threads": str(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "precision": self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        }

    def profile(self) -> list[OperatorTime]:
        """Of the last inference."""
        spent, count = Counter[str](), Counter[str]()
        for node in self.request.get_profiling_info():
            if node.status == node.Status.EXECUTED:
                spent[node.node_type] += node.real_time // timedelta(microseconds=1) * 1000
                count[node.node_type] += 1
        return [OperatorTime(op, count[op], spent[op]) for op, _ in spent.most_common()]

    def close(self) -> None:
        del self.request, self.input, self.compiled  # each holds the compiled model


def _reason(error: Exception) -> str:
    """OpenVINO's sentence, without the places in its source that lead to it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from ", "Check "))]
    return (told or lines or [type(error).__name__])[0]


class OpenvinoRuntime:
    name = "openvino"
    targets = frozenset({"openvino", "onnx"})

    def version(self) -> str:
        return VERSION

    def open(self, artifact: Model, options: Options = Options()) -> OpenvinoSession:
        return OpenvinoSession(artifact, options)
