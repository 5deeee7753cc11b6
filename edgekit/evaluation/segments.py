"""Segmentation in an evaluation: the pixels of each label are counted, at the size of the mask."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from edgekit.data import Picture
from edgekit.data.decoding import Seen
from edgekit.errors import DataError
from edgekit.evaluation.answers import Key
from edgekit.evaluation.counting import Counting, Found
from edgekit.evaluation.results import Alike, Change, Part, Result, tenths
from edgekit.preprocess import placement
from edgekit.statistics import bootstrap
from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import Drop
from edgekit.tasks import Mask, Segmentation, iou
from edgekit.tasks.likeness import Likeness
from edgekit.tensors import Values

Numbers = tuple[int, ...]


class Pixels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image.

    counts   of each file: pixels that are right, that are of a label, that are called it, one number a label (see tasks/iou);
             empty where there is no mask
    same     share of the pixels that both files call the same, at the size of their answers
    sqnr_db  of the candidate's scores, taking the reference's for the truth; None: equal, or no reference
    """

    position: int
    name: str
    counts: tuple[tuple[Numbers, Numbers, Numbers], ...] = ()
    same: float | None = None
    sqnr_db: float | None = None
    unreadable: str = ""

    def fault(self, key: Key, classes: int) -> str | None:
        if len(self.counts) != (len(key.artifacts) if key.labels else 0):
            return f"counts of {len(self.counts)} files"
        if (self.same is None) != (len(key.artifacts) == 1):
            return "pixels of one file"
        numbers = [row for counts in self.counts for row in counts]
        fits = all(len(row) == classes and all(0 <= n < 1 << 48 for n in row) for row in numbers)
        return None if fits else "counts of other labels"


class Segments(Counting[Pixels]):
    kind = Pixels

    def unread(self, picture: Picture, why: str) -> Pixels:
        return Pixels(picture.position, picture.name, unreadable=why)

    def keep(self, picture: Picture, seen: Seen, values: Sequence[Values]) -> Pixels:
        counts = []
        if seen.mask is not None:
            for asked, answer in zip(self.files, values, strict=True):
                task, spec = asked.artifact.manifest.task, asked.artifact.manifest.preprocess
                mask = task.read(answer, placement(seen.size, spec), spec.input_size)
                assert isinstance(mask, Mask)
                right, there, called = iou.counts(seen.mask, mask.labels, len(self.labels)).tolist()
                counts.append((tuple(right), tuple(there), tuple(called)))
        same = noise = None
        if len(values) > 1:
            task = self.files[0].artifact.manifest.task
            ours, theirs = (tuple(v[None] for v in answer) for answer in values)
            likeness = task.alike(theirs, ours)
            same, decibels = likeness.shares[0], likeness.sqnr_db
            noise = decibels if np.isfinite(decibels) else None
        return Pixels(picture.position, picture.name, tuple(counts), same, noise)

    def count(self, records: Callable[[], Iterable[Pixels]]) -> Found:
        kept = list(records())
        counted = (
            np.array([record.counts for record in kept], np.int64) if self.data.labelled else None
        )  # [n, files, 3, labels]
        if counted is not None and not counted[:, 0, 1].sum():
            raise DataError(
                f"no pixel of the masks is labelled: {self.data.what}", hint="--ignore says what does not count"
            )
        results = () if counted is None else tuple(self._result(i, counted[:, i]) for i in range(len(self.files)))
        change = self._change(kept, counted) if len(self.files) > 1 else None
        return Found(results, change, self._notes(counted))

    def _result(self, which: int, counted: iou.Counts) -> Result:
        figures = [
            Figure(name, *bootstrap.interval(counted, of), len(counted))
            for name, of in (("mIoU", iou.mean_iou), ("pixel accuracy", iou.pixels_right))
        ]
        whole = counted.sum(0)
        parts = tuple(
            Part(label, float(value), int(pixels))
            for label, value, pixels in zip(self.labels, iou.iou(whole), whole[1], strict=True)
            if pixels
        )
        return msgspec.structs.replace(self.result(which, len(counted), figures), parts=parts)

    def _change(self, kept: Sequence[Pixels], counted: iou.Counts | None) -> Change:
        drop = None
        if counted is not None:
            drop = Drop(*bootstrap.interval(counted, lambda sums: iou.mean_iou(sums[:, 1]) - iou.mean_iou(sums[:, 0])))
        ours, theirs = self.files
        task = ours.artifact.manifest.task
        assert isinstance(task, Segmentation)
        shares = tuple(record.same for record in kept if record.same is not None)
        alike = tuple(
            Alike(m.name, m.value) for m in task.measures(Likeness((), shares), ours.artifact.manifest.scheme)
        )
        noise = tenths([record.sqnr_db for record in kept])
        return Change(ours.artifact.name, theirs.artifact.name, len(kept), "mIoU", drop, alike, *noise)

    def _notes(self, counted: iou.Counts | None) -> tuple[str, ...]:
        absent: Sequence[int] = [] if counted is None else np.flatnonzero(counted[:, 0, 1].sum(0) == 0).tolist()
        if not absent:
            return ()
        names = ", ".join(self.labels[i] for i in absent[:5]) + (", ..." if len(absent) > 5 else "")
        return (f"{len(absent)} of {len(self.labels)} labels are in no mask and do not count: {names}",)
