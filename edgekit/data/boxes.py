"""Images with boxes around the things on them: COCO's JSON, YOLO's texts, PASCAL VOC's XML, Hugging Face's image folders.

Boxes are of the image as it is shown, after the orientation in its EXIF data is applied. Where the data set says a size that the
shown image does not have, the image is left out, and said: its boxes would lie elsewhere.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edgekit.data import coco, voc, yolo
from edgekit.data.classes import Matched, few, match
from edgekit.data.dataset import DataSet
from edgekit.data.files import check_folder, titled
from edgekit.data.folders import of_files
from edgekit.data.marks import Boxed, Marks, Size, checked
from edgekit.data.splits import chosen, whole
from edgekit.errors import DataError
from edgekit.tasks.average_precision import Objects
from edgekit.tasks.boxes import areas

NUMBERED = 10_000  # classes of a data set that has no names for them


def open_boxes(folder: Path, labels: Sequence[str] | None, *, split: str | None = None) -> DataSet:
    """The images of a folder with what is on them.

    labels  of a model; None: the classes are the data set's own
    Raises DataError for no boxes, boxes that cannot be, and classes that do not fit.
    """
    check_folder(folder, "--data with a folder of images and boxes")
    there = boxed_in(folder)
    if not there:
        above = whole(folder, boxed_in)
        raise DataError(
            f"{folder} holds no boxes",
            hint=f"--data {above}, which does"
            if above
            else "annotations/*.json (COCO), images/ beside labels/ (YOLO), Annotations/ (VOC), or metadata.jsonl with objects",
        )
    name = chosen(there, split, folder, "boxes")
    return of_boxes(checked(there[name]()), name, labels)


def boxed_in(folder: Path) -> Mapping[str, Callable[[], Boxed]]:
    """The parts of a folder that have boxes, each to be read: test, val, train; "" for a folder that is not split."""
    finds = (coco.find, coco.find_rows, yolo.find, voc.find)
    return next((found for find in finds if (found := find(folder))), {})


def of_boxes(boxed: Boxed, split: str, labels: Sequence[str] | None) -> DataSet:
    """Boxes of classes that the model does not have are left out. Raises DataError where none is left."""
    used = sorted({name for marks in boxed.marks for name in marks.names})
    if not used:
        raise DataError(f"there is no box on the images in {boxed.root} ({boxed.kind})", hint="other --data")
    classes = tuple(labels) if labels is not None else boxed.names or _own(used)
    matched = _matched(used, boxed, classes)
    marks = boxed.marks
    shown = [sum(name in matched.indices for name in m.names) for m in marks]
    what = f"{split} images of {titled(boxed.root, 2)} with {sum(shown):,} boxes ({boxed.kind}), classes matched {matched.how}"
    files = [m.file for m in marks]
    source = of_files(what.strip(), boxed.root, files, None, boxed.notes)
    stamp = hashlib.sha256(f"{source.stamp} {boxed.said} {classes}".encode()).hexdigest()
    return DataSet(
        what.strip(),
        stamp,
        range(len(marks)),
        True,
        (*boxed.notes, *_notes(shown, matched, classes, sum(len(m.names) for m in marks))),
        source,
        None,
        classes=classes,
        objects=lambda position: partial(objects, marks[position], matched.indices),
    )


def _own(used: Sequence[str]) -> tuple[str, ...]:
    """Of a data set that does not list its classes: those that are there; of numbers all up to the highest."""
    if all(name.isdecimal() for name in used):
        most = max(used, key=lambda name: (len(name), name))
        if len(most) > 9 or int(most) >= NUMBERED:
            raise DataError(
                f"class number {most:.20}, and without names at most {NUMBERED:,} classes are counted",
                hint="numbers that count from 0, or data.yaml with the names of the classes",
            )
        return tuple(str(number) for number in range(int(most) + 1))
    return tuple(used)


def _matched(used: Sequence[str], boxed: Boxed, classes: Sequence[str]) -> Matched:
    """By all names that the data set knows: a few that are used might be numbers by chance."""
    try:
        found = match(boxed.names or used, classes)
    except DataError as error:
        raise DataError(error.message, hint="a model of these classes, or data.yaml with their names") from None
    unknown = tuple(name for name in used if name not in found.indices)
    if len(unknown) == len(used):
        raise DataError(f"no box is of a class of the model: {few(used)}", hint="a model of these classes")
    named = {found.indices[name] for name in used if name in found.indices}
    unused = tuple(label for i, label in enumerate(classes) if i not in named)
    return Matched(found.indices, found.how, unknown, unused)


def _notes(shown: Sequence[int], matched: Matched, classes: Sequence[str], boxes: int) -> list[str]:
    notes = []
    if matched.unknown:
        left = f"{boxes - sum(shown):,} of {boxes:,} boxes are of none of the model's classes: left out"
        notes.append(f"{left} ({few(matched.unknown, 5)})")
    if empty := shown.count(0):
        notes.append(f"{empty:,} of {len(shown):,} images have no box: whatever is found there is wrong")
    if matched.unused:
        notes.append(
            f"{len(matched.unused)} of {len(classes)} classes have no box and do not count: {few(matched.unused, 5)}"
        )
    return notes


def objects(marks: Marks, indices: Mapping[str, int], size: Size) -> Objects:
    """What is on an image of `size` (width, height), in its own pixels. Raises DataError for boxes that are not of it."""
    if marks.size is not None and marks.size != size:
        (w, h), (width, height) = marks.size, size
        raise DataError(f"its boxes were drawn on {w} x {h} pixels, and as it is shown it has {width} x {height}")
    if fault := marks.fault(size):
        raise DataError(f"it has {fault}")
    known = np.array([name in indices for name in marks.names], bool)
    whole = np.tile(np.asarray(size, np.float64), 2)
    boxes = (marks.boxes[known] * (whole if marks.shares else 1)).clip(0, whole)
    labels = np.array([indices[name] for name in marks.names if name in indices], np.int64)
    area = np.where(np.isnan(marks.area[known]), areas(boxes), marks.area[known])
    return Objects(boxes, labels, marks.crowd[known], area)
