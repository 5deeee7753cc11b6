"""The rule of every check that rests on launches: undecided unless the whole interval lies on one side of the limit.

One launch gives one number, the log ratio of candidate and baseline, because samples of one process are not independent
of each other. Launches are added until the interval leaves the limit or the budget is spent; the interval that is shown is
the one that decided. `benchmarks/gate_power.py` measures how often it errs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.statistics.intervals import Estimate, estimate

LEVEL = 0.99  # one-sided, of every look
LAUNCHES = range(4, 33)  # the first look, and the last
Ruling = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Decision:
    outcome: Ruling
    estimate: Estimate

    @property
    def decided(self) -> bool:
        return self.outcome != "inconclusive"


def rule(low: float, high: float, limit: float) -> Ruling:
    """`fail` where the whole interval lies above the limit, `pass` where it lies below; all else is not decided."""
    return "fail" if low > limit else "pass" if high < limit else "inconclusive"


def boundary(slowdown: float, *, detect: bool) -> float:
    """The log ratio that divides pass from fail, for a limit of `slowdown` (0.05 is 5 %).

    At the limit itself, a failure says that it is surely exceeded. Half-way to it, a slowdown as large as the limit is
    found, and an unchanged file still passes.
    """
    return math.log1p(slowdown / 2 if detect else slowdown)


def look(logs: Sequence[float], limit: float, blur: float = 0.0) -> Decision:
    """At two launches or more; fewer than LAUNCHES.start decide nothing. `limit`: a log ratio; `blur`: as Estimate has it."""
    found = estimate(logs, LEVEL, blur)
    return Decision(rule(found.low, found.high, limit) if len(logs) >= LAUNCHES.start else "inconclusive", found)


def decide(
    launch: Callable[[], float],
    limit: float,
    *,
    go_on: Callable[[int], bool] = lambda done: True,
    blur: Callable[[], float] = lambda: 0.0,
) -> Decision:
    """Call `launch` for log ratios until they decide. `go_on`: whether one more launch may follow so many."""
    logs = [launch(), launch()]
    while True:
        found = look(logs, limit, blur())
        spent = len(logs) >= LAUNCHES[-1] or not go_on(len(logs))
        if found.decided or spent or math.isinf(found.estimate.blur):
            return found
        logs.append(launch())
