"""Images as a caller has them: files, opened ones too, Pillow's images, or arrays."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.files import is_video
from edgekit.data.listed import check_name, is_pattern, listed, videos_in
from edgekit.data.video import Frame, Video
from edgekit.errors import DataError, RequestError
from edgekit.preprocess import decode_picture
from edgekit.verbs.asked import Place

Picture = Place | BinaryIO | Image.Image | NDArray[np.uint8] | tuple[Image.Image | NDArray[np.uint8], ...]
PICTURE = 3  # dimensions of an array
CLIP = "the path of a video or of a folder of its frames; uint8 [frames, height, width, 3]; a tuple of images"
WANTED = "a file, an image of Pillow's, a uint8 array [height, width, 3] in RGB, a list of these, or a folder"


def several(said: object, *, clips: bool = False) -> Sequence[Any] | None:
    """The images of a list, of a folder, of a pattern or of a video; None of a single image. clips: videos, and folders of
    their frames; a tuple of images in memory is one clip. Raises DataError."""
    if clips and isinstance(said, tuple) and all(map(_is_frame, said)):
        return None
    if isinstance(said, list | tuple):
        return said
    if not isinstance(said, str | os.PathLike) or not isinstance(name := os.fspath(said), str):
        return None
    check_name(name)
    if clips and Path(name).is_dir():
        found = videos_in(Path(name))
        return None if list(found) == [Path(name)] else found
    holds = Path(name).is_dir() or is_pattern(name) or (is_video(Path(name)) and not clips)
    return listed([name], clips=clips).files if holds else None


def is_opened(said: object) -> TypeGuard[BinaryIO]:
    """Whether it is a file that the caller opened, or one in memory: to Python it is also an iterator, of lines."""
    return hasattr(said, "read")


def told(said: object, *, clips: bool = False) -> Path | Image.Image | Video:
    """An image or a video by its file, or itself. Raises RequestError for what is none, DataError for an array that is none, a URL and
    other words that name no file."""
    if isinstance(said, str | os.PathLike) and isinstance(name := os.fspath(said), str):
        check_name(name)
        if Path(name).is_dir() and not clips:
            raise DataError(f"{name} is a folder, not an image file", hint="predict(folder), alone, takes its images")
        return Path(name)
    if clips:
        return _clip(said)
    if isinstance(said, Image.Image):
        return said
    if isinstance(said, np.ndarray):
        return _of(said)
    if isinstance(said, io.TextIOBase):
        raise RequestError(f"{said!r:.60} is open as text", hint="open(file, 'rb')")
    if is_opened(said):
        return decode_picture(said, str(getattr(said, "name", "the image")))
    hint = "x.numpy(), uint8 [height, width, 3] in RGB" if hasattr(said, "__array__") else WANTED
    raise RequestError(f"{type(said).__name__} {said!r:.60} is no image", hint=hint)


def _is_frame(said: object) -> bool:
    return isinstance(said, Image.Image) or (isinstance(said, np.ndarray) and said.ndim <= PICTURE)


def _clip(said: object) -> Video:
    """Frames in memory, the oldest first, each a step of the model's rate. Raises RequestError for what is none, DataError."""
    whole = isinstance(said, np.ndarray) and said.ndim == 1 + PICTURE
    if not (whole or (isinstance(said, tuple) and all(map(_is_frame, said)))):
        raise RequestError(f"{type(said).__name__} is no video, and the artifact takes clips", hint=CLIP)
    assert isinstance(said, np.ndarray | tuple)
    pictures = (frame if isinstance(frame, Image.Image) else _of(frame) for frame in said)
    if not len(said):
        raise DataError("a clip without frames", hint=CLIP)
    frames = tuple(decode_picture(picture, f"frame {number}") for number, picture in enumerate(pictures))
    return Video(Path(), "the clip", frames)


def upright(picture: Path | Frame | Image.Image | Video) -> Path | Frame | Image.Image:
    """An image in memory as it was answered: in 8-bit RGB. Of a clip its first frame."""
    if isinstance(picture, Video):
        return picture.frames[0]
    return decode_picture(picture, "the image") if isinstance(picture, Image.Image) else picture


def _as_uint8(array: NDArray[Any]) -> str:
    """What makes bytes of an array's numbers, by their greatest."""
    if array.dtype == np.bool_:
        return "(x * 255).astype('uint8')"
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return "numbers from 0 to 255, none of them missing"
    greatest = array.max(initial=0)
    if array.dtype.kind == "f" and greatest <= 1:
        return "(255 * x).round().astype('uint8')"
    if array.dtype == np.uint16 and greatest > 255:
        return "(x >> 8).astype('uint8')"
    return "x.astype('uint8'), of numbers from 0 to 255"


def _of(array: NDArray[Any]) -> Image.Image:
    """Raises DataError for what is no uint8 [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]."""
    shape = list(array.shape)
    if array.dtype != np.uint8:
        raise DataError(
            f"an array of {array.dtype} {shape} is no image: uint8 [height, width, 3] is", hint=_as_uint8(array)
        )
    if array.ndim == 4:
        raise DataError(f"an array of uint8 {shape} is several images", hint="list(x)")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3, 4):
        raise DataError(f"an array of uint8 {shape} has its channels first", hint="x.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or not array.size or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise DataError(f"an array of uint8 {shape} is no image", hint="uint8 [height, width, 3] in RGB")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array))
