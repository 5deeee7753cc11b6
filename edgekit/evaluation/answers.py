"""What artifacts answered, image by image, in a file that only grows: a run that was interrupted goes on from it.

The first line says what the answers are of; each other line is a `Record`. Statistics are computed when it is read.
"""

import hashlib
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import reading
from edgekit.errors import OutputError
from edgekit.places import output_errors
from edgekit.tasks.classification import LOGITS, Classification

BEST = 5
ELSEWHERE = "--state another/folder"


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """The five best classes, best first, with their scores as the file gave them and their probabilities."""

    classes: tuple[int, ...]
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    @property
    def first(self) -> int:
        return self.classes[0]

    @property
    def margin(self) -> float:
        """Probability of the first class less that of the second."""
        return self.probabilities[0] - (self.probabilities[1] if len(self.probabilities) > 1 else 0.0)


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose answers to what: any other value means other answers."""

    artifacts: tuple[str, ...]  # digests, as of `digest`
    runtimes: tuple[str, ...]
    cpu_class: str
    data: str  # in words
    stamp: str
    labels: bool
    schema: int = 1

    def digest(self) -> str:
        """Without the words: a folder may be named in several ways."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, data=""))).hexdigest()[:12]


class Kept(Protocol):
    """What is kept of one image. unreadable: why it could not be read; then there is nothing else."""

    @property
    def position(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def unreadable(self) -> str: ...

    def fault(self, key: Key, classes: int) -> str | None:
        """What a record cannot be that was made of these artifacts and images, in words."""
        ...


R = TypeVar("R", bound=Kept)


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image.

    truth       classes that count as right; empty where not labelled
    answers     the candidate's, then the reference's
    sqnr_db     of the candidate's scores, taking the reference's for the truth; None: equal, or no reference
    unreadable  why the image could not be read; then there are no answers
    broken      of a video: frames that could not be read
    """

    position: int
    name: str
    truth: tuple[int, ...]
    answers: tuple[Answer, ...] = ()
    sqnr_db: float | None = None
    unreadable: str = ""
    broken: int = 0

    def fault(self, key: Key, classes: int) -> str | None:
        named = [*self.truth, *(number for answer in self.answers for number in answer.classes)]
        if len(self.answers) != len(key.artifacts):
            return f"{len(self.answers)} answers"
        if key.labels and not self.truth:
            return "no label"
        if not all(0 <= number < classes for number in named):
            return "a class that the model does not know"
        return None if all(_is_whole(answer) for answer in self.answers) else "an answer without classes"


def best(scores: NDArray[np.float32], task: Classification = LOGITS) -> Answer:
    """The head of one image's scores [classes]; of equal scores the lower class comes first."""
    probabilities = task.probabilities(scores)
    order = np.argsort(-scores, kind="stable")[:BEST]
    return Answer(
        tuple(order.tolist()),
        tuple(float(f"{v:.7g}") for v in scores[order]),
        tuple(float(f"{v:.6g}") for v in probabilities[order]),
    )


class Answers(AbstractContextManager["Answers[R]"], Generic[R]):
    """The file of one key in a folder. `done` holds the positions that are answered already."""

    def __init__(self, folder: Path, name: str, key: Key, kind: type[R], *, classes: int, fresh: bool = False) -> None:
        """Raises OutputError where the folder cannot be written or the file is damaged."""
        self.key, self.kind, self.classes = key, kind, classes
        self.path = folder / f"{name}-{key.digest()}.jsonl"
        with output_errors(ELSEWHERE):
            folder.mkdir(parents=True, exist_ok=True)
            if fresh:
                self.path.unlink(missing_ok=True)
            if self.path.exists() and not self.path.is_file():
                raise OutputError(f"{self.path} is no file", hint=ELSEWHERE)
            if self.path.is_file():
                _cut_half_a_line(self.path)
            new = not self.path.is_file() or not self.path.stat().st_size
            self.done = set() if new else {record.position for record in self.read()}
            self.file = self.path.open("ab", buffering=0)  # a line is written at once: nothing is lost with the process
            if new:
                self._write(key)

    def append(self, records: Sequence[R]) -> None:
        with output_errors(ELSEWHERE):
            self._write(*records)
        self.done.update(record.position for record in records)

    def read(self, positions: Container[int] | None = None) -> Iterator[R]:
        """Each image once, in the order they were answered."""
        seen: set[int] = set()
        with self.path.open("rb") as f:
            for number, line in enumerate(f, 1):
                if number == 1:
                    continue
                try:
                    record = reading.json(line, self.kind)
                    if not record.unreadable and (fault := record.fault(self.key, self.classes)):
                        raise reading.Malformed(f"{record.name} has {fault}")
                except reading.Malformed as error:
                    raise OutputError(f"{self.path}, line {number}: {error}", hint="--fresh starts over") from None
                if record.position not in seen and (positions is None or record.position in positions):
                    seen.add(record.position)
                    yield record

    def _write(self, *lines: Any) -> None:
        self.file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _is_whole(answer: Answer) -> bool:
    return 0 < len(answer.classes) == len(answer.scores) == len(answer.probabilities)


def _cut_half_a_line(path: Path) -> None:
    """A process that was killed may leave a line without its end."""
    with path.open("r+b") as f:
        whole = 0
        for line in f:
            whole += len(line) if line.endswith(b"\n") else 0
        f.truncate(whole)
