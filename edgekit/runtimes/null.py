"""The fake: answers zeros at once. For tests of everything that is not about answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Artifact
from edgekit.runtimes import Options


class NullSession:
    def __init__(self, artifact: Artifact) -> None:
        self.classes = artifact.manifest.classes
        self.dtype = artifact.manifest.output.dtype

    def run(self, tensor: NDArray[Any]) -> NDArray[Any]:
        return np.zeros((len(tensor), self.classes), self.dtype)

    def facts(self) -> dict[str, str]:
        return {"runtime": "null"}

    def close(self) -> None:
        pass


class NullRuntime:
    name = "null"
    targets = frozenset({"null"})

    def version(self) -> str:
        return "0"

    def open(self, artifact: Artifact, options: Options = Options()) -> NullSession:
        return NullSession(artifact)
