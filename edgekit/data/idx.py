"""The files of MNIST and Fashion-MNIST: grey images and labels one after another, big-endian, often gzipped.

Format: http://yann.lecun.com/exdb/mnist/ (images: magic 0x803, count, rows, columns; labels: magic 0x801, count).
"""

import gzip
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.dataset import Content, Opener, Source
from edgekit.data.files import titled
from edgekit.data.folders import stamp
from edgekit.data.splits import split_of
from edgekit.errors import DataError

IMAGES, LABELS = 0x803, 0x801
TOGETHER = 16384  # 13 MB of Fashion-MNIST; a pass over a gzipped file takes a third of a second
DAMAGED = (OSError, EOFError, zlib.error, struct.error)


def find(folder: Path) -> dict[str, Path]:
    """Split -> file of images, in the folder or one or two below it. Raises DataError for several data sets."""
    found = {}
    for pattern in ("*", "*/*", "*/*/*"):
        for path in sorted(folder.glob(f"{pattern}-images*idx3*"), reverse=True):  # the file that is not gzipped wins
            if re.fullmatch(r"(train|t10k|test)-images[.-]idx3-ubyte(\.gz)?", path.name):
                found[split_of(path.name) or ""] = path
        if len({path.parent for path in found.values()}) > 1:
            raise DataError(f"several sets of idx files below {folder}", hint="--data with the folder of one of them")
        if found:
            break
    return found


def source(folder: Path, split: str, images: Path) -> Source:
    """Images and labels of one split. Raises DataError for files that are damaged or do not belong together."""
    labels = _beside(images)
    with _open(images) as f:
        count, height, width = _header(f, images, IMAGES, 3)
    with _open(labels) as f:
        (labelled,) = _header(f, labels, LABELS, 1)
        values = _read(f, labelled, labels)
    if labelled != count:
        raise DataError(f"{count} images in {images.name}, but {labelled} labels in {labels.name}")
    names = [(str(i),) for i in range(256)]

    def read(positions: Sequence[int]) -> Iterator[tuple[str, Opener, Content]]:
        size = height * width
        with _open(images) as f:
            for position in positions:
                try:
                    f.seek(16 + position * size)  # of a gzipped file: reads what lies between
                    pixels = np.frombuffer(_read(f, size, images), np.uint8).reshape(height, width)
                except DAMAGED as error:
                    raise DataError(f"{images} is damaged: {error}") from None
                yield f"{split}/{position}", partial(_rgb, pixels), pixels.tobytes

    what = f"{split} images of {titled(folder)} (idx files)"
    files = [p.relative_to(folder) for p in (images, labels)]
    kinds = 1 + max(values, default=0)
    return Source(what, stamp(folder, files), [names[v] for v in values], count, read, kinds=kinds, together=TOGETHER)


def array(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A whole split: images uint8 [n, height, width] and labels int64 [n]. For training; 47 MB of Fashion-MNIST."""
    images = find(folder)[split]
    labels = _beside(images)
    with _open(images) as f, _open(labels) as g:
        shape = _header(f, images, IMAGES, 3)
        (count,) = _header(g, labels, LABELS, 1)
        values = _read(g, count, labels)
        pixels = np.frombuffer(_read(f, int(np.prod(shape)), images), np.uint8).reshape(shape)
    return pixels.copy(), np.frombuffer(values, np.uint8).astype(np.int64)


def _rgb(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB")


def _beside(images: Path) -> Path:
    name = images.name.replace("-images", "-labels").replace("idx3", "idx1").removesuffix(".gz")
    for candidate in (images.with_name(name), images.with_name(f"{name}.gz")):
        if candidate.is_file():
            return candidate
    raise DataError(f"no labels beside {images}", hint=f"{name} or {name}.gz in the same folder")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))


def _header(f: BinaryIO, path: Path, magic: int, dimensions: int) -> tuple[int, ...]:
    try:
        found, *sizes = struct.unpack(f">{1 + dimensions}I", f.read(4 * (1 + dimensions)))
    except DAMAGED as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if found != magic:
        raise DataError(f"{path} is not an idx file of {'images' if magic == IMAGES else 'labels'}")
    return tuple(sizes)


def _read(f: BinaryIO, size: int, path: Path) -> bytes:
    try:
        blob = f.read(size)
    except DAMAGED as error:
        raise DataError(f"{path} is damaged: {error}") from None
    if len(blob) < size:
        raise DataError(f"{path} is damaged: it ends too early")
    return blob
