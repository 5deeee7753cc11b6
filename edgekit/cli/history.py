"""edgekit history"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import Talk, common

if TYPE_CHECKING:
    from edgekit.history import Series


@click.command(short_help="When a file became slower or quicker.")
@click.argument("files", nargs=-1, metavar="[RUNS]...")
@click.option(
    "--at-least",
    type=click.FloatRange(min=0, min_open=True),
    default=1,
    show_default=True,
    metavar="PERCENT",
    help="Leave smaller changes out.",
)
@common
def history(talk: Talk, files: tuple[str, ...], at_least: float) -> int:
    """Name the sessions in which a file became slower or quicker, also where every gate passed.

    RUNS are files of runs, build/runs.jsonl where none is named. Times are never compared across days or machines: a
    series is of instructions, or of ratios to a fixed computation (edgekit bench --reference) or to a file that stayed
    the same and was timed in the same sessions. `edgekit report` draws it.

    \b
    Examples:
      edgekit bench build/mobilenetv2-tflite-int8 --reference -o runs.jsonl
      edgekit history runs.jsonl
      edgekit history runs.jsonl laptop.jsonl --at-least 3 --json
    """
    from edgekit import runs
    from edgekit.history import history as find
    from edgekit.history import words

    records, warnings = runs.read([Path(file) for file in files or ("build/runs.jsonl",)])
    found = find(records, at_least)
    for warning in warnings:
        talk.warn(warning)
    if found.alone:
        talk.warn(f"{', '.join(found.alone)}: timed alone, and times of several days cannot be compared")
        talk.say("try: edgekit bench --reference, or bench it beside a file that stays the same")
    lines = []
    for series in found.series:
        lines += [words.title(series), f"  {words.about(series)}"]
        lines += [f"  {words.change(series, change)}" for change in series.changes] or [
            f"  {words.nothing(series, at_least)}"
        ]
    changed = sum(bool(series.changes) for series in found.series)
    several = f"{len(found.series)} series" if found.series else "no file has two sessions that can be compared"
    lines.append(f"{changed} of {several} changed" if found.series else several)
    talk.result("\n".join(lines), {"series": [_document(series) for series in found.series], "alone": found.alone})
    return 0


def _document(series: "Series") -> dict[str, Any]:
    return {
        "name": series.name,
        "device": series.device,
        "machine": series.machine or None,
        "unit": series.unit,
        "over": series.over or None,
        "points": [
            {"made": p.made, "value": series.figure(p), "error": p.error, "digest": p.digest, "runtime": p.runtime}
            for p in series.points
        ],
        "changes": [
            {
                "kind": change.kind,
                "first": series.points[change.first].made,
                "last": series.points[change.last].made,
                "percent": change.percent,
                "low": change.low,
                "high": change.high,
            }
            for change in series.changes
        ],
    }
