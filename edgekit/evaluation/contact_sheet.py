"""The pictures that two artifacts name differently, as one picture to look at."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from edgekit.data import DataSet
from edgekit.data.classes import brief
from edgekit.errors import RequestError
from edgekit.evaluation.accuracy import Flip
from edgekit.places import check_place, output_errors

SIDE, TEXT, LINES, GAP, COLUMNS = 160, 12, 4, 10, 6  # pixels; pictures in a row
MOST = 60
COLOURS = {"lost": "#b00020", "won": "#1b7a2f", "both wrong": "#555555", "not labelled": "#555555"}


def check(path: Path) -> None:
    """Raises RequestError for a name that does not end as a picture's, and as places.check_place does."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise RequestError(
            f"{path} does not end as a picture's name", hint=f"--contact-sheet {path.with_suffix('.png')}"
        )
    check_place(path, "--contact-sheet elsewhere.png")


def draw(flips: Sequence[Flip], data: DataSet, path: Path) -> int:
    """Write the first `MOST` flips as thumbnails with what is on them and both answers; returns how many those are.

    The kind of the file is that of its name. Raises RequestError as `check` does, OutputError.
    """
    check(path)
    shown = list(flips[:MOST])
    columns = min(COLUMNS, max(len(shown), 1))
    rows = max(-(-len(shown) // columns), 1)
    width, height = SIDE + GAP, SIDE + GAP + (LINES * TEXT * 5) // 4
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    opened = {p.position: p.open() for p in data.read(sorted(flip.position for flip in shown))}
    for i, flip in enumerate(shown):
        left, top = GAP + i % columns * width, GAP + i // columns * height
        sheet.paste(ImageOps.pad(opened[flip.position], (SIDE, SIDE), color="#dddddd"), (left, top))
        lines = (
            (Path(flip.picture).name, "black"),
            (f"{flip.kind}: {', '.join(map(brief, flip.truth))}" if flip.truth else flip.kind, COLOURS[flip.kind]),
            (f"ref {brief(flip.reference)} ({flip.reference_margin:.2f})", "black"),
            (f"now {brief(flip.candidate)} ({flip.candidate_margin:.2f})", "black"),
        )
        for number, (text, colour) in enumerate(lines):
            place = (left, top + SIDE + 2 + number * TEXT * 5 // 4)
            pen.text(place, _shortened(text, font), fill=colour, font=font)
    with output_errors("--contact-sheet elsewhere.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    return len(shown)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= SIDE:
        return text
    while text and font.getlength(f"{text}...") > SIDE:
        text = text[:-1]
    return f"{text}..."
