"""Names of a model's classes, in the forms in which training tools leave them.

lines       one name on each; or with a number: `0 cat`, `0: cat`, `0,cat`, `cat,0`; or columns under a header that names them
.json       a list; an object of number -> name or name -> number; these as `names`, `classes` or `labels`, or as `id2label`
            or `label2id` (Hugging Face's config.json), or COCO's `categories`
.yaml       the same (Ultralytics' data.yaml)

Numbers must count all classes from 0, or from 1; the names are then sorted by them.
"""

import ast
import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import reading
from edgekit.errors import DataError
from edgekit.harmless import harmless

KEYS = ("id2label", "label2id", "names", "classes", "labels", "class_names", "categories", "class_to_idx")
# a number and a name, or a name and a number; only signs other than blanks tell that numbers were meant
FORMS = (
    (re.compile(r"(?P<id>\d+)\s*(?:[,;\t=|]\s*|[:.)]\s+|:(?=\D))(?P<name>\S.*)"), True),
    (re.compile(r"(?P<name>.*\D.*?)\s*[,;:\t=|]\s*(?P<id>\d+)"), True),
    (re.compile(r"(?P<id>\d+)\s+(?:-\s+)?(?P<name>\S.*)"), False),
)
DOCUMENT = re.compile(r"(names|classes|labels|id2label):|item ?\{")
NUMBERS = ("id", "index", "idx", "number", "no", "class_id", "class_idx", "label_id")
NAMES = ("name", "names", "class_name", "label", "labels", "class", "classes", "category")
WORDNET = re.compile(r"n\d{8}[\s,]+")
FORM = "one class name per line, in class order, UTF-8; or .json or .yaml"


@dataclass(frozen=True)
class Names:
    """Of classes, in their order. how: what a user should be told of how they were read, or ""."""

    names: tuple[str, ...]
    how: str = ""

    @property
    def span(self) -> str:
        """`'cat' to 'dog'`"""
        return f"'{self.names[0]}' to '{self.names[-1]}'"

    def said(self, file: str) -> str:
        """`2 labels of names.json, 'cat' to 'dog' (sorted by number)`"""
        return f"{len(self.names)} labels of {file}, {self.span}{f' ({self.how})' if self.how else ''}"


def read_names(file: Path, flag: str = "--labels") -> Names:
    """Raises DataError for no names, numbers that do not count them, and what is no text."""
    try:
        blob = reading.blob(file)
        if blob[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{file} is UTF-16, not UTF-8")
        found = _parse(blob.decode("utf-8-sig"), file)
        return Names(_checked(found.names), found.how)
    except FileNotFoundError:
        error = DataError(f"there is no labels file {file}")
    except IsADirectoryError:
        error = DataError(f"{file} is a folder, not a file of labels")
    except UnicodeDecodeError:
        error = DataError(f"the labels in {file} are not UTF-8 text")
    except OSError as caught:
        error = DataError(f"{file} cannot be read: {caught.strerror}")
    except RecursionError:
        error = DataError(f"{file} is nested too deep")
    except (ValueError, csv.Error) as caught:
        error = DataError(f"{file}: {harmless(str(caught))}")
    except DataError as caught:
        error = caught
    error.hint = error.hint or f"{flag} FILE: {FORM}"
    raise error


def _parse(text: str, file: Path) -> Names:
    if file.suffix.lower() in (".yaml", ".yml"):
        return _of_document(_yaml(text))
    begins = text.lstrip()[:1]
    if begins in ("{", "[") or file.suffix.lower() == ".json":
        try:
            return _of_document(_document(text))
        except json.JSONDecodeError as error:
            if begins != "[" or file.suffix.lower() == ".json":  # else a name in brackets, such as [background]
                raise ValueError(f"not JSON: {error}") from None
    return _of_lines(text)


def _document(text: str) -> Any:
    """JSON, or a dictionary as Python prints it. Raises JSONDecodeError."""
    try:
        return json.loads(text, object_pairs_hook=reading.once)
    except json.JSONDecodeError:
        try:
            return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError):
            pass
        raise


