"""How often an artifact is right, and how much of it another one loses: figures from recorded answers."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from edgekit import reading
from edgekit.evaluation.answers import Record
from edgekit.evaluation.results import tenths
from edgekit.statistics.confusion import Confusion, Mistake
from edgekit.statistics.proportions import Drop, Share, Verdict, agresti_min, images_needed, mcnemar_midp, wilson

CONFIDENT = 0.3  # a reference that gives its first class less hardly means it
SUREST = 24  # mistakes that are kept


class ClassAccuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: int
    label: str
    top1: Share


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One artifact on labelled images.

    artifact    its name; digest: of its manifest, which names every file of it
    top5        None for a model of five classes or fewer
    confidence  mean probability of the class named first
    classes     those that have images; an image with several right classes counts for the first of them
    confusion   which are taken for which; mistakes: those that the file is surest of, the surest first
    """

    artifact: str
    digest: str
    runtime: str
    pictures: int
    top1: Share
    top5: Share | None
    confidence: float
    classes: tuple[ClassAccuracy, ...]
    confusion: Confusion | None = None
    mistakes: tuple[Mistake, ...] = ()
    schema: Literal[1] = 1


class Flip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image that two artifacts name differently. Margins: probability of the first class less the second's."""

    position: int
    picture: str
    truth: tuple[str, ...]
    kind: Literal["lost", "won", "both wrong", "not labelled"]
    reference: str
    candidate: str
    reference_margin: float
    candidate_margin: float


