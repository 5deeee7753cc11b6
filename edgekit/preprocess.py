"""From an image file to the tensor a model takes: ONE definition, in numpy and Pillow only.

It is written so that another language can follow it to the last bit, from the decoded pixels on (decoders of JPEG
and WebP differ between platforms by a step or so; that lies before this definition):

1. Orientation: the EXIF orientation is applied. Embedded colour profiles are ignored, as phones and timm do.
2. Colour: 8-bit RGB. Grey is copied to three channels; 16-bit grey is divided by 256 (floor), grey in floats or in integers
   of 32 bits is refused; transparent pixels are
   laid over white (`Image.alpha_composite`); CMYK is converted by Pillow; of an animation the first frame is taken.
   Where the model takes one channel, the RGB pixels become grey as Pillow's L (ITU-R 601-2):
   (19595 * R + 38470 * G + 7471 * B + 32768) >> 16.
3. Resize: let S = floor(side / crop_pct) for each side of the input size. `center`: the shorter side of the image
   becomes S (for square inputs), the longer becomes floor(S * longer / shorter). `squash`: both sides become S.
   `letterbox`: both sides are multiplied by the smaller of input height / height and input width / width, in float64, and
   rounded, halves to the even neighbour, but to 1 at least; crop_pct is 1.
   The filter is Pillow's: separable convolution, first horizontally, then vertically, each pass rounded to 8 bits. For an
   output size n of an input size m: s = m / n, f = max(s, 1), support = f * a (a = 1 bilinear, 2 bicubic, 3 lanczos),
   c = (i + 0.5) * s, taps from floor(c - support + 0.5) to floor(c + support + 0.5) inside the image, tap weights
   w(x) = kernel((x - c + 0.5) / f), divided by their sum in float64, then rounded to fixed point with 22 fractional bits
   (half away from zero); each output value is clip((2**21 + sum(pixel * weight)) >> 22). bicubic is Keys' kernel with
   a = -0.5. `tests/test_preprocess.py` holds this paragraph as 30 lines of integer numpy and compares them with Pillow.
   An image so long and narrow that MAX_PIXELS would not hold it when resized is refused.
4. Crop: the centre; top = round((height - input height) / 2), halves to the even neighbour; left alike. `letterbox`: the
   image is laid on a sheet of the grey `pad`, with floor((input height - height) / 2) rows above; left alike.
5. Normalise (only where the file does not do it itself): float32 (pixel - 255 * mean) / (255 * std), with 255 * mean
   and 255 * std each rounded to float32 first.

A clip is `frames` images, the oldest first, `rate` of them a second; each goes through steps 2 to 5 by itself. Which frames of a
video these are: `edgekit/data/video.py`.

A camera frame takes the place of steps 1 and 2: `yuv_to_rgb`, then turned upright. The app in android_demo/core follows
all this in Kotlin, and its tests hold it to vectors made here (android_demo/verify/vectors.py).
"""

import math
import warnings
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgekit.errors import DataError, UnreadableError
from edgekit.recipe import MAX_FRAMES, MAX_RATE, CropMode
from edgekit_vision import install

Pixels = NDArray[
    np.uint8
]  # [height, width, 3], RGB; fitted for a grey model: [height, width, 1]; a clip: [frames, ...]
Plane = NDArray[np.uint8]  # [height, width]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
# checked where a manifest is read
Side = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MAX_PIXELS = 178_000_000  # of what an image becomes when it is resized: 0.7 GB in Pillow
MAX_DECODED = 128_000_000  # of an image file: 0.5 GB in Pillow, and as much again where its colours are converted
ROW = 2  # pixels that a row counts besides its own: Pillow keeps a pointer to it
# What Pillow may open. Left out: formats for which it starts other programs (EPS), or that hold no photographs.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
STRIP = 4_000_000  # pixels that are converted at a time


