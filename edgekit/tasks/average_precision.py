"""COCO's average precision: how well boxes that are found cover those that are there.

As pycocotools counts it (Lin et al., "Microsoft COCO", 2014): ten overlaps from 0.5 to 0.95, the precision at 101 recalls, boxes
around crowds and of other sizes than asked ignored, 100 boxes of a label and image at most. Of each image only is kept which
of its boxes hit, so that figures of any draw of images are sums over what was kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.boxes import areas, overlaps, shared

Reals = NDArray[np.float64]
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100  # boxes of a label and image
MISSED, HIT, IGNORED = 0, 1, 2
SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
WHOLE = ("all",)


@dataclass(frozen=True)
class Objects:
    """What is on an image.

    boxes  float64 [t, 4], labels int64 [t]
    crowd  bool [t]: around many things of a kind, and no box that is found there counts
    area   float64 [t] in pixels, by which things are small or large: of the thing itself, where that is known
    """

    boxes: Reals
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    area: Reals

    @classmethod
    def of(cls, boxes: Reals, labels: NDArray[np.int64]) -> "Objects":
        return cls(boxes, labels, np.zeros(len(labels), bool), areas(boxes))


@dataclass(frozen=True)
class Matched:
    """Of one image.

    scores   float32 [k], labels int64 [k]: of boxes that were found, by label and then best first
    states   uint8 [sizes, 10, k]: whether a box hits at each of IOUS, misses, or does not count
    there    int64 [t]: labels of the boxes that are there; counts: bool [sizes, t], which of them are to be found
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    states: NDArray[np.uint8]
    there: NDArray[np.int64]
    counts: NDArray[np.bool_]


def match(
    boxes: Reals,
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    truth: Objects,
    sizes: Sequence[str] = WHOLE,
) -> Matched:
    """Hold boxes [k, 4] that were found on an image against what is there, for things of each of `sizes`."""
    order = np.lexsort((-scores, labels))  # stable: of equal scores the first
    first = np.searchsorted(labels[order], labels[order])
    order = order[np.arange(len(order)) - first < MOST]
    boxes, scores, labels = boxes[order], scores[order], labels[order]
    limits = np.array([SIZES[name] for name in sizes])
    counts = _within(truth.area, limits) & ~truth.crowd
    states = np.where(_within(areas(boxes), limits), MISSED, IGNORED)[:, None].repeat(len(IOUS), 1).astype(np.uint8)
    for label in np.intersect1d(labels, truth.labels):
        mine, there = np.flatnonzero(labels == label), np.flatnonzero(truth.labels == label)
        overlap = _overlaps(boxes[mine], truth.boxes[there], truth.crowd[there])
        _assign(states, mine, overlap, truth.crowd[there], counts[:, there])
    return Matched(scores, labels, states, truth.labels, counts)


def _within(area: Reals, limits: Reals) -> NDArray[np.bool_]:
    """[sizes, n]."""
    return np.asarray((area >= limits[:, :1]) & (area <= limits[:, 1:]))


def _overlaps(boxes: Reals, there: Reals, crowd: NDArray[np.bool_]) -> Reals:
    """[k, t]; with a crowd, the share of the box that lies in it."""
    inside = shared(boxes, there) / np.maximum(areas(boxes)[:, None], 1e-9)
    return np.where(crowd, inside, overlaps(boxes, there))


def _assign(
    states: NDArray[np.uint8],
    mine: NDArray[np.intp],
    overlap: Reals,
    crowd: NDArray[np.bool_],
    counts: NDArray[np.bool_],
) -> None:
    """Give each box of one label, best first, the one that is there and free and that it overlaps most: one that counts
    before one that does not, the last of equal ones. A crowd is always free."""
    free = np.ones((len(states), len(IOUS), overlap.shape[1]), bool)
    least = np.minimum(IOUS, 1 - 1e-10)
    for row, near in zip(mine, overlap, strict=True):
        if near.max() < IOUS[0]:
            continue
        fits = (free | crowd) & (near >= least[:, None])
        worth = np.where(fits, near + 2 * counts[:, None], -1)
        best = overlap.shape[1] - 1 - worth[..., ::-1].argmax(-1)
        size, iou = np.nonzero(fits.any(-1))
        taken = best[size, iou]
        free[size, iou, taken] = False
        states[size, iou, row] = np.where(counts[size, taken], HIT, IGNORED)


def average_precision(
    pictures: Sequence[Matched], labels: int | None = None, times: Reals | None = None, size: int = 0
) -> Reals:
    """Of each label at each of IOUS: [draws, labels, 10]; nan for a label that no image shows.

    labels  how many there are; left out, up to the highest that is there
    times   [draws, images]: how often an image counts; left out: each once
    size    which of the sizes that `match` was asked for
    """
    if times is None:
        times = np.ones((1, len(pictures)))
    there = [m.there[m.counts[size]] for m in pictures]
    found = np.concatenate([m.labels for m in pictures])
    owner = np.repeat(np.arange(len(pictures)), [len(m.labels) for m in pictures])
    scores = np.concatenate([m.scores for m in pictures])
    states = np.concatenate([m.states[size] for m in pictures], axis=1)  # [10, k]
    known = np.unique(np.concatenate(there))
    result = np.full((len(times), int(known.max(initial=-1)) + 1 if labels is None else labels, len(IOUS)), np.nan)
    for label in known:
        mine = np.flatnonzero(found == label)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        wanted = times @ np.array([(of == label).sum() for of in there], np.float64)
        result[:, label] = _of_label(states[:, mine], times[:, owner[mine]], wanted)
    return result


def _of_label(states: NDArray[np.uint8], times: Reals, wanted: Reals) -> Reals:
    """[draws, 10]. states: [10, k], best first; times: [draws, k]; wanted: [draws], how many things there are."""
    result = np.empty((len(times), len(IOUS)))
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = None if (states == IGNORED).any() else times.cumsum(1)
        for at, state in enumerate(states):
            hits = np.flatnonzero(state == HIT)
            tried = (times * (state != IGNORED)).cumsum(1) if whole is None else whole
            right = times[:, hits].cumsum(1)
            precision = right / np.maximum(tried[:, hits], 1e-9)
            best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]  # of this recall and every higher one
            reached = np.searchsorted(RECALLS, right / wanted[:, None], "right")
            steps = np.diff(reached, axis=1, prepend=0)
            result[:, at] = (best * steps).sum(1) / len(RECALLS)
    return np.where(wanted[:, None] > 0, result, np.nan)


def mean(precision: Reals, iou: int | None = None) -> Reals:
    """Over labels and overlaps, or at one of IOUS: [draws]; nan where nothing is there to be found."""
    each = precision.mean(2) if iou is None else precision[..., iou]
    known = ~np.isnan(each)
    total = np.where(known, each, 0).sum(-1)
    return np.asarray(np.where(known.any(-1), total / np.maximum(known.sum(-1), 1), np.nan))
