"""What is inside a file: operators by type and precision, where the bytes are, what int8 does and does not reach.

One reader per format; a format's package is imported when a file of that format is read.
"""

from pathlib import Path

import msgspec

from edgekit.errors import ArtifactError, UnsupportedError


class Operators(msgspec.Struct, frozen=True):
    """Operators of one type that compute in one precision; weight_bytes: of the constants they read."""

    name: str
    precision: str
    count: int
    weight_bytes: int


class Overflow(msgspec.Struct, frozen=True):
    """A layer of which `channels` of `of` output channels can overflow; worst: the pair sum farthest out.

    On which CPUs, and why: edgekit/inspection/overflow.py.
    """

    layer: str
    channels: int
    of: int
    worst: int


class Inspection(msgspec.Struct, frozen=True):
    """int8_macs: the share of multiply-adds in int8, and stays_float: the layers with multiply-adds that are not, in a
    file that has both. overflow: empty when no int8 weight can overflow. None: not known for this format or file."""

    file: str
    bytes: int
    operators: tuple[Operators, ...]
    int8_macs: float | None = None
    stays_float: tuple[str, ...] = ()
    overflow: tuple[Overflow, ...] | None = None


def inspect(file: Path) -> Inspection:
    """Raises ArtifactError for what is not a model, UnsupportedError for formats that cannot be read yet."""
    from edgekit.inspection import onnx, openvino, tflite

    if not file.is_file():
        raise ArtifactError(f"there is no file {file}")
    match file.suffix:
        case ".tflite":
            return tflite.read(file)
        case ".onnx":
            return onnx.read(file)
        case ".xml":
            return openvino.read(file)
        case ".pt2":
            return Inspection(file.name, file.stat().st_size, ())
    raise UnsupportedError(
        f"cannot look into {file.suffix or file.name} files",
        hint="an artifact folder, a .tflite, an .onnx or an .xml file",
    )
