"""The stopwatch: the only place of edgekit that measures time.

Several sessions are visited in random order, round by round, so that whatever else the machine does falls on all of
them alike; CPU time is compared, not wall time; ratios are taken inside a round. The full harness (a fresh process per
artifact, phases, memory) is built around this room.
"""

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Clock = Callable[[], int]  # nanoseconds


@dataclass
class Samples:
    """Nanoseconds of single inferences, in the order they ran."""

    wall: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Ratio:
    """CPU time of one over another: the median of the rounds' ratios and a 95 % interval."""

    value: float
    low: float
    high: float


def measure(
    calls: Sequence[Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 5,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
    cpu_clock: Clock = time.process_time_ns,
    wall_clock: Clock = time.perf_counter_ns,
) -> list[Samples]:
    """Run every call once a round, in an order drawn anew each round."""
    for call in calls:
        for _ in range(warmup):
            call()
    samples = [Samples() for _ in calls]
    order, rng = list(range(len(calls))), random.Random(seed)
    for _ in range(rounds):
        rng.shuffle(order)
        for i in order:
            wall, cpu = wall_clock(), cpu_clock()
            calls[i]()
            samples[i].cpu.append(cpu_clock() - cpu)
            samples[i].wall.append(wall_clock() - wall)
        tick()
    return samples


def ratio(a: Samples, b: Samples) -> Ratio:
    """CPU time of `a` over `b`: median of the paired ratios; the interval is the median's order-statistic one."""
    ratios = sorted(x / max(y, 1) for x, y in zip(a.cpu, b.cpu, strict=True))
    n = len(ratios)
    reach = 1.96 * math.sqrt(n) / 2  # binomial(n, 1/2), normal approximation
    low, high = max(0, math.floor(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach))
    return Ratio(statistics.median(ratios), ratios[low], ratios[high])
