"""A machine's figures, its failures, and every evaluation, as tables. Every rendering shows the same."""

from collections.abc import Callable, Sequence

from edgekit.reporting import words
from edgekit.reporting.machines import Entry, Machine, pictures, setting
from edgekit.reporting.table import Cell, Table, megabytes, millions, ms, percent, table
from edgekit.runs import Evaluated


def figures(machine: Machine) -> Table:
    """All that is known of each file, cheapest first."""
    entries = machine.entries
    front = machine.front() if len(machine.costed) > 1 else []

    def column(text: Callable[[Entry], str], value: Callable[[Entry], float | None] = lambda _: None) -> list[Cell]:
        return [Cell(text(entry), value(entry)) for entry in entries]

    def time(field: str) -> list[Cell]:
        """Of a device with real clocks."""
        known: list[float | None] = [getattr(entry.row, field) if machine.timed else None for entry in entries]
        return [Cell("" if value is None else ms(value), value) for value in known]

    threads = {entry.row.threads for entry in entries} | {1}
    columns = {
        "file": column(lambda e: e.name),
        f"{machine.clock}, ms": column(words.time_of, lambda e: e.cost) if machine.timed else [],
        f"{machine.clock} / fastest": _ratios(machine),
        "instructions, M": column(
            lambda e: millions(e.row.instructions) if e.row.instructions else "", lambda e: e.row.instructions
        ),
        machine.figure: column(words.accuracy, lambda e: e.headline.value if e.headline else None),
        "size, MB": column(lambda e: _mb(e.row.bytes), lambda e: e.row.bytes),
        "memory, MB": column(lambda e: _mb(e.memory), lambda e: e.memory),
        "wall, ms": time("wall_p50_ms") if machine.clock != "Wall" else [],
        "p90": time("wall_p90_ms"),
        "p99": time("wall_p99_ms"),
        "load, ms": time("load_ms"),
        "first, ms": time("first_ms"),
        "threads": column(lambda e: str(e.row.threads), lambda e: e.row.threads) if len(threads) > 1 else [],
        "runtime": column(lambda e: e.row.runtime),
        "front": column(lambda e: "yes" if e in front else ""),
        "measured": column(lambda e: _minute(e.run.made)) if len(machine.sessions) > 1 else [],
    }
    return table("All figures, cheapest first", {name: cells for name, cells in columns.items() if cells})


def _mb(size: int | None) -> str:
    return "" if size is None else megabytes(size).removesuffix(" MB")


def _minute(made: str) -> str:
    """`2026-11-25 03:19`, UTC"""
    return made[:16].replace("T", " ")


def _ratios(machine: Machine) -> list[Cell]:
    if not machine.timed or len(machine.entries) < 2:
        return []
    found = [entry.row.time_ratio for entry in machine.entries[1:]]
    return [Cell("1", 1.0), *(Cell(str(ratio), ratio.value) if ratio else Cell("") for ratio in found)]


def errors(machine: Machine) -> Table:
    """What failed, and whether figures of an earlier session stand in the tables."""
    shown = {setting(entry.run) for entry in machine.entries}
    return table(
        "What failed",
        {
            "file": [Cell(run.name) for run in machine.failed],
            "runtime": [Cell(run.facts.get("runtime", run.runtime)) for run in machine.failed],
            "error": [Cell(run.error or "no launch ended") for run in machine.failed],
            "before it": [Cell(f"{run.samples} inferences", run.samples) for run in machine.failed],
            "shown": [
                Cell("figures of an earlier session" if setting(run) in shown else "no figures")
                for run in machine.failed
            ],
        },
    )


def evaluations(records: Sequence[Evaluated]) -> Table:
    """Every evaluation, whether or not a run belongs to it."""
    names = dict.fromkeys(figure.name for r in records for figure in r.every_figure)
    return table(
        "Accuracy",
        {
            "file": [Cell(r.name) for r in records],
            "runtime": [Cell(r.runtime) for r in records],
            "CPU class": [Cell(f"{r.cpu_class} on {r.device}") for r in records],
            **{name: [_figure(r, name) for r in records] for name in names},
            "lost": [
                Cell(
                    f"{100 * r.drop.estimate:.2f} points [{100 * r.drop.low:.2f}, {100 * r.drop.high:.2f}]",
                    r.drop.estimate,
                )
                if r.drop
                else Cell("")
                for r in records
            ],
            "against": [Cell(r.against or "") for r in records],
            "measured": [Cell(_minute(r.made)) for r in records],
            "images": [Cell(pictures(r)) for r in records],
        },
    )


def _figure(of: Evaluated, name: str) -> Cell:
    """The headline with its interval; empty where there is no such figure."""
    if of.headline and of.headline.name == name:
        return Cell(words.accuracy(of), of.headline.value)
    found = next((figure for figure in of.every_figure if figure.name == name), None)
    return Cell(percent(found.value), found.value) if found else Cell("")
