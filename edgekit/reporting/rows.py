"""Charts of one row a file: bars, stacked bars, and strips of samples. Names stand beside the drawing as plain text, so
that they never overlap and wrap on a phone; the drawing stretches to the room there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edgekit.reporting import svg
from edgekit.reporting.machines import Entry, Machine
from edgekit.reporting.table import megabytes, ms
from edgekit.runs import Launch

WIDTH = 1000  # of a drawing, in its own units; it is stretched
DRAWN = 48  # samples of a launch; the quickest and the slowest are always among them


@dataclass(frozen=True)
class Line:
    """A row: `drawing` is SVG inside 0..1000 x 0..100, `title` says it to who cannot see it."""

    name: str
    target: str
    drawing: str
    title: str
    value: str
    height: int = 18


def chart(lines: Sequence[Line], scale: svg.Scale, unit: str, css: str = "") -> str:
    """Rows over one axis."""
    ticks = [(tick, scale(tick)) for tick in scale.ticks()]
    grid = "".join(f"M{svg.number(WIDTH * at)} 0V100" for _, at in ticks)
    drawn = "".join(_row(line, grid) for line in lines)
    labels = "".join(f'<span style="left:{svg.number(100 * at)}%">{svg.label(tick)}</span>' for tick, at in ticks)
    axis = f'<div class="row axis" aria-hidden="true"><div class="plot">{labels}</div><div class="value">{unit}</div></div>'
    return f'<div class="rows {css}">{drawn}{axis}</div>'


def _row(line: Line, grid: str) -> str:
    title = svg.text(line.title)
    return (
        f'<div class="row"><div class="name">{svg.swatch(line.target)}<span>{svg.text(line.name)}</span></div>'
        f'<div class="plot"><svg role="img" viewBox="0 0 {WIDTH} 100" preserveAspectRatio="none" '
        f'style="height:{line.height}px"><title>{title}</title>'
        f'<path class="grid" d="{grid}"/>{line.drawing}</svg></div>'
        f'<div class="value">{svg.text(line.value)}</div></div>\n'
    )


def bars(entries: Sequence[Entry], size: Callable[[Entry], int | None], what: str) -> str:
    """Bytes of each file, from zero, largest last."""
    known = sorted(((size(e) or 0, e) for e in entries if size(e)), key=lambda pair: (pair[0], pair[1].name))
    scale = svg.from_zero(value / 1e6 for value, _ in known)
    lines = [
        Line(
            e.name,
            e.run.subject.target,
            f'<rect class="bar k{svg.kind(e.run.subject.target)}" width="{svg.number(WIDTH * scale(value / 1e6))}" height="100"/>',
            f"{e.name}: {what} {megabytes(value)}",
            megabytes(value),
            14,
        )
        for value, e in known
    ]
    return chart(lines, scale, "MB") if lines else ""


PHASES = ("import", "load", "first", "steady")


def phases(machine: Machine) -> str:
    """Wall milliseconds from an empty process to the first answer, and of one answer after that (steady)."""
    entries = sorted(machine.entries, key=lambda e: sum(_phases(e)))
    scale = svg.from_zero(sum(_phases(e)) for e in entries)
    lines = []
    for e in entries:
        parts, at, drawn = _phases(e), 0.0, ""
        for number, part in enumerate(parts):
            width = WIDTH * (scale(at + part) - scale(at))
            drawn += f'<rect class="phase p{number}" x="{svg.number(WIDTH * scale(at))}" width="{svg.number(width)}" height="100"/>'
            at += part
        said = " + ".join(ms(part) for part in parts)
        words = ", ".join(f"{phase} {ms(part)} ms" for phase, part in zip(PHASES, parts, strict=True))
        lines.append(Line(e.name, e.run.subject.target, drawn, f"{e.name}: {words}", said))
    keys = "".join(
        f'<span><svg class="swatch" viewBox="0 0 16 16" aria-hidden="true"><rect class="phase p{n}" x="2" y="2" '
        f'width="12" height="12"/></svg>{phase}</span>'
        for n, phase in enumerate(PHASES)
    )
    return f'<p class="legend">From left to right: {keys}</p>{chart(lines, scale, "ms", "phases")}'


def _phases(entry: Entry) -> tuple[float, ...]:
    run, row = entry.run, entry.row
    return run.phase_ms("imported") or 0.0, row.load_ms or 0.0, row.first_ms or 0.0, row.wall_p50_ms or 0.0


def strips(machine: Machine) -> str:
    """Single inferences: a line of dots for each launch, and a tick at its median. Logarithmic where slow ones
    are far off: nothing is cut away."""
    entries = machine.costed
    scale = svg.spread((ns / 1e6 for e in entries for launch in e.run.launches for ns in launch.ns), margin=0.03)
    lines = []
    for e in entries:
        launches = e.run.launches
        lane = 100 / len(launches)
        drawn = "".join(_lane(launch, scale, lane * (n + 0.5), lane) for n, launch in enumerate(launches))
        target = svg.kind(e.run.subject.target)
        samples = [ns / 1e6 for launch in launches for ns in launch.ns]
        title = (
            f"{e.name}: {len(samples)} inferences in {len(launches)} launches, {machine.clock} {ms(min(samples))} to "
            f"{ms(max(samples))} ms, median {ms(e.run.ms)} ms"
        )
        height = max(22, min(6 * len(launches), 64))
        said = f"{ms(e.run.ms)} ms, n = {len(samples):,}"
        lines.append(Line(e.name, e.run.subject.target, f'<g class="strip k{target}">{drawn}</g>', title, said, height))
    return chart(lines, scale, "ms", "strips")


def _lane(launch: Launch, scale: svg.Scale, y: float, lane: float) -> str:
    """Dots that are round however the drawing is stretched: lines of no length with round ends."""
    dots = "".join(f"M{svg.number(WIDTH * scale(ns / 1e6))} {svg.number(y)}h0" for ns in thinned(launch.ns))
    x, half = svg.number(WIDTH * scale(median(launch.ns) / 1e6)), lane * 0.48
    return (
        f'<path class="dots" d="{dots}"/><path class="median" d="M{x} {svg.number(y - half)}v{svg.number(2 * half)}"/>'
    )


def thinned(samples: Sequence[int]) -> list[int]:
    """At most DRAWN of the samples, evenly through their order of size, both ends kept."""
    ordered = sorted(samples)
    if len(ordered) <= DRAWN:
        return ordered
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, DRAWN).round().astype(int)]
