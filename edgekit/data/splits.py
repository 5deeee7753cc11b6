"""The parts of a data set: told by the names of files and folders, or drawn."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.data.dataset import DataSet
from edgekit.data.files import BESIDE
from edgekit.errors import DataError

SPLITS = ("test", "val", "train")  # the first that is there is measured on
PARTS = {*SPLITS, *BESIDE, "valid", "validation"}  # folders that are seldom a data set by themselves


def split_of(name: str) -> str | None:
    """Which split a folder or a file belongs to: `test-00000-of-00001.parquet` is of the split "test", `val2017` of "val"."""
    found = re.match(r"(test|t10k|val|valid|validation|train)(20\d\d)?(?![a-zA-Z0-9])", name)
    return {"t10k": "test", "valid": "val", "validation": "val"}.get(found[1], found[1]) if found else None


def split_folders(folder: Path, holds: Callable[[Path], object]) -> dict[str, Path]:
    """The parts of a folder that is split into folders; none where these are classes, of which one may be called "train".

    holds  whether there are images, or videos, below a folder: one without them (logs) does not count beside splits
    Raises DataError for two folders of one split, and for several splits beside folders that are none.
    """
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    parts = {path: name for path in inside if (name := split_of(path.name))}
    if parts and (other := next((path for path in inside if path not in parts and holds(path)), None)):
        if len(set(parts.values())) == 1:
            return {}
        raise DataError(
            f"{folder} holds {other.name} beside the splits {' and '.join(path.name for path in parts)}",
            hint=f"{other.name} elsewhere, or --data {next(iter(parts))}",
        )
    return {name: path for path, name in parts.items()} | by_split(filter(holds, parts))


def by_split(folders: Iterable[Path]) -> dict[str, Path]:
    """Those that are splits, by the split. Raises DataError where two are of one."""
    found: dict[str, Path] = {}
    for path in folders:
        if (name := split_of(path.name)) and found.setdefault(name, path) != path:
            raise DataError(f"{found[name]} and {path} are both of the split '{name}'", hint="one of them elsewhere")
    return found


def whole(folder: Path, find: Callable[[Path], object]) -> Path | None:
    """The data set that a folder, by its name, is a part of: one of the two above it, where `find` finds something in that."""
    for above in folder.parents[:2]:
        part = folder.relative_to(above).parts[0].lower().rstrip("0123456789")  # train2017
        with suppress(DataError, OSError):
            if part in PARTS and find(above):
                return above
    return None


def chosen(
    there: Mapping[str, object], asked: str | None, folder: Path, held: str = "", *, unsplit: str = "left out"
) -> str:
    """The split of a folder that is measured on, of those that are there, "" where it is not split.

    asked    by the user
    held     what its images have, in words
    unsplit  what may be asked for where the folder is not split
    Raises DataError for one that is not there.
    """
    name = asked or next((split for split in SPLITS if split in there), next(iter(there)))
    if name not in there:
        what = f" with {held}" if held else ""
        names = " or ".join(sorted(filter(None, there))) or unsplit
        raise DataError(f"{folder} has no split '{name}'{what}", hint=f"--split {names}")
    return name


def hold_out(data: DataSet, share: float, seed: int) -> tuple[DataSet, DataSet]:
    """Train and val: a seeded share of each class that has two images or more, and at least one of it; of images
    without classes a share of all. Of videos whose films are known, a share of the films."""
    by_class: dict[int, list[int]] = {}
    for position in data.positions:
        by_class.setdefault(data.truths[position][0] if data.truths is not None else 0, []).append(position)
    rng = np.random.default_rng(seed)
    taken: set[int] = set()
    for _, positions in sorted(by_class.items()):
        together: dict[str | int, list[int]] = {}
        for position in positions:
            together.setdefault(data.source.groups[position] if data.source.groups else position, []).append(position)
        if len(together) > 1:
            count = min(max(1, round(share * len(together))), len(together) - 1)
            parts = list(together.values())
            taken.update(p for i in rng.choice(len(parts), count, replace=False).tolist() for p in parts[i])
    rest = [p for p in data.positions if p not in taken]
    return replace(data, positions=rest), replace(data, positions=sorted(taken))
