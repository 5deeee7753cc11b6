"""An artifact that answers, in a process of its own: the one seam between every verb and whatever runs the file.

What the file does to its runtime (a crash, a hang, no memory) it does to that process; here it is a WorkerError.
"""

import hashlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import registry
from edgekit.artifact import Artifact
from edgekit.data import Picture
from edgekit.data.decoding import Fitted, Seen, decoded
from edgekit.devices import Device, Job, opened
from edgekit.errors import WorkerError
from edgekit.manifest import AGAIN
from edgekit.preprocess import Pixels
from edgekit.runtimes import Options
from edgekit.tensors import Array, Arrays, Values, decoded_shape

TIMEOUT = 600.0  # seconds without an answer that mean a hang
WORKERS = 2  # threads that decode
HELD = 1 << 27  # bytes of answers that are asked for together


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
        """Of fitted images [n, h, w, 3] every output's real numbers.

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
    artifact: Artifact, device: Device | None, options: Options, timeout: float = TIMEOUT, batch: int | None = None
) -> Iterator[Answering]:
    """Open an artifact on a device (None: here) in the runtime of its target.

    batch  images in one inference; None: as the file says, or one

    Raises WorkerError, DeviceError; RequestError for a batch that the file does not take.
    """
    job = Job(str(artifact.folder), registry.runtime_for(artifact.target).name, options, batch)
    with opened(device or registry.device("local"), job, timeout) as worker:
        facts, host = worker.ready.facts, worker.ready.host
        yield Answering(artifact, facts["runtime"], host.get("cpu_class", "unknown"), worker.answer)


def at_once(artifacts: Sequence[Artifact], device: Device) -> int:
    """How many images are answered together: a map of scores can take tens of megabytes."""
    if any(a.manifest.preprocess.is_clip for a in artifacts):
        return 1  # a video's windows can take tens of megabytes
    sizes = [4 * sum(math.prod(decoded_shape(o)) for o in a.manifest.outputs) for a in artifacts]
    return max(1, min(device.at_once, HELD // max(sum(sizes), 1)))


def answered(
    files: Sequence[Answering], pictures: Iterable[Picture], workers: int, at_once: int
) -> Generator[tuple[list[tuple[Picture, Fitted]], list[Values]], None, None]:
    """`at_once` images at a time, in their order, and every file's answers to those of them that could be read.

    Threads decode ahead; files answer at the same time, and have the next images already while the caller looks at the
    answers to these.
    """
    specs = list(dict.fromkeys(c.artifact.manifest.preprocess for c in files))
    which = [specs.index(c.artifact.manifest.preprocess) for c in files]
    with ExitStack() as stack:
        # a thread each: it waits for the process that answers
        pools = [stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="answer")) for _ in files]
        stream = stack.enter_context(closing(decoded(pictures, specs, workers, ahead=2 * at_once + workers)))
        asked: deque[tuple[list[tuple[Picture, Fitted]], list[Future[Values]]]] = deque()
        while (batch := list(itertools.islice(stream, at_once))) or asked:
            if batch:
                readable = [seen.pixels for _, seen in batch if isinstance(seen, Seen)]
                together = zip(pools, files, which, strict=True) if readable else ()
                asked.append((batch, [p.submit(_values, c, [r[i] for r in readable]) for p, c, i in together]))
            if len(asked) > 1 or not batch:
                first, futures = asked.popleft()
                yield first, [future.result() for future in futures]


def _values(file: Answering, pixels: Sequence[Pixels]) -> Values:
    """To images [h, w, c]; or to videos [windows, t, h, w, c], the mean over each one's windows."""
    if not file.artifact.manifest.preprocess.is_clip:
        return file.values(np.stack(pixels))
    return tuple(np.concatenate(v) for v in zip(*map(file.of_windows, pixels), strict=True))
