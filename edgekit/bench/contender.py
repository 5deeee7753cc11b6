"""An artifact that answers: the one seam between measuring accuracy and whatever runs the file."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import registry
from edgekit.artifact import Artifact
from edgekit.errors import WorkerError
from edgekit.runtimes import Options

Tensors = NDArray[Any]


@dataclass(frozen=True)
class Contender:
    """`answer` takes tensors [n, ...] as the file has them and returns [n, ...] likewise."""

    artifact: Artifact
    runtime: str
    answer: Callable[[Tensors], Tensors]

    @property
    def digest(self) -> str:
        """Of the manifest, which holds the digest of every file."""
        return hashlib.sha256(msgspec.json.encode(self.artifact.manifest, order="sorted")).hexdigest()

    def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of fitted pictures [n, h, w, 3]: float32 [n, classes]. Raises WorkerError for what is not a finite number."""
        scores = self.artifact.decode(self.answer(self.artifact.encode(pixels)))
        if not np.isfinite(scores).all():
            raise WorkerError(f"{self.artifact.name} answers with what is not a finite number")
        return scores


@contextmanager
def contender(artifact: Artifact, options: Options) -> Iterator[Contender]:
    """Open an artifact in the runtime of its target, in this process."""
    with closing(registry.runtime_for(artifact.manifest.target).open(artifact, options)) as session:

        def answer(tensors: Tensors) -> Tensors:
            return np.concatenate([session.run(tensors[i : i + 1]) for i in range(len(tensors))])

        yield Contender(artifact, session.facts()["runtime"], answer)
