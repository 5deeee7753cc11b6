"""Boxes as PASCAL VOC has them: an XML file for each image, corners in pixels that count from 1, the last one included.

DATA/Annotations/NAME.xml, DATA/JPEGImages/NAME.jpg     or the images in DATA/images, or elsewhere below DATA
DATA/ImageSets/Main/val.txt                             names of a split, where there are such

An object that is marked as difficult does not count, as in VOC's own evaluation: it is taken for a crowd.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from edgekit import reading
from edgekit.data.files import below, picture_files, titled
from edgekit.data.marks import LONGEST, MEND, Boxed, Marks
from edgekit.data.splits import SPLITS, by_split
from edgekit.errors import DataError

ANNOTATIONS, SETS = "Annotations", Path("ImageSets/Main")
PICTURES = ("JPEGImages", "images")  # beside these VOC has masks of the same names
A_NAME = "a line for each: NAME of NAME.xml"
Element = ElementTree.Element


def find(folder: Path) -> dict[str, Callable[[], Boxed]]:
    """The parts of a folder that have boxes in XML files; "" for one that is not split."""
    if not (folder / ANNOTATIONS).is_dir():
        parts = {part: files for part in sorted(folder.iterdir()) if part.is_dir() and (files := _files(part))}
        if found := by_split(parts):
            return {name: partial(read, parts[part], part) for name, part in found.items()}
        return {"": partial(read, files, folder)} if (files := _files(folder)) else {}
    files = sorted(path for path in below(folder / ANNOTATIONS) if path.suffix == ".xml")
    sets = {name: folder / SETS / f"{name}.txt" for name in SPLITS if (folder / SETS / f"{name}.txt").is_file()}
    if not files:
        return {}
    if not sets:
        return {"": partial(read, files, folder)}
    return {name: partial(_read_set, file, files, folder) for name, file in sets.items()}


def _files(folder: Path) -> list[Path]:
    """XML files beside images."""
    return sorted(folder.glob("*.xml"))


def _read_set(file: Path, files: Sequence[Path], folder: Path) -> Boxed:
    """Those of a split. Raises DataError also for a list that cannot be read, or names none of the XML files."""
    try:
        named = {line.strip() for line in reading.text(file).splitlines()}
    except (OSError, reading.Malformed) as error:
        raise DataError(f"{file} cannot be read: {getattr(error, 'strerror', error)}", hint=A_NAME) from None
    chosen = [each for each in files if each.stem in named]
    if not chosen:
        raise DataError(f"{file} names none of the {len(files)} XML files", hint=A_NAME)
    return read(chosen, folder)


def read(files: Sequence[Path], folder: Path) -> Boxed:
    """Raises DataError for what is no such file, where none is of an image that is there, and where one is of several."""
    pictures = defaultdict(list)
    for path in picture_files(folder):
        pictures[path.stem].append(path.relative_to(folder))
    digest, marks = hashlib.sha256(), []
    for file in files:
        named = pictures.get(file.stem, [])
        match [path for path in named if path.parts[0] in PICTURES] or named:
            case [picture]:
                blob, root = _parsed(file)
                digest.update(blob)
                marks.append(_marks(root, picture, titled(file, 2)))
            case [one, other, *_]:
                raise DataError(
                    f"{titled(file, 2)} is of {one} or of {other}", hint="the photographs in a folder JPEGImages"
                )
    if not marks:
        raise DataError(
            f"none of the {len(files)} XML files in {folder} is of an image there", hint="NAME.xml of NAME.jpg"
        )
    notes = []
    if rest := len(files) - len(marks):
        notes.append(f"{rest:,} of {len(files):,} XML files are of no image: left out")
    if rest := len(pictures) - len(marks):
        notes.append(f"{rest:,} of {len(pictures):,} images have no XML file: left out")
    return Boxed(
        "PASCAL VOC", folder, tuple(sorted(marks, key=lambda m: m.file)), digest.hexdigest(), notes=tuple(notes)
    )


class _DeclaredError(Exception):
    pass


class _Plain(ElementTree.TreeBuilder):
    """Takes no declarations, in whatever encoding: entities could be made to grow without end."""

    def doctype(self, *_: object) -> None:
        raise _DeclaredError


def _parsed(file: Path) -> tuple[bytes, Element]:
    try:
        blob = reading.blob(file, 16 * reading.MB)
        return blob, ElementTree.fromstring(blob, ElementTree.XMLParser(target=_Plain()))
    except _DeclaredError:
        raise DataError(f"{file} declares entities", hint="leave out its <!DOCTYPE ...>") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        entity = "an entity" in str(error) or "undefined entity" in str(error)
        known = "&amp; &lt; &gt; and numbers such as &#233; are what XML knows"
        raise DataError(f"{file} is not XML: {error}", hint=known if entity else MEND) from None


def _marks(root: Element, picture: Path, where: str) -> Marks:
    rows, difficult = [], []
    for thing in root.iter("object"):
        name, box = (thing.findtext("name") or "").strip(), thing.find("bndbox")
        if not name or box is None:
            raise DataError(f"{where} has an object without a {'bndbox' if name else 'name'}", hint=MEND)
        left, top, right, bottom = (_number(box, side, where) for side in ("xmin", "ymin", "xmax", "ymax"))
        rows.append(((left - 1, top - 1, right, bottom), name))
        difficult.append((thing.findtext("difficult") or "0").strip() == "1")
    width, height = (_number(root, f"size/{side}", where, "0") for side in ("width", "height"))
    return Marks.of(picture, rows, crowd=difficult, size=(int(width), int(height)) if width and height else None)


def _number(of: Element, name: str, where: str, default: str | None = None) -> float:
    said = of.findtext(name) or default
    try:
        number = float(said or "")
    except ValueError:
        number = math.nan
    if not abs(number) <= LONGEST:
        raise DataError(f"{where} says {name} {said!r:.40}", hint="a number of pixels")
    return number
