"""Detection in an evaluation: boxes that were found are held against those that are there, as COCO counts it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.data import Picture
from edgekit.data.decoding import Seen
from edgekit.errors import DataError
from edgekit.evaluation.answers import Key
from edgekit.evaluation.counting import Counting, Found
from edgekit.evaluation.label_check import exchanged
from edgekit.evaluation.results import Alike, Apart, Change, Part, Result, Thing, tenths
from edgekit.preprocess import placement
from edgekit.statistics import bootstrap
from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import Drop
from edgekit.tasks import Boxes, Detection
from edgekit.tasks.agreeing import Agreement, agree, around
from edgekit.tasks.average_precision import SIZES, Matched, Objects, average_precision, match, mean
from edgekit.tasks.detection import FLOOR
from edgekit.tasks.likeness import Likeness, noise
from edgekit.tensors import Values

FOUND, THERE = "<f4", "<f8"  # six numbers a box, and seven: x1 y1 x2 y2, then score and label, or label, crowd and area
WORK = 4e8  # boxes times draws of images: what is many is drawn less often
LEAST = 200
MOST = 60  # images that are listed as answered differently
NAMES = ("mAP", "AP50")


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image, in its own pixels.

    found    of each file, float32 [k, 6], best first: also what is below the score from which on it is shown
    there    float64 [t, 7]; None: nothing says what is there
    sqnr_db  of the candidate's boxes and scores, taking the reference's for the truth; None: equal, or no reference
    """

    position: int
    name: str
    found: tuple[bytes, ...] = ()
    there: bytes | None = None
    sqnr_db: float | None = None
    unreadable: str = ""

    def fault(self, key: Key, classes: int) -> str | None:
        if len(self.found) != len(key.artifacts):
            return f"boxes of {len(self.found)} files"
        if (self.there is None) == key.labels:
            return "no labels" if key.labels else "labels"
        numbers = [(found, FOUND, 6, 5) for found in self.found] + [(self.there or b"", THERE, 7, 4)]
        return None if all(_are_boxes(*of, classes) for of in numbers) else "boxes that are none"

    def boxes(self, which: int) -> Boxes:
        numbers = np.frombuffer(self.found[which], FOUND).reshape(-1, 6)
        return Boxes(numbers[:, :4], numbers[:, 4], numbers[:, 5].astype(np.int64))

    @property
    def objects(self) -> Objects:
        numbers = np.frombuffer(self.there or b"", THERE).reshape(-1, 7)
        return Objects(numbers[:, :4], numbers[:, 4].astype(np.int64), numbers[:, 5] > 0, numbers[:, 6])


def _are_boxes(blob: bytes, kind: str, columns: int, label: int, classes: int) -> bool:
    if len(blob) % (columns * int(kind[-1])):
        return False
    numbers = np.frombuffer(blob, kind).reshape(-1, columns)
    named = numbers[:, label]
    return bool(np.isfinite(numbers).all() and ((named >= 0) & (named < classes) & (named % 1 == 0)).all())


