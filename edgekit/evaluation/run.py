"""Artifacts answer a data set: decoding runs ahead of inference, answers are kept as they come."""

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import __version__
from edgekit.answering import Contender, contender
from edgekit.artifact import Artifact
from edgekit.data import DataSet, Picture, stamps
from edgekit.data.decoding import Fitted, decoded
from edgekit.devices import Device
from edgekit.devices.local import Local
from edgekit.errors import DataError, RequestError, UnsupportedError
from edgekit.evaluation.accuracy import Accuracy, Paired, Tally, pair
from edgekit.evaluation.answers import Answers, Key, Record, best
from edgekit.evaluation.label_check import suspicion
from edgekit.runs import Evaluated, Learned, now, subject
from edgekit.runtimes import Options
from edgekit.statistics.proportions import wilson
from edgekit.tasks import Classification
from edgekit.tasks.likeness import sqnr_db

STATE = Path("build/eval")
TIMEOUT = 60.0
Scores = NDArray[np.float32]
Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many pictures; called for each


class Unreadable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    picture: str
    why: str


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came out.

    data, notes  the pictures in words, and what of them was left out or does not fit
    pictures     that were answered
    accuracies   the candidate's, then the reference's; none where the pictures are not labelled
    paired       the candidate against its reference, if there is one
    suspicion    why the labels seem to be wrong, not the model
    answers      the file of recorded answers
    learned      how many of the pictures the models were trained on; None where they do not say
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
    schema: Literal[1] = 1


def evaluate(
    artifacts: Sequence[Artifact],
    data: DataSet,
    *,
    limit: int | None = None,
    seed: int = 0,
    device: Device | None = None,
    options: Options = Options(),
    timeout: float = TIMEOUT,
    workers: int = 2,
    state: Path = STATE,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda total: nullcontext(lambda: None),
) -> Evaluation:
    """Ask one artifact, or a candidate and its reference, about all pictures or a seeded sample of them, and count.

    device   where the files run; this machine, where it is left out
    timeout  seconds without an answer that mean a hang
    workers  threads that decode
    state    folder of recorded answers: what an earlier run answered is not asked again, unless `fresh`

    Raises RequestError for artifacts that cannot be compared, UnsupportedError for independent classes, DataError where there is nothing to compare or no picture
    can be read, OutputError where answers cannot be recorded, WorkerError.
    """
    check(artifacts, data)
    positions = data.sample(limit, seed)
    say(f"{len(positions):,} of {len(data):,} {data.what}")
    stamped = [a.manifest.trained_on for a in artifacts if a.manifest.trained_on]
    learned = stamps.learned_from(stamped, stamps.hashes(data, positions)) if stamped else None
    if learned and any(learned.values()):
        say(f"careful: {sum(learned.values()):,} of these pictures were trained on")
    with ExitStack() as stack:
        place = device or Local()
        contenders = [stack.enter_context(contender(a, place, options, timeout)) for a in artifacts]
        classes = len(artifacts[0].labels())
        kept = Answers(state, artifacts[0].name, _key(contenders, data), classes=classes, fresh=fresh)
        answers = stack.enter_context(kept)
        left = [position for position in positions if position not in answers.done]
        if len(left) < len(positions):
            say(f"resumed: {len(positions) - len(left):,} answers are in {answers.path} (--fresh starts over)")
        tick = stack.enter_context(progress(len(left)))
        # Pillow warns of large pictures, and the threads that decode cannot tell it not to
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for records in stack.enter_context(closing(ask(contenders, data.read(left), workers, place.at_once))):
            answers.append(records)
            for _ in records:
                tick()
        return _count(contenders, data, positions, answers, learned)


def evaluated(artifacts: Sequence[Artifact], found: Evaluation, device: str) -> list[Evaluated]:
    """The lines of an evaluation: of the candidate, and of its reference where there is one."""
    drops = [(found.paired.reference, found.paired.drop) if found.paired else (None, None), (None, None)]
    return [
        Evaluated(
            made=now(),
            edgekit=__version__,
            subject=subject(artifact, artifact.folder),
            runtime=accuracy.runtime,
            device=device,
            cpu_class=found.cpu_class,
            data=found.data,
            pictures=accuracy.pictures,
            top1=accuracy.top1,
            top5=accuracy.top5,
            against=against,
            drop=drop,
            learned=found.learned,
        )
        for artifact, accuracy, (against, drop) in zip(artifacts, found.accuracies, drops, strict=False)
    ]


def check(artifacts: Sequence[Artifact], data: DataSet) -> None:
    """Refuse what cannot be measured, before anything runs. Raises RequestError, DataError."""
    for artifact in artifacts:
        takes, spec = artifact.manifest.input, artifact.manifest.preprocess
        (height, width), c = spec.input_size, spec.channels
        if takes.shape[1:] != ((c, height, width) if takes.layout == "NCHW" else (height, width, c)):
            raise RequestError(f"{artifact.name} takes {list(takes.shape)} {takes.layout}, not a picture")
        if not isinstance(artifact.manifest.task, Classification):
            raise UnsupportedError(
                f"{artifact.name} is no classifier ({artifact.manifest.task}), and accuracy is counted of classes",
                hint="edgekit verify ARTIFACT --against ANOTHER --data DIR compares the answers of two files",
            )
        if artifact.manifest.task.independent:
            raise UnsupportedError(
                f"{artifact.name} answers each label by itself, and accuracy is counted of one class a picture",
                hint="edgekit verify ARTIFACT --against ANOTHER --data DIR compares the labels of two files",
            )
    if len({tuple(artifact.labels()) for artifact in artifacts}) > 1:
        raise RequestError(
            f"{artifacts[1].name} knows other classes than {artifacts[0].name}", hint="two files of one model"
        )
    if not data.labelled and len(artifacts) == 1:
        raise DataError(
            f"nothing says what is on the {data.what}",
            hint="--labels FILE, or --reference ARTIFACT to compare without labels",
        )
    if not len(data):
        raise DataError(f"no picture is left of the {data.what}", hint="; ".join(data.notes))


