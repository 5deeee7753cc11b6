"""A verdict in the words of dashboards: Bencher's metric format and github-action-benchmark's list.

Only figures that mean the same on every machine: ratios to the baseline, bytes, counts of instructions, points of accuracy. A
dashboard would draw milliseconds of two machines as one line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit.gating import Verdict

RATIOS = ("latency", "load", "memory")
COUNTED = {"size": ("file-size", "bytes"), "instructions": ("instructions", "instructions")}


@dataclass(frozen=True)
class Figure:
    """Smaller is better. `low`, `high`: its interval, where it has one."""

    measure: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None


def figures(verdict: Verdict) -> Iterator[Figure]:
    for check in verdict.checks:
        if check.metric in COUNTED and check.measured is not None:
            yield Figure(*COUNTED[check.metric], check.measured)
        elif check.metric in RATIOS and check.method != "absolute" and check.estimate is not None:
            ends = [None if end is None else 1 + end / 100 for end in (check.low, check.high)]
            yield Figure(f"{check.metric}-ratio", "times the baseline", 1 + check.estimate / 100, *ends)
        elif check.unit == "points" and check.estimate is not None:
            yield Figure(f"{check.metric}-drop", "points", check.estimate, check.low, check.high)


def bmf(verdict: Verdict) -> str:
    """Bencher's metric format (https://bencher.dev/bmf.json): read by `bencher run --adapter json --file FILE`."""
    measures = {
        figure.measure: {
            name: value
            for name, value in (("value", figure.value), ("lower_value", figure.low), ("upper_value", figure.high))
            if value is not None
        }
        for figure in figures(verdict)
    }
    return _json({_name(verdict): measures})


def benchmark_action(verdict: Verdict) -> str:
    """What github-action-benchmark reads with `tool: customSmallerIsBetter`."""
    entries = []
    for figure in figures(verdict):
        entry = {
            "name": f"{_name(verdict)}: {figure.measure}",
            "unit": figure.unit,
            "value": figure.value,
            "extra": verdict.where,
        }
        if figure.low is not None and figure.high is not None:
            entry["range"] = f"[{figure.low:.4g}, {figure.high:.4g}]"
        entries.append(entry)
    return _json(entries)


def _name(verdict: Verdict) -> str:
    """Of the series: the file and where it ran; the same from commit to commit."""
    return f"{Path(verdict.candidate).resolve().name} on {verdict.device}"


def _json(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
