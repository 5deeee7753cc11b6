"""How far two files find the same things, the first taken for the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.average_precision import Matched, Objects, average_precision, match, mean
from edgekit.tasks.boxes import Boxes, overlaps
from edgekit.tensors import Values

CLOSE = 1e-3  # of the largest box and of the largest score: rows that lie so near are of one query
QUERIES = 1000  # that can have changed places: networks have 100 to 900
SAME = 0.5  # intersection over union from which on two boxes of one label are of one thing


@dataclass(frozen=True)
class Agreement:
    """On one image.

    reference, found  boxes that the one and the other show; both: pairs of these around one thing
    overlap           of these pairs, summed
    matched           all that was found, held against the reference, for an average precision
    """

    reference: int
    found: int
    both: int
    overlap: float
    matched: Matched

    @property
    def f1(self) -> float:
        shown = self.reference + self.found
        return 2 * self.both / shown if shown else 1.0


def agree(reference: Boxes, found: Boxes, threshold: float) -> Agreement:
    """reference: what it shows; found: by the other, also of lower scores than the `threshold` from which on it shows boxes."""
    truth = Objects.of(reference.boxes.astype(np.float64), reference.labels)
    matched = match(found.boxes.astype(np.float64), found.scores, found.labels, truth)
    shown = found.above(threshold)
    pairs = paired(reference, shown)
    return Agreement(len(reference), len(shown), len(pairs), sum(overlap for _, _, overlap in pairs), matched)


def paired(a: Boxes, b: Boxes) -> list[tuple[int, int, float]]:
    """Boxes of one label that overlap by SAME at least, each in one pair at most, those that overlap most first."""
    with np.errstate(all="ignore"):
        near = np.where(a.labels[:, None] == b.labels[None], overlaps(a.boxes, b.boxes), 0)
    rows, columns = np.nonzero(near >= SAME)
    free_a, free_b, pairs = np.ones(len(a), bool), np.ones(len(b), bool), []
    for at in np.argsort(-near[rows, columns], kind="stable"):
        i, j = int(rows[at]), int(columns[at])
        if free_a[i] and free_b[j]:
            free_a[i] = free_b[j] = False
            pairs.append((i, j, float(near[i, j])))
    return pairs


def around(truth: Objects, found: Boxes) -> list[tuple[int, int]]:
    """The label of each thing that is no crowd, and that of the best box around it, whatever it is called; others are left out."""
    if not len(found):
        return []
    same = (overlaps(truth.boxes, found.boxes.astype(np.float64)) >= SAME) & ~truth.crowd[:, None]
    rows = np.flatnonzero(same.any(1))
    return list(zip(truth.labels[rows].tolist(), found.labels[same[rows].argmax(1)].tolist(), strict=True))


def together(agreements: Sequence[Agreement]) -> tuple[float, float, float]:
    """Of some images: the mAP against the reference, F1, and the mean overlap of pairs; 1 where neither finds anything."""
    both, shown = sum(a.both for a in agreements), sum(a.reference + a.found for a in agreements)
    if not shown:
        return 1.0, 1.0, 1.0
    precision = float(mean(average_precision([a.matched for a in agreements]))[0])
    overlap = sum(a.overlap for a in agreements) / max(both, 1)
    return 0.0 if np.isnan(precision) else precision, 2 * both / shown, overlap


def in_order_of(reference: Values, values: Values) -> Values:
    """Boxes and scores of queries [n, a, ...], in the order of the reference's.

    Such a network keeps the queries of the highest scores: of two that are all but alike, one file puts the one first, one the
    other. A row says nothing by its place, so rows that lie apart are paired with those nearest to them; unless that brings
    nothing.
    """
    pictures = zip(zip(*reference, strict=True), zip(*values, strict=True), strict=True)
    orders = [_order(ours, theirs) for ours, theirs in pictures]
    return tuple(np.stack([a[order] for a, order in zip(of, orders, strict=True)]) for of in values)


def _order(reference: Values, values: Values) -> NDArray[np.intp]:
    """Of one image's rows, [a]."""
    largest = [max(float(np.abs(of).max(initial=0)), 1e-12) for of in reference]
    ours, theirs = (
        np.concatenate([a / most for a, most in zip(of, largest, strict=True)], 1) for of in (reference, values)
    )
    as_it_is = np.arange(len(ours))
    with np.errstate(all="ignore"):
        apart = np.flatnonzero(np.abs(ours - theirs).max(1) > CLOSE)
        if not 1 < len(apart) <= QUERIES:
            return as_it_is
        order, free = as_it_is.copy(), np.ones(len(apart), bool)
        for place in apart:
            distances = np.square(theirs[apart] - ours[place]).sum(1)
            nearest = int(np.argmin(np.where(free, distances, np.inf)))
            order[place], free[nearest] = apart[nearest], False
        nearer = np.square(theirs[order] - ours).sum() < np.square(theirs - ours).sum()
    return order if nearer else as_it_is
