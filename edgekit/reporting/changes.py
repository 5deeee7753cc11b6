"""Series over sessions with the levels between their changes: a small chart for each."""

from collections.abc import Sequence
from math import exp

from edgekit.history import Series, words
from edgekit.reporting import svg
from edgekit.reporting.history import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes


def changes(found: Sequence[Series]) -> str:
    """Empty where nothing has two sessions."""
    return f'<div class="cards">{"".join(map(_card, found))}</div>' if found else ""


def _card(series: Series) -> str:
    named = [words.change(series, change) for change in series.changes]
    title = svg.text(". ".join([words.title(series), words.about(series), *named]))
    said = "".join(f"<p>{svg.text(line)}</p>" for line in [words.about(series), *named])
    return (
        f'<figure class="card"><figcaption>{svg.swatch(series.target)}{svg.text(words.title(series))}</figcaption>'
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{title}</title>{_drawing(series)}</svg>{said}</figure>'
    )


def _drawing(series: Series) -> str:
    figures = [series.figure(point) for point in series.points]
    room = max((max(figures) - min(figures)) * 0.1, max(figures) * 0.02)
    up = svg.Scale(max(min(figures) - room, 0), max(figures) + room)
    inner_w, inner_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(n: float) -> str:
        return svg.number(LEFT + inner_w * (n + 0.5) / len(figures))

    def y(value: float) -> str:
        return svg.number(TOP + inner_h * (1 - up(value)))

    parts = axes(up, series.points[0].made[:10], series.points[-1].made[:10])
    dots = "".join(f"M{x(n)} {y(figure)}h0" for n, figure in enumerate(figures))
    css = f"k{svg.kind(series.target)}"
    parts.append(f'<path class="trend {css}" stroke-linecap="round" style="stroke-width:4" d="{dots}"/>')
    for change in series.changes:
        parts += [f'<path class="change" d="M{x(n - 0.5)} {TOP}v{inner_h}"/>' for n in {change.first, change.last}]
    path = "L".join(f"{x(n)} {y(level)}" for n, level in _levels(series))
    parts.append(f'<path class="trend {css}" d="M{path}"/>')
    return "".join(parts)


def _levels(series: Series) -> list[tuple[float, float]]:
    """Corners of the line through the levels: flat between changes, slanted in a drift."""
    corners: list[tuple[float, float]] = []
    begins = 0
    for change, after in zip([*series.changes, None], [*[c.last for c in series.changes], 0], strict=True):
        end = change.first if change else len(series.points)
        level = _mean(series, begins, end)
        corners += [(begins - 0.5, level), (end - 0.5, level)]
        begins = after
    return corners


def _mean(series: Series, begin: int, end: int) -> float:
    """The geometric mean of the figures of some sessions."""
    logs = [point.log for point in series.points[begin:end]]
    return series.figure(series.points[0]) * exp(sum(logs) / len(logs) - series.points[0].log)
