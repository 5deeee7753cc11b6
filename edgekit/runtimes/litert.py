"""Runs a `.tflite` file in one of three interpreters: ai-edge-litert, tflite-runtime, tensorflow."""

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Model
from edgekit.errors import MissingExtraError, UnknownNameError, WorkerError, reason
from edgekit.extras import EXTRAS, installed
from edgekit.quiet import silenced
from edgekit.runtimes import InputSpec, Options, sole
from edgekit.tensors import Arrays

# name of the interpreter (= its distribution) -> where its Interpreter class is; the first installed one serves
INTERPRETERS = {
    "ai-edge-litert": ("ai_edge_litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite_runtime", "tflite_runtime.interpreter"),
    "tensorflow": ("tensorflow", "tensorflow.lite"),
}


def choose(name: str | None) -> str:
    """The interpreter asked for, or the first that is installed."""
    if name is not None and name not in INTERPRETERS:
        raise UnknownNameError("interpreter", name, INTERPRETERS)
    for candidate in [name] if name else INTERPRETERS:
        if installed(INTERPRETERS[candidate][0]):
            return candidate
    module = INTERPRETERS[name or "ai-edge-litert"][0]
    raise MissingExtraError(module, EXTRAS[module])


def interpreter_class(name: str) -> Callable[..., Any]:
    module = INTERPRETERS[name][1]
    if name == "tensorflow":
        return importlib.import_module("tensorflow").lite.Interpreter  # type: ignore[no-any-return]
    return importlib.import_module(module).Interpreter  # type: ignore[no-any-return]


def version(name: str) -> str:
    for distribution in (name, "tensorflow-cpu") if name == "tensorflow" else (name,):
        try:
            return f"{name} {importlib.metadata.version(distribution)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return name


class LitertSession:
    def __init__(self, artifact: Model, options: Options) -> None:
        self.interpreter_name = choose(options.interpreter)
        self.threads = options.threads
        try:
            with silenced():
                self.interpreter = interpreter_class(self.interpreter_name)(
                    model_path=str(artifact.model_file), num_threads=options.threads
                )
                self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            floor = artifact.oldest_interpreter
            hint = f"this file needs {'; '.join(f'{v} on {k}' for k, v in floor.items())} or later" if floor else ""
            raise WorkerError(
                f"{version(self.interpreter_name)} cannot open {artifact.model_file}: {reason(error)}", hint=hint
            ) from error
        self.details = sole(self.interpreter.get_input_details(), "input", artifact.model_file)
        self.input = self.details["index"]
        self.shape = tuple(self.details["shape"])
        self.outputs = [output["index"] for output in self.interpreter.get_output_details()]

    def input_spec(self) -> InputSpec:
        scale, zero_point = self.details["quantization"]
        shape, dtype = tuple(map(int, self.details["shape_signature"])), np.dtype(self.details["dtype"]).name
        return InputSpec(shape, dtype, float(scale), int(zero_point)) if scale else InputSpec(shape, dtype)

    def run(self, tensor: NDArray[Any]) -> Arrays:
        try:
            if tensor.shape != self.shape:  # a size that the file leaves open
                self.interpreter.resize_tensor_input(self.input, tensor.shape, strict=True)
                self.interpreter.allocate_tensors()
                self.shape = tensor.shape
            self.interpreter.set_tensor(self.input, tensor)
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise WorkerError(f"{version(self.interpreter_name)}: {reason(error)}") from error
        return tuple(map(self.interpreter.get_tensor, self.outputs))

    def facts(self) -> dict[str, str]:
        facts = {"runtime": version(self.interpreter_name), "threads": str(self.threads)}
        try:
            delegated = any(op["op_name"] == "DELEGATE" for op in self.interpreter._get_ops_details())
        except AttributeError:  # no public name, so it may go
            return facts
        return facts | {"delegate": "XNNPACK" if delegated else "none"}

    def close(self) -> None:
        del self.interpreter


class LitertRuntime:
    name = "litert"
    targets = frozenset({"tflite"})

    def __init__(self) -> None:
        choose(None)  # says which package to install before anything else is tried

    def version(self) -> str:
        return version(choose(None))

    def imports(self, options: Options) -> None:
        with silenced():
            interpreter_class(choose(options.interpreter))

    def open(self, artifact: Model, options: Options = Options()) -> LitertSession:
        return LitertSession(artifact, options)
