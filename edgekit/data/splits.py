"""The parts of a data set: told by the names of files and folders, or drawn."""

import re
from dataclasses import replace

import numpy as np

from edgekit.data.dataset import DataSet

SPLITS = ("test", "val", "train")  # the first that is there is measured on


def split_of(name: str) -> str | None:
    """Which split a folder or a file belongs to: `test-00000-of-00001.parquet` is of the split "test", `val2017` of "val"."""
    found = re.match(r"(test|t10k|val|valid|validation|train)(20\d\d)?(?![a-zA-Z0-9])", name)
    return {"t10k": "test", "valid": "val", "validation": "val"}.get(found[1], found[1]) if found else None


def hold_out(data: DataSet, share: float, seed: int) -> tuple[DataSet, DataSet]:
    """Train and val: a seeded share of each class that has two pictures or more, and at least one of it; of pictures
    without classes a share of all."""
    by_class: dict[int, list[int]] = {}
    for position in data.positions:
        by_class.setdefault(data.truths[position][0] if data.truths is not None else 0, []).append(position)
    rng, taken = np.random.default_rng(seed), set()
    for _, positions in sorted(by_class.items()):
        if len(positions) > 1:
            count = min(max(1, round(share * len(positions))), len(positions) - 1)
            taken.update(rng.choice(positions, count, replace=False).tolist())
    rest = [p for p in data.positions if p not in taken]
    return replace(data, positions=rest), replace(data, positions=sorted(taken))
