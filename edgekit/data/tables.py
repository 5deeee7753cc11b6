"""Labels in a file: which class is on which image.

.csv    two columns, or a header that names them: file_name, label (as on the Hugging Face hub)
.jsonl  one object a line: {"file_name": "a.jpg", "label": "cat"}
.json   one object: {"a.jpg": "cat", "b.jpg": 281, "c.jpg": ["cat", "tabby"]}; of a list each class counts as right;
        names that begin with _ are notes
.txt    a name and a class on each line, with a tab or blanks between them
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgekit import reading
from edgekit.errors import DataError

FILES = ("file_name", "filename", "file", "image", "path", "name")
CLASSES = ("label", "labels", "class", "class_name", "category", "target", "class_id", "label_id")
KINDS = (".csv", ".json", ".jsonl", ".txt")
Row = tuple[str, tuple[str, ...]]


def read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """Name of an image -> the classes that count as right, as text, in the order of the file. Raises DataError."""
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise DataError(f"{path} is not a file of labels", hint=f"a file that ends in {', '.join(KINDS)}")
    try:
        text = reading.text(path)
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", hint="--labels with a .csv, .json or .txt file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except reading.Malformed as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    try:
        rows = _each_once({".csv": _csv, ".json": _json, ".jsonl": _jsonl, ".txt": _txt}[kind](text))
    except (ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{path}: {error}", hint="an image and its class in each line or entry") from None
    if not rows:
        raise DataError(f"{path} names no images")
    if nameless := next((name for name in rows if "\0" in name), None):
        raise DataError(f"{path}: {nameless!r:.80} is no name of a file", hint="an image's name holds no zero byte")
    return rows


def _each_once(rows: Iterable[Row]) -> dict[str, tuple[str, ...]]:
    """Raises ValueError for an image with two labels: which of them is meant, nobody knows."""
    found: dict[str, tuple[int, tuple[str, ...]]] = {}
    for number, (said, classes) in enumerate(rows, 1):
        name = said and str(Path(said))  # ./a.png is a.png
        first, known = found.setdefault(name, (number, classes))
        if known != classes:
            raise ValueError(
                f"{name} is '{', '.join(known)}' in entry {first}, and '{', '.join(classes)}' in entry {number}"
            )
    return {name: classes for name, (_, classes) in found.items()}


def _csv(text: str) -> Iterable[Row]:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows:
        return
    head = [cell.strip().lower() for cell in rows[0]]
    file, label = 0, 1
    if any(cell in FILES for cell in head):
        file, label = _columns(head)
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if max(file, label) >= len(row):
            raise ValueError(f"row {number} has no class: {','.join(row)}")
        yield row[file].strip(), _classes(row[label].strip())


def _jsonl(text: str) -> Iterable[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            keys = list(row)
            file, label = _columns(keys)
            yield str(row[keys[file]]), _classes(row[keys[label]])


def _json(text: str) -> Iterable[Row]:
    document = json.loads(text, object_pairs_hook=tuple)  # a dict would keep the last of two entries
    if not isinstance(document, tuple):
        raise ValueError('not an object such as {"a.jpg": "cat"}')
    for name, value in document:
        if not name.startswith("_"):
            yield name, _classes(value)


def _txt(text: str) -> Iterable[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            name, _, label = line.strip().partition("\t") if "\t" in line else _split(line.strip())
            if not label.strip():
                raise ValueError(f"line {number} has no class: {line.strip()}")
            yield name.strip(), _classes(label.strip())


def _split(line: str) -> tuple[str, str, str]:
    name, *label = line.split(maxsplit=1)
    return name, " ", "".join(label)


def _columns(head: Sequence[str]) -> tuple[int, int]:
    """Where the name of the image and its class stand."""
    file = next((i for i, cell in enumerate(head) if cell in FILES), None)
    label = next((head.index(c) for c in CLASSES if c in head), 1 - file if file in (0, 1) and len(head) == 2 else None)
    if file is None or label is None:
        raise ValueError(f"no columns file_name and label, but {', '.join(head)}")
    return file, label


def _classes(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(v, bool) or not isinstance(v, str | int) for v in values):
        raise ValueError(f"not a class: {value}")
    return tuple(str(v) for v in values if v != "")
