"""Artifacts answer a data set: decoding runs ahead of inference, answers are kept as they come."""

import hashlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import registry
from edgekit.artifact import Artifact
from edgekit.bench import host
from edgekit.bench.accuracy import Accuracy, Paired, Tally, pair
from edgekit.bench.answers import Answers, Key, Record, best
from edgekit.bench.mapping import suspicion
from edgekit.data import DataSet, Picture
from edgekit.data.decoding import decoded
from edgekit.errors import DataError, RequestError, WorkerError
from edgekit.runtimes import Options
from edgekit.tasks.classification import softmax, sqnr_db

BATCH = 8  # pictures handed over at once
Tensors = NDArray[Any]


@dataclass(frozen=True)
class Contender:
    """An artifact that is open. `answer` takes tensors [n, ...] as the file has them and returns [n, ...] likewise."""

    artifact: Artifact
    runtime: str
    answer: Callable[[Tensors], Tensors]

    @property
    def digest(self) -> str:
        """Of the manifest, which holds the digest of every file."""
        return hashlib.sha256(msgspec.json.encode(self.artifact.manifest, order="sorted")).hexdigest()

    def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of fitted pictures [n, h, w, 3]. Raises WorkerError for answers that are no numbers."""
        scores = self.artifact.decode(self.answer(self.artifact.encode(pixels)))
        if not np.isfinite(scores).all():
            raise WorkerError(f"{self.artifact.name} answers with what is not a finite number")
        return scores


class Unreadable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    picture: str
    why: str


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came out. Accuracies: the candidate's, then the reference's; none where the pictures are not labelled."""

    data: str
    pictures: int
    unreadable: tuple[Unreadable, ...]
    accuracies: tuple[Accuracy, ...]
    paired: Paired | None
    suspicion: str | None
    cpu_class: str
    schema: int = 1


@contextmanager
def contender(artifact: Artifact, options: Options) -> Iterator[Contender]:
    """Open an artifact in the runtime of its target, in this process."""
    with closing(registry.runtime_for(artifact.manifest.target).open(artifact, options)) as session:

        def answer(tensors: Tensors) -> Tensors:
            return np.concatenate([session.run(tensors[i : i + 1]) for i in range(len(tensors))])

        yield Contender(artifact, session.facts()["runtime"], answer)


def check(artifacts: Sequence[Artifact], data: DataSet) -> None:
    """Refuse what cannot be compared or measured, before anything runs. Raises RequestError, DataError."""
    for artifact in artifacts:
        takes, (height, width) = artifact.manifest.input, artifact.manifest.preprocess.input_size
        if takes.shape[1:] != ((3, height, width) if takes.layout == "NCHW" else (height, width, 3)):
            raise RequestError(f"{artifact.name} takes {list(takes.shape)} {takes.layout}, not an RGB picture")
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


def key(contenders: Sequence[Contender], data: DataSet) -> Key:
    return Key(
        artifacts=tuple(c.digest for c in contenders),
        runtimes=tuple(c.runtime for c in contenders),
        cpu_class=host.cpu_class(),
        data=data.what,
        stamp=data.stamp,
        labels=data.labelled,
    )


def evaluate(
    contenders: Sequence[Contender],
    data: DataSet,
    positions: Sequence[int],
    answers: Answers,
    *,
    workers: int = 2,
    tick: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ask one artifact, or a candidate and its reference, about the pictures at `positions`, and count.

    Pictures that `answers` holds are not asked again. Raises DataError where no picture can be read, WorkerError.
    """
    left = [position for position in positions if position not in answers.done]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of large pictures; the threads below cannot do it themselves
        for records in ask(contenders, data.read(left), workers):
            answers.append(records)
            for _ in records:
                tick()
    return _count(contenders, data, positions, answers)


def ask(contenders: Sequence[Contender], pictures: Iterator[Picture], workers: int) -> Iterator[list[Record]]:
    """Records of a few pictures at a time, in their order."""
    specs = list(dict.fromkeys(c.artifact.manifest.preprocess for c in contenders))
    which = [specs.index(c.artifact.manifest.preprocess) for c in contenders]
    with closing(decoded(pictures, specs, workers, ahead=2 * BATCH + workers)) as stream:
        while batch := list(itertools.islice(stream, BATCH)):
            readable = [fitted for _, fitted in batch if not isinstance(fitted, DataError)]
            scores: Iterator[tuple[NDArray[np.float32], ...]] = iter(())
            if readable:
                stacks = [np.stack([fitted[i] for fitted in readable]) for i in range(len(specs))]
                scores = zip(*(c.scores(stacks[i]) for c, i in zip(contenders, which, strict=True)), strict=True)
            yield [
                Record(picture.position, picture.name, picture.truth, unreadable=fitted.message)
                if isinstance(fitted, DataError)
                else _record(picture, contenders, next(scores))
                for picture, fitted in batch
            ]


def _record(picture: Picture, contenders: Sequence[Contender], scores: Sequence[NDArray[np.float32]]) -> Record:
    logits = [c.artifact.manifest.scores == "logits" for c in contenders]
    answers = tuple(best(s, logits=kind) for s, kind in zip(scores, logits, strict=True))
    noise = None
    if len(scores) > 1:
        ours, theirs = scores
        if logits[0] != logits[1]:  # one answers probabilities: so must both
            ours, theirs = (softmax(s) if kind else s for s, kind in zip(scores, logits, strict=True))
        decibels = sqnr_db(theirs, ours)
        noise = decibels if np.isfinite(decibels) else None
    return Record(picture.position, picture.name, picture.truth, answers, noise)


def _count(contenders: Sequence[Contender], data: DataSet, positions: Sequence[int], answers: Answers) -> Evaluation:
    wanted = set(positions)
    tallies = [Tally(i) for i in range(len(contenders))]
    unreadable = []
    for record in answers.read(wanted):
        if record.unreadable:
            unreadable.append(Unreadable(record.name, record.unreadable))
        elif data.labelled:
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
        pictures=asked,
        unreadable=tuple(unreadable),
        accuracies=accuracies,
        paired=paired,
        suspicion=suspicion(tallies[0].first, accuracies[0], paired, labels) if accuracies else None,
        cpu_class=host.cpu_class(),
    )
