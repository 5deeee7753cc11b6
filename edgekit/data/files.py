"""Folders of pictures, read one at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.errors import DataError
from edgekit.preprocess import Pixels, Preprocess, load_pixels

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def picture_files(folder: Path) -> list[Path]:
    """Every picture below a folder, in the order of their paths. Raises DataError where there is none."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", hint="a folder of .jpg, .png or .webp pictures")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise DataError(f"no pictures in {folder}", hint=f"files ending in {', '.join(sorted(SUFFIXES))}")
    return files


def read_pictures(files: Sequence[Path], spec: Preprocess) -> Iterator[tuple[Path, Pixels | DataError]]:
    """Decode and fit one picture at a time; what cannot be read comes as the error that says why."""
    for path in files:
        try:
            yield path, load_pixels(path, spec)
        except DataError as error:
            yield path, error
