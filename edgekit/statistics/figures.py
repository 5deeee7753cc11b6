"""A figure with its name and its interval, and what one loses against another."""

from math import hypot

import msgspec

from edgekit.statistics.proportions import Drop, Share


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share, 0 to 1: "top-1", "mIoU", "1-NN", with its 95 % interval. of: images."""

    name: str
    value: float
    low: float
    high: float
    of: int

    @classmethod
    def counted(cls, name: str, share: Share) -> "Figure":
        return cls(name, share.value, share.low, share.high, share.of)


def lost(candidate: Figure, reference: Figure) -> Drop:
    """What the candidate loses, where nothing is known but the two figures: MOVER of Zou and Donner (2008, doi:10.1002/sim.3095)
    for estimates that are independent. Of the same images these are not, so that the interval is wider than it need be."""
    estimate = reference.value - candidate.value
    below = hypot(reference.value - reference.low, candidate.high - candidate.value)
    above = hypot(reference.high - reference.value, candidate.value - candidate.low)
    return Drop(estimate, max(-1.0, estimate - below), min(1.0, estimate + above))
