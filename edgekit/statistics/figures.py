"""A figure with its name and its interval."""

import msgspec

from edgekit.statistics.proportions import Share


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
