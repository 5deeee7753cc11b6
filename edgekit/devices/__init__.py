"""A Device is where a file runs: this machine, an emulated core, a phone. It starts workers, one process per opened file.

A worker opens one file in one runtime and then does what it is told, a line at a time: time inferences, count their
instructions, answer tensors. What breaks there (a crash, a hang, no memory) breaks the worker and nothing else. The
messages below are what passes between the two, as JSON lines; tensors follow their line as raw bytes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
import numpy as np

from edgekit.errors import EdgekitError
from edgekit.runtimes import InputSpec, OperatorTime, Options
from edgekit.tensors import Array, Arrays

TIMEOUT = 600.0  # seconds without an answer that mean a hang, where nobody says otherwise


class Job(msgspec.Struct, frozen=True):
    """What a worker opens. `model`: an artifact's folder or a model file. `batch`: images in one inference; None
    takes what the file says, or one. `ahead`: how many inferences will be timed; what is slow to ask, as a phone is,
    does them all as soon as the file is open."""

    model: str
    runtime: str
    options: Options = Options()
    batch: int | None = None
    seed: int = 0
    ahead: int = 0


class Phase(msgspec.Struct, frozen=True):
    """`cpu_ns`: None where a device tells only the time on the wall."""

    wall_ns: int
    cpu_ns: int | None = None

    @property
    def ns(self) -> int:
        """By the CPU's clock; by the wall's where the device tells no other."""
        return self.wall_ns if self.cpu_ns is None else self.cpu_ns


class Memory(msgspec.Struct, frozen=True):
    """Bytes of the worker's process: resident after each phase, and the highest since it started.

    `anonymous`: what of `after_first` no file backs. Where a system does not tell, there is no Memory.
    """

    before: int
    after_import: int
    after_load: int
    after_first: int
    anonymous: int
    peak: int

    @property
    def needed(self) -> int:
        """What the file needs: the peak above what the process held once the runtime was imported."""
        return self.peak - self.after_import


class Infer(msgspec.Struct, frozen=True, tag=True):
    """Time `times` inferences."""

    times: int


class Count(msgspec.Struct, frozen=True, tag=True):
    """Count the instructions of `times` inferences (devices that can)."""

    times: int


class Packed(msgspec.Struct, frozen=True):
    """A tensor whose raw bytes follow."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Answer(msgspec.Struct, frozen=True, tag=True):
    """Answer the tensors that follow, `shape[0]` of them, one batch at a time."""

    tensor: Packed


class Profile(msgspec.Struct, frozen=True, tag=True):
    """Time by operator, of `times` inferences."""

    times: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The file is open, and one inference ran. `imported`: the runtime, where that is told apart from opening the file.
    `step_ns`: by how much the clock of CPU times moves at once (see clock.py)."""

    imported: Phase | None
    load: Phase
    first: Phase
    input_spec: InputSpec
    facts: dict[str, str]  # of the session: what really runs
    host: dict[str, str]
    source: str  # what the timed inferences are fed
    step_ns: int = 0


class Samples(msgspec.Struct, frozen=True, tag=True):
    """Nanoseconds of single inferences, in the order they ran; `switches`: how often another process cut in. `cpu_ns` is
    empty where a device tells only the time on the wall."""

    wall_ns: tuple[int, ...]
    cpu_ns: tuple[int, ...] = ()
    switches: int = 0

    @property
    def ns(self) -> tuple[int, ...]:
        """As Phase.ns."""
        return self.cpu_ns or self.wall_ns


class Counts(msgspec.Struct, frozen=True, tag=True):
    """Instructions of single inferences, in the order they ran."""

    instructions: tuple[int, ...]


class Tensors(msgspec.Struct, frozen=True, tag=True):
    """Raw bytes of answers follow, one output after the other."""

    outputs: tuple[Packed, ...]


class Operators(msgspec.Struct, frozen=True, tag=True):
    operators: tuple[OperatorTime, ...]


class End(msgspec.Struct, frozen=True, tag=True):
    """Asked: end. Answered: what it took. None: the system does not tell."""

    memory: Memory | None = None


class Failure(msgspec.Struct, frozen=True, tag=True):
    """An EdgekitError of the worker, by the name of its class."""

    kind: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: EdgekitError) -> "Failure":
        return cls(type(error).__name__, error.message, error.hint)


Request = Infer | Count | Answer | Profile | End
Reply = Ready | Samples | Counts | Tensors | Operators | End | Failure


class Worker(Protocol):
    """An opened file. Everything raises WorkerError when the process crashes, hangs or dies, and the error that the
    runtime raised otherwise."""

    @property
    def ready(self) -> Ready: ...
    def infer(self, times: int) -> Samples: ...
    def count(self, times: int) -> tuple[int, ...]: ...
    def answer(
        self, tensors: Array
    ) -> Arrays: ...  # [n, ...] to one [n, ...] for each output, all as the file has them
    def profile(self, times: int) -> tuple[OperatorTime, ...]: ...
    def end(self) -> Memory | None: ...
    def kill(self) -> None: ...


class Device(Protocol):
    """`--on NAME` or `--on NAME:WHICH`; the plugin is made with WHICH (None where it is left out).

    counts   whether its workers can count instructions
    timed    whether its workers' times mean anything: not under an emulator
    at_once  images that are best handed to a worker together

    One that needs something fetched first also has `set_up(say)`, for `edgekit doctor --setup`; `say` takes lines. One that
    runs files elsewhere than on its CPU also has `accelerators`, what `Options.accelerator` may be beside "cpu".
    """

    name: str
    counts: bool
    timed: bool
    at_once: int

    def state(self) -> str: ...  # what runs there; raises DeviceError where something is missing
    def start(self, job: Job, timeout: float) -> Worker: ...  # seconds without an answer that mean a hang


@contextmanager
def opened(device: Device, job: Job, timeout: float = TIMEOUT) -> Iterator[Worker]:
    """A worker that ends with the block."""
    worker = device.start(job, timeout)
    try:
        yield worker
    finally:
        worker.kill()


def packed(tensor: Array) -> Packed:
    return Packed(tensor.shape, tensor.dtype.name)


def pack(tensors: Iterable[Array]) -> bytes:
    """The raw bytes that follow an Answer or Tensors."""
    return b"".join(np.ascontiguousarray(tensor).tobytes() for tensor in tensors)


def unpack(heads: Sequence[Packed], payload: bytes) -> Arrays:
    found, at = [], 0
    for head in heads:
        found.append(np.frombuffer(payload[at : at + head.size], head.dtype).reshape(head.shape))
        at += head.size
    return tuple(found)
