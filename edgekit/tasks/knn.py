"""What an embedding is worth without a classifier: whether the images nearest to one are of its class."""

import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.embedding import unit
from edgekit.tasks.likeness import Floats

ROWS = 1024  # queries at a time


def nearest(queries: Floats, gallery: Floats, k: int) -> NDArray[np.intp]:
    """For each query [n, d] the k rows of a gallery of the same images with the highest cosine, itself left out: [n, k], best
    first, ties by the first."""
    known, found = unit(gallery), []
    for first in range(0, len(queries), ROWS):
        near = unit(queries[first : first + ROWS]) @ known.T
        rows = np.arange(len(near))
        near[rows, first + rows] = -2
        found.append(np.argsort(-near, axis=1, kind="stable")[:, :k])
    return np.concatenate(found)


def named(near: NDArray[np.intp], classes: NDArray[np.intp]) -> NDArray[np.intp]:
    """The class of most of a query's neighbours [n, k]; of as many, that of the nearest: [n]."""
    votes = classes[near]
    counted = (votes[:, :, None] == votes[:, None, :]).sum(-1)  # how many share a neighbour's class
    return np.asarray(votes[np.arange(len(votes)), counted.argmax(1)])
