"""Which class of a model does a name in a data set mean?"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgekit.errors import DataError


@dataclass(frozen=True)
class Matched:
    """
    indices  name in the data set -> class of the model
    how      in words
    unknown  names that match no class
    unused   labels of the model that no name matches
    """

    indices: dict[str, int]
    how: str
    unknown: tuple[str, ...]
    unused: tuple[str, ...]


def match(names: Iterable[str], labels: Sequence[str]) -> Matched:
    """Names as labels; where none is one, as WordNet ids of ImageNet-1k or as numbers of classes, counted from 0.

    A label is meant by its exact text; else whatever the case and the signs between words; else by one of its
    comma-separated synonyms, if no other class has it. Raises DataError where nothing fits, and for a number of a class
    that the model does not have.
    """
    names = list(dict.fromkeys(names))
    found, how = _by_text(names, labels), "by name"
    if not found and len(labels) == len(imagenet()) and any(name in imagenet() for name in names):
        found, how = {name: imagenet()[name] for name in names if name in imagenet()}, "by WordNet id"
    if not found and all(re.fullmatch(r"\d{1,9}", name) for name in names):
        found, how = {name: int(name) for name in names}, "by number"
        if max(found.values()) >= len(labels):
            raise DataError(
                f"class number {max(found.values())}, but the model has {len(labels)} classes, 0 to {len(labels) - 1}",
                hint="a model of these images, or numbers that count from 0",
            )
    if not found:
        raise DataError(
            f"none of the {len(names)} classes of the images ({few(names)}) is a class of the model ({few(labels)})",
            hint="--labels FILE says what is on each image; --unlabelled with --reference does without",
        )
    used = set(found.values())
    unused = tuple(label for i, label in enumerate(labels) if i not in used)
    return Matched(found, how, tuple(name for name in names if name not in found), unused)


def few(names: Sequence[str], count: int = 3) -> str:
    """The first names of many: `ant, bee, cat, ...`."""
    return ", ".join(brief(name) for name in names[:count]) + (", ..." if len(names) > count else "")


def brief(label: str) -> str:
    """The first of a label's comma-separated synonyms."""
    return label.partition(",")[0]


@cache
def imagenet() -> dict[str, int]:
    """WordNet id -> class of ImageNet-1k."""
    ids = Path(__file__).with_name("imagenet_synsets.txt").read_text("utf-8").split()
    return {name: i for i, name in enumerate(ids)}


def _by_text(names: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    exact = _unique((label, i) for i, label in enumerate(labels))
    loose = _unique((_plain(label), i) for i, label in enumerate(labels))
    synonyms = _unique((_plain(word), i) for i, label in enumerate(labels) for word in label.split(","))
    found = {name: exact.get(name, loose.get(_plain(name), synonyms.get(_plain(name)))) for name in names}
    return {name: i for name, i in found.items() if i is not None}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Without what means several classes."""
    meant: dict[str, set[int]] = {}
    for text, i in pairs:
        meant.setdefault(text, set()).add(i)
    return {text: next(iter(ids)) for text, ids in meant.items() if text and len(ids) == 1}


def unlike(there: Sequence[str], here: Sequence[str]) -> str:
    """The first difference of two lists of classes, in words."""
    both = zip(there, here, strict=False)
    return next((f"{a!r} there, {b!r} here" for a, b in both if a != b), "one list is longer")
