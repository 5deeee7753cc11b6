"""What an inference takes against how often it is right (or, where that is not known, against size): who is worth what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekit.reporting import svg
from edgekit.reporting.labels import Box, Named, labels
from edgekit.reporting.machines import Entry, Machine
from edgekit.reporting.words import accuracy, cost

WIDE, NARROW = (880, 470), (360, 380)  # px


@dataclass(frozen=True)
class Paper:
    """Where values stand, in px: `across` what an inference takes, `up` what it is worth."""

    box: Box
    across: svg.Scale
    up: svg.Scale

    def x(self, value: float) -> float:
        return self.box.left + (self.box.right - self.box.left) * self.across(value)

    def y(self, value: float) -> float:
        return self.box.bottom - (self.box.bottom - self.box.top) * self.up(value)


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
        '<span><svg class="dash" viewBox="0 0 26 16" aria-hidden="true"><path class="front" d="M0 8H26"/></svg>'
        "filled: Pareto front</span></p>"
        f'{wide}{narrow}<ol class="narrow names">{listed}</ol>'
    )


def _said(machine: Machine, entry: Entry) -> str:
    worth = accuracy(entry) if machine.by_accuracy else f"{entry.row.bytes / 1e6:.2f} MB"
    return f"{cost(entry)}, {worth}"


def _draw(machine: Machine, shown: Sequence[Entry], size: tuple[int, int], names: Sequence[str], css: str) -> str:
    width, height = size
    box = Box(54, 14, width - 16, height - 46)
    paper = Paper(box, svg.spread(entry.cost or 0 for entry in shown), _worths(machine, shown))
    front = machine.front()
    cost = f"{machine.clock} time" if machine.timed else "Instructions"
    what = f"{cost} against {machine.figure if machine.by_accuracy else 'size'}"
    said = "; ".join(f"{e.name}: {_said(machine, e)}{', on the front' if e in front else ''}" for e in shown)
    worth = f"{machine.figure}, %" if machine.by_accuracy else "size, MB (smaller is better: below)"
    parts = [f"<title>{what}, {len(shown)} files</title><desc>{svg.text(said)}</desc>", *_axes(machine, paper, worth)]
    parts += [_whiskers(machine, entry, paper) for entry in shown]
    places = [(paper.x(entry.cost or 0), paper.y(_worth(machine, entry))) for entry in shown]
    line = [place for entry, place in zip(shown, places, strict=True) if entry in front]
    steps = "".join(f"H{svg.number(x)}V{svg.number(y)}" for x, y in line[1:])
    parts.append(f'<path class="front" d="M{svg.number(line[0][0])} {svg.number(line[0][1])}{steps}"/>')
    for entry, (x, y) in zip(shown, places, strict=True):
        drawn = svg.mark(entry.run.subject.target, x, y, extra="on" if entry in front else "off")
        parts.append(f"<g><title>{svg.text(f'{entry.name}: {_said(machine, entry)}')}</title>{drawn}</g>")
    named = [Named(n, x, y, e in front) for n, e, (x, y) in zip(names, shown, places, strict=True)]
    parts += labels(named, box, Box(box.left, box.top, box.left + 12 * len(worth), box.top + 18))
    return f'<svg class="scatter {css}" role="img" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'


def _axes(machine: Machine, paper: Paper, worth: str) -> Iterator[str]:
    box = paper.box
    for tick in paper.across.ticks(5):
        x = svg.number(paper.x(tick))
        yield f'<path class="grid" d="M{x} {box.top}V{box.bottom}"/>'
        yield f'<text class="tick" x="{x}" y="{box.bottom + 17}" text-anchor="middle">{svg.label(tick)}</text>'
    for tick in paper.up.ticks(5):
        y = paper.y(tick)
        yield f'<path class="grid" d="M{box.left} {svg.number(y)}H{box.right}"/>'
        yield f'<text class="tick" x="{box.left - 7}" y="{svg.number(y + 4)}" text-anchor="end">{svg.label(tick)}</text>'
    unit = f"{machine.clock} time of one inference, ms" if machine.timed else "instructions of one inference, millions"
    scale = " (logarithmic)" if paper.across.log else ""
    yield f'<text class="tick" x="{box.right}" y="{box.bottom + 38}" text-anchor="end">{unit}{scale} →</text>'
    yield f'<text class="tick" x="{box.left + 6}" y="{box.top + 12}">↑ {worth}</text>'


def _worth(machine: Machine, entry: Entry) -> float:
    if machine.by_accuracy:
        return 100 * (entry.headline.value if entry.headline else 0.0)
    return entry.row.bytes / 1e6


def _worths(machine: Machine, shown: Sequence[Entry]) -> svg.Scale:
    if not machine.by_accuracy:
        return svg.spread(entry.row.bytes / 1e6 for entry in shown)
    shares = [entry.headline for entry in shown if entry.headline]
    low, high = min(s.low for s in shares), max(s.high for s in shares)
    return svg.Scale(max(0.0, 100 * low - 0.4), min(100.0, 100 * high + 0.4) + 0.3)


def _whiskers(machine: Machine, entry: Entry, paper: Paper) -> str:
    """95 % intervals, as thin lines."""
    x, y, found = paper.x(entry.cost or 0), paper.y(_worth(machine, entry)), ""
    if interval := entry.cost_interval:
        found += f"M{svg.number(paper.x(interval.low))} {svg.number(y)}H{svg.number(paper.x(interval.high))}"
    if machine.by_accuracy and (share := entry.headline):
        found += f"M{svg.number(x)} {svg.number(paper.y(100 * share.low))}V{svg.number(paper.y(100 * share.high))}"
    return f'<path class="whisker k{svg.kind(entry.run.subject.target)}" d="{found}"/>' if found else ""
