"""The parts of a data set, told by the names of files and folders."""

import re

SPLITS = ("test", "val", "train")  # the first that is there is measured on


def split_of(name: str) -> str | None:
    """Which split a folder or a file belongs to: `test-00000-of-00001.parquet` is of the split "test"."""
    found = re.match(r"(test|t10k|val|validation|train)(?![a-zA-Z0-9])", name)
    return {"t10k": "test", "validation": "val"}.get(found[1], found[1]) if found else None
