"""A sweep as a table for each device, with the best for each wish, as a page and as JSON."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from edgekit.candidates import Benchmark, page
from edgekit.devices import host
from edgekit.places import replacing
from edgekit.reporting import pages
from edgekit.reporting import report as of_records
from edgekit.reporting.table import Table
from edgekit.sweep.making import Sweep

REPORT, DOCUMENT = "report.html", "sweep.json"


def by_device(found: Sweep, title: str) -> list[Benchmark]:
    """Times of two devices say nothing of each other."""
    devices = dict.fromkeys(row.device for row in found.rows)
    return [_of(found, title, device, several=len(devices) > 1) for device in devices]


def _of(found: Sweep, title: str, device: str, *, several: bool) -> Benchmark:
    rows = [row for row in found.rows if row.device == device]
    made = [(row.planned.name, found.made[row.number]) for row in rows if row.number in found.made]
    candidates = [msgspec.structs.replace(one.candidate, name=name) for name, one in made]
    order = sorted(candidates, key=lambda c: (c.artifact is None, c.cpu_ms or c.instructions or 0))
    notes = dict.fromkeys(note for _, one in made for note in one.notes)
    named = f"{title}, {device}" if several else title
    return Benchmark(named, tuple(order), 1.0, host.cpu_class(), notes=tuple(notes), cut=found.cut)


def document(found: Sweep, title: str) -> dict[str, object]:
    """As JSON has it."""
    return {
        "rows": [
            {"cell": row.number, "name": row.name, "device": row.device}
            | (msgspec.to_builtins(made.candidate) if (made := found.made.get(row.number)) else {})
            | {"name": row.name, "made": made is not None, "killed": found.killed.get(row.number)}
            for row in found.rows
        ],
        "devices": [page.document(one) for one in by_device(found, title)],
        "interrupted": found.cut,
    }


def saved(found: Sweep, title: str, out: Path) -> Path | None:
    """The page that shows it, where anything was measured. Raises OutputError."""
    with replacing(out / DOCUMENT) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(document(found, title))))
    records = [record for made in found.made.values() for record in made.records]
    if not records:
        return None
    devices = by_device(found, title)
    notes = list(dict.fromkeys(note for one in devices for note in one.notes))
    lead = tuple(table for one in devices for table in _tables(one, several=len(devices) > 1))
    pages.write(replace(of_records(records, notes, title), lead=lead), out / REPORT)
    return out / REPORT


def _tables(one: Benchmark, *, several: bool) -> Sequence[Table]:
    tables = [page.best_table(one), page.whole_table(one)]
    device = one.title.rpartition(", ")[2]
    return [replace(table, caption=f"{table.caption}, {device}") for table in tables] if several else tables
