"""Artifacts answer a data set: decoding runs ahead of inference, answers are kept as they come."""

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit import __version__
from edgekit.answering import WORKERS, Answering, answered, at_once, start_answering
from edgekit.artifact import Artifact
from edgekit.data import DataSet, Picture, stamps
from edgekit.data.decoding import Fitted, Seen
from edgekit.devices import Device
from edgekit.devices.local import Local
from edgekit.errors import UnreadableError, many
from edgekit.evaluation.accuracy import Accuracy, Paired
from edgekit.evaluation.answers import Answers, Key, R
from edgekit.evaluation.boxes import Detections
from edgekit.evaluation.checks import check, check_sample
from edgekit.evaluation.classes import Classes
from edgekit.evaluation.counting import Counting
from edgekit.evaluation.results import Apart, Change, Result
from edgekit.evaluation.segments import Segments
from edgekit.evaluation.vectors import Vectors
from edgekit.runs import Evaluated, Learned, now, subject
from edgekit.runtimes import Options
from edgekit.statistics.proportions import Share, wilson
from edgekit.tasks import Detection, Embedding, Segmentation
from edgekit.tensors import Values

STATE = Path("build/eval")
TIMEOUT = 60.0
Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many images; called for each


class Unreadable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    picture: str
    why: str


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came out.

    data, notes  the images in words, and what of them was left out or does not fit
    pictures     that were answered
    accuracies   the candidate's, then the reference's; none where the images are not labelled
    paired       the candidate against its reference, if there is one
    suspicion    why the labels seem to be wrong, not the model
    answers      the file of recorded answers
    learned      how many of the images the models were trained on; None where they do not say
    results      figures of every task, the candidate's, then the reference's; none where nothing says what is right
    change       the candidate against its reference, if there is one, in terms of every task
    apart        of detections, the images on which the two agree least, worst first
    units        what is counted: images, or videos
    """

    data: str
    notes: tuple[str, ...]
    pictures: int
    unreadable: tuple[Unreadable, ...]
    accuracies: tuple[Accuracy, ...]
    paired: Paired | None
    suspicion: str | None
    cpu_class: str
    answers: str
    learned: Learned | None = None
    results: tuple[Result, ...] = ()
    change: Change | None = None
    apart: tuple[Apart, ...] = ()
    units: Literal["images", "videos"] = "images"
    schema: Literal[1] = 1

    def __repr__(self) -> str:
        """In one line: each file's first figure, and what is lost."""
        figures = [(result.artifact, result.headline) for result in self.results]
        said = [f"{name} {f.name} {f.value:.1%} [{f.low:.1%}, {f.high:.1%}]" for name, f in figures]
        if self.change and (drop := self.change.drop):
            said.append(f"loses {drop.estimate:.1%} [{drop.low:.1%}, {drop.high:.1%}] against {self.change.reference}")
        return f"Evaluation({', '.join(said) or 'answers compared'}, {many(self.pictures, self.units)})"


def evaluate(
    artifacts: Sequence[Artifact],
    data: DataSet,
    *,
    limit: int | None = None,
    seed: int = 0,
    device: Device | None = None,
    options: Options = Options(),
    timeout: float = TIMEOUT,
    workers: int = WORKERS,
    state: Path = STATE,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda total: nullcontext(lambda: None),
) -> Evaluation:
    """Ask one artifact, or a candidate and its reference, about all images or a seeded sample of them, and count.

    device   where the files run; this machine, where it is left out
    timeout  seconds without an answer that mean a hang
    workers  threads that decode
    state    folder of recorded answers: what an earlier run answered is not asked again, unless `fresh`

    Raises RequestError for artifacts that cannot be compared, UnsupportedError for independent classes, DataError where there is nothing to compare or no image
    can be read, OutputError where answers cannot be recorded, WorkerError.
    """
    check(artifacts, data)
    positions = data.sample(limit, seed)
    check_sample(artifacts[0], data, positions)
    say(f"{len(positions):,} of {len(data):,} {data.what}")
    stamped = [a.manifest.trained_on for a in artifacts if a.manifest.trained_on]
    learned = stamps.learned_from(stamped, stamps.hashes(data, positions)) if stamped else None
    if learned and any(learned.values()):
        told = Learned(sum(learned.values()), len(learned))
        say(f"careful: {told.words(len(positions), data.source.units)}")
    with ExitStack() as stack:
        place = device or Local()
        files = [stack.enter_context(start_answering(a, place, options, timeout)) for a in artifacts]
        counted = counting(files, data)
        answers = stack.enter_context(
            Answers(state, artifacts[0].name, _key(files, data), counted.kind, classes=len(counted.labels), fresh=fresh)
        )
        left = [position for position in positions if position not in answers.done]
        if len(left) < len(positions):
            say(f"resumed: {len(positions) - len(left):,} answers are in {answers.path} (--fresh starts over)")
        tick = stack.enter_context(progress(len(left)))
        # Pillow warns of large images, and the threads that decode cannot tell it not to
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for records in stack.enter_context(closing(ask(counted, data.read(left), workers, at_once(artifacts, place)))):
            answers.append(records)
            for _ in records:
                tick()
        return _count(counted, positions, answers, learned)


