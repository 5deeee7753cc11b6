"""The three parts that a training run needs: to learn from, to select on, to report on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data import clips, folders
from edgekit.data.boxes import boxed_in, open_boxes
from edgekit.data.classes import few
from edgekit.data.dataset import DataSet, Source, own_classes, with_labels
from edgekit.data.files import check_folder
from edgekit.data.masks import masked_in, open_masks
from edgekit.data.opening import splits_in, unsplit
from edgekit.data.splits import hold_out, whole
from edgekit.errors import DataError

ENOUGH = "two class folders or more, with {} in each"


@dataclass(frozen=True)
class Splits:
    """
    labels  of the classes, in their order
    train   what the weights learn from
    val     what the best epoch is selected on
    test    what is reported; None where the data have no such split
    notes   what a user should be told
    """

    labels: tuple[str, ...]
    train: DataSet
    val: DataSet
    test: DataSet | None
    notes: tuple[str, ...]


def open_splits(
    folder: Path,
    *,
    labels_file: Path | None = None,
    classes: Sequence[str] | None = None,
    val_share: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Everything that `open_data` reads, as parts of their own.

    labels_file  what is on the images, in a table; the folder then has no splits
    classes      names in class order; without it: the names in the data, sorted, numbers by value
    val_share    of the training images of each class, where there is no split "val"
    Raises DataError for no labels, fewer than two classes, and splits whose classes do not fit.
    """
    check_folder(folder, "--data with a folder of images")
    there = {"": lambda: folders.with_table(folder, labels_file)} if labels_file else splits_in(folder)
    return _classified(there, "images", folder, classes, val_share, seed)


def open_clip_splits(
    folder: Path,
    *,
    labels_file: Path | None = None,
    classes: Sequence[str] | None = None,
    val_share: float = 0.1,
    seed: int = 0,
) -> Splits:
    """The same of videos: everything that `open_clips` reads. Clips of one film (UCF101's groups) stay on one side."""
    check_folder(folder, "--data with a folder of videos")
    return _classified(clips.splits_in(folder, labels_file), "videos", folder, classes, val_share, seed)


def _classified(
    there: Mapping[str, Callable[[], Source]],
    units: str,
    folder: Path,
    classes: Sequence[str] | None,
    val_share: float,
    seed: int,
) -> Splits:
    first = unsplit(there)
    if first is None:
        raise DataError(f"{folder} has no training {units}, only {', '.join(there)}", hint="a folder 'train' beside it")
    source = there[first]()
    labels = tuple(classes) if classes else _labels(source, folder)
    if len(labels) < 2:
        raise DataError(f"the {source.what} are of one class: {few(labels)}", hint=ENOUGH.format(units))
    train = _matched(source, labels)
    notes = list(train.notes)
    if len(used := {train.truths[i][0] for i in train.positions}) < 2:  # type: ignore[index]
        raise DataError(f"the {train.what} show {len(used)} of {len(labels)} classes", hint=ENOUGH.format(units))
    if "val" in there:
        val = _matched(there["val"](), labels)
        notes += val.notes
    else:
        train, val = hold_out(train, val_share, seed)
    test = _matched(there["test"](), labels) if "test" in there else None
    notes += test.notes if test else ()
    if not len(val) or not len(train):
        raise DataError(
            f"{len(train)} {units} to learn from and {len(val)} to select on",
            hint=f"more {units} of each class, or a larger --val-share",
        )
    return Splits(labels, train, val, test, tuple(notes))


def open_masked_splits(
    folder: Path, labels: Sequence[str], *, ignore: int | None = 255, val_share: float = 0.1, seed: int = 0
) -> Splits:
    """Images with masks, as `open_masks` reads them, as parts of their own. Raises DataError."""
    there = masked_in(folder)
    first = unsplit(there)
    if first is None:
        raise DataError(
            f"{folder} has no training images with masks, only {', '.join(there)}", hint="a folder 'train' beside it"
        )
    if len(labels) < 2:
        raise DataError(f"masks of one label: {few(labels)}", hint="--classes FILE: the background is a label too")
    parts = {
        name: open_masks(folder, labels, ignore=ignore, split=name or None)
        for name in (first, "val", "test")
        if name in there
    }
    return _held_out(parts, first, labels, val_share, seed)


def open_boxed_splits(folder: Path, labels: Sequence[str] | None, *, val_share: float = 0.1, seed: int = 0) -> Splits:
    """Images with boxes, as `open_boxes` reads them, as parts of their own.

    labels  None: the classes are those of the training images
    Raises DataError.
    """
    there = boxed_in(folder)
    first = unsplit(there)
    if first is None:
        raise DataError(
            f"{folder} has no training images with boxes, only {', '.join(there)}", hint="a split 'train' beside it"
        )
    parts = {first: open_boxes(folder, labels, split=first or None)}
    parts |= {name: open_boxes(folder, parts[first].classes, split=name) for name in ("val", "test") if name in there}
    return _held_out(parts, first, parts[first].classes, val_share, seed)


def _held_out(parts: Mapping[str, DataSet], first: str, labels: Sequence[str], val_share: float, seed: int) -> Splits:
    """Raises DataError where too few are there."""
    train, val = (parts[first], parts["val"]) if "val" in parts else hold_out(parts[first], val_share, seed)
    if not len(val) or not len(train):
        raise DataError(f"{len(train)} images to learn from and {len(val)} to select on", hint="more images")
    notes = tuple(note for part in parts.values() for note in part.notes)
    return Splits(tuple(labels), train, val, parts.get("test"), notes)


def _labels(source: Source, folder: Path) -> tuple[str, ...]:
    if source.names is None:
        above = whole(folder, lambda path: boxed_in(path) or masked_in(path))
        hint = f"--data {above}, which says it" if above else f"{ENOUGH.format(source.units)}; or --labels FILE"
        raise DataError(f"nothing says what is on the {source.what}", hint=hint)
    return own_classes(source)


def _matched(source: Source, labels: Sequence[str]) -> DataSet:
    try:
        return with_labels(source, labels)
    except DataError as error:
        error.hint = "the same classes in every split, and in --classes FILE where it is given"
        raise
