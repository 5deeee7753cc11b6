"""A data set: pictures in a fixed order, and what is on them. Told apart by what is in the folder; never all in memory."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from edgekit.data.classes import few, match
from edgekit.errors import DataError, RequestError

Opener = Callable[[], Image.Image]  # decodes to RGB; raises DataError
T = TypeVar("T")
# the first that is there is taken
SPLITS = ("test", "val", "train")


@dataclass(frozen=True)
class Source:
    """What a reader of one kind of data set finds, before its names of classes mean anything.

    what   in words: "test pictures of fashion-mnist (idx files)"
    stamp  changes when the data change
    names  per picture the names of the classes that count as right, () where none is given; None: not labelled
    count  of pictures
    read   positions in ascending order -> a name and an opener for each
    notes  what a user should be told
    kinds  how many classes there are, where numbers are all that is known of them
    """

    what: str
    stamp: str
    names: Sequence[tuple[str, ...]] | None
    count: int
    read: Callable[[Sequence[int]], Iterator[tuple[str, Opener]]]
    notes: tuple[str, ...] = ()
    kinds: int | None = None


@dataclass(frozen=True)
class Picture:
    """`truth`: the classes of the model that count as right; empty where the picture is not labelled."""

    position: int
    name: str
    truth: tuple[int, ...]
    open: Opener


@dataclass(frozen=True)
class DataSet:
    """Pictures with the classes of one model.

    what       in words
    stamp      changes when the pictures or their labels change
    positions  of the pictures that can be asked about, ascending
    labelled   False: nothing is known of what is on them
    notes      what was left out and what does not fit, in sentences
    """

    what: str
    stamp: str
    positions: Sequence[int]
    labelled: bool
    notes: tuple[str, ...]
    source: Source
    truths: Sequence[tuple[int, ...]] | None  # of every picture of the source

    def __len__(self) -> int:
        return len(self.positions)

    def sample(self, limit: int | None, seed: int = 0) -> Sequence[int]:
        """All positions, or a seeded sample of them; ascending."""
        if limit is None or limit >= len(self.positions):
            return self.positions
        chosen = np.random.default_rng(seed).choice(len(self.positions), limit, replace=False)
        return [self.positions[i] for i in sorted(chosen.tolist())]

    def read(self, positions: Sequence[int]) -> Iterator[Picture]:
        """The pictures at these ascending positions, one at a time and not decoded yet."""
        for position, (name, opener) in zip(positions, self.source.read(positions), strict=True):
            yield Picture(position, name, self.truths[position] if self.truths is not None else (), opener)


def open_data(
    folder: Path,
    labels: Sequence[str],
    *,
    labels_file: Path | None = None,
    split: str | None = None,
    unlabelled: bool = False,
) -> DataSet:
    """Find out what a folder holds, and match its classes with a model's labels.

    In this order: a labels file given by the user; idx files; parquet files; a metadata file of the Hugging Face hub;
    class folders; pictures without labels. Raises DataError for no pictures and labels that do not fit,
    MissingExtraError for parquet files without pyarrow.
    """
    if unlabelled and labels_file:
        raise RequestError("--unlabelled and --labels exclude each other", hint="keep one of them")
    source = _find(folder, labels_file, split, unlabelled)
    if source.count == 0:
        raise DataError(f"no pictures in {folder}", hint="a folder of pictures, idx files or parquet files")
    if unlabelled or source.names is None:
        return without_labels(source)
    if source.kinds not in (None, len(labels)):
        raise DataError(
            f"the {source.what} are of {source.kinds} classes, the model knows {len(labels)}",
            hint="a model of these pictures",
        )
    matched = match((name for names in source.names for name in names), labels)
    known: dict[tuple[str, ...], tuple[int, ...]] = {}
    for names in source.names:
        if names not in known:
            known[names] = tuple(matched.indices[name] for name in names if name in matched.indices)
    truths = [known[names] for names in source.names]
    positions = [i for i, truth in enumerate(truths) if truth]
    notes = list(source.notes)
    if matched.unknown:
        of = len(matched.unknown) + len(matched.indices)
        notes.append(f"{len(matched.unknown)} of {of} classes are none of the model's: {few(matched.unknown, 5)}")
    if len(positions) < len(truths):
        notes.append(
            f"{len(truths) - len(positions):,} of {len(truths):,} pictures have no class of the model: left out"
        )
    if matched.unused:
        notes.append(
            f"{len(matched.unused)} of {len(labels)} classes of the model have no picture: {few(matched.unused, 5)}"
        )
    what = f"{source.what}, classes matched {matched.how}"
    return DataSet(what, source.stamp, positions, True, tuple(notes), source, truths)


def without_labels(source: Source) -> DataSet:
    return DataSet(source.what, source.stamp, range(source.count), False, source.notes, source, None)


def _find(folder: Path, labels_file: Path | None, split: str | None, unlabelled: bool) -> Source:
    from edgekit.data import folders, idx, parquet  # they build a Source

    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", hint="--data with a folder of pictures")
    if labels_file is not None:
        return folders.with_table(folder, labels_file)
    if found := idx.find(folder):
        return idx.source(folder, *choose_split(found, split, folder))
    if files := parquet.find(folder):
        return parquet.source(folder, *choose_split(files, split, folder))
    inside = {
        name: p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and (name := split_of(p.name))
    }
    others = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not split_of(p.name)]
    if inside and not others:  # a class may be called "train": splits stand alone
        name, root = choose_split(inside, split, folder)
    elif split is not None:
        raise DataError(f"{folder} has no splits, so --split {split} means nothing", hint="leave --split out")
    else:
        name, root = "", folder
    return folders.source(root, name, unlabelled=unlabelled)


def split_of(name: str) -> str | None:
    """Which split a folder or a file belongs to: `test-00000-of-00001.parquet` is of the split "test"."""
    found = re.match(r"(test|t10k|val|validation|train)(?![a-zA-Z0-9])", name)
    return {"t10k": "test", "validation": "val"}.get(found[1], found[1]) if found else None


def choose_split(there: Mapping[str, T], asked: str | None, folder: Path) -> tuple[str, T]:
    """The split asked for, or the best to measure on. Raises DataError."""
    name = asked or next((s for s in SPLITS if s in there), next(iter(there)))
    if name not in there:
        raise DataError(f"{folder} has no split '{name}'", hint=f"--split {' or '.join(sorted(there)) or '...'}")
    return name, there[name]
