"""Runs OpenVINO's `.xml` (with the `.bin` beside it) and `.onnx` files in OpenVINO, on the CPU."""

from typing import Any

from numpy.typing import NDArray

from edgekit.artifact import Artifact
from edgekit.errors import WorkerError
from edgekit.quiet import no_telemetry
from edgekit.registry import needs
from edgekit.runtimes import Options

with needs("run-openvino"), no_telemetry():
    import openvino

VERSION = f"openvino {openvino.__version__.partition('-')[0]}"


class OpenvinoSession:
    def __init__(self, artifact: Artifact, options: Options) -> None:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": options.threads,
            # left alone it is bfloat16 on CPUs that have it: other answers, and no fp32 to compare with
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            self.compiled = openvino.Core().compile_model(str(artifact.model_file), "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError, and whatever its readers raise
            raise WorkerError(f"{VERSION} cannot open {artifact.model_file}: {_reason(error)}") from error
        self.request = self.compiled.create_infer_request()

    def run(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Raises WorkerError for a tensor that the file does not take."""
        try:
            answers = self.request.infer([tensor], share_inputs=True)
        except RuntimeError as error:
            raise WorkerError(f"{VERSION} cannot run this file: {_reason(error)}") from error
        answer: NDArray[Any] = answers[0].copy()  # the request's own memory is written again by the next run
        return answer

    def facts(self) -> dict[str, str]:
        """Threads and precision as the compiled model reports them, not as they were asked for."""
        return {
            "runtime": VERSION,
            "threads": str(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "precision": self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        }

    def close(self) -> None:
        del self.request, self.compiled


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

    def open(self, artifact: Artifact, options: Options = Options()) -> OpenvinoSession:
        return OpenvinoSession(artifact, options)
