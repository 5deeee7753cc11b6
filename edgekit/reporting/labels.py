"""Names beside the points of a chart, such that none covers another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekit.reporting import svg

LETTER, BOLD, LINE = 7.3, 8.2, 15  # room for a letter and a line of 12.5 px text, in px, of a wide font
LONGEST = 36  # letters of a name beside its point


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Area in common."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(wide, 0) * max(high, 0)


@dataclass(frozen=True)
class Named:
    """A point on the paper, in px, that wants its name beside it. `bold`: it is placed first."""

    name: str
    x: float
    y: float
    bold: bool


def labels(points: Sequence[Named], paper: Box, heading: Box) -> Iterator[str]:
    """SVG of each name at the nearest free place inside the paper and off its heading; a thin line leads to one that
    stands further off."""
    taken = [heading, *(Box(p.x - 8, p.y - 8, p.x + 8, p.y + 8) for p in points)]
    for p in sorted(points, key=lambda p: not p.bold):
        name = p.name if len(p.name) <= LONGEST else f"{p.name[:17]}…{p.name[-18:]}"
        width = len(name) * (BOLD if p.bold else LETTER) + 4
        box = min(_places(p, width, paper), key=lambda place: sum(place.overlap(other) for other in taken))
        taken.append(box)
        middle = (box.top + box.bottom) / 2
        near = min(max(p.x, box.left), box.right)
        if abs(near - p.x) + abs(middle - p.y) > 26:
            yield f'<path class="lead" d="M{svg.number(p.x)} {svg.number(p.y)}L{svg.number(near)} {svg.number(middle)}"/>'
        css = "label on" if p.bold else "label"
        anchor, at = "middle", (box.left + box.right) / 2
        if box.left >= p.x:
            anchor, at = "start", box.left + 2
        elif box.right <= p.x:
            anchor, at = "end", box.right - 2
        place = f'x="{svg.number(at)}" y="{svg.number(box.bottom - 4)}" text-anchor="{anchor}"'
        yield f'<text class="{css}" {place}>{svg.text(name)}</text>'


def _places(p: Named, width: float, paper: Box) -> list[Box]:
    """Around a point, nearest first, pushed inside the paper."""
    beside = [(p.x + 9, p.y - LINE / 2), (p.x - 9 - width, p.y - LINE / 2)]
    lefts = (p.x + 9, p.x - 9 - width, p.x - width / 2)
    around = [(left, p.y - LINE / 2 + way * far) for far in range(7, 150, 7) for way in (-1, 1) for left in lefts]
    return [_inside(left, top, width, paper) for left, top in beside + around]


def _inside(left: float, top: float, width: float, paper: Box) -> Box:
    left = max(min(left, paper.right - width), paper.left)
    top = max(min(top, paper.bottom - LINE), paper.top)
    return Box(left, top, left + width, top + LINE)
