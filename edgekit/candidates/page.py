"""Candidates as a table, the best for each wish, and both as a page and as JSON."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from edgekit.candidates import Benchmark, Candidate
from edgekit.places import replacing
from edgekit.reporting import pages
from edgekit.reporting import report as of_records
from edgekit.reporting.table import Cell, Table, table
from edgekit.runs import Evaluated, Record
from edgekit.statistics.proportions import Drop

REPORT, DOCUMENT = "report.html", "benchmark.json"


def saved(found: Benchmark, records: Sequence[Record], out: Path) -> Benchmark:
    """With the files that it is written to. Raises OutputError."""
    found = replace(found, document=out / DOCUMENT)
    if records:
        notes = [*found.notes, *(["stopped before all was measured"] if found.cut else [])]
        lead = (best_table(found), whole_table(found))
        found = replace(found, report=out / REPORT)
        pages.write(replace(of_records(_shown(found, records), notes, found.title), lead=lead), out / REPORT)
    with replacing(out / DOCUMENT) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(document(found))))
    return found


def _shown(found: Benchmark, records: Sequence[Record]) -> list[Record]:
    """What is confused is told of the file that one would take: the last of the best."""
    taken = list(found.best.values())[-1:]
    paths = {candidate.artifact for candidate in taken}
    return [
        msgspec.structs.replace(record, confusion=None, mistakes=())
        if isinstance(record, Evaluated) and record.subject.path not in paths
        else record
        for record in records
    ]


def document(found: Benchmark) -> dict[str, object]:
    """As JSON has it."""
    return {
        "title": found.title,
        "data": found.data,
        "cpu_class": found.cpu_class,
        "within": found.within,
        "candidates": msgspec.to_builtins(found.candidates),
        "best": {wish: candidate.name for wish, candidate in found.best.items()},
        "notes": list(found.notes),
        "report": str(found.report) if found.report else None,
        "interrupted": found.cut,
    }


def header(found: Benchmark) -> tuple[str, ...]:
    return ("", "MB", _cost(found), figure_name(found), "SQNR", "runs from")


def _cost(found: Benchmark) -> str:
    counted = not any(c.cpu_ms for c in found) and any(c.instructions for c in found)
    return "M instructions" if counted else "CPU ms"


def figure_name(found: Benchmark) -> str:
    """Of the axis."""
    return next((f"{c.headline.name}, %" for c in found if c.headline), "")


def rows(found: Benchmark) -> list[tuple[str, ...]]:
    """Under `header`, of the candidates that were made."""
    return [
        (c.name, _mb(c), _ms(c), _percent(c), _decibels(c), oldest(c, found.cpu_class).partition(" (")[0])
        for c in found.made
    ]


def failures(found: Benchmark) -> list[str]:
    """Of each candidate that was not made, or not measured whole, a sentence."""
    return [f"{c.name}: {c.error}" + (f" ({c.hint})" if c.hint else "") for c in found if c.error]


def best(found: Benchmark) -> list[tuple[str, ...]]:
    """A row for each wish."""
    return [(wish, c.name, _mb(c, " MB"), _ms(c, " ms"), _percent(c)) for wish, c in found.best.items()]


def best_table(found: Benchmark) -> Table:
    chosen = found.best
    return table(
        "The best for each wish",
        {
            "wish": [Cell(wish) for wish in chosen],
            "file": [Cell(c.name) for c in chosen.values()],
            **_figures(found, list(chosen.values())),
        },
    )


def whole_table(found: Benchmark) -> Table:
    """Every candidate, also what was refused."""
    wishes = {c.name: ", ".join(wish for wish, chosen in found.best.items() if chosen.name == c.name) for c in found}
    return table(
        "Every target and scheme",
        {
            "file": [Cell(c.name) for c in found],
            "best": [Cell(wishes[c.name]) for c in found],
            **_figures(found, list(found)),
            "loses, points": [Cell(_points(c.loss), c.loss.estimate if c.loss else None) for c in found],
            "time / fastest": [
                Cell(str(c.ratio) if c.ratio else "", c.ratio.value if c.ratio else None) for c in found
            ],
            "why not": [Cell(c.error or "") for c in found],
            "runs from": [Cell(oldest(c, found.cpu_class)) for c in found],
            "proof": [Cell(c.proof) for c in found],
        },
    )


def _figures(found: Benchmark, shown: Sequence[Candidate]) -> dict[str, list[Cell]]:
    return {
        "size, MB": [Cell(_mb(c), c.bytes) for c in shown],
        _cost(found).replace("CPU ms", "CPU, ms"): [Cell(_ms(c), c.cpu_ms or c.instructions) for c in shown],
        figure_name(found) or "right": [Cell(_percent(c), c.headline.value if c.headline else None) for c in shown],
    }


def losses(found: Benchmark) -> list[str]:
    """How sure the last of the best is, and which quicker files might do as well."""
    if not found.best or not any(c.loss for c in found):
        return []
    taken = list(found.best.values())[-1]
    said = []
    if taken.loss:
        most = 100 * taken.loss.high
        lost = f"at most {most:.1f} points" if most > 0 else "nothing"
        said.append(f"best within {found.points}: loses {lost} (95 % confidence)")
    said += [f"perhaps within {found.points}: {c.name}, quicker; it loses {_points(c.loss)}" for c in found.undecided]
    return said


def _points(loss: Drop | None) -> str:
    return f"{100 * loss.estimate:.1f} [{100 * loss.low:.1f}, {100 * loss.high:.1f}]" if loss else ""


def oldest(c: Candidate, cpu_class: str) -> str:
    """The oldest interpreter that is right on this machine's kind of CPU, or anywhere."""
    where = "arm64" if cpu_class.startswith("arm") else "x86-64"
    return c.oldest.get(where) or c.oldest.get("any CPU") or next(iter(c.oldest.values()), "")


def _mb(c: Candidate, unit: str = "") -> str:
    return f"{c.bytes / 1e6:.2f}{unit}" if c.bytes is not None else ""


def _ms(c: Candidate, unit: str = "") -> str:
    """Where a device tells no time, millions of instructions."""
    if c.cpu_ms is None and c.instructions:
        return f"{c.instructions / 1e6:.1f}{' M instructions' if unit else ''}"
    return f"{c.cpu_ms:.2f}{unit}" if c.cpu_ms is not None else ""


def _percent(c: Candidate) -> str:
    if c.headline is None:
        return ""
    return f"{100 * c.headline.value:.1f} [{100 * c.headline.low:.1f}, {100 * c.headline.high:.1f}]"


def _decibels(c: Candidate) -> str:
    return "equal" if c.sqnr_db is None else f"{c.sqnr_db:.1f}"
