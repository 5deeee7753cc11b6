"""Clips that nobody filmed: a crop that moves over an image, by which clips can be calibrated, proven and tested.

Never one image repeated: layers over time would see no difference between frames, and their ranges would be wrong.
"""

import math
from typing import Literal, get_args

import numpy as np
from PIL import Image

from edgekit.preprocess import Pixels, Preprocess

Motion = Literal["right", "up", "left", "down", "closer", "farther", "turning left", "turning right"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)
HEADINGS = {"right": (1, 0), "up": (0, -1), "left": (-1, 0), "down": (0, 1)}
SIDE = (0.35, 0.6)  # of the crop, in shares of the image's shorter side
TRAVELLED = (0.2, 0.35)  # of the image's shorter side, from the first frame to the last
GROWN = (1.3, 1.7)  # how often the last crop's side goes into the first's, or the first's into the last's
TURNED = (20, 40)  # degrees


def moving_crop(
    picture: Image.Image, spec: Preprocess, rng: np.random.Generator, motion: Motion | None = None
) -> Pixels:
    """A clip in the size of the input, uint8 [frames, height, width, channels]: a seeded crop of an RGB image that moves
    steadily.

    motion  of the crop, not of what is on the image; None: a seeded one
    """
    motion = motion or MOTIONS[rng.integers(len(MOTIONS))]
    height, width = spec.input_size
    short = min(picture.size)
    side, angle = short * rng.uniform(*SIDE), rng.uniform(-10, 10)
    travelled, grown, turned = (rng.uniform(*span) for span in (TRAVELLED, GROWN, TURNED))
    x, y = (extent / 2 + (extent - short * 0.9) / 2 * rng.uniform(-1, 1) for extent in picture.size)
    dx, dy = (short * travelled * part for part in HEADINGS.get(motion, (0, 0)))
    growth = {"closer": 1 / grown, "farther": grown}.get(motion, 1.0)
    turn = {"turning left": -turned, "turning right": turned}.get(motion, 0.0)
    light = rng.uniform(0.8, 1.2)
    frames = []
    for share in np.linspace(-0.5, 0.5, spec.frames):
        at = (x + dx * share, y + dy * share)
        scale = side * growth**share / max(height, width)
        radians = math.radians(angle + turn * share)
        c, s = scale * math.cos(radians), scale * math.sin(radians)
        place = (c, s, at[0] - (c * width + s * height) / 2, -s, c, at[1] - (c * height - s * width) / 2)
        frames.append(picture.transform((width, height), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR))
    if spec.channels == 1:
        frames = [frame.convert("L") for frame in frames]
    clip = np.stack([np.asarray(frame).reshape(height, width, spec.channels) for frame in frames])
    return (clip * light).clip(0, 255).astype(np.uint8)
