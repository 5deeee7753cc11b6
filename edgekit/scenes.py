"""Images that nobody took: light, clouds, textures and shapes, drawn from a seed.

What travels with an artifact must not be somebody's photograph, and noise alone says nothing of a network: these have the
spectrum of photographs (power falls with the square of the frequency), edges and large plain surfaces. They are the same
on every machine, whatever else is installed there.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgekit.preprocess import Pixels

OCTAVES = (2, 4, 8, 16, 32, 64)  # how many blobs of a texture lie side by side
FINE = 2  # shapes are drawn so much larger, for smooth edges


def scenes(count: int, height: int, width: int) -> Iterator[Pixels]:
    """`count` different ones: uint8 [height, width, 3]. Every other one is plain behind its shapes, every third is grey."""
    for number in range(count):
        rng = np.random.default_rng((number, 2718))
        picture = Image.new("RGB", (width, height), ("black", "white")[number // 2 % 2])
        if number % 2 == 0:
            picture = Image.fromarray(_ground(rng, height, width))
        for _ in range(rng.integers(1, 6)):
            _place_a_shape(picture, rng)
        yield np.asarray(picture.convert("L").convert("RGB") if number % 3 == 1 else picture)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(0, 255, 3)


def _ground(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A slope of light from one colour to another, or stripes of both, with a texture on it."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slope = (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) / np.sqrt(2) + 0.5
    if rng.random() < 0.3:
        slope = 0.5 + 0.5 * np.sin(rng.uniform(15, 80) * slope)
    first, second = _colour(rng), _colour(rng)
    light = first + slope[..., None] * (second - first)
    pixels: Pixels = (light + rng.uniform(10, 50) * _texture(rng, height, width)).clip(0, 255).astype(np.uint8)
    return pixels


def _texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Noise whose amplitude falls with its frequency: float64 [height, width, 3], around 0."""
    texture = np.zeros((height, width, 3))
    for blobs in OCTAVES:
        coarse = [Image.fromarray(rng.normal(0, 2 / blobs, (blobs, blobs)).astype(np.float32)) for _ in range(3)]
        fine = [np.asarray(c.resize((width, height), Image.Resampling.BICUBIC), np.float64) for c in coarse]
        texture += np.stack(fine, -1)
    return texture


def _place_a_shape(picture: Image.Image, rng: np.random.Generator) -> None:
    """An ellipse, a box or a polygon of one ground, pasted in place."""
    width, height = picture.size
    radius = rng.uniform(0.05, 0.45) * min(picture.size)
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    wide, high = radius * rng.uniform(0.4, 1.6, 2)
    box = [FINE * v for v in (x - wide, y - high, x + wide, y + high)]
    mask = Image.new("L", (FINE * width, FINE * height))
    draw = ImageDraw.Draw(mask)
    kind = rng.integers(3)
    if kind == 0:
        draw.ellipse(box, fill=255)
    elif kind == 1:
        draw.rectangle(box, fill=255)
    else:
        corners = rng.integers(3, 7)
        draw.regular_polygon((FINE * x, FINE * y, FINE * radius), int(corners), int(rng.integers(360)), fill=255)
    picture.paste(Image.fromarray(_ground(rng, height, width)), (0, 0), mask.resize(picture.size, Image.Resampling.BOX))