def ask(
    contenders: Sequence[Contender], pictures: Iterable[Picture], workers: int, at_once: int = Local.at_once
) -> Generator[list[Record], None, None]:
    """Records of `at_once` pictures at a time, in their order.

    Contenders answer at the same time, and have the next pictures already while the answers to these are recorded.
    """
    specs = list(dict.fromkeys(c.artifact.manifest.preprocess for c in contenders))
    which = [specs.index(c.artifact.manifest.preprocess) for c in contenders]
    with ExitStack() as stack:
        # a thread each: it waits for the process that answers
        pools = [stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="answer")) for _ in contenders]
        stream = stack.enter_context(closing(decoded(pictures, specs, workers, ahead=2 * at_once + workers)))
        asked: deque[tuple[list[tuple[Picture, Fitted]], list[Future[Scores]]]] = deque()
        while (batch := list(itertools.islice(stream, at_once))) or asked:
            if batch:
                readable = [fitted for _, fitted in batch if not isinstance(fitted, DataError)]
                together = zip(pools, contenders, which, strict=True) if readable else ()
                asked.append(
                    (batch, [p.submit(_scores, c, np.stack([f[i] for f in readable])) for p, c, i in together])
                )
            if len(asked) > 1 or not batch:
                first, futures = asked.popleft()
                yield _records(first, contenders, [future.result() for future in futures])


def _records(
    batch: Sequence[tuple[Picture, Fitted]], contenders: Sequence[Contender], scores: Sequence[Scores]
) -> list[Record]:
    """`scores`: of each contender, to the pictures of the batch that could be read."""
    each = iter(zip(*scores, strict=True))
    return [
        Record(picture.position, picture.name, picture.truth, unreadable=fitted.message)
        if isinstance(fitted, DataError)
        else _record(picture, contenders, next(each))
        for picture, fitted in batch
    ]


def _key(contenders: Sequence[Contender], data: DataSet) -> Key:
    return Key(
        artifacts=tuple(c.digest for c in contenders),
        runtimes=tuple(c.runtime for c in contenders),
        cpu_class=contenders[0].where,
        data=data.what,
        stamp=data.stamp,
        labels=data.labelled,
    )


def _scores(asked: Contender, pixels: NDArray[np.uint8]) -> Scores:
    """[n, classes]"""
    return asked.values(pixels)[0]


def _record(picture: Picture, contenders: Sequence[Contender], scores: Sequence[Scores]) -> Record:
    tasks = [task for c in contenders if isinstance(task := c.artifact.manifest.task, Classification)]  # see `check`
    answers = tuple(best(s, task) for s, task in zip(scores, tasks, strict=True))
    noise = None
    if len(scores) > 1:
        ours, theirs = scores
        if tasks[0] != tasks[1]:  # of different kinds: as probabilities
            ours, theirs = (t.probabilities(s) for t, s in zip(tasks, scores, strict=True))
        decibels = sqnr_db(theirs, ours)
        noise = decibels if np.isfinite(decibels) else None
    return Record(picture.position, picture.name, picture.truth, answers, noise)


def _count(
    contenders: Sequence[Contender],
    data: DataSet,
    positions: Sequence[int],
    answers: Answers,
    learned: dict[int, bool] | None,
) -> Evaluation:
    """Figures from recorded answers, which are read from the file again. `learned`: of the positions where that is known."""
    wanted = set(positions)
    tallies = [Tally(i) for i in range(len(contenders))]
    unreadable = []
    seen: list[tuple[bool | None, bool]] = []  # whether it was learned from, and named rightly
    for record in answers.read(wanted):
        if record.unreadable:
            unreadable.append(Unreadable(record.name, record.unreadable))
            continue
        if learned is not None:
            seen.append((learned.get(record.position), record.answers[0].first in record.truth))
        if data.labelled:
            for tally in tallies:
                tally.add(record)
    asked = len(wanted) - len(unreadable)
    if not asked:
        raise DataError(f"none of the {len(wanted)} pictures can be read ({unreadable[0].why})", hint="other --data")
    names, labels = [c.artifact.name for c in contenders], contenders[0].artifact.labels()
    accuracies = tuple(
        tally.accuracy(name, c.digest, c.runtime, labels)
        for tally, name, c in zip(tallies, names, contenders, strict=True)
        if data.labelled
    )
    paired = None
    if len(contenders) > 1:
        readable = (record for record in answers.read(wanted) if not record.unreadable)
        paired = pair(readable, names[0], names[1], labels, labelled=data.labelled)
    return Evaluation(
        data=data.what,
        notes=data.notes,
        pictures=asked,
        unreadable=tuple(unreadable),
        accuracies=accuracies,
        paired=paired,
        suspicion=suspicion(tallies[0].first, accuracies[0], paired, labels) if accuracies else None,
        cpu_class=contenders[0].where,
        answers=str(answers.path),
        learned=_learned(seen, labelled=data.labelled) if learned is not None else None,
    )


def _learned(seen: Sequence[tuple[bool | None, bool]], *, labelled: bool) -> Learned:
    """Of each picture whether it was learned from (None: nobody knows), and whether it is named rightly."""
    told = [known for known, _ in seen if known is not None]
    others = [right for known, right in seen if not known]
    exact = labelled and len(told) == len(seen)
    return Learned(sum(told), len(told), wilson(sum(others), len(others)) if exact else None)
