"""Time of an inference over sessions: a small chart for each file that was measured more than once."""

from collections.abc import Sequence
from itertools import pairwise

from edgekit.reporting import svg
from edgekit.reporting.machines import Entry, Machine, time_interval
from edgekit.reporting.table import ms
from edgekit.runs import Run

WIDTH, HEIGHT = 320, 150
LEFT, TOP, RIGHT, BOTTOM = 40, 10, 12, 24


def history(machine: Machine) -> str:
    """Empty where no file has two sessions, or times mean nothing."""
    told = [(entry, [run for run in (*entry.earlier, entry.run) if run.told]) for entry in machine.entries]
    cards = [_card(entry, runs) for entry, runs in told if len(runs) > 1 and machine.timed]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _card(entry: Entry, runs: Sequence[Run]) -> str:
    first, last = runs[0], runs[-1]
    said = f"{ms(first.ms)} ms on {first.made[:10]}, {ms(last.ms)} ms on {last.made[:10]}"
    changes = changed(runs)
    note = (
        f"; dashed: {' and '.join(sorted({what for both in changes.values() for what in both}))} changed"
        if changes
        else ""
    )
    title = svg.text(f"{entry.name}: {len(runs)} sessions, {said}{note}")
    return (
        f'<figure class="card"><figcaption>{svg.swatch(entry.run.subject.target)}{svg.text(entry.name)}</figcaption>'
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{title}</title>'
        f"{_drawing(runs, changes)}</svg><p>{svg.text(f'{len(runs)} sessions, the last {ms(last.ms)} ms{note}')}</p></figure>"
    )


def changed(runs: Sequence[Run]) -> dict[int, list[str]]:
    """Where the file or the runtime is not that of the session before."""
    found = {}
    for n, (before, after) in enumerate(pairwise(runs), 1):
        what = [
            word
            for word, differs in (
                ("the file", before.subject.digest != after.subject.digest),
                ("the runtime", before.facts.get("runtime") != after.facts.get("runtime")),
            )
            if differs
        ]
        if what:
            found[n] = what
    return found


def _drawing(runs: Sequence[Run], changes: dict[int, list[str]]) -> str:
    intervals = [time_interval(run) for run in runs]
    medians = [run.ms for run in runs]
    # a wide interval of few launches must not flatten the medians: it is cut at the edge of the paper
    low, high = min(medians), max(medians)
    lows = [max(i.low, low * 0.7) for i in intervals if i]
    highs = [min(i.high, high * 1.4) for i in intervals if i]
    low, high = min([low, *lows]), max([high, *highs])
    room = max((high - low) * 0.1, high * 0.02)
    up = svg.Scale(max(low - room, 0), high + room)
    inner_w, inner_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(n: int) -> float:
        return LEFT + inner_w * (n + 0.5) / len(runs)

    def y(value: float) -> float:
        return TOP + inner_h * (1 - up(value))

    parts = axes(up, _when(runs, 0), _when(runs, -1))
    parts += [f'<path class="change" d="M{svg.number((x(n - 1) + x(n)) / 2)} {TOP}v{inner_h}"/>' for n in changes]
    path = "L".join(f"{svg.number(x(n))} {svg.number(y(value))}" for n, value in enumerate(medians))
    target = runs[-1].subject.target
    parts.append(f'<path class="trend k{svg.kind(target)}" d="M{path}"/>')
    for n, (run, interval) in enumerate(zip(runs, intervals, strict=True)):
        said = f"{run.made[:16].replace('T', ' ')}: {ms(run.ms)} ms"
        whisker = ""
        if interval:
            said += f" [{ms(interval.low)}, {ms(interval.high)}]"
            at = svg.number(x(n))
            whisker = f'<path class="whisker k{svg.kind(target)}" d="M{at} {svg.number(y(interval.low))}V{svg.number(y(interval.high))}"/>'
        parts.append(
            f"<g><title>{svg.text(said)}</title>{whisker}{svg.mark(target, x(n), y(run.ms), size=4, extra='on')}</g>"
        )
    return "".join(parts)


def axes(up: svg.Scale, first: str, last: str) -> list[str]:
    """The lines of a scale, and when it was at both ends; between them sessions follow each other at equal steps."""
    parts = []
    for tick in up.ticks(4):
        at = TOP + (HEIGHT - TOP - BOTTOM) * (1 - up(tick))
        parts.append(f'<path class="grid" d="M{LEFT} {svg.number(at)}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 5}" y="{svg.number(at + 4)}" text-anchor="end">{svg.label(tick)}</text>'
        )
    foot = f'class="tick" y="{HEIGHT - 6}"'
    parts.append(f'<text {foot} x="{LEFT}">{svg.text(first)}</text>')
    parts.append(f'<text {foot} x="{WIDTH - RIGHT}" text-anchor="end">{svg.text(last)}</text>')
    return parts


def _when(runs: Sequence[Run], n: int) -> str:
    """The day, or the time where all are of one day."""
    one_day = len({run.made[:10] for run in runs}) == 1
    return runs[n].made[11:16] if one_day else runs[n].made[:10]
