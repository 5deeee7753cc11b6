"""What a folder holds is told by what is in it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from edgekit.data import folders, idx, parquet
from edgekit.data.dataset import DataSet, Source, with_labels, without_labels
from edgekit.data.splits import SPLITS, split_of
from edgekit.errors import DataError, RequestError

T = TypeVar("T")


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
    MissingExtraError for parquet files without pyarrow, RequestError for options that exclude each other.
    """
    if labels_file and (unlabelled or split):
        other = "--unlabelled" if unlabelled else "--split"
        raise RequestError(f"{other} and --labels exclude each other", hint="keep one of them")
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", hint="--data with a folder of pictures")
    source = folders.with_table(folder, labels_file) if labels_file else _find(folder, split, unlabelled)
    if source.count == 0:
        raise DataError(f"no pictures in {folder}", hint="a folder of pictures, idx files or parquet files")
    return without_labels(source) if unlabelled or source.names is None else with_labels(source, labels)


def splits_in(folder: Path, *, unlabelled: bool = False) -> dict[str, Callable[[], Source]]:
    """The parts that a folder holds, each to be opened: test, val, train; "" for a folder that is not split."""
    if images := idx.find(folder):
        return {name: partial(idx.source, folder, name, file) for name, file in images.items()}
    if files := parquet.find(folder):
        return {name: partial(parquet.source, folder, name, some) for name, some in files.items()}
    inside = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    roots = {name: p for p in inside if (name := split_of(p.name))}
    if roots and len(roots) == len(inside):  # a class may be called "train": splits stand alone
        return {name: partial(folders.source, root, name, unlabelled=unlabelled) for name, root in roots.items()}
    return {"": partial(folders.source, folder, unlabelled=unlabelled)}


def _find(folder: Path, split: str | None, unlabelled: bool) -> Source:
    there = splits_in(folder, unlabelled=unlabelled)
    if "" in there and split is not None:
        raise DataError(f"{folder} has no splits, so --split {split} means nothing", hint="leave --split out")
    return there[""]() if "" in there else _choose(there, split, folder)()


def _choose(there: Mapping[str, T], asked: str | None, folder: Path) -> T:
    """The split asked for, or the best to measure on. Raises DataError."""
    name = asked or next((s for s in SPLITS if s in there), next(iter(there)))
    if name not in there:
        raise DataError(f"{folder} has no split '{name}'", hint=f"--split {' or '.join(sorted(there))}")
    return there[name]
