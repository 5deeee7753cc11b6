"""A data set: images in a fixed order, and what is on them. Pixels are never all in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.data.classes import few, match
from edgekit.errors import DataError
from edgekit.tasks.average_precision import Objects

Opener = Callable[[], Any]  # decodes to RGB, Image.Image; of a data set of videos: video.Video; raises DataError
Content = Callable[[], bytes]  # as it is on disk; raises OSError, DataError
# of an image (width, height) the number of a label, or of none, for every pixel: uint8 [height, width]; raises DataError
MaskOpener = Callable[[tuple[int, int]], NDArray[np.uint8]]
ObjectsOpener = Callable[
    [tuple[int, int]], Objects
]  # of an image (width, height) what is on it, in its pixels; raises DataError


@dataclass(frozen=True)
class Source:
    """What a reader of one kind of data set finds, before its names of classes mean anything.

    what   in words: "test images of fashion-mnist (idx files)"
    stamp  changes when the data change
    names  per image the names of the classes that count as right, () where none is given; None: not labelled
    count  of images
    read   positions in ascending order -> a name, an opener and the content of each
    notes  what a user should be told
    kinds  how many classes there are, where numbers are all that is known of them
    units  what one of them is called, in the plural
    groups  of videos: which film each was cut from; those of one film stay on one side of a split
    together  how many to ask for at once, where any order is wanted: files are read forwards, and what is asked for is
              held as it is on disk
    """

    what: str
    stamp: str
    names: Sequence[tuple[str, ...]] | None
    count: int
    read: Callable[[Sequence[int]], Iterator[tuple[str, Opener, Content]]]
    notes: tuple[str, ...] = ()
    kinds: int | None = None
    together: int = 1024
    units: Literal["images", "videos"] = "images"
    groups: Sequence[str] | None = None


@dataclass(frozen=True)
class Picture:
    """`truth`: the classes of the model that count as right; empty where the image is not labelled. `mask`, `objects`: where it
    has such."""

    position: int
    name: str
    truth: tuple[int, ...]
    open: Opener
    content: Content
    mask: MaskOpener | None = None
    objects: ObjectsOpener | None = None

    def blamed(self, error: DataError) -> DataError:
        """The error, with the image's name in it."""
        return error if self.name in error.message else type(error)(f"{self.name}: {error.message}")


@dataclass(frozen=True)
class DataSet:
    """Images with the classes of one model.

    what       in words
    stamp      changes when the images or their labels change
    positions  of the images that can be asked about, ascending
    labelled   False: nothing is known of what is on them
    masks      opens that of a position; objects: those of a position
    classes    of the model, or where it has none, of the images
    notes      what was left out and what does not fit, in sentences
    """

    what: str
    stamp: str
    positions: Sequence[int]
    labelled: bool
    notes: tuple[str, ...]
    source: Source
    truths: Sequence[tuple[int, ...]] | None  # of every image of the source
    masks: Callable[[int], MaskOpener] | None = None
    classes: tuple[str, ...] = ()
    objects: Callable[[int], ObjectsOpener] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def told_by(self) -> str:
        """What says what is on the images: "masks", "boxes" or "classes"."""
        return "masks" if self.masks else "boxes" if self.objects else "classes"

    def sample(self, limit: int | None, seed: int = 0) -> Sequence[int]:
        """All positions, or a seeded sample of them; ascending."""
        if limit is None or limit >= len(self.positions):
            return self.positions
        chosen = np.random.default_rng(seed).choice(len(self.positions), limit, replace=False)
        return [self.positions[i] for i in sorted(chosen.tolist())]

    def part(self, number: int, of: int, seed: int = 0) -> "DataSet":
        """The `number`th, from 1, of so many random parts, as large as each other: what is chosen on one is reported on another.
        Videos of one film stay together."""
        groups: Sequence[int | str] = self.source.groups or range(self.source.count)
        names = sorted({groups[position] for position in self.positions}, key=str)
        chosen = np.random.default_rng(seed).permutation(len(names))[number - 1 :: of].tolist()
        mine = {names[i] for i in chosen}
        positions = [position for position in self.positions if groups[position] in mine]
        return replace(self, what=f"{self.what}, part {number} of {of}", positions=positions)

    def read(self, positions: Sequence[int]) -> Iterator[Picture]:
        """The images at these ascending positions, one at a time and not decoded yet."""
        for position, (name, opener, content) in zip(positions, self.source.read(positions), strict=True):
            truth = self.truths[position] if self.truths is not None else ()
            mask = self.masks(position) if self.masks is not None else None
            things = self.objects(position) if self.objects is not None else None
            yield Picture(position, name, truth, opener, content, mask, things)


def without_labels(source: Source) -> DataSet:
    return DataSet(source.what, source.stamp, range(source.count), False, source.notes, source, None)


def own_classes(source: Source) -> tuple[str, ...]:
    """The names of a labelled source, sorted, numbers by value."""
    found = {name for names in source.names or () for name in names}
    return tuple(sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def with_labels(source: Source, labels: Sequence[str]) -> DataSet:
    """The images of a labelled source that show a class of the model. Raises DataError where the classes do not fit."""
    if source.kinds not in (None, len(labels)):
        raise DataError(
            f"the {source.what} are of {source.kinds} classes, the model knows {len(labels)}",
            hint=f"a model of these {source.units}",
        )
    assert source.names is not None
    matched = match((name for names in source.names for name in names), labels)
    known: dict[tuple[str, ...], tuple[int, ...]] = {}  # images of a class share one tuple
    for names in source.names:
        if names not in known:
            known[names] = tuple(matched.indices[name] for name in names if name in matched.indices)
    truths = [known[names] for names in source.names]
    positions = [i for i, truth in enumerate(truths) if truth]
    notes = list(source.notes)
    if matched.unknown:
        of = len(matched.unknown) + len(matched.indices)
        notes.append(f"{len(matched.unknown)} of {of} classes are none of the model's: {few(matched.unknown, 5)}")
    if rest := len(truths) - len(positions):
        notes.append(f"{rest:,} of {len(truths):,} {source.units} have no class of the model: left out")
    if matched.unused:
        notes.append(
            f"{len(matched.unused)} of {len(labels)} classes of the model have no {source.units[:-1]}: {few(matched.unused, 5)}"
        )
    what = f"{source.what}, classes matched {matched.how}"
    return DataSet(what, source.stamp, positions, True, tuple(notes), source, truths, classes=tuple(labels))