def evaluated(artifacts: Sequence[Artifact], found: Evaluation, device: str) -> list[Evaluated]:
    """The lines of an evaluation: of the candidate, and of its reference where there is one."""
    drops = [(found.change.reference, found.change.drop) if found.change else (None, None), (None, None)]
    shares: list[tuple[Share | None, Share | None]] = [(a.top1, a.top5) for a in found.accuracies]
    shares = shares or [(None, None)] * len(found.results)
    known = found.accuracies or (None,) * len(found.results)
    return [
        Evaluated(
            made=now(),
            edgekit=__version__,
            subject=subject(artifact, artifact.folder),
            runtime=result.runtime,
            device=device,
            cpu_class=found.cpu_class,
            data=found.data,
            pictures=result.pictures,
            top1=top1,
            top5=top5,
            against=against,
            drop=drop,
            learned=found.learned,
            figures=result.figures,
            confusion=accuracy.confusion if accuracy else None,
            mistakes=accuracy.mistakes if accuracy else (),
        )
        for artifact, result, (top1, top5), accuracy, (against, drop) in zip(
            artifacts, found.results, shares, known, drops, strict=False
        )
    ]


def counting(files: Sequence[Answering], data: DataSet) -> Counting[Any]:
    """By the task of the files, which `check` has found to be one."""
    match files[0].artifact.manifest.task:
        case Segmentation():
            return Segments(files, data)
        case Detection():
            return Detections(files, data)
        case Embedding():
            return Vectors(files, data)
    return Classes(files, data)


def ask(
    counted: Counting[R], pictures: Iterable[Picture], workers: int, at_once: int = Local.at_once
) -> Generator[list[R], None, None]:
    """Records of `at_once` images at a time, in their order."""
    with closing(answered(counted.files, pictures, workers, at_once)) as stream:
        for batch, values in stream:
            yield _records(counted, batch, values)


def _records(counted: Counting[R], batch: Sequence[tuple[Picture, Fitted]], values: Sequence[Values]) -> list[R]:
    """`values`: of each file, to the images of the batch that could be read."""
    records, row = [], 0
    for picture, seen in batch:
        if isinstance(seen, Seen):
            records.append(counted.keep(picture, seen, [tuple(output[row] for output in v) for v in values]))
            row += 1
        else:
            records.append(counted.unread(picture, seen.message))
    return records


def _key(files: Sequence[Answering], data: DataSet) -> Key:
    return Key(
        artifacts=tuple(c.digest for c in files),
        runtimes=tuple(c.runtime for c in files),
        cpu_class=files[0].where,
        data=data.what,
        stamp=data.stamp,
        labels=data.labelled,
    )


def _count(
    counted: Counting[R], positions: Sequence[int], answers: Answers[R], learned: dict[int, bool] | None
) -> Evaluation:
    """Figures from recorded answers, which are read from the file again. `learned`: of the positions where that is known."""
    data, wanted = counted.data, set(positions)
    unreadable = []
    seen: list[tuple[bool | None, bool]] = []  # whether it was learned from, and named rightly
    for record in answers.read(wanted):
        if record.unreadable:
            unreadable.append(Unreadable(record.name, record.unreadable))
        elif learned is not None:
            seen.append((learned.get(record.position), counted.right(record)))
    asked = len(wanted) - len(unreadable)
    if not asked:
        raise UnreadableError(
            f"none of the {len(wanted)} {data.source.units} can be read ({unreadable[0].why})", hint="other --data"
        )
    found = counted.count(lambda: (record for record in answers.read(wanted) if not record.unreadable))
    exact = data.labelled and isinstance(counted, Classes)
    return Evaluation(
        data=data.what,
        notes=(*data.notes, *found.notes),
        pictures=asked,
        unreadable=tuple(unreadable),
        accuracies=found.accuracies,
        paired=found.paired,
        suspicion=found.suspicion,
        cpu_class=counted.files[0].where,
        answers=str(answers.path),
        learned=_learned(seen, exact=exact) if learned is not None else None,
        results=found.results,
        change=found.change,
        apart=found.apart,
        units=data.source.units,
    )


def _learned(seen: Sequence[tuple[bool | None, bool]], *, exact: bool) -> Learned:
    """Of each image whether it was learned from (None: nobody knows), and whether it is named rightly. `exact`: whether the
    latter is known of each."""
    told = [known for known, _ in seen if known is not None]
    others = [right for known, right in seen if not known]
    counts = exact and len(told) == len(seen)
    return Learned(sum(told), len(told), wilson(sum(others), len(others)) if counts else None)
