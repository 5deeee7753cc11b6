"""Runs as a page that a person reads: machines and their files, in words, tables and (on the page) charts.

The same records give the same bytes. Nothing is measured here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgekit import __version__
from edgekit.history import Series
from edgekit.history import history as over_time
from edgekit.reporting.machines import Machine, by_machine
from edgekit.reporting.table import Table
from edgekit.runs import REFERENCE, Evaluated, Record, Run


@dataclass(frozen=True, repr=False)
class Report:
    title: str
    machines: tuple[Machine, ...]
    runs: int
    evaluated: tuple[Evaluated, ...]
    series: tuple[Series, ...]
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    lead: tuple[Table, ...] = ()  # what stands before all else

    def __repr__(self) -> str:
        """In one line."""
        return f"Report({self.title!r}: {self.counts})"

    @property
    def counts(self) -> str:
        """Of what it is made, in words."""
        counts = {"runs": self.runs, "evaluations": len(self.evaluated), "machines": len(self.machines)}
        return ", ".join(f"{n} {what[:-1] if n == 1 else what}" for what, n in counts.items() if n)


def report(records: Sequence[Record], warnings: Sequence[str] = (), title: str = "edgekit report") -> Report:
    """Of what runs.read returns. A record that stands in two of the files counts once."""
    records = list({msgspec.json.encode(record): record for record in records}.values())
    if means := [record.name for record in records if isinstance(record, Run) and record.means]:
        warnings = [*warnings, f"of {', '.join(means)} a tool told means alone; left out"]
        records = [record for record in records if not isinstance(record, Run) or not record.means]
    series = over_time(records).series
    records = [record for record in records if not isinstance(record, Run) or record.runtime != REFERENCE]
    evaluated = tuple(record for record in records if isinstance(record, Evaluated))
    return Report(
        title,
        tuple(by_machine(records)),
        len(records) - len(evaluated),
        evaluated,
        series,
        tuple(_facts(records)),
        tuple(warnings),
    )


def _facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """What holds of the report as a whole, as pairs of a word and what it stands for."""
    runs = [record for record in records if isinstance(record, Run)]
    days = sorted({record.made[:10] for record in records})
    runtimes = sorted({r.runtime if isinstance(r, Evaluated) else r.facts.get("runtime", r.runtime) for r in records})
    versions = sorted({record.edgekit for record in records})
    sessions = len({run.session for run in runs})
    said = {
        "Runs": f"{len(runs)} in {sessions} session{'s' if sessions != 1 else ''}" if runs else "none",
        "Evaluations": str(len(records) - len(runs)) if len(records) > len(runs) else "",
        "Measured": " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "",
        "CPU classes": ", ".join(sorted({run.host["cpu_class"] for run in runs if "cpu_class" in run.host})),
        "Runtimes": ", ".join(runtimes),
        "Python": ", ".join(sorted({run.host["python"] for run in runs if "python" in run.host})),
        "edgekit": f"{', '.join(versions)}" + ("" if versions in ([], [__version__]) else f" (report: {__version__})"),
    }
    return [(word, what) for word, what in said.items() if what]