class Preprocess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model wants to see. Sizes in pixels (height, width); mean and std on the 0..1 scale, one for each channel: RGB,
    or grey. Of more than one frame the input is a clip, and rate is how many of its frames are a second."""

    input_size: tuple[Side, Side]
    crop_pct: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.875  # above 1: a frame of zeros, as timm's volo wants it
    crop_mode: CropMode = "center"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[Positive, ...] = (0.229, 0.224, 0.225)
    pad: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    frames: Annotated[int, msgspec.Meta(ge=1, le=MAX_FRAMES)] = 1
    rate: Annotated[float, msgspec.Meta(ge=0, le=MAX_RATE)] = 0.0

    def __post_init__(self) -> None:
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} deviations, not one or three of each")
        if self.crop_mode == "letterbox" and self.crop_pct != 1:
            raise ValueError("a letterbox shows the whole image, so crop_pct is 1")
        if self.is_clip != (self.rate > 0):
            raise ValueError(f"{self.frames} frames, and {self.rate:g} of them a second")

    @property
    def channels(self) -> int:
        """3: RGB; 1: grey."""
        return len(self.mean)

    @property
    def extent(self) -> tuple[int, ...]:
        """Height, width; of clips frames, height, width."""
        return (self.frames, *self.input_size) if self.is_clip else self.input_size

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, and the extent."""
        return self.channels, *self.extent

    @property
    def words(self) -> str:
        """`224x224 image`, `clip of 8 frames of 112x112, 15 a second`"""
        size = "x".join(map(str, self.input_size))
        return f"clip of {self.frames} frames of {size}, {self.rate:g} a second" if self.is_clip else f"{size} image"

    @property
    def units(self) -> str:
        """What it sees, in the plural: a video has one clip or several."""
        return "clips" if self.is_clip else "images"

    @property
    def files(self) -> str:
        """What it is given, in the plural."""
        return "videos" if self.is_clip else "images"

    @property
    def is_clip(self) -> bool:
        return self.frames > 1


@dataclass(frozen=True)
class Placement:
    """Where an image lies in the input: a point of the input is scale * point of the image + offset, in pixels from the
    upper left corner, (x, y). size: of the image, (width, height). Another language follows it in float64."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points [..., 2] of the input as points of the image."""
        return np.asarray((points - np.asarray(self.offset)) / np.asarray(self.scale))

    def pixels(self, axis: int, side: int) -> NDArray[np.intp]:
        """For every column (axis 0) or row (axis 1) of the image, the one of an input of `side` under its centre."""
        at = (np.arange(self.size[axis]) + 0.5) * self.scale[axis] + self.offset[axis]
        return np.asarray(np.floor(at).clip(0, side - 1), np.intp)


