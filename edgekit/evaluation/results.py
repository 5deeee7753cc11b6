"""What an evaluation finds, in terms that every task shares: figures of each file, and what one loses to the other."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import Drop, Verdict


class Undecided(Protocol):
    @property
    def pictures(self) -> int: ...
    def needed(self, max_drop: float) -> int: ...


def what_decides(of: Undecided, max_drop: float) -> str:
    """What to do where images do not decide."""
    more = of.needed(max_drop)
    return f"about {more:,} would" if more > of.pictures else f"the loss is too near to {100 * max_drop:.2f}"


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label: its share of the headline figure. of: images, pixels of masks, or things."""

    label: str
    value: float
    of: int


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file on one set of images. digest: of its manifest, which names every file of it; the first figure is the headline;
    sizes: of detections, that figure of things of one size."""

    artifact: str
    digest: str
    runtime: str
    pictures: int
    figures: tuple[Figure, ...]
    parts: tuple[Part, ...] = ()
    sizes: tuple[Part, ...] = ()

    @property
    def headline(self) -> Figure:
        return self.figures[0]


class Thing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A box that a file shows: x1 y1 x2 y2 in the image's own pixels."""

    label: str
    score: float
    box: tuple[float, ...]


class Apart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image on which two files find different things. f1: how many of both are found by both."""

    position: int
    picture: str
    f1: float
    reference: tuple[Thing, ...]
    candidate: tuple[Thing, ...]


class Alike(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How alike two files answer, by one of the task's measures: "pixels of the worst image"."""

    name: str
    value: float


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate against its reference on the same images.

    figure    the headline
    drop      how much of it is lost, with its 95 % interval; None where nothing says what is right
    alike     answers against answers
    sqnr_db_p10, _p50  of single images' answers, the reference's taken for the truth; None: equal to the last bit
    """

    candidate: str
    reference: str
    pictures: int
    figure: str
    drop: Drop | None
    alike: tuple[Alike, ...] = ()
    sqnr_db_p10: float | None = None
    sqnr_db_p50: float | None = None

    def verdict(self, max_drop: float) -> Verdict:
        """As Drop has it. Without a drop nothing is known."""
        return self.drop.verdict(max_drop) if self.drop else "inconclusive"

    def needed(self, max_drop: float) -> int:
        """About how many images decide: an interval narrows with the square root of their number."""
        assert self.drop
        away = abs(self.drop.estimate - max_drop)
        half = (self.drop.high - self.drop.low) / 2
        return round(self.pictures * (half / away) ** 2) if away else 0


def tenths(decibels: Sequence[float | None]) -> tuple[float | None, float | None]:
    """The 10th and the 50th percentile; None, which is infinite, is above all others."""
    noise = [np.inf if value is None else value for value in decibels]
    if not noise:
        return None, None
    p10, p50 = (float(np.percentile(noise, q, method="lower")) for q in (10, 50))
    return (round(p10, 2) if np.isfinite(p10) else None), (round(p50, 2) if np.isfinite(p50) else None)
