"""Tensors as files take and give them: their types, and real numbers from what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ArtifactError
from edgekit.preprocess import Pixels, Positive, Preprocess, fit_each, normalise

Axes = Literal["NHWC", "NCHW", "NTHWC", "NCTHW", "NC", "NTC", "NAC", "NCA", ""]
Array = NDArray[Any]
Arrays = tuple[Array, ...]  # what a file answers, as it is stored, in the file's order
Values = tuple[NDArray[np.float32], ...]  # the same as real numbers, channels first: [n, c, h, w], [n, d], ...


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output of the file. Real value = scale * (stored - zero_point) where scale is given.

    layout     N images, H and W rows and columns, C channels or features, T tokens or frames, A boxes; "": whatever the network gives
    role       of an output: what the task reads there (see tasks)
    tolerance  of an output: how far the real numbers of a copy may be off, at most
    """

    name: Annotated[str, msgspec.Meta(max_length=1000)]
    shape: tuple[int, ...]
    dtype: Annotated[str, msgspec.Meta(pattern="^(float32|float16|u?int(8|16|32|64))$")]
    layout: Axes
    scale: Positive | None = None
    zero_point: int | None = None
    role: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.0


def encode(pixels: NDArray[np.uint8], tensor: Tensor, spec: Preprocess, *, folded: bool) -> Array:
    """Fitted pixels [n, h, w, 3], or clips [n, t, h, w, 3], as the tensor that a file takes."""
    values: Array = pixels if folded else normalise(pixels, spec)
    if tensor.layout in ("NCHW", "NCTHW"):
        values = np.ascontiguousarray(np.moveaxis(values, -1, 1))
    if tensor.scale is not None and tensor.dtype == "float32":
        return (values / np.float32(tensor.scale)).astype(np.float32)
    if tensor.scale is not None:
        quantized = np.rint(values / np.float32(tensor.scale)) + (tensor.zero_point or 0)
        limits = np.iinfo(tensor.dtype)
        return quantized.clip(limits.min, limits.max).astype(tensor.dtype)
    return values.astype(tensor.dtype)


def decode(raw: Array, tensor: Tensor) -> NDArray[np.float32]:
    """What a file answered as real numbers, channels first."""
    values = raw.astype(np.float32)
    if tensor.scale is not None:
        values = ((values - (tensor.zero_point or 0)) * np.float32(tensor.scale)).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(values, -1, 1)) if tensor.layout == "NHWC" else values


def decoded_shape(tensor: Tensor) -> tuple[int, ...]:
    """Of what `decode` makes of one image's answer."""
    sizes = tensor.shape[1:]
    return (sizes[-1], *sizes[:-1]) if tensor.layout == "NHWC" else sizes


class Layout(Protocol):
    """How a file answers where that is not as its task has it (see layouts.py)."""

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...
    def read(self, values: Values) -> Values: ...


@dataclass(frozen=True)
class Signature:
    """What a file takes and answers, and how images become what it takes.

    outputs  as the task has them, and as the file has them where it says no other layout
    """

    file: Path
    input: Tensor
    outputs: tuple[Tensor, ...]
    preprocess: Preprocess
    folded: bool  # the file normalises pixels itself
    layout: Layout | None = None

    @property
    def file_outputs(self) -> tuple[Tensor, ...]:
        return self.layout.outputs if self.layout else self.outputs

    def check_input(self, shape: Sequence[int], dtype: str) -> None:
        """Compare what the opened file takes (-1: any size) with what is said here. Raises ArtifactError."""
        said = self.input
        same = len(shape) == len(said.shape) and all(
            -1 in sizes or len(set(sizes)) == 1 for sizes in zip(shape[1:], said.shape[1:], strict=True)
        )
        if not same or dtype != said.dtype:
            takes, told = _words([(dtype, shape)]), _words([(said.dtype, said.shape)])
            raise ArtifactError(
                f"{self.file} takes {takes}, but its manifest makes {told} of images", hint="export again"
            )

    def encode(self, pixels: NDArray[np.uint8]) -> Array:
        """Fitted pixels, uint8 [n, h, w, 3], as the tensor the file takes."""
        return encode(pixels, self.input, self.preprocess, folded=self.folded)

    def decode(self, raw: Arrays) -> Values:
        """What the file answered, as real numbers, channels first, and as the task has them.

        Raises ArtifactError for other answers.
        """
        if [(a.shape[1:], a.dtype.name) for a in raw] != [(o.shape[1:], o.dtype) for o in self.file_outputs]:
            answers = _words([(a.dtype.name, a.shape) for a in raw])
            told = _words([(o.dtype, o.shape) for o in self.file_outputs])
            raise ArtifactError(f"{self.file} answers {answers}, but its manifest says {told}", hint="export again")
        values = tuple(decode(a, o) for a, o in zip(raw, self.file_outputs, strict=True))
        return self.layout.read(values) if self.layout else values

    def examples(self, images: Sequence[Pixels]) -> Array:
        """Decoded images [h, w, 3] of any size through the whole preprocessing: what the file takes."""
        return self.encode(np.stack([fit_each(image, self.preprocess) for image in images]))


def _words(ends: Sequence[tuple[str, Sequence[int]]]) -> str:
    return " and ".join(f"{dtype} {'x'.join(map(str, shape))}" for dtype, shape in ends)


def is_map(tensor: Tensor) -> bool:
    """Whether it has rows and columns."""
    return tensor.layout in ("NCHW", "NHWC")


def can_thin(tensor: Tensor) -> bool:
    """Whether it has so many places (rows and columns, or boxes) that some of them prove a copy."""
    return is_map(tensor) or tensor.layout == "NAC"


def thinned_shape(tensor: Tensor, stride: int) -> tuple[int, ...]:
    """Of one image's answer, decoded and `thinned`."""
    shape = decoded_shape(tensor)
    if tensor.layout == "NAC":
        return (-(-shape[0] // stride), *shape[1:])
    return (*shape[:-2], *(-(-side // stride) for side in shape[-2:])) if is_map(tensor) else shape


def thinned(values: Values, outputs: Sequence[Tensor], stride: int) -> Values:
    """Every stride-th row and column of answers that have such, or every stride-th box, so that few of them prove a copy."""
    every = slice(None, None, stride)
    some = {"NHWC": (..., every, every), "NCHW": (..., every, every), "NAC": (..., every, slice(None))}
    return tuple(
        np.ascontiguousarray(v[some[tensor.layout]]) if can_thin(tensor) else v
        for v, tensor in zip(values, outputs, strict=True)
    )
