"""What is inside a file: operators by type and precision, where the bytes are, what int8 does and does not reach.

One reader per format; a format's package is imported when a file of that format is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import overflow
from edgekit.errors import ArtifactError, MissingError, UnsupportedError, kind_and_reason


class Operators(msgspec.Struct, frozen=True):
    """Operators of one type that compute in one precision; weight_bytes: of the constants they read."""

    name: str
    precision: str
    count: int
    weight_bytes: int


class Layer(msgspec.Struct, frozen=True):
    """An operator with multiply-adds. weight_bytes: of the constants it reads, shared ones at the first that does."""

    name: str
    operator: str
    precision: str
    weight_bytes: int


class Overflow(msgspec.Struct, frozen=True):
    """A layer of which `channels` of `of` output channels can overflow; worst: the pair sum farthest out.

    On which CPUs, and why: edgekit/overflow.py.
    """

    layer: str
    channels: int
    of: int
    worst: int


class Port(msgspec.Struct, frozen=True):
    """What a file takes, or answers. shape: None for a size that is open. Real value = scale * (stored - zero_point) where
    scale is given."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int | None = None

    @property
    def size(self) -> str:
        """`1x3x224x224`"""
        return "x".join("?" if n is None else str(n) for n in self.shape)


class Inspection(msgspec.Struct, frozen=True):
    """int8_macs: the share of multiply-adds in int8, and stays_float: the layers with multiply-adds that are not, in a
    file that has both. overflow: empty when no int8 weight can overflow. None: not known for this format or file."""

    file: str
    bytes: int
    operators: tuple[Operators, ...]
    int8_macs: float | None = None
    stays_float: tuple[str, ...] = ()
    overflow: tuple[Overflow, ...] | None = None
    layers: tuple[Layer, ...] = ()
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


def tally(count: Mapping[tuple[str, str], int], weight_bytes: Mapping[tuple[str, str], int]) -> tuple[Operators, ...]:
    """Operators by (name, precision), the heaviest first, then the most."""
    ordered = sorted(count, key=lambda k: (-weight_bytes[k], -count[k], k))
    return tuple(Operators(*key, count[key], weight_bytes[key]) for key in ordered)


def overflowing(layers: Iterable[tuple[str, NDArray[np.int8]]]) -> tuple[Overflow, ...]:
    """Those of the int8 layers, by name and rows of weights [out, K], that can overflow."""
    found = []
    for name, rows in layers:
        sums = overflow.pair_sums(rows)
        channels = int(overflow.overflows(sums).sum())
        if channels:
            found.append(Overflow(name, channels, len(sums), int(sums[np.abs(sums).argmax()])))
    return tuple(found)


@contextmanager
def fitting(*files: Path) -> Iterator[None]:
    """What reads a file trusts that its parts fit together: where they do not, whatever that leads to is an ArtifactError."""
    try:
        yield
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        named = " and ".join(map(str, files))
        fault = (
            "is damaged: its parts do not fit together" if len(files) == 1 else "are damaged, or do not belong together"
        )
        message = f"{named} {fault} ({kind_and_reason(error)})"
        raise ArtifactError(message, hint="copy or export it again") from error


def inspect(file: Path) -> Inspection:
    """Raises ArtifactError for what is not a model, UnsupportedError for formats that cannot be read yet."""
    from edgekit.inspection import onnx, openvino, tflite

    if not file.is_file():
        raise MissingError(f"there is no file {file}", hint="name a model file, or an artifact")
    with fitting(file):
        match file.suffix:
            case ".tflite":
                return tflite.read(file)
            case ".onnx" | ".ort":
                return onnx.read(file)
            case ".xml":
                return openvino.read(file)
            case ".pt2":
                return Inspection(file.name, file.stat().st_size, ())
    raise UnsupportedError(
        f"cannot look into {file.suffix or file.name} files",
        hint="an artifact folder, a .tflite, an .onnx, an .ort or an .xml file",
    )