def open_picture(path: Path) -> Image.Image:
    """Decode an image file to 8-bit RGB (steps 1 and 2). Raises DataError for what is not a whole image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images; MAX_PIXELS is our limit
        return decode_picture(path, path.name)


def decode_picture(file: Path | BinaryIO | Image.Image, name: str) -> Image.Image:
    """`open_picture` for threads, which must not touch the filters of warnings, for a file inside another, and for an image
    that Pillow has opened.

    name  what errors call it
    """
    try:
        if isinstance(file, Path) and file.exists() and not file.is_file():  # a pipe would be waited for
            raise DataError(f"{file} is {'a folder' if file.is_dir() else 'a pipe or a device'}, not an image file")
        with nullcontext(file) if isinstance(file, Image.Image) else Image.open(file, formats=formats()) as picture:
            if (picture.width + ROW) * picture.height > MAX_DECODED:
                raise Image.DecompressionBombError
            _check_white(picture, name)
            if isinstance(file, Image.Image):  # which stays as it is
                return to_rgb(ImageOps.exif_transpose(picture))
            ImageOps.exif_transpose(picture, in_place=True)
            return to_rgb(picture)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no image {file}", hint="an image file: .jpg, .png, .webp, ...") from None
    except Image.DecompressionBombError:
        raise DataError(
            f"{name}: too large (more than {MAX_DECODED / 1e6:.0f} megapixels, or of too many rows)"
        ) from None
    except UnidentifiedImageError:
        kind = _of_phones(file)
        if kind and {"HEIC": "HEIF"}.get(kind, kind) not in formats():
            raise DataError(f"{name}: a {kind} image, which needs pillow-heif", hint=install("heic")) from None
        raise UnreadableError(f"{name}: {f'a damaged {kind} image' if kind else 'not an image'}") from None
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreadableError(f"{name}: {reason}") from None


def _check_white(picture: Image.Image, name: str) -> None:
    """Raises DataError for grey of which no number is known to be white: 1, 255 or 65,535. What Pillow makes integers of 32 bits
    of a PNG or a PGM has 16."""
    if picture.mode == "F" or (picture.mode == "I" and picture.format not in ("PNG", "PPM")):
        kind = "floats" if picture.mode == "F" else "integers of 32 bits"
        raise DataError(
            f"{name}: grey in {kind}, and nothing says which is white", hint="save it with 8 or 16 bits a pixel"
        )


@cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that can be read here: HEIF where pillow-heif is installed."""
    with suppress(ImportError, OSError):  # or a library of its own is not there
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _of_phones(file: Path | BinaryIO | Image.Image) -> str:
    """HEIC or AVIF, which a file of their container says in its first bytes; else ""."""
    if isinstance(file, Image.Image):
        return ""
    if isinstance(file, Path):
        with suppress(OSError), file.open("rb") as opened:
            return _of_phones(opened)
        return ""
    if not file.seekable():
        return ""
    file.seek(0)
    head = file.read(12)
    kinds = {
        b"avif": "AVIF",
        b"avis": "AVIF",
        b"heic": "HEIC",
        b"heix": "HEIC",
        b"hevc": "HEIC",
        b"mif1": "HEIC",
        b"msf1": "HEIC",
    }
    return kinds.get(head[8:], "") if head[4:8] == b"ftyp" else ""


