"""Boxes x1 y1 x2 y2: how much two overlap, and which of several around one thing are kept."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.preprocess import Placement

Float = TypeVar("Float", np.float32, np.float64)
TINY = 1e-9  # an area that divides, at least


@dataclass(frozen=True)
class Boxes:
    """What was found on an image, best first: boxes float32 [k, 4], scores float32 [k], numbers of labels int64 [k]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def above(self, threshold: float) -> "Boxes":
        """Those of a score from `threshold` on."""
        shown = self.scores >= np.float32(threshold)
        return Boxes(self.boxes[shown], self.scores[shown], self.labels[shown])

    def back(self, at: Placement) -> "Boxes":
        """From the input's pixels to the image's own, where they end at its edges. In float64, then rounded to float32."""
        corners = at.back(self.boxes.reshape(-1, 2, 2).astype(np.float64)).clip(0, np.asarray(at.size, np.float64))
        return Boxes(corners.reshape(-1, 4).astype(np.float32), self.scores, self.labels)


def areas(boxes: NDArray[Float]) -> NDArray[Float]:
    """Of boxes [..., 4] in their own type."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def shared(a: NDArray[Float], b: NDArray[Float]) -> NDArray[Float]:
    """The area that each box of a [n, 4] shares with each of b [m, 4]: [n, m], in their own type."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0))


def overlaps(a: NDArray[Float], b: NDArray[Float]) -> NDArray[Float]:
    """Intersection over union of each box of a [n, 4] with each of b [m, 4]: [n, m], each operation in their own type."""
    both = shared(a, b)
    return np.asarray(both / np.maximum(areas(a)[:, None] + areas(b)[None] - both, a.dtype.type(TINY)))


def kept(boxes: NDArray[np.float32], labels: NDArray[np.int64], iou: float) -> NDArray[np.bool_]:
    """Of boxes [k, 4], best first, those that overlap no kept one before them of the same label by more than `iou`.

    Greedy, label by label (Felzenszwalb et al. 2010), in float32. Another language follows it to the bit.
    """
    keep = np.ones(len(boxes), bool)
    order = np.argsort(labels, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        with np.errstate(all="ignore"):  # what overflows overlaps nothing
            over = np.triu(overlaps(boxes[rows], boxes[rows]) > np.float32(iou), 1)
        for i in np.flatnonzero(over.any(1)):
            if keep[rows[i]]:
                keep[rows[over[i]]] = False
    return keep
