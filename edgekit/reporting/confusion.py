"""Which labels are taken for which, as an image, and the mistakes that a file is surest of, as a table."""

from collections.abc import Sequence

from edgekit.reporting import svg
from edgekit.reporting.table import Cell, Table, percent, table
from edgekit.runs import Evaluated
from edgekit.statistics.confusion import Confusion

MOST = 40  # labels of an image that can be read
CELL, LETTER, LONGEST = 26, 7, 20  # of a square; of a letter; letters of a name
PAIRS = 30
COLUMNS = 20  # labels of a matrix in text that can be read


def matrix(confusion: Confusion) -> str:
    """A square for each pair of labels, darker where more of a label's images are named so; "" of too many labels."""
    shown, totals = confusion.shown, confusion.totals
    if len(shown) > MOST:
        return ""
    at = {label: i for i, label in enumerate(shown)}
    names = [_short(confusion.labels[label]) for label in shown]
    room = 12 + LETTER * max(map(len, names), default=0)
    side = room + CELL * len(shown)
    parts = []
    for i, name in enumerate(map(svg.text, names)):
        middle = room + CELL * i + CELL / 2
        parts.append(f'<text class="tick" x="{room - 6}" y="{middle + 4}" text-anchor="end">{name}</text>')
        parts.append(f'<text class="tick" transform="translate({middle + 4} {room - 6}) rotate(-90)">{name}</text>')
    for right, named, n in confusion.counts:
        share = n / totals[right]
        x, y = room + CELL * at[named], room + CELL * at[right]
        css = "k2" if right == named else "k1"
        said = (
            f"{confusion.labels[right]} named {confusion.labels[named]}: {n:,} of {totals[right]:,} ({percent(share)})"
        )
        parts.append(
            f'<g><title>{svg.text(said)}</title><rect class="bar {css}" x="{x + 1}" y="{y + 1}" width="{CELL - 2}" '
            f'height="{CELL - 2}" style="fill-opacity:{0.08 + 0.92 * share:.3f}"/></g>'
        )
    grid = "".join(
        f"M{room} {room + CELL * i}h{side - room}M{room + CELL * i} {room}v{side - room}" for i in range(len(shown) + 1)
    )
    return (
        f'<div class="scroll"><svg role="img" viewBox="0 0 {side} {side}" style="width:{side}px;max-width:none">'
        f'<title>Rows are the right labels, columns what was named</title><path class="grid" d="{grid}"/>{"".join(parts)}</svg></div>'
    )


def counts(confusion: Confusion) -> Table:
    """The matrix in numbers: a row for each right label, a column for each that was named; no rows of too many labels."""
    shown, known = confusion.shown, {(right, named): n for right, named, n in confusion.counts}
    if len(shown) > COLUMNS:
        shown = []
    rows = [[known.get((right, named), 0) for named in shown] for right in shown]
    return Table(
        "Rows are the right labels, columns what was named",
        ("", *(confusion.labels[label] for label in shown)),
        tuple(
            (Cell(confusion.labels[right]), *(Cell(f"{n:,}" if n else "", n) for n in row))
            for right, row in zip(shown, rows, strict=True)
        ),
    )


def pairs(confusion: Confusion) -> Table:
    """What is most often taken for what."""
    found, totals = confusion.pairs[:PAIRS], confusion.totals
    return table(
        "Most confused",
        {
            "label": [Cell(confusion.labels[right]) for right, _, _ in found],
            "named": [Cell(confusion.labels[named]) for _, named, _ in found],
            "images": [Cell(f"{n:,}", n) for _, _, n in found],
            "of its images": [Cell(percent(n / totals[right]), n / totals[right]) for right, _, n in found],
        },
    )


def classes(confusion: Confusion) -> Table:
    """How often each label is found where it is right, and right where it is named."""
    totals = confusion.totals
    hits = {right: n for right, named, n in confusion.counts if right == named}
    named_as: dict[int, int] = {}
    for _, named, n in confusion.counts:
        named_as[named] = named_as.get(named, 0) + n
    shown = sorted(confusion.shown, key=lambda i: hits.get(i, 0) / totals[i] if i in totals else 2.0)
    return table(
        "Labels, the worst first",
        {
            "label": [Cell(confusion.labels[i]) for i in shown],
            "images": [Cell(f"{totals.get(i, 0):,}", totals.get(i, 0)) for i in shown],
            "found (recall)": [_share(hits.get(i, 0), totals.get(i, 0)) for i in shown],
            "right where named (precision)": [_share(hits.get(i, 0), named_as.get(i, 0)) for i in shown],
        },
    )


def mistakes(of: Evaluated) -> Table:
    """The images that are named wrongly with the greatest probability."""
    found = of.mistakes
    return table(
        "Surest mistakes",
        {
            "image": [Cell(m.picture) for m in found],
            "label": [Cell(", ".join(m.truth)) for m in found],
            "named": [Cell(m.named) for m in found],
            "probability": [Cell(percent(m.probability), m.probability) for m in found],
        },
    )


def newest(evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    """Of each file and set of images the last evaluation that tells what is confused."""
    found = {(e.subject.digest, e.data): e for e in evaluated if e.confusion}
    return list(found.values())


def _share(part: int, of: int) -> Cell:
    return Cell(percent(part / of), part / of) if of else Cell("")


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 3]}..."