def to_rgb(picture: Image.Image) -> Image.Image:
    """Step 2, in strips: beside the image there is only the one that is answered."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        picture.load()
        return picture
    width, height = picture.size
    rgb, rows = Image.new("RGB", picture.size), max(1, STRIP // max(1, width))
    for top in range(0, height, rows):
        rgb.paste(_strip_to_rgb(picture.crop((0, top, width, min(top + rows, height)))), (0, top))
    return rgb


def _strip_to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow would clip, not scale
        grey = np.asarray(picture).astype(np.int64)
        return Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def yuv_to_rgb(y: Plane, u: Plane, v: Plane) -> Pixels:
    """A camera frame in 4:2:0 as RGB: y uint8 [h, w]; u and v uint8 [ceil(h / 2), ceil(w / 2)], each value for 2 x 2 pixels.

    Colours as in JPEG files (JFIF: BT.601, full range), which Android gives YUV_420_888 of cameras (V0_JFIF), in the
    integers of libjpeg (jdcolor.c): coefficients with 16 fractional bits, rounded down after adding a half.
    """
    h, w = y.shape
    luma = y.astype(np.int32)
    blue, red = (c.astype(np.int32).repeat(2, 0).repeat(2, 1)[:h, :w] - 128 for c in (u, v))
    rgb = (
        luma + ((91881 * red + 32768) >> 16),
        luma + ((-22554 * blue - 46802 * red + 32768) >> 16),
        luma + ((116130 * blue + 32768) >> 16),
    )
    return np.stack(rgb, -1).clip(0, 255).astype(np.uint8)


def fit(picture: Image.Image, spec: Preprocess) -> Pixels:
    """Resize and crop an RGB image to the input size (steps 3 and 4): uint8 [height, width, channels]. Raises DataError."""
    height, width = spec.input_size
    w, h = picture.size
    size = _resized(w, h, spec)
    if max(math.prod(size), size[0] * h) > MAX_PIXELS:  # also half-way: first across, then down
        raise DataError(f"{w} x {h} pixels is too long and narrow for an input of {height} x {width}")
    picture = resize(picture if spec.channels == 3 else picture.convert("L"), size, spec.interpolation)
    left, top = _corner(size, spec)
    if spec.crop_mode == "letterbox":
        sheet = Image.new(picture.mode, (width, height), (spec.pad,) * spec.channels)
        sheet.paste(picture, (-left, -top))
        picture = sheet
    else:
        picture = picture.crop((left, top, left + width, top + height))
    return np.asarray(picture).reshape(height, width, spec.channels)


def fit_each(pixels: Pixels, spec: Preprocess) -> Pixels:
    """`fit` of decoded RGB pixels [h, w, 3], or of every frame of a clip [t, h, w, 3]. Raises DataError."""
    if pixels.ndim == 4:
        return np.stack([fit(Image.fromarray(frame), spec) for frame in pixels])
    return fit(Image.fromarray(pixels), spec)


def in_channels(pixels: Pixels, channels: int) -> Pixels:
    """RGB pixels [h, w, 3] as a model of so many channels takes them (step 2)."""
    return pixels if channels == 3 else np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def placement(size: tuple[int, int], spec: Preprocess) -> Placement:
    """Where `fit` lays an image of (width, height)."""
    resized = _resized(*size, spec)
    left, top = _corner(resized, spec)
    return Placement((resized[0] / size[0], resized[1] / size[1]), (float(-left), float(-top)), size)


def _corner(size: tuple[int, int], spec: Preprocess) -> tuple[int, int]:
    """Where the input's upper left corner lies in a resized image (left, top): below zero in a letterbox."""
    height, width = spec.input_size
    if spec.crop_mode == "letterbox":
        return -((width - size[0]) // 2), -((height - size[1]) // 2)
    return round((size[0] - width) / 2), round((size[1] - height) / 2)


def _resized(w: int, h: int, spec: Preprocess) -> tuple[int, int]:
    """What step 3 makes of a width and a height."""
    height, width = spec.input_size
    scale = (math.floor(height / spec.crop_pct), math.floor(width / spec.crop_pct))
    if spec.crop_mode == "letterbox":
        factor = min(height / h, width / w)
        return max(round(w * factor), 1), max(round(h * factor), 1)
    if spec.crop_mode == "squash":
        return scale[1], scale[0]
    if scale[0] == scale[1]:
        short = scale[0]
        return (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    factor = max(scale[0] / h, scale[1] / w)  # not square: the image just covers the box
    return max(round(w * factor), scale[1]), max(round(h * factor), scale[0])


def resize(picture: Image.Image, size: tuple[int, int], interpolation: Interpolation) -> Image.Image:
    """Step 3 for a (width, height): first across, then down. In one call, Pillow 13 sometimes turns the order round."""
    width, height = size
    across = picture.resize((width, picture.height), FILTERS[interpolation])
    return across.resize((width, height), FILTERS[interpolation])


def load_pixels(path: Path, spec: Preprocess) -> Pixels:
    """An image file as the pixels a model sees: uint8 [height, width, channels]."""
    picture = open_picture(path)
    try:
        return fit(picture, spec)
    except DataError as error:
        raise DataError(f"{path.name}: {error.message}") from None


def normalise(pixels: NDArray[np.generic], spec: Preprocess) -> NDArray[np.float32]:
    """Step 5, over the last axis: [..., channels] of any number type to float32."""
    mean = (np.asarray(spec.mean, np.float64) * 255).astype(np.float32)
    std = (np.asarray(spec.std, np.float64) * 255).astype(np.float32)
    return (pixels.astype(np.float32) - mean) / std
