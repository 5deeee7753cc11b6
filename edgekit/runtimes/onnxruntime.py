"""Runs an `.onnx` file in ONNX Runtime, on the CPU."""

import contextlib
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekit.artifact import Model
from edgekit.errors import WorkerError, reason
from edgekit.extras import needs
from edgekit.runtimes import InputSpec, OperatorTime, Options, sole
from edgekit.tensors import Arrays

with needs("run-onnx"):
    import onnxruntime

VERSION = f"onnxruntime {onnxruntime.__version__}"


DTYPES = {f"tensor({name})": name for name in ("uint8", "int8", "uint16", "int16", "int32", "int64")} | {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
}


class OnnxSession:
    def __init__(self, artifact: Model, options: Options) -> None:
        self.threads = options.threads
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4  # errors reach the caller as exceptions
        # idle threads of the pool must not spin: their CPU time would be counted
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if options.profile:
            settings.enable_profiling = True
            settings.profile_file_prefix = str(Path(tempfile.gettempdir(), "edgekit"))
        if options.exact:  # nothing is fused: integers are unpacked, computed in float and rounded again
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self.session = onnxruntime.InferenceSession(
                str(artifact.model_file), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
            floor = artifact.oldest_interpreter
            hint = f"this file needs {'; '.join(f'{v} on {k}' for k, v in floor.items())} or later" if floor else ""
            raise WorkerError(f"{VERSION} cannot open {artifact.model_file}: {reason(error)}", hint=hint) from error
        self.details = sole(self.session.get_inputs(), "input", artifact.model_file)
        self.input = self.details.name

    def input_spec(self) -> InputSpec:
        shape = tuple(size if isinstance(size, int) else -1 for size in self.details.shape)
        return InputSpec(shape, DTYPES.get(self.details.type, self.details.type))

    def run(self, tensor: NDArray[Any]) -> Arrays:
        try:
            return tuple(self.session.run(None, {self.input: tensor}))
        except Exception as error:  # as above
            raise WorkerError(f"{VERSION}: {reason(error)}") from error

    def facts(self) -> dict[str, str]:
        return {
            "runtime": VERSION,
            "provider": self.session.get_providers()[0],
            "threads": str(self.threads),
        }

    def profile(self) -> list[OperatorTime]:
        """Of the inferences since the file was opened. Ends the profiling."""
        trace = Path(self.session.end_profiling())
        with contextlib.ExitStack() as stack:
            stack.callback(trace.unlink, missing_ok=True)
            events = json.loads(trace.read_text("utf-8"))
        runs = sum(event["name"] == "model_run" for event in events)
        nodes = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
        spent, count = Counter[str](), Counter[str]()
        for event in nodes:
            spent[event["args"]["op_name"]] += event["dur"] * 1000
            count[event["args"]["op_name"]] += 1
        return [OperatorTime(op, count[op] // runs, spent[op] // runs) for op, _ in spent.most_common()]

    def close(self) -> None:
        del self.session


class OnnxRuntime:
    name = "onnxruntime"
    targets = frozenset({"onnx"})

    def version(self) -> str:
        return VERSION

    def open(self, artifact: Model, options: Options = Options()) -> OnnxSession:
        return OnnxSession(artifact, options)
