"""Candidate and baseline side by side: fresh processes of both, whose inferences take turns."""

import math
import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from edgekit.devices import Device, Job, Memory, Ready, Worker, opened

ROUNDS = range(5, 41)
VISITS = 3  # inferences of one file in a row; the fastest counts
WARMUP = 5


@dataclass
class Duel:
    """`loads`: log ratios of the time of opening, a launch each; `memories`: (candidate, baseline)."""

    candidate: Job
    baseline: Job
    device: Device
    budget: float
    timeout: float
    seed: int = 0
    tick: Callable[[], None] = lambda: None
    loads: list[float] = field(default_factory=list)
    memories: list[tuple[Memory, Memory]] = field(default_factory=list)
    ns: list[float] = field(default_factory=list)
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
    def memory(self) -> int:
        """Bytes that the candidate needs: the median over the launches."""
        return round(statistics.median(ours.needed for ours, _ in self.memories))

    @property
    def baseline_memory(self) -> int:
        return round(statistics.median(theirs.needed for _, theirs in self.memories))

    def go_on(self, done: int) -> bool:
        """Whether one more launch fits into the budget."""
        return self.seconds * (done + 1) / done <= self.budget

    def launch(self) -> float:
        """The log ratio of times (CPU times, where the device tells them), candidate over baseline: the median of the rounds."""
        with ExitStack() as stack:
            pair: list[Worker | None] = [None, None]
            for i in self.rng.sample((0, 1), 2):
                job = msgspec.structs.replace(
                    (self.candidate, self.baseline)[i], ahead=WARMUP + VISITS * (1 + ROUNDS[-1])
                )
                worker = stack.enter_context(opened(self.device, job, self.timeout))
                worker.infer(WARMUP)
                pair[i] = worker
            ours, theirs = pair
            assert ours
            assert theirs
            self.ready = ours.ready
            each = sum(statistics.median(w.infer(VISITS).wall_ns) for w in (ours, theirs)) / 1e9
            share = self.budget / 6  # four launches at least, and starting them costs too
            rounds = max(ROUNDS.start, min(ROUNDS[-1], int(share / (VISITS * max(each, 1e-6)))))
            logs = []
            for _ in range(rounds):
                fastest = [0, 0]
                for i in self.rng.sample((0, 1), 2):
                    fastest[i] = min((ours, theirs)[i].infer(VISITS).ns)
                logs.append(math.log(max(fastest[0], 1) / max(fastest[1], 1)))
                self.ns.append(fastest[0])
            self.loads.append(math.log(max(ours.ready.load.ns, 1) / max(theirs.ready.load.ns, 1)))
            used = ours.end(), theirs.end()
            if used[0] and used[1]:
                self.memories.append((used[0], used[1]))
            self.tick()
            return statistics.median(logs)
