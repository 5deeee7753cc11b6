"""The fake: answers zeros at once. For tests of everything that is not about answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Artifact, Model
from edgekit.errors import UnsupportedError
from edgekit.runtimes import InputSpec, Options
from edgekit.tensors import Arrays


class NullSession:
    def __init__(self, artifact: Artifact) -> None:
        self.manifest = artifact.manifest

    def input_spec(self) -> InputSpec:
        tensor = self.manifest.input
        return InputSpec(tensor.shape, tensor.dtype, tensor.scale, tensor.zero_point)

    def run(self, tensor: NDArray[Any]) -> Arrays:
        return tuple(np.zeros((len(tensor), *output.shape[1:]), output.dtype) for output in self.manifest.file_outputs)

    def facts(self) -> dict[str, str]:
        return {"runtime": "null"}

    def close(self) -> None:
        pass


class NullRuntime:
    name = "null"
    targets = frozenset({"null"})

    def version(self) -> str:
        return "0"

    def open(self, artifact: Model, options: Options = Options()) -> NullSession:
        if not isinstance(artifact, Artifact):
            raise UnsupportedError("the null runtime answers for artifacts, not for loose files")
        return NullSession(artifact)
