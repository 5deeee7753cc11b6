"""A series and its changes in words, for a terminal and for the report."""

from edgekit.history import Series
from edgekit.history.changes import JUDGED, Change


def title(series: Series) -> str:
    machine = f" ({series.machine})" if series.machine else ""
    return f"{series.name} on {series.device}{machine}"


def about(series: Series) -> str:
    n = len(series.points)
    if series.unit == "instructions":
        return f"{n} sessions, instructions of an inference"
    return f"{n} sessions, time over that of {series.over}"


def change(series: Series, change: Change) -> str:
    """`step  +8.3 % [+6.9, +9.7] at 2026-10-03; the file changed`"""
    span = [_when(series, n) for n in (change.first, change.last)]
    when = f"at {span[0]}" if span[0] == span[1] else f"from {span[0]} to {span[1]}"
    size = f"about {change.percent:+.1f} %" if change.kind == "drift" else f"{change.percent:+.1f} %"
    if series.unit == "ratio" and change.low is not None and change.high is not None:
        size += f" [{change.low:+.1f}, {change.high:+.1f}]"
    said = f"{change.kind}  {size} {when}"
    if times := series.files(change):
        said += f"; the file changed{f' {times} times' if times > 1 else ''}"
    if runtimes := series.runtimes(change):
        said += f"; the runtime became {runtimes[-1]}"
    return said


def nothing(series: Series, least: float) -> str:
    if series.unit == "ratio" and len(series.points) < JUDGED:
        return f"too few to judge: {JUDGED} sessions are needed"
    return f"no change of {least:g} % or more"


def _when(series: Series, at: int) -> str:
    """The day, with the time where another session was on the same day."""
    made = series.points[at].made
    same = sum(point.made[:10] == made[:10] for point in series.points) > 1
    return made[:16].replace("T", " ") if same else made[:10]
