"""What an inference takes against how often it is right (or, where that is not known, against size): who is worth what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgekit.report import svg
from edgekit.report.machines import Entry, Machine
from edgekit.report.words import accuracy, cost

LETTER, LINE = 6.9, 15  # room for a letter and a line of 12.5 px text, in px
WIDE, NARROW = (880, 470), (360, 380)


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
class Point:
    """A file on the paper, in px."""

    entry: Entry
    x: float
    y: float
    front: bool


def scatter(machine: Machine) -> str:
    """Two drawings of the same points, of which a page shows the one that fits; a phone's has numbers for names."""
    shown = machine.judged if machine.by_accuracy else machine.costed
    names = [entry.name for entry in shown]
    wide = _draw(machine, shown, WIDE, names, "wide")
    narrow = _draw(machine, shown, NARROW, [str(n) for n in range(1, len(shown) + 1)], "narrow")
    listed = "".join(
        f"<li>{svg.swatch(e.run.subject.target)}{svg.text(e.name)}<br><small>{svg.text(_said(machine, e))}</small></li>"
        for e in shown
    )
    return (
        f'<p class="legend">{svg.legend([e.run.subject.target for e in shown])}'
        '<span class="solid">filled, on the line: Pareto front</span></p>'
        f'{wide}{narrow}<ol class="narrow names">{listed}</ol>'
    )


def _said(machine: Machine, entry: Entry) -> str:
    worth = accuracy(entry) if machine.by_accuracy else f"{entry.row.bytes / 1e6:.2f} MB"
    return f"{cost(entry)}, {worth}"


def _draw(machine: Machine, shown: Sequence[Entry], size: tuple[int, int], names: Sequence[str], css: str) -> str:
    width, height = size
    left, top, right, bottom = (54, 14, 16, 46) if css == "wide" else (44, 12, 10, 44)
    inner_w, inner_h = width - left - right, height - top - bottom
    across = svg.spread(entry.cost or 0 for entry in shown)
    up = _worths(machine, shown)
    front = machine.front()

    def x(value: float) -> float:
        return left + inner_w * across(value)

    def y(value: float) -> float:
        return top + inner_h * (1 - up(value))

    points = [Point(e, x(e.cost or 0), y(_worth(machine, e)), e in front) for e in shown]
    parts = []
    for tick in across.ticks(6 if css == "wide" else 4):
        at = svg.number(x(tick))
        parts.append(f'<path class="grid" d="M{at} {top}V{top + inner_h}"/>')
        parts.append(f'<text class="tick" x="{at}" y="{top + inner_h + 17}" text-anchor="middle">{svg.label(tick)}</text>')
    for tick in up.ticks(5):
        at = y(tick)
        parts.append(f'<path class="grid" d="M{left} {svg.number(at)}H{left + inner_w}"/>')
        said = f"{svg.label(tick)}{' %' if machine.by_accuracy and css == 'wide' else ''}"
        parts.append(f'<text class="tick" x="{left - 7}" y="{svg.number(at + 4)}" text-anchor="end">{said}</text>')
    unit = "CPU of one inference, ms" if machine.timed else "instructions of one inference, millions"
    worth = "top-1, %" if machine.by_accuracy else "size, MB (smaller is better: below)"
    scale = " (logarithmic)" if across.log else ""
    parts.append(f'<text class="tick" x="{left + inner_w}" y="{height - 8}" text-anchor="end">{unit}{scale} →</text>')
    parts.append(f'<text class="tick" x="{left + 6}" y="{top + 12}">↑ {worth}</text>')
    parts += [_whiskers(machine, p, x, y) for p in points]
    line = sorted((p for p in points if p.front), key=lambda p: p.x)
    if len(line) > 1:
        steps = "".join(f"H{svg.number(b.x)}V{svg.number(b.y)}" for _, b in pairwise(line))
        parts.append(f'<path class="front" d="M{svg.number(line[0].x)} {svg.number(line[0].y)}{steps}"/>')
    for p in points:
        title = svg.text(f"{p.entry.name}: {_said(machine, p.entry)}")
        drawn = svg.mark(p.entry.run.subject.target, p.x, p.y, extra="on" if p.front else "off")
        parts.append(f"<g>{drawn}<title>{title}</title></g>")
    paper = Box(left, top + 16, left + inner_w, top + inner_h)
    parts += _labels(points, names, paper)
    what = "top-1" if machine.by_accuracy else "size"
    title = f"{'CPU time' if machine.timed else 'Instructions'} against {what}, {len(shown)} files"
    said = "; ".join(f"{e.name}: {_said(machine, e)}{', on the front' if e in front else ''}" for e in shown)
    return (
        f'<svg class="scatter {css}" role="img" viewBox="0 0 {width} {height}" aria-label="{title}">'
        f"<title>{title}</title><desc>{svg.text(said)}</desc>{''.join(parts)}</svg>"
    )


