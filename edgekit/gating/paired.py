"""Candidate and baseline side by side: fresh processes of both, whose inferences take turns."""

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import msgspec

from edgekit.devices import Device, Job, Memory, Ready, Worker, opened
from edgekit.gating.sequential import LAUNCHES
from edgekit.statistics import intervals

ROUNDS = range(5, 41)
VISITS = 3  # inferences of one file in a row; the fastest counts
WARMUP = 5

Pair = tuple[float, float]  # of the candidate, of the baseline


@dataclass
class PairedLaunches:
    """What the launches showed, one pair each: nanoseconds of an inference, of opening the file, and memory where it is told."""

    candidate: Job
    baseline: Job
    device: Device
    budget: float
    timeout: float
    seed: int = 0
    tick: Callable[[], None] = lambda: None
    times: list[Pair] = field(default_factory=list)
    loads: list[Pair] = field(default_factory=list)
    memories: list[tuple[Memory, Memory]] = field(default_factory=list)
    ready: Ready | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def clock(self) -> str:
        """CPU; wall where the device tells only that."""
        return "wall" if self.ready and self.ready.load.cpu_ns is None else "CPU"

    @property
    def step_ns(self) -> int:
        """By how much the clock moves at once."""
        return self.ready.step_ns if self.ready and self.clock == "CPU" else 0

    @property
    def ns(self) -> float:
        """Of an inference of the candidate: the median over the launches."""
        return statistics.median(ours for ours, _ in self.times)

    @property
    def memory(self) -> int:
        """Bytes that the candidate needs: the median over the launches."""
        return round(statistics.median(ours.needed for ours, _ in self.memories))

    def blur(self, pairs: list[Pair]) -> float:
        """How far the clock lets a log ratio of these times be off."""
        return intervals.blur(self.step_ns, *(statistics.median(side) for side in zip(*pairs, strict=True)))

    def go_on(self, done: int) -> bool:
        """Whether one more launch fits into the budget."""
        return self.seconds * (done + 1) / done <= self.budget

    def may_open(self) -> bool:
        """Whether one more launch that only opens the files is worth while, and fits into the budget."""
        return len(self.loads) < LAUNCHES[-1] and self.seconds < self.budget

    def launch(self) -> float:
        """The log ratio of times (CPU times, where the device tells them), candidate over baseline: the median of the rounds."""
        ahead = WARMUP + VISITS * (1 + ROUNDS[-1])
        with self._both(ahead) as both:
            for worker in both:
                worker.infer(WARMUP)
            each = sum(statistics.median(worker.infer(VISITS).wall_ns) for worker in both) / 1e9
            share = self.budget / 12  # launches tell more than rounds do, and starting them costs too
            rounds = max(ROUNDS.start, min(ROUNDS[-1], int(share / (VISITS * max(each, 1e-6)))))
            fastest: tuple[list[int], list[int]] = ([], [])
            for _ in range(rounds):
                for i in self.rng.sample((0, 1), 2):
                    fastest[i].append(min(both[i].infer(VISITS).ns))
        self.times.append((statistics.median(fastest[0]), statistics.median(fastest[1])))
        return statistics.median(math.log(max(a, 1) / max(b, 1)) for a, b in zip(*fastest, strict=True))

    def open_both(self) -> None:
        """A launch that only opens the files and answers once."""
        with self._both(ahead=0):
            pass

    @contextmanager
    def _both(self, ahead: int) -> Iterator[tuple[Worker, Worker]]:
        """Fresh processes of candidate and baseline, started in an order drawn anew; what they took is kept at the end."""
        with ExitStack() as stack:
            started: dict[int, Worker] = {}
            for i in self.rng.sample((0, 1), 2):
                job = msgspec.structs.replace((self.candidate, self.baseline)[i], ahead=ahead)
                started[i] = stack.enter_context(opened(self.device, job, self.timeout))
            ours, theirs = started[0], started[1]
            self.ready = ours.ready
            yield ours, theirs
            self.loads.append((ours.ready.load.ns, theirs.ready.load.ns))
            used = ours.end(), theirs.end()
            if used[0] and used[1]:
                self.memories.append((used[0], used[1]))
            self.tick()


def log_ratios(pairs: list[Pair]) -> list[float]:
    return [math.log(max(a, 1) / max(b, 1)) for a, b in pairs]
