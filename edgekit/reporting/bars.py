"""Two shares of each of many things as bars below each other, in an SVG file of its own."""

from collections.abc import Sequence

from edgekit.reporting.svg import number, text

LETTERS = 44  # of a name; more lose their beginning, because paths of modules differ at the end
ROW, LETTER, WIDE, TOP = 18, 6.7, 460, 62  # px
COLOURS = ("#b3261e", "#7a9cc6")


def bars(title: str, names: tuple[str, str], rows: Sequence[tuple[str, float, float]]) -> str:
    """rows: a name and its two shares, 0 to 1; names: what these are. All are on one scale, which the largest fills; the
    number is that of the first."""
    most = max((max(one, other) for _, one, other in rows), default=1.0) or 1.0
    short = [name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}" for name, _, _ in rows]
    left = round(20 + LETTER * max(map(len, short), default=0))
    wide, height = max(left + WIDE + 70, round(24 + 1.2 * LETTER * len(title))), TOP + ROW * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {height}" font-family="sans-serif" font-size="12">',
        f"<title>{text(title)}</title>",
        f'<rect width="100%" height="100%" fill="#fff"/><text x="12" y="22" font-size="14">{text(title)}</text>',
    ]
    for at, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        x = left + 150 * at
        parts.append(
            f'<rect x="{x}" y="36" width="10" height="10" fill="{colour}"/><text x="{x + 16}" y="45">{text(name)}</text>'
        )
    for at, (name, *shares) in enumerate(rows):
        y = TOP + ROW * at
        parts.append(
            f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{text(short[at])}<title>{text(name)}</title></text>'
        )
        for line, (share, colour) in enumerate(zip(shares, COLOURS, strict=True)):
            width, top = WIDE * share / most, y + 2 + 7 * line
            parts.append(f'<rect x="{left}" y="{top}" width="{number(width)}" height="6" fill="{colour}"/>')
        parts.append(
            f'<text x="{number(left + WIDE * max(shares) / most + 6)}" y="{y + 12}" font-size="10" fill="{COLOURS[0]}">{shares[0]:.1%}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])
