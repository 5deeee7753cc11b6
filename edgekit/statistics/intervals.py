"""Estimates from few, noisy numbers. A launch is the unit: samples of one process are not independent of each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

TRIM = 0.2
P90_SAMPLES, P99_SAMPLES = 64, 662  # below these a percentile is a guess (MLPerf Inference's rule, 99 % confidence)


@dataclass(frozen=True)
class Estimate:
    """Of a log ratio: its 20 % trimmed mean, standard error, and an interval of `level` on each side.

    blur  what the clock cannot tell apart, by which the interval is wider on each side
    """

    value: float
    low: float
    high: float
    error: float
    launches: int
    blur: float = 0.0

    @property
    def detectable(self) -> float:
        """The smallest effect (a log ratio) that this many launches find with 95 % power at a level of 99 %."""
        return (NormalDist().inv_cdf(0.99) + NormalDist().inv_cdf(0.95)) * self.error + self.blur


def estimate(launches: Sequence[float], level: float, blur: float = 0.0) -> Estimate:
    """Yuen's trimmed t interval of log ratios, one per launch; of all of them below five. Wants two at least.

    `level` is one-sided: 0.975 gives the usual 95 % interval. (Wilcox, Introduction to Robust Estimation, 4.3)
    """
    n = len(launches)
    ordered = np.sort(np.asarray(launches, np.float64))
    cut = int(TRIM * n) if n >= 5 else 0
    value = float(ordered[cut : n - cut].mean())
    winsorised = np.clip(ordered, ordered[cut], ordered[n - 1 - cut])
    error = float(winsorised.std(ddof=1)) / ((1 - 2 * cut / n) * math.sqrt(n))
    half = t_quantile(level, n - 2 * cut - 1) * error + blur
    return Estimate(value, value - half, value + half, error, n, blur)


def blur(step_ns: float, *times_ns: float) -> float:
    """How far a log ratio of times can be off for a clock that moves by `step_ns`: infinite for times that are no more than
    a step, or zero."""
    return math.inf if min(times_ns) <= step_ns else sum(step_ns / ns for ns in times_ns)


def t_cdf(t: float, freedom: int) -> float:
    """Student's distribution for whole degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    squared = math.cos(angle) ** 2
    term, total = (math.cos(angle) if freedom % 2 else 1.0), 0.0
    for k in range(freedom % 2 + 1, freedom, 2):
        total += term
        term *= squared * k / (k + 1)
    total *= math.sin(angle)
    return 0.5 + 0.5 * ((angle + total) * 2 / math.pi if freedom % 2 else total)


@cache
def t_quantile(p: float, freedom: int) -> float:
    """The t that t_cdf gives p for, 0.5 <= p < 1. By bisection: scipy would be a heavy thing for one number."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, freedom) < p else (low, middle)
    return (low + high) / 2


def percentiles(samples: Sequence[int]) -> dict[str, float]:
    """p50, and p90 and p99 where there are enough samples to tell."""
    wanted = {"p50": (50, 1), "p90": (90, P90_SAMPLES), "p99": (99, P99_SAMPLES)}
    return {name: float(np.percentile(samples, q)) for name, (q, least) in wanted.items() if len(samples) >= least}