class Detections(Counting[Kept]):
    kind = Kept

    def unread(self, picture: Picture, why: str) -> Kept:
        return Kept(picture.position, picture.name, unreadable=why)

    def keep(self, picture: Picture, seen: Seen, values: Sequence[Values]) -> Kept:
        found = []
        for asked, answer in zip(self.files, values, strict=True):
            task, at = asked.artifact.manifest.task, placement(seen.size, asked.artifact.manifest.preprocess)
            assert isinstance(task, Detection)
            boxes = task.found(answer, FLOOR).back(at)
            found.append(np.column_stack([boxes.boxes, boxes.scores, boxes.labels]).astype(FOUND).tobytes())
        there = None
        if (objects := seen.objects) is not None:
            numbers = np.column_stack([objects.boxes, objects.labels, objects.crowd, objects.area])
            there = numbers.astype(THERE).tobytes()
        decibels = np.inf
        if len(values) > 1:
            assert isinstance(task, Detection)
            ours, theirs = (tuple(output[None] for output in of) for of in values)
            decibels = Likeness(noise(theirs, task.in_order(theirs, ours))).sqnr_db
        return Kept(picture.position, picture.name, tuple(found), there, decibels if np.isfinite(decibels) else None)

    def count(self, records: Callable[[], Iterable[Kept]]) -> Found:
        kept = list(records())
        if not self.data.labelled:
            return self._found(kept, (), None)
        matched = [[_matched(record, which) for record in kept] for which in range(len(self.files))]
        if not any(m.counts[0].any() for m in matched[0]):
            raise DataError(f"nothing is there to be found on the {self.data.what}", hint="other --data")

        def figures(times: bootstrap.Times) -> NDArray[np.float64]:
            """[draws, 2 for each file, and what the first loses]."""
            of = [average_precision(m, len(self.labels), times) for m in matched]
            each = [mean(precision, iou) for precision in of for iou in (None, 0)]
            return np.stack([*each, each[2] - each[0]] if len(of) > 1 else each, axis=1)

        boxes = sum(len(m.labels) for of in matched for m in of)
        rounds = int(np.clip(WORK / max(boxes, 1), LEAST, bootstrap.ROUNDS))
        said = bootstrap.intervals(len(kept), figures, rounds=rounds)
        results = tuple(self._result(i, said[2 * i : 2 * i + 2], of) for i, of in enumerate(matched))
        found = self._found(kept, results, Drop(*said[-1]) if len(self.files) > 1 else None)
        return replace(found, suspicion=self._suspicion(kept))

    def _suspicion(self, kept: Sequence[Kept]) -> str | None:
        """Why the labels of the boxes seem to mean others than the model's, by what is found where something is."""
        task = self.files[0].artifact.manifest.task
        assert isinstance(task, Detection)
        called = Counter(pair for r in kept for pair in around(r.objects, r.boxes(0).above(task.threshold)))
        right = sum(count for (meant, named), count in called.items() if meant == named)
        return exchanged(called, right, self.labels, " of the boxes that are found")

    def _result(self, which: int, said: Sequence[bootstrap.Interval], matched: Sequence[Matched]) -> Result:
        figures = [Figure(name, *interval, len(matched)) for name, interval in zip(NAMES, said, strict=True)]
        precision = average_precision(matched, len(self.labels))[0].mean(-1)
        there = np.concatenate([m.there[m.counts[0]] for m in matched])
        parts = tuple(
            Part(label, float(value), int((there == number).sum()))
            for number, (label, value) in enumerate(zip(self.labels, precision, strict=True))
            if not np.isnan(value)
        )
        sizes = tuple(
            Part(name, float(mean(average_precision(matched, size=i))[0]), many)
            for i, name in enumerate(SIZES)
            if i and (many := sum(int(m.counts[i].sum()) for m in matched))
        )
        return msgspec.structs.replace(self.result(which, len(matched), figures), parts=parts, sizes=sizes)

    def _found(self, kept: Sequence[Kept], results: tuple[Result, ...], drop: Drop | None) -> Found:
        if len(self.files) < 2:
            return Found(results)
        ours, theirs = self.files
        task = ours.artifact.manifest.task
        assert isinstance(task, Detection)
        agreements = [agree(r.boxes(1).above(task.threshold), r.boxes(0), task.threshold) for r in kept]
        likeness = Likeness((), agreements=tuple(agreements))
        alike = tuple(Alike(m.name, m.value) for m in task.measures(likeness, ours.artifact.manifest.scheme))
        noisy = tenths([record.sqnr_db for record in kept])
        change = Change(ours.artifact.name, theirs.artifact.name, len(kept), NAMES[0], drop, alike, *noisy)
        return Found(results, change, apart=self._apart(kept, agreements, task.threshold))

    def _apart(self, kept: Sequence[Kept], agreements: Sequence[Agreement], threshold: float) -> tuple[Apart, ...]:
        """The images on which the two agree least."""
        order = sorted((a.f1, i) for i, a in enumerate(agreements) if a.both < max(a.reference, a.found))
        return tuple(
            Apart(
                kept[i].position, kept[i].name, f1, *(self._shown(kept[i].boxes(of).above(threshold)) for of in (1, 0))
            )
            for f1, i in order[:MOST]
        )

    def _shown(self, boxes: Boxes) -> tuple[Thing, ...]:
        each = zip(boxes.boxes.tolist(), boxes.scores.tolist(), boxes.labels.tolist(), strict=True)
        return tuple(Thing(self.labels[label], score, tuple(box)) for box, score, label in each)


def _matched(record: Kept, which: int) -> Matched:
    found = record.boxes(which)
    return match(found.boxes.astype(np.float64), found.scores, found.labels, record.objects, tuple(SIZES))
