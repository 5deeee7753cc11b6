"""Answers as pictures: a mask over the photograph it is of, with a legend."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgekit.tasks.segmentation import Mask, Palette

OPAQUE = 0.55  # of a label's colour over the picture
STRIP = 4_000_000  # pixels that are mixed at a time, in float
LEGEND = 0.01  # of the picture: a label that covers less is not named


def mask_picture(mask: Mask, palette: Palette) -> Image.Image:
    """A PNG of numbers with a palette, as data sets of masks have them: its pixels are the labels' numbers."""
    picture = Image.fromarray(mask.labels, mode="P")
    picture.putpalette([part for colour in palette for part in colour])
    return picture


def over(
    picture: Image.Image, mask: Mask, palette: Palette, labels: Sequence[str], background: int | None
) -> Image.Image:
    """An RGB picture under the colours of its labels, those that cover most named in the upper left corner.

    The background stays as it is.
    """
    drawn, colours = picture.convert("RGB"), np.asarray(palette, np.float32)
    rows = max(1, STRIP // picture.width)
    for top in range(0, picture.height, rows):
        here = mask.labels[top : top + rows]
        pixels = np.asarray(drawn.crop((0, top, picture.width, top + len(here)))).astype(np.float32)
        shown = np.ones((*here.shape, 1), bool) if background is None else (here != background)[..., None]
        mixed = np.where(shown, (1 - OPAQUE) * pixels + OPAQUE * colours[here], pixels)
        drawn.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), (0, top))
    shares = mask.shares(len(labels))
    named = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] >= LEGEND and i != background]
    _legend(drawn, [(labels[i], palette[i]) for i in named])
    return drawn


def _legend(picture: Image.Image, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
    size = max(11, min(picture.size) // 24)
    font, pen = ImageFont.load_default(size), ImageDraw.Draw(picture)
    fit = [entry for i, entry in enumerate(entries) if (i + 2) * size * 1.4 < picture.height]
    if not fit:
        return
    wide = max(pen.textlength(label, font=font) for label, _ in fit)
    step = round(size * 1.4)
    pen.rectangle((0, 0, wide + 2.6 * size, step * len(fit) + size * 0.6), fill=(255, 255, 255))
    for row, (label, colour) in enumerate(fit):
        top = size * 0.5 + row * step
        pen.rectangle((size * 0.5, top, size * 1.5, top + size), fill=colour, outline=(0, 0, 0))
        pen.text((size * 2, top - size * 0.15), label, fill=(0, 0, 0), font=font)
