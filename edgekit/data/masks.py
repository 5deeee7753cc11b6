"""Images with a mask each: a PNG, palette or grey, whose pixels are the numbers of labels.

DATA/images/NAME.jpg, DATA/masks/NAME.png      also DATA/pictures; also below a folder for each split, or with such inside
DATA/test/NAME.png, DATA/testannot/NAME.png    as CamVid has it
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.classes import few
from edgekit.data.dataset import DataSet
from edgekit.data.files import below, check_folder, picture_files, titled, unread
from edgekit.data.folders import of_files, stamp
from edgekit.data.splits import by_split, chosen, whole
from edgekit.errors import DataError, RequestError
from edgekit.harmless import harmless
from edgekit.preprocess import MAX_DECODED
from edgekit.tasks.iou import UNLABELLED

Mask = NDArray[np.uint8]  # [height, width]
Size = tuple[int, int]  # width, height
Pair = tuple[Path, Path]  # the folder of images, the folder of masks

IMAGES, MASKS, ANNOTATED = ("images", "pictures"), "masks", "annot"
SCANNED = 64  # masks that are looked at before anything runs
ORIENTATION, TURNED = 0x0112, 5  # EXIF: from this value on, width and height change places
T = TypeVar("T")


def open_masks(
    folder: Path,
    labels: Sequence[str],
    *,
    ignore: int | None = 255,
    images: str | None = None,
    masks: str | None = None,
    split: str | None = None,
) -> DataSet:
    """The images of a folder that have a mask, and how to open it.

    ignore         value of pixels that nobody labelled; None: every pixel is
    images, masks  folders below `folder`, where they have names of their own
    Raises DataError for no masks, and where one of the first `SCANNED` is of another size than its image or holds what is no
    label; RequestError for one of `images` and `masks` without the other.
    """
    if (images is None) != (masks is None):
        raise RequestError("--images and --masks go together", hint="--images DIR --masks DIR, both below --data")
    check_folder(folder, "--data with a folder of images and masks")
    there = {"": (folder / images, folder / masks)} if images and masks else masked_in(folder)
    if not there:
        above = whole(folder, masked_in)
        raise DataError(
            f"{folder} holds no folder of images beside one of masks",
            hint=f"--data {above}, which does"
            if above
            else "images/NAME.jpg beside masks/NAME.png; other names: --images DIR --masks DIR",
        )
    name = chosen(there, split, folder, "masks")
    return _pairs(*there[name], name, labels, ignore)


def masked_in(folder: Path) -> dict[str, Pair]:
    """The parts of a folder that have masks: test, val, train; "" for a folder that is not split. Raises DataError."""
    if pair := _beside(folder):
        inside = by_split(p for p in sorted(pair[0].iterdir()) if p.is_dir() and (pair[1] / p.name).is_dir())
        return {split: (path, pair[1] / path.name) for split, path in inside.items()} or {"": pair}
    pairs = {}
    for part in sorted(p for p in folder.iterdir() if p.is_dir()):
        annotated = folder / f"{part.name}{ANNOTATED}"
        pair = (part, annotated) if annotated.is_dir() else _beside(part)
        if pair:
            pairs[part] = pair
    return {split: pairs[part] for split, part in by_split(pairs).items()}


def _beside(folder: Path) -> Pair | None:
    return next(
        ((folder / name, folder / MASKS) for name in IMAGES if (folder / name).is_dir() and (folder / MASKS).is_dir()),
        None,
    )


def _pairs(images: Path, masks: Path, split: str, labels: Sequence[str], ignore: int | None) -> DataSet:
    if not masks.is_dir():
        raise DataError(f"there is no folder {masks}", hint="--masks DIR, below --data")
    files = [path.relative_to(images) for path in picture_files(images)]
    masked = {path.relative_to(masks).with_suffix("") for path in below(masks) if path.suffix == ".png"}
    paired = [file for file in files if file.with_suffix("") in masked]
    if not paired:
        wanted = (masks / files[0]).with_suffix(".png")
        raise DataError(f"none of the {len(files)} images in {images} has a mask in {masks}", hint=f"such as {wanted}")
    notes = unread(images)
    if rest := len(files) - len(paired):
        notes += (f"{rest:,} of {len(files):,} images have no mask of their name in {masks.name}: left out",)
    read = partial(read_mask, labels=labels, ignore=ignore)
    paths = [(masks / file).with_suffix(".png") for file in paired]
    _scan([images / file for file in paired], paths, read, labels, ignore)
    what = f"{split} images of {titled(images, 2)} with masks".strip()
    source = of_files(what, images, paired, None, notes)
    known = hashlib.sha256(f"{source.stamp} {stamp(masks, [p.relative_to(masks) for p in paths])} {ignore}".encode())
    return DataSet(
        what,
        known.hexdigest(),
        range(len(paired)),
        True,
        notes,
        source,
        None,
        lambda position: partial(read, paths[position]),
    )


def read_mask(path: Path, size: Size, *, labels: Sequence[str], ignore: int | None) -> Mask:
    """The mask of an image of `size`: uint8 [height, width], each a label, or UNLABELLED where it was `ignore`. Raises DataError.

    Of two labels and no `ignore` 255 is the second: so masks of one thing are usually drawn.
    """
    values = _values(path)
    if values.shape[::-1] != size:
        (w, h), (height, width) = size, values.shape
        raise DataError(
            f"{titled(path, 2)} is {width} x {height} pixels, and its image {w} x {h}",
            hint="masks of the images' sizes",
        )
    there = np.unique(values)
    if len(labels) == 2 and ignore is None and set(there.tolist()) <= {0, 255}:
        return np.asarray(values == 255, np.uint8)
    strange = [int(v) for v in there if v >= len(labels) and v != ignore]
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise DataError(
            f"{titled(path, 2)} holds the label {strange[0]}{more}, and the model has {len(labels)}: {few(labels)}",
            hint=f"a model of these labels, or --ignore {strange[0]}",
        )
    return (
        np.where(values == ignore, UNLABELLED, values).astype(np.uint8)
        if ignore is not None
        else values.astype(np.uint8)
    )


def _values(path: Path) -> NDArray[np.integer]:
    """The numbers in a file: of a palette those that choose a colour."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_DECODED:
                raise DataError(f"{titled(path, 2)}: too large")
            if picture.mode not in ("P", "L", "1", "I;16", "I"):
                raise DataError(
                    f"{titled(path, 2)} is an image of colours ({picture.mode}), and a mask holds the numbers of labels",
                    hint="a PNG with a palette, or in grey",
                )
            return np.asarray(picture).astype(np.int32)
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise DataError(f"{titled(path, 2)} is not a mask: {harmless(str(error))}", hint="a PNG file") from None


def _scan(
    pictures: Sequence[Path],
    masks: Sequence[Path],
    read: Callable[[Path, Size], Mask],
    labels: Sequence[str],
    ignore: int | None,
) -> None:
    """Refuse masks that do not fit before anything runs, as far as a sample tells. Raises DataError."""
    seen: set[int] = set()
    chosen = np.linspace(0, len(masks) - 1, min(SCANNED, len(masks))).astype(int)
    for i in chosen.tolist():
        size = _size(pictures[i])
        if size:
            seen |= set(np.unique(read(masks[i], size)).tolist())
    if len(labels) == 2 and seen == {0, UNLABELLED}:
        raise DataError(
            f"the masks hold 0 and {ignore} alone, and pixels of {ignore} do not count",
            hint=f"--ignore none, if {ignore} is '{labels[1]}'",
        )


def _size(path: Path) -> Size | None:
    """Of an image as it is shown; None for one that cannot be read, which is told when its turn comes."""
    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(ORIENTATION, 1) >= TURNED
            return picture.size[::-1] if turned else picture.size
    except Exception:
        return None
