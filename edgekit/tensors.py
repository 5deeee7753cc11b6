"""Tensors as files take and give them: their types, and real numbers from what is stored."""

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.preprocess import Positive, Preprocess, fit, normalise

Array = NDArray[Any]


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output of the file. Real value = scale * (stored - zero_point) where scale is given."""

    name: str
    shape: tuple[int, ...]
    dtype: Annotated[str, msgspec.Meta(pattern="^(float32|float16|u?int(8|16|32|64))$")]
    layout: Literal["NHWC", "NCHW", "NC"]
    scale: Positive | None = None
    zero_point: int | None = None


def encode(pixels: NDArray[np.uint8], tensor: Tensor, spec: Preprocess, *, folded: bool) -> Array:
    values: Array = pixels if folded else normalise(pixels, spec)
    if tensor.layout == "NCHW":
        values = np.ascontiguousarray(np.moveaxis(values, -1, 1))
    if tensor.scale is not None and tensor.dtype != "float32":
        quantized = np.rint(values / np.float32(tensor.scale)) + (tensor.zero_point or 0)
        limits = np.iinfo(tensor.dtype)
        return quantized.clip(limits.min, limits.max).astype(tensor.dtype)
    return values.astype(tensor.dtype)


def decode(raw: Array, tensor: Tensor) -> NDArray[np.float32]:
    if tensor.scale is None:
        return raw.astype(np.float32)
    return ((raw.astype(np.float32) - (tensor.zero_point or 0)) * np.float32(tensor.scale)).astype(np.float32)


def golden_tensors(images: list[NDArray[np.uint8]], tensor: Tensor, spec: Preprocess, *, folded: bool) -> Array:
    """Decoded pictures through the whole preprocessing: what the file takes."""
    return encode(np.stack([fit(Image.fromarray(i), spec) for i in images]), tensor, spec, folded=folded)
