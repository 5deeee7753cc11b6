"""Runs an `.onnx` file in ONNX Runtime, on the CPU."""

from typing import Any

from numpy.typing import NDArray

from edgekit.artifact import Artifact
from edgekit.errors import WorkerError, reason
from edgekit.registry import needs
from edgekit.runtimes import Options

with needs("run-onnx"):
    import onnxruntime

VERSION = f"onnxruntime {onnxruntime.__version__}"


class OnnxSession:
    def __init__(self, artifact: Artifact, options: Options) -> None:
        self.threads = options.threads
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4  # errors reach the caller as exceptions
        # idle threads of the pool must not spin: their CPU time would be counted
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if options.exact:  # nothing is fused: integers are unpacked, computed in float and rounded again
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self.session = onnxruntime.InferenceSession(
                str(artifact.model_file), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            raise WorkerError(f"{VERSION} cannot open {artifact.model_file}: {reason(error)}") from error
        self.input = self.session.get_inputs()[0].name

    def run(self, tensor: NDArray[Any]) -> NDArray[Any]:
        try:
            answer: NDArray[Any] = self.session.run(None, {self.input: tensor})[0]
        except Exception as error:  # as above
            raise WorkerError(f"{VERSION}: {reason(error)}") from error
        return answer

    def facts(self) -> dict[str, str]:
        return {
            "runtime": VERSION,
            "provider": self.session.get_providers()[0],
            "threads": str(self.threads),
        }

    def close(self) -> None:
        del self.session


class OnnxRuntime:
    name = "onnxruntime"
    targets = frozenset({"onnx"})

    def version(self) -> str:
        return VERSION

    def open(self, artifact: Artifact, options: Options = Options()) -> OnnxSession:
        return OnnxSession(artifact, options)
