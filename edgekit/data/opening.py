"""What a folder holds is told by what is in it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from edgekit.data import folders, idx, parquet, stamps
from edgekit.data.boxes import boxed_in
from edgekit.data.dataset import DataSet, Source, own_classes, with_labels, without_labels
from edgekit.data.files import any_picture, check_folder
from edgekit.data.splits import chosen, split_folders
from edgekit.errors import DataError, RequestError
from edgekit.manifest import TrainedOn


def open_data(
    folder: Path,
    labels: Sequence[str] | None,
    *,
    labels_file: Path | None = None,
    split: str | None = None,
    unlabelled: bool = False,
    trained: TrainedOn | None = None,
) -> DataSet:
    """Find out what a folder holds, and match its classes with a model's labels; None: the classes
    are the images' own.

    In this order: a labels file given by the user; idx files; parquet files; a metadata file of the Hugging Face hub;
    class folders; images without labels. A split "val" or "train" that is not there is what the model held out of its
    training, or learned from, as `trained` tells. Raises DataError for no images and labels that do not fit,
    MissingExtraError for parquet files without pyarrow, RequestError for options that exclude each other.
    """
    if labels_file and unlabelled:
        raise RequestError("--unlabelled and --labels exclude each other", hint="keep one of them")
    check_folder(folder, "--data with a folder of images")
    there = (
        {"": lambda: folders.with_table(folder, labels_file)}
        if labels_file
        else splits_in(folder, unlabelled=unlabelled)
    )
    return taken(there, folder, labels, split=split, unlabelled=unlabelled, trained=trained)


def taken(
    there: Mapping[str, Callable[[], Source]],
    folder: Path,
    labels: Sequence[str] | None,
    *,
    split: str | None,
    unlabelled: bool,
    trained: TrainedOn | None,
) -> DataSet:
    """Of the parts of a folder the one that is asked for, else the best to measure on; as `open_data` has it. Raises DataError."""
    drawn = unsplit(there) if split in ("train", "val") and split not in there else None
    held_out = "val, which is what training held out"
    source = there[chosen(there, split, folder, unsplit=held_out) if drawn is None else drawn]()
    if source.count == 0:
        raise DataError(f"no images in {folder}", hint="a folder of images, idx files or parquet files")
    if unlabelled or source.names is None:
        found = without_labels(source)
    else:
        found = _matched(source, folder, own_classes(source) if labels is None else labels)
    return found if split is None or drawn is None else stamps.part(found, split, trained, folder)


def _matched(source: Source, folder: Path, labels: Sequence[str]) -> DataSet:
    """Raises DataError where the classes do not fit; of a folder of boxes it says that it is one."""
    try:
        return with_labels(source, labels)
    except DataError:
        if not boxed_in(folder):
            raise
        said = f"{folder} says what is where on each image, in boxes, and the model what a whole image shows"
        raise DataError(said, hint="a model that finds boxes, or a folder for each class") from None


def splits_in(folder: Path, *, unlabelled: bool = False) -> dict[str, Callable[[], Source]]:
    """The parts that a folder holds, each to be opened: test, val, train; "" for a folder that is not split. Raises DataError."""
    if images := idx.find(folder):
        return {name: partial(idx.source, folder, name, file) for name, file in images.items()}
    if files := parquet.find(folder):
        return {name: partial(parquet.source, folder, name, some) for name, some in files.items()}
    if roots := split_folders(folder, any_picture):
        return {name: partial(folders.source, root, name, unlabelled=unlabelled) for name, root in roots.items()}
    return {"": partial(folders.source, folder, unlabelled=unlabelled)}


def unsplit(there: Mapping[str, object]) -> str | None:
    """The part that training draws a validation set from, where none is there."""
    return next((name for name in ("train", "", "all") if name in there), None)
