"""What every task does in an evaluation: keep something of each image, and make figures of what was kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from edgekit.answering import Answering
from edgekit.data import DataSet, Picture
from edgekit.data.decoding import Seen
from edgekit.evaluation.accuracy import Accuracy, Paired
from edgekit.evaluation.answers import R
from edgekit.evaluation.results import Apart, Change, Result
from edgekit.statistics.figures import Figure
from edgekit.tensors import Values


@dataclass(frozen=True)
class Found:
    """What the records come to. Classification tells more: accuracies by class, every image named differently; detection
    the images on which two files agree least."""

    results: tuple[Result, ...] = ()
    change: Change | None = None
    notes: tuple[str, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    paired: Paired | None = None
    suspicion: str | None = None
    apart: tuple[Apart, ...] = ()


class Counting(ABC, Generic[R]):
    """Of one or two files on one set of images. labels: of the model, or where it has none, of the images."""

    kind: type[R]  # of record

    def __init__(self, files: Sequence[Answering], data: DataSet) -> None:
        self.files, self.data = files, data
        self.labels: Sequence[str] = files[0].artifact.labels() or data.classes

    @abstractmethod
    def unread(self, picture: Picture, why: str) -> R: ...

    @abstractmethod
    def keep(self, picture: Picture, seen: Seen, values: Sequence[Values]) -> R:
        """values: what each file answers to the image, without the first axis."""

    @abstractmethod
    def count(self, records: Callable[[], Iterable[R]]) -> Found:
        """Of the images that could be read. May ask for them twice."""

    def right(self, record: R) -> bool:
        """Whether the candidate is right about an image, where that is said of images."""
        return False

    def result(self, which: int, pictures: int, figures: Sequence[Figure]) -> Result:
        asked = self.files[which]
        return Result(asked.artifact.name, asked.digest, asked.runtime, pictures, tuple(figures))
