"""Runs a `.pt2` artifact: the reference."""

from typing import Any

import torch
from numpy.typing import NDArray

from edgekit.artifact import Model
from edgekit.errors import UnsupportedError, WorkerError
from edgekit.runtimes import InputSpec, Options, sole
from edgekit.tensors import Arrays


class TorchSession:
    def __init__(self, artifact: Model, options: Options) -> None:
        if options.interpreter is not None:
            raise UnsupportedError("--interpreter chooses who runs a .tflite file", hint="leave it out for .pt2")
        torch.set_num_threads(options.threads)
        try:
            program = torch.export.load(artifact.model_file)
            self.module = program.module()
            self.example = sole(program.example_inputs[0], "input", artifact.model_file)
        except Exception as error:
            raise WorkerError(f"torch cannot open {artifact.model_file}: {error}") from error

    def input_spec(self) -> InputSpec:
        return InputSpec(tuple(self.example.shape), str(self.example.dtype).removeprefix("torch."))

    def run(self, tensor: NDArray[Any]) -> Arrays:
        with torch.inference_mode():
            answer = self.module(torch.from_numpy(tensor))
        return tuple(a.numpy() for a in (answer if isinstance(answer, tuple) else (answer,)))

    def facts(self) -> dict[str, str]:
        return {"runtime": f"torch {torch.__version__}", "precision": "float32"}

    def close(self) -> None:
        del self.module


class TorchRuntime:
    name = "torch"
    targets = frozenset({"torch"})

    def version(self) -> str:
        return str(torch.__version__)

    def open(self, artifact: Model, options: Options = Options()) -> TorchSession:
        return TorchSession(artifact, options)