def _worth(machine: Machine, entry: Entry) -> float:
    if machine.by_accuracy:
        return 100 * (entry.top1.value if entry.top1 else 0.0)
    return entry.row.bytes / 1e6


def _worths(machine: Machine, shown: Sequence[Entry]) -> svg.Scale:
    if not machine.by_accuracy:
        return svg.spread(entry.row.bytes / 1e6 for entry in shown)
    shares = [entry.top1 for entry in shown if entry.top1]
    low, high = min(s.low for s in shares), max(s.high for s in shares)
    return svg.Scale(max(0.0, 100 * low - 0.4), min(100.0, 100 * high + 0.4) + 0.3)


def _whiskers(machine: Machine, p: Point, x, y) -> str:  # type: ignore[no-untyped-def]
    found = ""
    if interval := p.entry.cost_interval:
        found += f"M{svg.number(x(interval.low))} {svg.number(p.y)}H{svg.number(x(interval.high))}"
    if machine.by_accuracy and (share := p.entry.top1):
        found += f"M{svg.number(p.x)} {svg.number(y(100 * share.low))}V{svg.number(y(100 * share.high))}"
    return f'<path class="whisker k{svg.kind(p.entry.run.subject.target)}" d="{found}"/>' if found else ""


def _labels(points: Sequence[Point], names: Sequence[str], paper: Box) -> Iterator[str]:
    """Each name at the nearest free place, first those on the front; a thin line leads to one that stands further off."""
    marks = [Box(p.x - 8, p.y - 8, p.x + 8, p.y + 8) for p in points]
    taken: list[Box] = []
    for n in sorted(range(len(points)), key=lambda n: not points[n].front):
        p, width = points[n], len(names[n]) * LETTER + 4
        others = marks[:n] + marks[n + 1 :]
        box = min(_places(p, width, paper), key=lambda place: _trouble(place, [*taken, *others], p))
        taken.append(box)
        middle = (box.top + box.bottom) / 2
        near = min(max(p.x, box.left), box.right)
        if abs(near - p.x) + abs(middle - p.y) > 26:
            yield f'<path class="lead" d="M{svg.number(p.x)} {svg.number(p.y)}L{svg.number(near)} {svg.number(middle)}"/>'
        css = "label on" if p.front else "label"
        yield f'<text class="{css}" x="{svg.number(box.left + 2)}" y="{svg.number(box.bottom - 4)}">{svg.text(names[n])}</text>'


def _places(p: Point, width: float, paper: Box) -> Iterator[Box]:
    """Around a point, nearest first, inside the paper."""
    for far in range(0, 140, 7):
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
            if far and dx and not dy:
                continue  # beside it a longer way helps little
            left = p.x + 9 if dx > 0 else p.x - 9 - width if dx < 0 else p.x - width / 2
            top = p.y - LINE / 2 + dy * (LINE / 2 + 9 * (dx == 0) + far)
            if left >= paper.left and left + width <= paper.right and top >= paper.top and top + LINE <= paper.bottom:
                yield Box(left, top, left + width, top + LINE)
    yield Box(paper.left, paper.top, paper.left + width, paper.top + LINE)


def _trouble(place: Box, taken: Sequence[Box], p: Point) -> tuple[float, float]:
    """Area that is covered already; then how far off it is."""
    return sum(place.overlap(other) for other in taken), abs((place.top + place.bottom) / 2 - p.y)
