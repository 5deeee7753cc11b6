"""Where a series of figures changes its level, and how: in a step, or little by little.

A gate compares a file with the one before it, and cannot see what stays below its limit time after time. The series can:
it is divided into stretches of one mean by optimal partitioning (Jackson et al. 2005, "An algorithm for optimal
partitioning of data on an interval"; the search that PELT, Killick et al. 2012, makes faster), where a change must pay for
itself against the noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.statistics.intervals import t_quantile

Numbers = NDArray[np.float64]

LEVEL = 0.01  # chance of a change that is none, shared among all the places where one could be
JUDGED = 8  # sessions of times before anything is said: of fewer the noise itself is not known
STRETCH = 2  # sessions of times that a level takes: one alone is an accident
MOST_FREEDOM = 120  # from here on Student's distribution is nearly normal
COUNT_NOISE = 1e-4  # log ratio: what another number of warm-up inferences changes a count of instructions by


@dataclass(frozen=True)
class Change:
    """From one level to another. Positions count from 0.

    first, last  positions of the first session that is not at the old level, and of the first at the new one
    percent      how much more (or less) the new level is
    low, high    its 95 % interval; None of a drift, whose ends are not sharp
    """

    kind: Literal["step", "drift"]
    first: int
    last: int
    percent: float
    low: float | None = None
    high: float | None = None


def changes(logs: Sequence[float], errors: Sequence[float] | None, least: float) -> list[Change]:
    """The changes of at least `least` percent in a series of log ratios, oldest first.

    errors  standard errors of the figures; None: counts, which are exact up to COUNT_NOISE
    """
    values = np.asarray(logs, np.float64)
    if len(values) < (2 if errors is None else JUDGED):
        return []
    noise = COUNT_NOISE if errors is None else _noise(values, errors)
    if errors is not None:
        values = _without_accidents(values, noise)
    tests = len(values) ** 2  # a change could begin anywhere, and somebody looks after every session
    beyond = t_quantile(1 - LEVEL / tests, min(2 * len(values), MOST_FREEDOM))
    cuts = _partition(values / noise, beyond**2, 1 if errors is None else STRETCH)
    return [
        change
        for change in (_change(values, group, noise) for group in _same_way(values, cuts))
        if abs(change.percent) >= least
    ]


def _noise(values: Numbers, errors: Sequence[float]) -> float:
    """The standard deviation of a figure: what its launches say, or what neighbours differ by, if that is more.

    Between days a machine strays further than within one. The median of the differences hides neither a step nor a drift.
    """
    said = math.sqrt(float(np.mean(np.square(errors))))
    steps = np.diff(values)
    strays = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / math.sqrt(2)
    return max(said, strays, COUNT_NOISE)


def _without_accidents(values: Numbers, noise: float) -> Numbers:
    """With what one session alone says, beyond 3 standard deviations of both its neighbours, cut off there."""
    beside = np.stack([np.append(values[1], values[:-1]), np.append(values[1:], values[-2])])
    return np.clip(values, beside.min(0) - 3 * noise, beside.max(0) + 3 * noise)


def _partition(values: Numbers, penalty: float, stretch: int) -> list[int]:
    """The starts of all stretches but the first: the least sum of squares about the means, plus `penalty` for each."""
    n = len(values)
    values = values - values.mean()  # sums of squares lose no digits
    sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (values, values**2))
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    before = np.zeros(n + 1, np.int64)
    for end in range(stretch, n + 1):
        starts = np.arange(end - stretch + 1)
        apart = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts)
        totals = best[starts] + apart
        before[end] = np.argmin(totals)
        best[end] = totals[before[end]] + penalty
    cuts, at = [], int(before[n])
    while at:
        cuts.append(at)
        at = int(before[at])
    return cuts[::-1]


def _same_way(values: Numbers, cuts: Sequence[int]) -> list[list[int]]:
    """Groups of neighbouring stretches whose levels all rise or all fall, as [start, cut, ..., end]."""
    bounds = [0, *cuts, len(values)]
    means = [float(values[a:b].mean()) for a, b in pairwise(bounds)]
    groups: list[list[int]] = []
    up: bool | None = None
    for n, (then, now) in enumerate(pairwise(means), 1):
        if up is (now > then):
            groups[-1].append(bounds[n + 1])
        else:
            groups.append(bounds[n - 1 : n + 2])
        up = now > then
    return groups


def _change(values: Numbers, group: list[int], noise: float) -> Change:
    """One step, where two levels describe it better than a straight line; else a drift."""
    start, cut, *_, end = group
    old, new = values[start:cut], values[group[-2] : end]
    gained = float(new.mean() - old.mean())
    if len(group) > 3:
        return Change("drift", cut, group[-2], 100 * math.expm1(gained))
    places = np.arange(start, end)
    line = np.polynomial.Polynomial.fit(places, values[start:end], 1)(places)
    if np.sum((values[start:end] - line) ** 2) < np.sum((old - old.mean()) ** 2) + np.sum((new - new.mean()) ** 2):
        return Change("drift", start + 1, end - 1, 100 * math.expm1(float(line[-1] - line[0])))
    half = 1.96 * noise * math.sqrt(1 / len(old) + 1 / len(new))
    low, percent, high = (100 * math.expm1(gained + side * half) for side in (-1, 0, 1))
    return Change("step", cut, cut, percent, low, high)
