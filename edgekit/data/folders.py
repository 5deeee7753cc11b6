"""Folders of image files: one folder per class, a table of labels beside the images, or no labels at all."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from edgekit import reading
from edgekit.data.classes import few
from edgekit.data.dataset import Content, Opener, Source
from edgekit.data.files import picture_files, titled, unread
from edgekit.data.tables import read_table
from edgekit.errors import DataError, many
from edgekit.harmless import harmless
from edgekit.preprocess import decode_picture

LARGEST = 1 << 30  # bytes of an image that are hashed
METADATA = ("metadata.csv", "metadata.jsonl")  # of an image folder of the Hugging Face hub


def source(folder: Path, split: str = "", *, unlabelled: bool = False) -> Source:
    """A metadata file, class folders, or images without labels. Raises DataError where there are no images."""
    if not unlabelled and (table := next((folder / m for m in METADATA if (folder / m).is_file()), None)):
        return with_table(folder, table)
    files = [path.relative_to(folder) for path in picture_files(folder)]
    of = f"{split} images of {titled(folder, 2 if split else 1)}".strip()
    classified = [path for path in files if len(path.parts) > 1]
    if unlabelled or not classified:
        return of_files(f"{of} (not labelled)", folder, files, None, unread(folder))
    notes = unread(folder)
    if len(classified) < len(files):
        notes += (f"{len(files) - len(classified)} of {len(files)} images lie in no class folder: left out",)
    names = [(harmless(path.parts[0]),) for path in classified]
    empty = {harmless(p.name) for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")} - {
        n for (n,) in names
    }
    if empty:
        notes += (
            f"{len(empty)} class folder{'s hold' if len(empty) > 1 else ' holds'} no image: {few(sorted(empty))}",
        )
    return of_files(f"{of} ({many(len(set(names)), 'class folders')})", folder, classified, names, notes)


def with_table(folder: Path, table: Path) -> Source:
    """The images that a table of labels names. Raises DataError where none of them is there."""
    rows = read_table(table)
    if not any((folder / name).is_file() for name in rows):
        raise DataError(
            f"none of the {len(rows)} images that {table} names is in {folder} (the first is {next(iter(rows))})",
            hint="names are paths below the --data folder",
        )
    there = {str(path.relative_to(folder)) for path in picture_files(folder)}
    rest = len(there - {str(Path(name)) for name in rows})
    notes = (f"{rest} of {len(there)} images in {folder} have no label in {table.name}: left out",) if rest else ()
    what = f"images of {titled(folder)} (labels of {harmless(table.name)})"
    return of_files(what, folder, [Path(name) for name in rows], list(rows.values()), notes)


def of_files(
    what: str,
    folder: Path,
    files: Sequence[Path],
    names: Sequence[tuple[str, ...]] | None,
    notes: tuple[str, ...] = (),
) -> Source:
    """Files below a folder, by their paths in it."""

    def read(positions: Sequence[int]) -> Iterator[tuple[str, Opener, Content]]:
        for position in positions:
            path = folder / files[position]
            name = harmless(files[position].as_posix())  # it is shown and saved
            yield name, partial(decode_picture, path, name), partial(reading.blob, path, LARGEST)

    return Source(what, stamp(folder, files, names), names, len(files), read, notes)


def stamp(folder: Path, files: Sequence[Path], names: Sequence[tuple[str, ...]] | None = None) -> str:
    """A digest of names, sizes, times of change and labels. What is not there counts as well."""
    digest = hashlib.sha256()
    for i, name in enumerate(files):
        try:
            state = (folder / name).stat()
            seen = f"{state.st_size} {state.st_mtime_ns}"
        except OSError:
            seen = "missing"
        digest.update(f"{name.as_posix()}\0{seen}\0{names[i] if names else ''}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
