"""Answers as images: a mask over the photograph it is of, with a legend; boxes around things, with tags."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgekit.tasks.boxes import Boxes
from edgekit.tasks.segmentation import Mask, Palette

OPAQUE = 0.55  # of a label's colour over the image
STRIP = 4_000_000  # pixels that are mixed at a time, in float
DARK = 140  # of 255: on a colour below this brightness white is read better than black
LEGEND = 0.01  # of the image: a label that covers less is not named


def mask_picture(mask: Mask, palette: Palette) -> Image.Image:
    """A PNG of numbers with a palette, as data sets of masks have them: its pixels are the labels' numbers."""
    picture = Image.fromarray(mask.labels, mode="P")
    picture.putpalette([part for colour in palette for part in colour])
    return picture


def over(
    picture: Image.Image, mask: Mask, palette: Palette, labels: Sequence[str], background: int | None
) -> Image.Image:
    """An RGB image under the colours of its labels, those that cover most named in the upper left corner.

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


def around(picture: Image.Image, found: Boxes, colours: Palette, labels: Sequence[str]) -> Image.Image:
    """An RGB image with each box in its label's colour, and a tag with name and score on it; the best lie on top."""
    drawn = picture.convert("RGB")
    size = max(11, min(drawn.size) // 36)
    font, pen, wide = ImageFont.load_default(size), ImageDraw.Draw(drawn), max(2, size // 6)
    each = list(zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True))
    for box, score, label in reversed(each):
        pen.rounded_rectangle(_ordered(box), radius=size // 3, outline=colours[label], width=wide)
        _tag(pen, f"{labels[label]} {score:.0%}", (box[0], box[1]), colours[label], font, drawn.size)
    return drawn


def outlined(picture: Image.Image, boxes: Sequence[Sequence[float]], colour: str) -> None:
    """Draw plain boxes, in the image's own pixels, into it."""
    pen, wide = ImageDraw.Draw(picture), max(2, min(picture.size) // 120)
    for box in boxes:
        pen.rectangle(_ordered(box), outline=colour, width=wide)


def _ordered(box: Sequence[float]) -> tuple[float, float, float, float]:
    """A box that a network turned inside out is drawn as a line."""
    left, top, right, bottom = box
    return left, top, max(left, right), max(top, bottom)


def _tag(
    pen: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """Above a box's upper left corner, or inside where there is no room; never outside the image."""
    height = round(font.getbbox("Ag")[3] * 1.3)
    width = pen.textlength(text, font=font) + height * 0.7
    left = max(0.0, min(corner[0], size[0] - width))
    top = corner[1] - height if corner[1] >= height else corner[1]
    pen.rounded_rectangle((left, top, left + width, top + height), radius=height // 3, fill=colour)
    red, green, blue = colour
    written = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < DARK else "black"
    pen.text((left + height * 0.35, top + height * 0.12), text, fill=written, font=font)
