"""Which labels are taken for which, and the mistakes that a file is surest of."""

import csv
import io
from collections.abc import Mapping

import msgspec


class Confusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """counts: (right label, label named first, images), those that are not none, ordered; numbers are of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, labels: tuple[str, ...], first: Mapping[tuple[int, int], int]) -> "Confusion":
        return cls(labels, tuple((right, named, n) for (right, named), n in sorted(first.items()) if n))

    @property
    def totals(self) -> dict[int, int]:
        """How many images there are of each label that has some."""
        found: dict[int, int] = {}
        for right, _, n in self.counts:
            found[right] = found.get(right, 0) + n
        return found

    @property
    def pairs(self) -> list[tuple[int, int, int]]:
        """The mistakes, the most frequent first."""
        return sorted((c for c in self.counts if c[0] != c[1]), key=lambda c: (-c[2], c[0], c[1]))

    @property
    def shown(self) -> list[int]:
        """The labels that an image has, or that are named."""
        return sorted({number for right, named, _ in self.counts for number in (right, named)})

    def csv(self) -> str:
        """A row for each right label, a column for each that is named; all labels."""
        known = {(right, named): n for right, named, n in self.counts}
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["label", *self.labels])
        numbers = range(len(self.labels))
        writer.writerows(
            [self.labels[right], *(known.get((right, named), 0) for named in numbers)] for right in numbers
        )
        return out.getvalue()


class Mistake(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image that is named wrongly. probability: of the label that is named."""

    picture: str
    truth: tuple[str, ...]
    named: str
    probability: float
