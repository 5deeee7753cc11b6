"""Intervals of figures that are no share of pictures, by drawing the pictures again (Efron 1979): percentiles of the draws."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2000
CHUNK = 100  # rounds that are summed at once
Sums = NDArray[Any]
Of = Callable[[Sums], NDArray[np.float64]]


def interval(
    pictures: NDArray[Any], figure: Of, *, level: float = 0.95, rounds: int = ROUNDS, seed: int = 0
) -> tuple[float, float, float]:
    """The figure of all pictures, and its interval.

    pictures  [n, ...], what each adds to a sum
    figure    sums [rounds, ...] to a number each [rounds]; draws of which it is nan do not count
    """
    value = float(figure(pictures.sum(0, keepdims=True))[0])
    drawn = np.concatenate([figure(sums) for sums in _draws(pictures, rounds, seed)])
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return value, value, value
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return value, float(low), float(high)


def _draws(pictures: NDArray[Any], rounds: int, seed: int) -> "list[Sums]":
    """Sums of as many pictures as there are, drawn with replacement: how often each is in a draw is multinomial."""
    rng, n = np.random.default_rng(seed), len(pictures)
    flat = pictures.reshape(n, -1).astype(np.float64)
    sums = []
    for first in range(0, rounds, CHUNK):
        times = rng.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, rounds - first))
        sums.append((times @ flat).reshape(-1, *pictures.shape[1:]))
    return sums
