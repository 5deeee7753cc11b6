"""Intervals of figures that are no share of images, by drawing the images again (Efron 1979): percentiles of the draws."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 2000
CHUNK = 100  # rounds that are counted at once
Sums = NDArray[Any]
Times = NDArray[np.float64]  # [rounds, images]: how often each is drawn
Of = Callable[[Sums], NDArray[np.float64]]
Interval = tuple[float, float, float]  # of all images, and from where to where


def interval(
    pictures: NDArray[Any], figure: Of, *, level: float = 0.95, rounds: int = ROUNDS, seed: int = 0
) -> Interval:
    """The figure of all images, and its interval.

    pictures  [n, ...], what each adds to a sum
    figure    sums [rounds, ...] to a number each [rounds]; draws of which it is nan do not count
    """
    flat = pictures.reshape(len(pictures), -1).astype(np.float64)

    def of(times: Times) -> NDArray[np.float64]:
        return figure((times @ flat).reshape(-1, *pictures.shape[1:]))[:, None]

    value = float(figure(pictures.sum(0, keepdims=True))[0])
    _, low, high = intervals(len(pictures), of, level=level, rounds=rounds, seed=seed)[0]
    return (value, value, value) if np.isnan(low) else (value, low, high)


def intervals(
    pictures: int,
    figures: Callable[[Times], NDArray[np.float64]],
    *,
    level: float = 0.95,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> list[Interval]:
    """Of figures that are no function of sums, from the same draws: how often each image counts to numbers [rounds, figures].

    Draws of which a figure is nan do not count; where all are, its interval is nan.
    """
    rng, drawn = np.random.default_rng(seed), []
    for first in range(0, rounds, CHUNK):
        # as many images as there are, with replacement: how often each is in a draw is multinomial
        times = rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=min(CHUNK, rounds - first))
        drawn.append(figures(times.astype(np.float64)))
    values = figures(np.ones((1, pictures)))[0]
    percent = [50 * (1 - level), 50 * (1 + level)]
    return [(float(v), *_ends(of, percent)) for v, of in zip(values, np.concatenate(drawn).T, strict=True)]


def _ends(drawn: NDArray[np.float64], percent: list[float]) -> tuple[float, float]:
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, percent) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
