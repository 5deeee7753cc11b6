"""Boxes as COCO has them, and Hugging Face's image folders: x, y, width and height in pixels of the image.

DATA/annotations/instances_val2017.json    with the images in DATA, DATA/images, DATA/val2017, ...
DATA/valid/_annotations.coco.json          beside the images, as Roboflow exports them
DATA/train/metadata.jsonl                  {"file_name": "a.jpg", "objects": {"bbox": [[x, y, w, h]], "categories": ["cat"]}}
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec

from edgekit import reading
from edgekit.data.files import picture_files, titled
from edgekit.data.marks import LONGEST, Boxed, Marks
from edgekit.data.splits import by_split, split_of
from edgekit.errors import DataError

LIMIT = 2 << 30  # bytes of a JSON file: instances_train2017.json has 0.45 GB
METADATA = "metadata.jsonl"
Four = tuple[float, float, float, float]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Side = Annotated[float, msgspec.Meta(ge=0, le=LONGEST)]  # some write 640.0
Yes = int | bool | None
FORM = '"objects": {"bbox": [[x, y, w, h]], "categories": ["cat"]}'
BELOW = "file_name as the image lies below the folder, such as train/a.jpg"


class Named(msgspec.Struct):
    """file_name: below a folder; it may be written as Windows does, or begin with ./"""

    file_name: str

    def __post_init__(self) -> None:
        self.file_name = PurePosixPath(self.file_name.replace("\\", "/")).as_posix()


class Image(Named):
    id: int | str
    width: Side | None = None
    height: Side | None = None


class Category(msgspec.Struct):
    id: int
    name: Name


class Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int
    bbox: Four
    iscrowd: Yes = 0
    area: float | None = None


class Document(msgspec.Struct):
    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category] | None = None


class Things(msgspec.Struct):
    """Of a row: `categories`, or another word for them."""

    bbox: list[Four]
    categories: list[int | str] | None = None
    category: list[int | str] | None = None
    category_id: list[int | str] | None = None
    label: list[int | str] | None = None
    labels: list[int | str] | None = None
    area: list[float] | None = None
    iscrowd: list[Yes] | None = None

    @property
    def named(self) -> list[int | str]:
        said = (self.categories, self.category, self.category_id, self.label, self.labels)
        return next((names for names in said if names is not None), [])


class Row(Named):
    objects: Things
    width: Side | None = None
    height: Side | None = None


def find(folder: Path) -> dict[str, Callable[[], Boxed]]:
    """The parts of a folder that have boxes in JSON; "" for one that is not split."""
    files = sorted(
        [*folder.glob("annotations/*.json"), *folder.glob("*.json"), *folder.glob("*/_annotations.coco.json")]
    )
    chosen = {file: split for file in files if (split := _split(file, folder)) is not None and _has_boxes(file)}
    instances = {file: split for file, split in chosen.items() if file.name.startswith("instances")}
    parts: dict[str, list[Path]] = defaultdict(list)
    for file, split in (instances or chosen).items():
        parts[split].append(file)
    return {split: partial(_read_only, some, folder) for split, some in parts.items()}


def find_rows(folder: Path) -> dict[str, Callable[[], Boxed]]:
    """The parts of a Hugging Face image folder that have boxes."""
    files = {"": folder / METADATA} if (folder / METADATA).is_file() else {}
    if not files:
        parts = by_split(path.parent for path in sorted(folder.glob(f"*/{METADATA}")))
        files = {name: part / METADATA for name, part in parts.items()}
    return {split: partial(read_rows, file) for split, file in files.items() if b'"bbox"' in _head(file)}


def _split(file: Path, folder: Path) -> str | None:
    """`instances_val2017.json` is of the split "val"; "" where nothing is said."""
    if file.parent.name not in ("annotations", folder.name):
        return split_of(file.parent.name)
    words = file.stem.split("_")
    return next((split for word in words if (split := split_of(word))), "")


def _has_boxes(file: Path) -> bool:
    """As far as the name and the first bytes tell: beside boxes COCO has captions and keypoints."""
    if file.name.startswith(("captions", "person_keypoints", "stuff", "panoptic", "image_info")):
        return False
    return any(word in _head(file) for word in (b'"annotations"', b'"images"'))


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(1 << 20)
    except OSError:
        return b""


def _read_only(files: Sequence[Path], folder: Path) -> Boxed:
    """Raises DataError where there are several: which one is meant, nothing says."""
    if len(files) > 1:
        raise DataError(
            f"{titled(files[0], 2)} and {titled(files[1], 2)} hold boxes of the same split",
            hint="leave one of them in the folder, or name the split in it: instances_val.json",
        )
    return read(files[0], folder)


def read(file: Path, folder: Path) -> Boxed:
    """Raises DataError for what is no COCO JSON, without categories, without images, and where a number says two things."""
    blob = _blob(file)
    try:
        document = reading.json(blob, Document)
    except reading.Malformed as error:
        raise DataError(
            f"{file} is not COCO's JSON: {error}", hint="images, annotations with bbox, and categories"
        ) from None
    if not document.categories:
        raise DataError(
            f"{file} has no categories, so nothing says what its numbers mean",
            hint='"categories": [{"id": 1, "name": "cat"}]',
        )
    _check_once("category", [category.id for category in document.categories], file)
    _check_once("category", [category.name for category in document.categories], file)
    _check_once("image", [image.id for image in document.images], file)
    _check_once("image", [image.file_name for image in document.images], file)
    categories = {category.id: category.name for category in document.categories}
    things: dict[int | str, list[Annotation]] = defaultdict(list)
    for thing in document.annotations:
        if thing.category_id not in categories:
            raise DataError(
                f"{file} has a box of category {thing.category_id}, which is none of its categories",
                hint="name it among the categories, or leave the box out",
            )
        things[thing.image_id].append(thing)
    root, there = _root(file, folder, [image.file_name for image in document.images])
    marks = tuple(
        _marks(Path(image.file_name), things[image.id], categories, image)
        for image in document.images
        if image.file_name in there
    )
    names = tuple(categories[number] for number in sorted(categories))
    return Boxed("COCO JSON", root, marks, _said(blob), names, tuple(_lost(document, len(marks), file)))


def _check_once(what: str, said: Sequence[int | str], file: Path) -> None:
    number, times = next(iter(Counter(said).most_common(1)), ("", 0))
    if times > 1:
        raise DataError(f"{file} has {times} times the {what} {number!r}", hint="once, so that a box means one thing")


def _lost(document: Document, there: int, file: Path) -> Iterable[str]:
    if rest := len(document.images) - there:
        yield f"{rest:,} of {len(document.images):,} images that {file.name} names are not there: left out"
    known = {image.id for image in document.images}
    if rest := sum(thing.image_id not in known for thing in document.annotations):
        yield f"{rest:,} boxes in {file.name} are of images that it does not name: left out"


def _marks(file: Path, things: Sequence[Annotation], categories: dict[int, str], image: Image) -> Marks:
    return Marks.of(
        file,
        [(_corners(thing.bbox), categories[thing.category_id]) for thing in things],
        crowd=[bool(thing.iscrowd) for thing in things],
        area=[float("nan") if thing.area is None else thing.area for thing in things],
        size=_size(image),
    )


def _size(said: Image | Row) -> tuple[int, int] | None:
    return (int(said.width), int(said.height)) if said.width and said.height else None


def _corners(bbox: Four) -> Four:
    x, y, width, height = bbox
    return x, y, x + width, y + height


def _root(file: Path, folder: Path, names: Sequence[str]) -> tuple[Path, set[str]]:
    """The folder below which most of the images are, and those that are. Raises DataError where none is."""
    paths = ((name, PurePosixPath(name)) for name in names)
    wanted = {name: path for name, path in paths if not path.is_absolute() and ".." not in path.parts}
    by_name = defaultdict(list)
    for name, path in wanted.items():
        by_name[path.name].append((name, len(path.parts)))
    found: dict[Path, set[str]] = defaultdict(set)
    for picture in picture_files(folder):
        for name, parts in by_name.get(picture.name, ()):
            if picture.parts[-parts:] == wanted[name].parts:
                found[Path(*picture.parts[:-parts])].add(name)
    if not found:
        if not names:
            raise DataError(f"{file} names no images", hint='"images": [{"id": 1, "file_name": "a.jpg"}]')
        raise DataError(
            f"none of the {len(names)} images that {file} names is in {folder} (the first is {names[0]})", hint=BELOW
        )
    return max(found.items(), key=lambda pair: (len(pair[1]), -len(pair[0].parts), str(pair[0])))


def read_rows(file: Path) -> Boxed:
    """Raises DataError for what are no rows of images with objects."""
    folder, blob = file.parent, _blob(file)
    try:
        rows = [reading.json(line, Row) for line in blob.splitlines() if line.strip()]
    except reading.Malformed as error:
        raise DataError(f"{file}: {error}", hint=FORM) from None
    _check_once("image", [row.file_name for row in rows], file)
    there = {path.relative_to(folder).as_posix() for path in picture_files(folder)}
    marks = tuple(_of_row(row, file) for row in rows if row.file_name in there)
    if not marks:
        raise DataError(f"none of the {len(rows)} images that {file} names is in {folder}", hint=BELOW)
    return Boxed("an image folder of Hugging Face", folder, marks, _said(blob), notes=tuple(_left(rows, there, file)))


def _left(rows: Iterable[Row], there: set[str], file: Path) -> Iterable[str]:
    named = Counter(row.file_name in there for row in rows)
    if named[False]:
        yield f"{named[False]:,} images that {titled(file, 2)} names are not there: left out"
    if rest := len(there) - named[True]:
        yield f"{rest:,} of {len(there):,} images are not in {titled(file, 2)}: left out"


def _of_row(row: Row, file: Path) -> Marks:
    things, names = row.objects, [str(name) for name in row.objects.named]
    crowd, area = things.iscrowd or [0] * len(names), things.area or [float("nan")] * len(names)
    if {len(names), len(crowd), len(area)} != {len(things.bbox)}:
        raise DataError(f"{file}: {row.file_name} has {len(things.bbox)} boxes, and {len(names)} categories", hint=FORM)
    boxes = [(_corners(box), name) for box, name in zip(things.bbox, names, strict=True)]
    return Marks.of(Path(row.file_name), boxes, crowd=list(map(bool, crowd)), area=area, size=_size(row))


def _blob(file: Path) -> bytes:
    try:
        return reading.blob(file, LIMIT)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None


def _said(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
