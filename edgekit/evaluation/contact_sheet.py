"""The images that two artifacts name differently, or find other things on, as one image to look at."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from edgekit.artifact import Artifact
from edgekit.data import DataSet
from edgekit.data.classes import brief
from edgekit.drawing import outlined
from edgekit.errors import RequestError
from edgekit.evaluation.accuracy import Flip
from edgekit.evaluation.results import Apart, Thing
from edgekit.places import check_file, output_errors
from edgekit.tasks import Classification, Detection, name_of

SIDE, TEXT, LINES, GAP, COLUMNS = 160, 12, 4, 10, 6  # pixels; images in a row
MOST = 60
REFERENCE, CANDIDATE = "#1a5fd0", "#d0021b"
COLOURS = {"lost": "#b00020", "won": "#1b7a2f", "both wrong": "#555555", "not labelled": "#555555"}
Tile = tuple[Image.Image, tuple[tuple[str, str], ...]]  # and lines with their colours


def check(path: Path) -> None:
    """Raises RequestError for a name that does not end as an image's, and as places.check_file does."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise RequestError(
            f"{path} does not end as an image's name", hint=f"--contact-sheet {path.with_suffix('.png')}"
        )
    check_file(path, "--contact-sheet elsewhere.png")


def check_task(artifact: Artifact) -> None:
    """Raises RequestError for a file that names nothing and finds nothing that could be drawn, and for one that takes clips."""
    if artifact.manifest.preprocess.is_clip:
        raise RequestError(f"--contact-sheet draws images, and {artifact.name} takes clips", hint="leave it out")
    if not isinstance(artifact.manifest.task, Classification | Detection):
        raise RequestError(
            f"--contact-sheet draws classes and boxes that differ, and {artifact.name} is a {name_of(artifact.manifest.task)}",
            hint="leave it out",
        )


def draw(flips: Sequence[Flip], data: DataSet, path: Path) -> int:
    """Write the first `MOST` flips as thumbnails with what is on them and both answers; returns how many those are.

    The kind of the file is that of its name. Raises RequestError as `check` does, OutputError.
    """
    shown = list(flips[:MOST])
    small = {p.position: _small(p.open(), SIDE) for p in data.read(sorted(flip.position for flip in shown))}
    tiles = [
        (
            small[flip.position],
            (
                (Path(flip.picture).name, "black"),
                (f"{flip.kind}: {', '.join(map(brief, flip.truth))}" if flip.truth else flip.kind, COLOURS[flip.kind]),
                (f"ref {brief(flip.reference)} ({flip.reference_margin:.2f})", "black"),
                (f"now {brief(flip.candidate)} ({flip.candidate_margin:.2f})", "black"),
            ),
        )
        for flip in shown
    ]
    _write(tiles, path, SIDE, COLUMNS)
    return len(tiles)


def draw_apart(apart: Sequence[Apart], data: DataSet, path: Path) -> int:
    """Write the first `MOST` images with the boxes of both files; returns how many those are. Raises as `draw` does."""
    shown = {of.position: of for of in apart[:MOST]}
    small = {p.position: _small(_boxed(p.open(), shown[p.position]), 2 * SIDE) for p in data.read(sorted(shown))}
    tiles = [
        (
            small[position],
            (
                (Path(of.picture).name, "black"),
                (f"F1 {of.f1:.2f}", "black"),
                (f"ref {_counted(of.reference)}", REFERENCE),
                (f"now {_counted(of.candidate)}", CANDIDATE),
            ),
        )
        for position, of in shown.items()
    ]
    _write(tiles, path, 2 * SIDE, COLUMNS // 2)
    return len(tiles)


def _small(picture: Image.Image, side: int) -> Image.Image:
    """One of 60 at once: the images themselves would fill the memory."""
    return ImageOps.pad(picture, (side, side), color="#dddddd")


def _boxed(picture: Image.Image, of: Apart) -> Image.Image:
    for things, colour in ((of.reference, REFERENCE), (of.candidate, CANDIDATE)):
        outlined(picture, [thing.box for thing in things], colour)
    return picture


def _counted(things: Sequence[Thing]) -> str:
    """ "2 person, 1 dog"."""
    count = Counter(brief(thing.label) for thing in things)
    return ", ".join(f"{number} {label}" for label, number in count.most_common()) or "nothing"


def _write(tiles: Sequence[Tile], path: Path, side: int, most: int) -> None:
    check(path)
    columns = min(most, max(len(tiles), 1))
    rows = max(-(-len(tiles) // columns), 1)
    width, height = side + GAP, side + GAP + (LINES * TEXT * 5) // 4
    sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for i, (picture, lines) in enumerate(tiles):
        left, top = GAP + i % columns * width, GAP + i // columns * height
        sheet.paste(picture, (left, top))
        for number, (text, colour) in enumerate(lines):
            place = (left, top + side + 2 + number * TEXT * 5 // 4)
            pen.text(place, _shortened(text, font, side), fill=colour, font=font)
    with output_errors("--contact-sheet elsewhere.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, side: int) -> str:
    if font.getlength(text) <= side:
        return text
    while text and font.getlength(f"{text}...") > side:
        text = text[:-1]
    return f"{text}..."
