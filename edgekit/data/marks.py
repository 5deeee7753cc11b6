"""What readers of boxes find on images, before their names of classes mean anything."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError

Reals = NDArray[np.float64]
SLACK = 1.5  # pixels that a box may lie outside, from rounding; as a share SLACK_SHARE
SLACK_SHARE = 0.005
LONGEST = 1e6  # pixels of an image's side, or of a corner, that somebody may mean
MEND = "mend it, or leave the image out"
Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Marks:
    """The boxes of one image.

    file   below the folder of the data set
    boxes  float64 [k, 4], x1 y1 x2 y2 in pixels of the image; shares of it, where they are said as such
    names  of the k classes
    crowd  bool [k]; area: float64 [k] in pixels, nan where it is that of the box
    size   of the image that they were drawn on, (width, height), where that is said
    """

    file: Path
    boxes: Reals
    names: tuple[str, ...]
    crowd: NDArray[np.bool_]
    area: Reals
    size: Size | None = None
    shares: bool = False

    @classmethod
    def of(cls, file: Path, rows: Sequence[tuple[Sequence[float], str]], **more: Any) -> "Marks":
        """Of corners and names; `crowd`, `area`, `size` and `shares` may be said too."""
        boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
        crowd = np.array(more.pop("crowd", [False] * len(rows)), bool)
        area = np.array(more.pop("area", [np.nan] * len(rows)), np.float64)
        return cls(file, boxes, tuple(name for _, name in rows), crowd, area, **more)

    def fault(self, size: Size | None) -> str | None:
        """What is wrong with the boxes on an image of a size, in words; None: the size is not known."""
        if not np.isfinite(self.boxes).all():
            return "a box that is not of numbers"
        turned = (self.boxes[:, 2:] < self.boxes[:, :2]).any(1)
        if turned.any():
            return f"a box that ends before it begins: {_words(self.boxes[turned][0])}"
        if (below := self.area < 0).any():
            return f"a box around a thing of {self.area[below][0]:g} pixels"
        if size is None and not self.shares:
            return None
        limit, slack = ((1, 1), SLACK_SHARE) if self.shares else (size, SLACK)
        outside = ((self.boxes < -slack) | (self.boxes > np.tile(np.asarray(limit, np.float64), 2) + slack)).any(1)
        if outside.any():
            of = "of which 1 is the whole" if self.shares else "{} x {} pixels".format(*limit or ())
            return f"a box outside the image ({of}): {_words(self.boxes[outside][0])}"
        return None


def _words(box: Reals) -> str:
    return " ".join(f"{corner:.5g}" for corner in box)


@dataclass(frozen=True)
class Boxed:
    """A data set of boxes, or a split of it.

    kind   in words: "COCO JSON"
    root   the folder below which the files are
    said   of the files that hold the boxes, names and content: a change of these is a change of the data
    names  of all classes that the data set knows, in its own order; () where only numbers are known
    notes  what a user should be told
    """

    kind: str
    root: Path
    marks: tuple[Marks, ...]
    said: str
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def checked(boxed: Boxed) -> Boxed:
    """Raises DataError for boxes that cannot be, as far as the size of their image is said."""
    for marks in boxed.marks:
        if fault := marks.fault(marks.size):
            in_pixels = marks.shares and (marks.boxes > 2).any()
            raise DataError(
                f"{marks.file.as_posix()} has {fault}",
                hint="shares of the image's sides, 0 to 1, not pixels" if in_pixels else MEND,
            )
    return boxed
