"""The files that a model opens: the one that is named, and those beside it that hold its weights.

OpenVINO's .xml has a .bin of its name. An .onnx can keep its tensors in files of any name, in its folder or below
(external data); it names them inside, and they are found without a package by walking its protobuf, whose weights are
skipped. The numbers below are those of onnx.proto.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import ArtifactError
from edgekit.reading import is_file

Blob = mmap.mmap | bytes
# message -> number of a field -> the message in it; only what leads to tensors
INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
EXTERNAL_DATA, DATA_LOCATION, EXTERNAL = 13, 14, 1  # of a tensor; entries of EXTERNAL_DATA are key (1) and value (2)
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # how a field is written
FIXED = {FIXED_64: 8, FIXED_32: 4}


def model_files(model: Path) -> list[Path]:
    """`model` and what lies beside it. Raises ArtifactError where some of it is missing or would lie elsewhere."""
    found = [model]
    for name in names_beside(model):
        path = model.parent / name
        if is_file(path):
            found.append(path)
        elif model.suffix == ".onnx":  # an .xml without weights needs no .bin
            raise ArtifactError(
                f"{model} keeps its weights in {name}, which is not there", hint=f"copy {name} beside {model.name}"
            )
    return found


def names_beside(model: Path) -> list[str]:
    """Where other files of the model lie, or would, as paths from its folder. Raises ArtifactError."""
    if model.suffix == ".xml":
        return [model.with_suffix(".bin").name]
    if model.suffix != ".onnx":
        return []
    names = sorted({os.path.normpath(place) for place in _external(model)})
    for name in names:
        if Path(name).is_absolute() or name.split("/")[0] in ("..", "."):
            raise ArtifactError(
                f"{model} keeps its weights outside its folder ({name!r})", hint="save it again with its weights"
            )
    return names


def _external(model: Path) -> set[str]:
    """The places that an .onnx names, as it names them."""
    try:
        with model.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return set()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as blob:
                try:
                    return set(_places(blob))
                except (IndexError, ValueError):
                    what = "is damaged: it ends too soon, or bytes of it are wrong"
                    raise ArtifactError(f"{model} {what if blob[0] == 8 else 'is not an ONNX file'}") from None
    except OSError as error:
        raise ArtifactError(f"{model}: {error.strerror}", hint="name a model file") from None


def _places(blob: Blob) -> Iterator[str]:
    todo = [("model", 0, len(blob))]
    while todo:
        message, start, end = todo.pop()
        if message == "tensor":
            if (place := _place(blob, start, end)) is not None:
                yield place
            continue
        for number, at, stop in _fields(blob, start, end):
            if (inner := INSIDE[message].get(number)) and stop > at:
                todo.append((inner, at, stop))


def _place(blob: Blob, start: int, end: int) -> str | None:
    """Where a tensor's numbers lie; None: in the file itself."""
    outside, place = False, None
    for number, at, stop in _fields(blob, start, end):
        if number == DATA_LOCATION:
            outside = _varint(blob, at, end)[0] == EXTERNAL
        elif number == EXTERNAL_DATA:
            entry = {key: blob[a:z].decode() for key, a, z in _fields(blob, at, stop) if key in (1, 2)}
            place = entry.get(2, "") if entry.get(1) == "location" else place
    return place if outside else None


def _fields(blob: Blob, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Fields of a message as (number, where its content starts, where it ends). Raises ValueError, IndexError."""
    while at < end:
        tag, at = _varint(blob, at, end)
        number, written = tag >> 3, tag & 7
        if written == BYTES:
            size, at = _varint(blob, at, end)
            stop = at + size
        elif written == VARINT:
            stop = _varint(blob, at, end)[1]
        elif written in FIXED:
            stop = at + FIXED[written]
        else:
            raise ValueError(f"a field written in way {written}")
        if stop > end:
            raise ValueError("a field longer than its message")
        yield number, at, stop
        at = stop


def _varint(blob: Blob, at: int, end: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = blob[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number without end")
