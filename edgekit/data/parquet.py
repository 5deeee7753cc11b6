"""Parquet files of the Hugging Face hub: a column of encoded images, a column of classes; read a few rows at a time.

Format: https://huggingface.co/docs/datasets/image_dataset#parquet (the features, with the names of classes, are JSON
in the schema's metadata). pyarrow is large, so it is an extra of its own.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from edgekit.data.dataset import Content, Opener, Source
from edgekit.data.files import below, titled
from edgekit.data.folders import stamp
from edgekit.data.splits import split_of
from edgekit.data.tables import CLASSES
from edgekit.errors import DataError, MissingExtraError
from edgekit.preprocess import decode_picture

ROWS = 32  # decoded at a time
BUFFER = 1 << 20  # bytes of a column that are read at a time


def find(folder: Path) -> dict[str, list[Path]]:
    """Split -> its files: `data/test-00000-of-00002.parquet`, or `test/0000.parquet`."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in below(folder) if path.suffix == ".parquet"):
        found.setdefault(split_of(path.name) or split_of(path.parent.name) or "all", []).append(path)
    return found


def source(folder: Path, split: str, files: Sequence[Path]) -> Source:
    """The images of one split. Raises DataError for files without images, MissingExtraError without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise MissingExtraError("pyarrow", "parquet") from None
    try:
        # pre_buffer would hold all that was ever read of a file
        opened = [pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) for path in files]
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{files[0].parent}: {error}", hint="parquet files as the Hugging Face hub has them") from None
    schema = opened[0].schema_arrow
    picture, label = _columns(schema, files[0])
    names = [name for file in opened for name in _names(file, schema, label)] if label else None
    rows = [file.metadata.num_rows for file in opened]

    def read(positions: Sequence[int]) -> Iterator[tuple[str, Opener, Content]]:
        wanted, begin = deque(positions), 0
        for file, count in zip(opened, rows, strict=True):
            if wanted and wanted[0] < begin + count:
                at = begin
                for batch in file.iter_batches(batch_size=ROWS, columns=[picture]):
                    while wanted and wanted[0] < at + len(batch):
                        position = wanted.popleft()
                        name = f"{split}/{position}"
                        content = partial(_content, batch.column(0)[position - at].as_py(), name)
                        yield name, partial(_decode, content, name), content
                    at += len(batch)
            begin += count

    what = f"{split} images of {titled(folder)} (parquet files)"
    return Source(what, stamp(folder, [p.relative_to(folder) for p in files]), names, sum(rows), read)


def _decode(content: Content, name: str) -> Any:
    return decode_picture(BytesIO(content()), name)


def _content(cell: Any, name: str) -> bytes:
    """A cell is the encoded image, or {"bytes": image, "path": its name}."""
    blob = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(blob, bytes):
        raise DataError(f"{name}: holds no image")
    return blob


def _columns(schema: Any, path: Path) -> tuple[str, str | None]:
    """The columns of images and of classes; None where there are no classes."""
    pictures = [
        field.name
        for field in schema
        if str(field.type) in ("binary", "large_binary")
        or (str(field.type).startswith("struct") and "bytes" in str(field.type))
    ]
    if not pictures:
        raise DataError(f"{path} has no column of images, but {', '.join(schema.names)}")
    given = [
        name for name, kind in _features(schema).items() if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
    ]
    labels = [name for name in (*CLASSES, *given) if name in schema.names]
    return pictures[0], labels[0] if labels else None


def _names(file: Any, schema: Any, label: str) -> Iterator[tuple[str, ...]]:
    """The class of each row as text; the hub numbers classes and keeps their names apart. -1: not labelled."""
    words = _features(schema).get(label, {}).get("names")
    for value in file.read([label])[label].to_pylist():
        if value is None or value == -1:
            yield ()
        elif isinstance(words, list) and isinstance(value, int) and value < len(words):
            yield (str(words[value]),)
        else:
            yield (str(value),)


def _features(schema: Any) -> dict[str, Any]:
    """What the hub says of the columns; empty where it says nothing."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}
