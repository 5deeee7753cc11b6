"""Boxes as YOLO's tools have them: a text for each image, `class x y width height` on each line, in shares of the image.

DATA/images/NAME.jpg, DATA/labels/NAME.txt        also with a folder for each split in both, or in splits with both inside
DATA/data.yaml, classes.txt or obj.names          what the numbers of classes mean, also one folder higher

A line with more points is an outline, and its box is what it spans; where data.yaml has a `kpt_shape`, they are the joints of
a pose, behind its box. An image without a text, or with an empty one, shows nothing.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edgekit import reading
from edgekit.data.files import below, picture_files, titled, unread
from edgekit.data.labels import read_names
from edgekit.data.marks import Boxed, Marks
from edgekit.data.splits import by_split
from edgekit.errors import DataError

IMAGES, LABELS = "images", "labels"
NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "labels/classes.txt")
DIGITS = 9  # of the number of a class
WHOLE = re.compile(r"\.0*$")  # of a class that was written as a fraction: numpy.savetxt has 1.000
FORM = "class x y width height, in shares of the image"
POSES = re.compile(r"^\s*kpt_shape\s*:", re.MULTILINE)


def find(folder: Path) -> dict[str, Callable[[], Boxed]]:
    """The parts of a folder that have boxes in texts; "" for one that is not split."""
    if (folder / IMAGES).is_dir() and (folder / LABELS).is_dir():
        inside = (p for p in sorted((folder / IMAGES).iterdir()) if p.is_dir() and _has_texts(folder / LABELS / p.name))
        parts = {
            name: partial(read, part, folder / LABELS / part.name, folder) for name, part in by_split(inside).items()
        }
        if not parts and _has_texts(folder / LABELS):
            return {"": partial(read, folder / IMAGES, folder / LABELS, folder)}
        return {**parts}
    splits = [p for p in sorted(folder.iterdir()) if p.is_dir() and (p / IMAGES).is_dir() and _has_texts(p / LABELS)]
    return {name: partial(read, part / IMAGES, part / LABELS, folder) for name, part in by_split(splits).items()}


def _has_texts(folder: Path) -> bool:
    return any(path.suffix == ".txt" for path in below(folder))


def read(images: Path, labels: Path, folder: Path) -> Boxed:
    """Raises DataError for a line that is no box, and for a number without a name."""
    said_in = _names_file(folder)
    names = read_names(said_in, "--data").names if said_in else ()
    poses = bool(said_in and POSES.search(_text(said_in)))
    files = [path.relative_to(images) for path in picture_files(images)]
    digest = hashlib.sha256(f"{names!r}{' poses' * poses}".encode())
    marks = []
    for file in files:
        text = (labels / file).with_suffix(".txt")
        said = _text(text)
        digest.update(f"{file.as_posix()}\0{said}\0".encode("utf-8", "surrogateescape"))
        rows = [
            _row(line, f"{titled(text, 2)}, line {number}", names, poses=poses)
            for number, line in enumerate(said.splitlines(), 1)
            if line.strip()
        ]
        marks.append(Marks.of(file, rows, shares=True))
    return Boxed("YOLO texts", images, tuple(marks), digest.hexdigest(), names, unread(images))


def _names_file(folder: Path) -> Path | None:
    """What says the names of the classes, where something does."""
    places = [folder / name for name in NAMES] + [folder.parent / name for name in NAMES[:3]]
    return next((place for place in places if place.is_file()), None)


def _text(file: Path) -> str:
    try:
        return reading.text(file)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except reading.Malformed as error:
        raise DataError(f"{file}: {error}", hint=f"lines of {FORM}") from None


def _row(
    line: str, where: str, names: tuple[str, ...], *, poses: bool
) -> tuple[tuple[float, float, float, float], str]:
    """The corners of a box, and its class. poses: only the first four numbers are of the box."""
    number, *values = line.split()
    number = WHOLE.sub("", number)
    try:
        numbers = list(map(float, values))
    except ValueError:
        raise DataError(f"{where} is not of numbers: {line:.60}", hint=FORM) from None
    numbers = numbers[:4] if poses else numbers
    if not number.isdecimal() or len(number) > DIGITS or len(numbers) % 2 or len(numbers) < 4:
        more = {5: "; a fifth number is a score, and this is to be the truth"}.get(len(numbers), "")
        more = "; a pose has more, and a kpt_shape in data.yaml that says so" if len(numbers) > 6 else more
        raise DataError(f"{where} is no box: {line:.60}", hint=FORM + more)
    if names and int(number) >= len(names):
        raise DataError(
            f"{where} is of class {number}, and there are names of {len(names)}, 0 to {len(names) - 1}",
            hint="all names in data.yaml or classes.txt, in the order of their numbers",
        )
    if len(numbers) == 4:
        x, y, width, height = numbers
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        corners = tuple(_span(numbers))  # type: ignore[assignment]
    return corners, names[int(number)] if names else number


def _span(outline: list[float]) -> Iterator[float]:
    for pick in (min, max):
        yield pick(outline[::2])
        yield pick(outline[1::2])
