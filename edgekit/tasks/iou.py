"""Intersection over union: how well masks cover what they should, counted in pixels.

Of each image only sums are kept, per label: `counts` [3, labels] of pixels that are right, that are of the label, that are
called it. Figures of many images are those of the summed counts (Everingham et al., "The PASCAL Visual Object Classes
Challenge: A Retrospective", 2015), so an image weighs as much as what is labelled in it.
"""

import numpy as np
from numpy.typing import NDArray

UNLABELLED = 255  # in a mask of the truth: counts for nothing
Counts = NDArray[np.int64]  # [..., 3, labels]


def counts(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], labels: int) -> Counts:
    """Of two masks [h, w]; every predicted label is below `labels`, and every one of the truth, or UNLABELLED."""
    known = truth != UNLABELLED
    t, p = truth[known], predicted[known]
    return np.stack([np.bincount(part, minlength=labels) for part in (t[t == p], t, p)]).astype(np.int64)


def iou(of: Counts) -> NDArray[np.float64]:
    """Of each label [..., labels]; nan for one that no pixel of the truth has."""
    right, there, called = np.moveaxis(of.astype(np.float64), -2, 0)
    union = there + called - right
    return np.where(there > 0, right / np.maximum(union, 1), np.nan)


def mean_iou(of: Counts) -> NDArray[np.float64]:
    """Over the labels that the truth has [...]; nan where it has none."""
    each = iou(of)
    known = ~np.isnan(each)
    total = np.where(known, each, 0).sum(-1)
    return np.asarray(np.where(known.any(-1), total / np.maximum(known.sum(-1), 1), np.nan))


def pixels_right(of: Counts) -> NDArray[np.float64]:
    """Share of the labelled pixels [...]."""
    return np.asarray(of[..., 0, :].sum(-1) / np.maximum(of[..., 1, :].sum(-1), 1))