class Paired(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A candidate against its reference on the same images.

    lost, won           named rightly by the reference only, by the candidate only
    drop                top-1 that the candidate loses, a share of all images, with Agresti and Min's 95 % interval
    midp                McNemar's one-sided mid-p: small where the candidate is surely worse
                        (these four are None where the images are not labelled)
    agreement           both name the same class first
    confident_agreement the same where the reference's first class has a probability above 0.3
    sqnr_db_p10, _p50   of single images' scores, the reference's taken for the truth; None: equal to the last bit
    flips               the surest answers of the reference first
    """

    candidate: str
    reference: str
    pictures: int
    lost: int | None
    won: int | None
    drop: Drop | None
    midp: float | None
    agreement: Share
    confident_agreement: Share
    sqnr_db_p10: float | None
    sqnr_db_p50: float | None
    flips: tuple[Flip, ...]
    schema: Literal[1] = 1

    def needed(self, max_drop: float) -> int:
        """Images that show a drop of `max_drop` with a power of 80 %, at the discordance that was seen."""
        return images_needed(max_drop, self.discordance)

    @property
    def discordance(self) -> float:
        """Share of images that could have changed the drop: one of the two right, or without labels, flips."""
        changed = self.lost + self.won if self.lost is not None and self.won is not None else len(self.flips)
        return changed / max(self.pictures, 1)


def drop_verdict(paired: Paired, max_drop: float) -> Verdict:
    """Does the candidate lose more than `max_drop` (a share) of the images?

    As Drop has it. Without labels only a pass can be known: no more can be lost than flips.
    """
    if paired.drop is None:
        return "pass" if 1 - paired.agreement.low < max_drop else "inconclusive"
    return paired.drop.verdict(max_drop)


def lost(candidate: Path, reference: Path) -> Drop | None:
    """What a candidate loses, out of the answers that two evaluations recorded apart: on the images of both.

    None where the answers are not labelled classes of one file each, or not there.
    """
    right = [_named(file) for file in (candidate, reference)]
    both = right[0].keys() & right[1].keys()
    if not both:
        return None
    gone = sum(right[1][position] and not right[0][position] for position in both)
    gained = sum(right[0][position] and not right[1][position] for position in both)
    return agresti_min(gone, gained, len(both))


def _named(file: Path) -> dict[int, bool]:
    """Position of an image -> whether it was named rightly. Empty where the file tells no such thing."""
    found = {}
    try:
        with file.open("rb") as lines:
            next(lines, None)  # whose answers
            for line in lines:
                record = reading.json(line, Record)
                if record.truth and len(record.answers) == 1:
                    found[record.position] = record.answers[0].first in record.truth
    except (OSError, reading.Malformed):
        return {}
    return found


class Tally:
    """Counts of one artifact's answers; `which` is its place in the records."""

    def __init__(self, which: int) -> None:
        self.which = which
        self.top5 = 0
        self.confidence = 0.0
        self.first: Counter[tuple[int, int]] = Counter()  # (right class, class named first): how many images
        self.surest: list[tuple[float, int, Record]] = []  # mistakes: a heap, the least sure on top

    def add(self, record: Record) -> None:
        answer = record.answers[self.which]
        # an image with several right classes counts for the one that was named
        meant = answer.first if answer.first in record.truth else record.truth[0]
        self.first[meant, answer.first] += 1
        self.top5 += any(c in record.truth for c in answer.classes)
        self.confidence += answer.probabilities[0]
        if answer.first not in record.truth:
            keep = heapq.heappush if len(self.surest) < SUREST else heapq.heappushpop
            keep(self.surest, (answer.probabilities[0], -record.position, record))

    def mistakes(self, labels: Sequence[str]) -> tuple[Mistake, ...]:
        """The surest first."""
        return tuple(
            Mistake(r.name, tuple(labels[i] for i in r.truth), labels[r.answers[self.which].first], round(sure, 6))
            for sure, _, r in sorted(self.surest, reverse=True)
        )

    def accuracy(self, name: str, digest: str, runtime: str, labels: Sequence[str]) -> Accuracy:
        pictures = self.first.total()
        of: Counter[int] = Counter()
        for (meant, _), count in self.first.items():
            of[meant] += count
        return Accuracy(
            artifact=name,
            digest=digest,
            runtime=runtime,
            pictures=pictures,
            top1=wilson(sum(self.first[i, i] for i in of), pictures),
            top5=wilson(self.top5, pictures) if len(labels) > 5 else None,
            confidence=self.confidence / max(pictures, 1),
            classes=tuple(ClassAccuracy(i, labels[i], wilson(self.first[i, i], of[i])) for i in sorted(of)),
            confusion=Confusion.of(tuple(labels), self.first),
            mistakes=self.mistakes(labels),
        )


def pair(records: Iterable[Record], candidate: str, reference: str, labels: Sequence[str], *, labelled: bool) -> Paired:
    """Figures of two artifacts from records that hold the answers of both."""
    pictures = same = sure = sure_same = lost = won = 0
    noise: list[float | None] = []
    flips: list[Flip] = []
    for record in records:
        ours, theirs = record.answers
        agree, confident = ours.first == theirs.first, theirs.probabilities[0] > CONFIDENT
        pictures += 1
        same += agree
        sure += confident
        sure_same += agree and confident
        noise.append(record.sqnr_db)
        right = theirs.first in record.truth, ours.first in record.truth
        lost += right == (True, False)
        won += right == (False, True)
        if not agree:
            flips.append(_flip(record, right, labels, labelled=labelled))
    p10, p50 = tenths(noise)
    return Paired(
        candidate=candidate,
        reference=reference,
        pictures=pictures,
        lost=lost if labelled else None,
        won=won if labelled else None,
        drop=agresti_min(lost, won, pictures) if labelled else None,
        midp=mcnemar_midp(lost, won) if labelled else None,
        agreement=wilson(same, pictures),
        confident_agreement=wilson(sure_same, sure),
        sqnr_db_p10=p10,
        sqnr_db_p50=p50,
        flips=tuple(sorted(flips, key=lambda flip: (-flip.reference_margin, flip.position))),
    )


def _flip(record: Record, right: tuple[bool, bool], labels: Sequence[str], *, labelled: bool) -> Flip:
    ours, theirs = record.answers
    kind: Literal["lost", "won", "both wrong", "not labelled"] = "not labelled"
    if labelled:  # where several classes are right, both can be: nothing is lost then
        kind = "lost" if right == (True, False) else "won" if right == (False, True) else "both wrong"
    return Flip(
        position=record.position,
        picture=record.name,
        truth=tuple(labels[i] for i in record.truth),
        kind=kind,
        reference=labels[theirs.first],
        candidate=labels[ours.first],
        reference_margin=round(theirs.margin, 6),
        candidate_margin=round(ours.margin, 6),
    )
