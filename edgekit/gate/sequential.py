"""The latency test: launch after launch, until the interval leaves the boundary or the budget is spent.

One launch gives one number, the log ratio of CPU times of candidate and baseline, because samples of one process are
not independent of each other. `benchmarks/gate_power.py` measures how often it errs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.bench.statistics import Estimate, estimate
from edgekit.gate import Outcome

LEVEL = 0.995  # one-sided, of every look: there are up to 13
LAUNCHES = range(4, 17)  # the first look, and the last


@dataclass(frozen=True)
class Decision:
    """`decided`: the interval settled it; else the launches or the budget were spent."""

    outcome: Outcome
    estimate: Estimate
    decided: bool


def boundary(slowdown: float, *, detect: bool) -> float:
    """The log ratio that divides pass from fail, for a limit of `slowdown` (0.05 is 5 %).

    At the limit itself, a failure says that it is surely exceeded. Half-way to it, a slowdown as large as the limit is
    found (99 %), and what lies between is a grey zone.
    """
    return math.log1p(slowdown) / (2 if detect else 1)


def decide(
    launch: Callable[[], float],
    slowdown: float,
    *,
    detect: bool = False,
    go_on: Callable[[int], bool] = lambda done: True,
) -> Decision:
    """Call `launch` for log ratios until they decide. `go_on`: whether one more launch may follow so many.

    Where they do not decide, the estimate does: beyond the boundary it fails a candidate that is surely slower at all.
    It passes one only if an effect as large as the limit would have been seen. All else is inconclusive.
    """
    edge = boundary(slowdown, detect=detect)
    seen: list[float] = []
    while True:
        seen.append(launch())
        found = estimate(seen, LEVEL) if len(seen) > 1 else None
        if found and len(seen) >= LAUNCHES.start:
            if found.low > edge:
                return Decision("fail", found, decided=True)
            if found.high < edge:
                return Decision("pass", found, decided=True)
        if found and (len(seen) >= LAUNCHES[-1] or not go_on(len(seen))):
            if found.value > edge and found.low > 0:
                return Decision("fail", found, decided=False)
            seen_it = found.value <= edge and found.detectable <= math.log1p(slowdown)
            return Decision("pass" if seen_it else "inconclusive", found, decided=False)
