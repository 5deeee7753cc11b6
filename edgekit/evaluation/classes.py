"""Classification in an evaluation: the five best classes of each image are kept."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from edgekit.data import Picture
from edgekit.data.decoding import Seen
from edgekit.evaluation.accuracy import Accuracy, Paired, Tally, pair
from edgekit.evaluation.answers import Record, best
from edgekit.evaluation.counting import Counting, Found
from edgekit.evaluation.label_check import suspicion
from edgekit.evaluation.results import Alike, Change, Part, Result
from edgekit.statistics.figures import Figure
from edgekit.tasks import Classification
from edgekit.tasks.likeness import sqnr_db
from edgekit.tensors import Values


class Classes(Counting[Record]):
    kind = Record

    def unread(self, picture: Picture, why: str) -> Record:
        return Record(picture.position, picture.name, picture.truth, unreadable=why)

    def keep(self, picture: Picture, seen: Seen, values: Sequence[Values]) -> Record:
        tasks = [t for c in self.files if isinstance(t := c.artifact.manifest.task, Classification)]
        scores = [v[0] for v in values]
        answers = tuple(best(s, task) for s, task in zip(scores, tasks, strict=True))
        noise = None
        if len(scores) > 1:
            ours, theirs = scores
            if tasks[0] != tasks[1]:  # of different kinds: as probabilities
                ours, theirs = (t.probabilities(s) for t, s in zip(tasks, scores, strict=True))
            decibels = sqnr_db(theirs, ours)
            noise = decibels if np.isfinite(decibels) else None
        return Record(picture.position, picture.name, picture.truth, answers, noise, broken=seen.broken)

    def right(self, record: Record) -> bool:
        return record.answers[0].first in record.truth

    def count(self, records: Callable[[], Iterable[Record]]) -> Found:
        labelled, names = self.data.labelled, [c.artifact.name for c in self.files]
        tallies = [Tally(i) for i in range(len(self.files))]
        broken = [0, 0]  # frames, and videos with such
        for record in records():
            broken = [broken[0] + record.broken, broken[1] + bool(record.broken)]
            for tally in tallies if labelled else ():
                tally.add(record)
        accuracies = tuple(
            tally.accuracy(name, c.digest, c.runtime, self.labels)
            for tally, name, c in zip(tallies, names, self.files, strict=True)
            if labelled
        )
        paired = pair(records(), names[0], names[1], self.labels, labelled=labelled) if len(names) > 1 else None
        return Found(
            results=tuple(map(_result, accuracies)),
            change=changed(paired) if paired else None,
            accuracies=accuracies,
            paired=paired,
            notes=(f"{broken[0]} broken frames of {broken[1]} videos were skipped",) if broken[0] else (),
            suspicion=suspicion(tallies[0].first, accuracies[0], paired, self.labels) if accuracies else None,
        )


def _result(a: Accuracy) -> Result:
    figures = [Figure.counted("top-1", a.top1), *([Figure.counted("top-5", a.top5)] if a.top5 else [])]
    parts = tuple(Part(c.label, c.top1.value, c.top1.of) for c in a.classes)
    return Result(a.artifact, a.digest, a.runtime, a.pictures, tuple(figures), parts)


def changed(p: Paired) -> Change:
    alike = (Alike("top-1 agreement", p.agreement.value),)
    return Change(p.candidate, p.reference, p.pictures, "top-1", p.drop, alike, p.sqnr_db_p10, p.sqnr_db_p50)