def _yaml(text: str) -> Any:
    """Everything as text: YAML itself would make False of the name `no`."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise DataError(
            "YAML is read by a package that is not installed", hint="pip install pyyaml, or .json"
        ) from None
    try:
        return yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None


def _of_document(found: Any) -> Names:
    if isinstance(found, Mapping):
        for key in KEYS:
            if isinstance(found.get(key), Mapping | list):
                return _of_document(found[key])
        if found and all(_number(value) is not None for value in found.values()) and not all(map(_is_number, found)):
            return _by_number([(value, key) for key, value in found.items()])
        if found and all(map(_is_number, found)):
            return _by_number(list(found.items()))
        raise ValueError(f"no names of classes under {', '.join(map(str, list(found)[:5])) or 'any key'}")
    if not isinstance(found, list):
        raise ValueError(f"{type(found).__name__}, not a list of names")
    if found and all(isinstance(entry, Mapping) and "name" in entry for entry in found):  # COCO's categories
        if all("id" in entry for entry in found):
            return _by_number([(entry["id"], entry["name"]) for entry in found])
        found = [entry["name"] for entry in found]
    return Names(tuple(map(_name, found)))


def _of_lines(text: str) -> Names:
    lines = [line.strip() for line in re.split(r"\r?\n|\r", text.rstrip())]
    if document := next((line for line in lines if DOCUMENT.fullmatch(line)), None):
        raise ValueError(f"no list of names: there is '{document}' in it (YAML is told by .yaml)")
    if table := _table(lines):
        return table
    for skipped in (0, 1):
        body = lines[skipped:]
        if skipped and not _is_head(lines[0]):
            break
        for form, certain in FORMS:
            found = [form.fullmatch(line) for line in body]
            if not body or not all(found):
                continue
            pairs = [(match["id"], match["name"]) for match in found if match]
            numbers = sorted(int(number) for number, _ in pairs)
            if certain or numbers[0] == 0 or numbers == list(range(1, len(numbers) + 1)):
                return _by_number([(number, _unquoted(name)) for number, name in pairs])
    if len(lines) > 1 and lines[0].lower() in ("label", "labels", "class_name", "classes", "names") and "" not in lines:
        return Names(tuple(map(_unquoted, lines[1:])), f"without the header '{lines[0]}'")
    if lines and all(map(WORDNET.match, lines)):
        return Names(tuple(WORDNET.sub("", line, count=1) for line in lines), "without their WordNet ids")
    return Names(tuple(map(_unquoted, lines)))


def _table(lines: list[str]) -> Names | None:
    """Columns of which the first line says which holds the number and which the name."""
    for sign in (",", ";", "\t"):
        rows = list(csv.reader(lines, delimiter=sign))
        head = [cell.strip().lower() for cell in rows[0]] if rows else []
        number, name = (next((head.index(w) for w in words if w in head), None) for words in (NUMBERS, NAMES))
        if number is None or name is None:
            continue
        if all(len(row) == len(head) and _is_number(row[number]) for row in rows[1:]):
            return _by_number([(row[number], row[name]) for row in rows[1:]])
    return None


def _is_head(line: str) -> bool:
    return all(word.strip().lower() in NUMBERS + NAMES for word in re.split(r"[\s,;:|]+", _unquoted(line)))


def _by_number(pairs: list[tuple[Any, Any]]) -> Names:
    """Sorted by their numbers, which must be 0 to n - 1, or 1 to n. Raises ValueError."""
    numbered = [(_number(number), _name(name)) for number, name in pairs]
    numbers = [number for number, _ in numbered if number is not None]
    begin = min(numbers, default=0)
    if begin > 1 or sorted(numbers) != list(range(begin, begin + len(pairs))):
        twice = next((n for n in numbers if numbers.count(n) > 1), None)
        why = (
            f"{twice} stands there twice"
            if twice is not None
            else f"they run from {begin} to {max(numbers, default=0)}"
        )
        raise ValueError(f"the numbers of {len(pairs)} classes do not count them: {why}")
    numbered.sort(key=lambda pair: pair[0] or 0)
    counted = "counted from 1" if begin else ""
    order = "sorted by number" if numbers != sorted(numbers) else ""
    return Names(tuple(name for _, name in numbered), ", ".join(filter(None, (order, counted))))


def _number(value: Any) -> int | None:
    """Of an integer, or its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*\d{1,9}\s*", value) else None


def _is_number(value: Any) -> bool:
    return _number(value) is not None


def _name(value: Any) -> str:
    """Keras's class index has [WordNet id, name]."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = value[1]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{type(value).__name__} stands where the name of a class should")
    return str(value).strip()


def _unquoted(line: str) -> str:
    line = line.strip()
    return line[1:-1].strip() if len(line) > 1 and line[0] == line[-1] and line[0] in "\"'" else line


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("no names of classes in it")
    for number, name in enumerate(names):
        if not name:
            raise ValueError(f"the name of class {number} is empty")
        if harmless(name) != name or "\n" in name or "\t" in name:
            raise ValueError(f"the name of class {number} holds control characters: {name!r}")
    return names
