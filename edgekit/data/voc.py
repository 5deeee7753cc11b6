"""Boxes as PASCAL VOC has them: an XML file for each picture, corners in pixels that count from 1, the last one included.

DATA/Annotations/NAME.xml, DATA/JPEGImages/NAME.jpg     or the pictures in DATA/images, or beside the XML files
DATA/ImageSets/Main/val.txt                             names of a split, where there are such

An object that is marked as difficult does not count, as in VOC's own evaluation: it is taken for a crowd.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from edgekit import reading
from edgekit.data.files import picture_files, titled
from edgekit.data.marks import Boxed, Marks
from edgekit.data.splits import SPLITS, split_of
from edgekit.errors import DataError

ANNOTATIONS, SETS = "Annotations", Path("ImageSets/Main")
Element = ElementTree.Element


def find(folder: Path) -> dict[str, Callable[[], Boxed]]:
    """The parts of a folder that have boxes in XML files; "" for one that is not split."""
    if not (folder / ANNOTATIONS).is_dir():
        parts = {name: p for p in sorted(folder.iterdir()) if p.is_dir() and (name := split_of(p.name))}
        found = {name: files for name, part in parts.items() if (files := _files(part))}
        if found:
            return {name: partial(read, files, folder / parts[name].name) for name, files in found.items()}
        return {"": partial(read, files, folder)} if (files := _files(folder)) else {}
    files = sorted((folder / ANNOTATIONS).rglob("*.xml"))
    sets = {name: folder / SETS / f"{name}.txt" for name in SPLITS if (folder / SETS / f"{name}.txt").is_file()}
    if not files:
        return {}
    if not sets:
        return {"": partial(read, files, folder)}
    chosen = {name: set(file.read_text("utf-8").split()) for name, file in sets.items()}
    return {name: partial(read, [f for f in files if f.stem in some], folder) for name, some in chosen.items()}


def _files(folder: Path) -> list[Path]:
    """XML files beside pictures."""
    return sorted(folder.glob("*.xml"))


def read(files: Sequence[Path], folder: Path) -> Boxed:
    """Raises DataError for what is no such file, and where none is of a picture that is there."""
    pictures = {path.stem: path.relative_to(folder) for path in picture_files(folder)}
    digest, marks = hashlib.sha256(), []
    for file in files:
        if file.stem in pictures:
            blob, root = _parsed(file)
            digest.update(blob)
            marks.append(_marks(root, pictures[file.stem], titled(file, 2)))
    if not marks:
        raise DataError(
            f"none of the {len(files)} XML files in {folder} is of a picture there", hint="NAME.xml of NAME.jpg"
        )
    notes = []
    if rest := len(files) - len(marks):
        notes.append(f"{rest:,} of {len(files):,} XML files are of no picture: left out")
    if rest := len(pictures) - len(marks):
        notes.append(f"{rest:,} of {len(pictures):,} pictures have no XML file: left out")
    return Boxed(
        "PASCAL VOC", folder, tuple(sorted(marks, key=lambda m: m.file)), digest.hexdigest(), notes=tuple(notes)
    )


def _parsed(file: Path) -> tuple[bytes, Element]:
    try:
        blob = reading.blob(file, 16 * reading.MB)
        if b"<!DOCTYPE" in blob or b"<!ENTITY" in blob:
            raise DataError(f"{file} declares entities", hint="an XML file of boxes has none")
        return blob, ElementTree.fromstring(blob)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not XML: {error}") from None


def _marks(root: Element, picture: Path, where: str) -> Marks:
    rows, difficult = [], []
    for thing in root.iter("object"):
        name, box = (thing.findtext("name") or "").strip(), thing.find("bndbox")
        if not name or box is None:
            raise DataError(f"{where} has an object without a {'bndbox' if name else 'name'}")
        left, top, right, bottom = (_number(box, side, where) for side in ("xmin", "ymin", "xmax", "ymax"))
        rows.append(((left - 1, top - 1, right, bottom), name))
        difficult.append((thing.findtext("difficult") or "0").strip() == "1")
    width, height = (int(_number(root, f"size/{side}", where, "0")) for side in ("width", "height"))
    return Marks.of(picture, rows, crowd=difficult, size=(width, height) if width and height else None)


def _number(of: Element, name: str, where: str, default: str | None = None) -> float:
    said = of.findtext(name) or default
    try:
        return float(said or "")
    except ValueError:
        raise DataError(f"{where} says {name} {said!r}", hint="a number of pixels") from None
