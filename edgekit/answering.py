"""An artifact that answers, in a process of its own: the one seam between every verb and whatever runs the file.

What the file does to its runtime (a crash, a hang, no memory) it does to that process; here it is a WorkerError.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import registry
from edgekit.artifact import Artifact
from edgekit.devices import Device, Job, opened
from edgekit.errors import WorkerError
from edgekit.manifest import AGAIN
from edgekit.runtimes import Options
from edgekit.tensors import Array, Arrays, Values

TIMEOUT = 600.0  # seconds without an answer that mean a hang


@dataclass(frozen=True)
class Answering:
    """`answer` takes tensors [n, ...] as the file has them and returns every output likewise; where: a CPU class."""

    artifact: Artifact
    runtime: str
    where: str
    answer: Callable[[Array], Arrays]

    @property
    def digest(self) -> str:
        """Of the manifest, which holds the digest of every file."""
        return hashlib.sha256(msgspec.json.encode(self.artifact.manifest, order="sorted")).hexdigest()

    def values(self, pixels: NDArray[np.uint8]) -> Values:
        """Of fitted pictures [n, h, w, 3] every output's real numbers.

        Raises WorkerError for what is not finite, and for what cannot be what the manifest calls it (its task).
        """
        values, task = self.artifact.decode(self.answer(self.artifact.encode(pixels))), self.artifact.manifest.task
        if not all(np.isfinite(v).all() for v in values):
            raise WorkerError(f"{self.artifact.name} answers with what is not a finite number")
        if not task.can_be(values):
            raise WorkerError(
                f"{self.artifact.name}: its manifest calls its answers {task}, and they are not", hint=AGAIN
            )
        return values

    def of_windows(self, windows: NDArray[np.uint8]) -> Values:
        """Of one video, seen in fitted windows [k, t, h, w, 3]: every output's real numbers, [1, ...], the mean of all.

        Raises as `values` does. One window is in the runtime at a time.
        """
        answers = [self.values(window[None]) for window in windows]
        return self.artifact.manifest.task.mean(tuple(np.concatenate(v) for v in zip(*answers, strict=True)))


@contextmanager
def start_answering(
    artifact: Artifact, device: Device | None, options: Options, timeout: float = TIMEOUT
) -> Iterator[Answering]:
    """Open an artifact on a device (None: here) in the runtime of its target. Raises WorkerError, DeviceError."""
    job = Job(str(artifact.folder), registry.runtime_for(artifact.target).name, options)
    with opened(device or registry.device("local"), job, timeout) as worker:
        facts, host = worker.ready.facts, worker.ready.host
        yield Answering(artifact, facts["runtime"], host.get("cpu_class", "unknown"), worker.answer)
