"""Records sorted by the machine they were made on: figures of two machines are never in one ranking."""

import statistics as plain
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log

from edgekit.bench import summary
from edgekit.bench.proportions import Share
from edgekit.bench.runs import Evaluated, Record, Run
from edgekit.bench.statistics import estimate

Host = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def cpu_interval(run: Run) -> Interval | None:
    """95 % interval of the CPU milliseconds of an inference, from the launches' medians; None of a single launch."""
    logs = [log(max(plain.median(launch.cpu_ns), 1)) for launch in run.launches]
    if len(logs) < 2:
        return None
    found = estimate(logs, 0.975)
    return Interval(min(exp(found.low) / 1e6, run.cpu_ms), max(exp(found.high) / 1e6, run.cpu_ms))


@dataclass(frozen=True)
class Entry:
    """The newest good run of a file in one setting, as a row and a mark of every chart.

    accuracy   of the same bytes in the same runtime on the same CPU class
    earlier    runs of the file of that name in the same setting, oldest first
    """

    row: summary.Row
    run: Run
    accuracy: Evaluated | None
    earlier: tuple[Run, ...]

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def memory(self) -> int | None:
        """Bytes; an emulator's own are not the file's."""
        return self.row.memory_bytes if self.run.timed else None

    @property
    def top1(self) -> Share | None:
        return self.accuracy.top1 if self.accuracy else None

    @property
    def cost(self) -> float | None:
        """What an inference takes: CPU milliseconds, or millions of instructions on a device whose times mean nothing."""
        if self.run.timed:
            return self.row.cpu_ms
        return None if self.row.instructions is None else self.row.instructions / 1e6

    @property
    def cost_interval(self) -> Interval | None:
        return cpu_interval(self.run) if self.run.timed else None


@dataclass(frozen=True)
class Machine:
    """`entries`: cheapest first. `failed`: the newest runs that ended in an error. `data`: what top-1 was counted on."""

    device: str
    host: dict[str, str]
    timed: bool
    entries: tuple[Entry, ...]
    failed: tuple[Run, ...]
    data: str

    @property
    def name(self) -> str:
        """`CPU class x86-vnni`, with the device where it is another than the machine at hand."""
        emulated = "" if self.timed else ", emulated"
        device = "" if self.device == "local" else f"{self.device}: "
        return f"{device}CPU class {self.host.get('cpu_class', 'unknown')}{emulated}"

    @property
    def about(self) -> str:
        """`Intel Xeon, 2 cores, Linux x86_64`"""
        cores = self.host.get("cores")
        parts = [
            self.host.get("cpu", "CPU not recorded"),
            f"{cores} core{'s' if cores != '1' else ''}" if cores else "",
            f"{self.host.get('system', '')} {self.host.get('machine', '')}".strip(),
        ]
        return ", ".join(part for part in parts if part)

    @property
    def costed(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.cost is not None]

    @property
    def judged(self) -> list[Entry]:
        """Those of which both cost and accuracy are known."""
        return [entry for entry in self.costed if entry.accuracy]

    @property
    def sessions(self) -> list[str]:
        """Of the runs shown. Files of one session took turns."""
        return sorted({entry.run.session for entry in self.entries})

    def front(self) -> list[Entry]:
        """The Pareto front, cheapest first: no other is as cheap and better. Better is more accurate or, where fewer than
        two are judged, smaller. By the figures themselves, not their intervals."""
        best: list[Entry] = []
        for entry in sorted(self.judged, key=_by_accuracy) if self.by_accuracy else sorted(self.costed, key=_by_size):
            if not best or self.worth(entry) > self.worth(best[-1]):
                best.append(entry)
        return best

    @property
    def by_accuracy(self) -> bool:
        return len(self.judged) > 1

    def worth(self, entry: Entry) -> float:
        if self.by_accuracy:
            return entry.top1.value if entry.top1 else 0.0
        return -float(entry.row.bytes)


def _by_accuracy(entry: Entry) -> tuple[float, float]:
    return (entry.cost or 0.0, -(entry.top1.value if entry.top1 else 0.0))


def _by_size(entry: Entry) -> tuple[float, float]:
    return (entry.cost or 0.0, entry.row.bytes)


def by_machine(records: Iterable[Record]) -> list[Machine]:
    """One for every device, CPU and system that runs were made on, in the order of their first run."""
    records = list(records)
    runs = [record for record in records if isinstance(record, Run)]
    evaluated = [record for record in records if isinstance(record, Evaluated)]
    hosts = {(run.session, run.device): run.host for run in reversed(runs) if run.host}
    groups: dict[tuple[str, bool, Host], list[Run]] = {}
    for run in runs:
        host = run.host or hosts.get((run.session, run.device), {})  # what failed at once saw nothing of its host
        groups.setdefault((run.device, run.timed, _class(host)), []).append(run)
    return [_machine(device, timed, group, evaluated) for (device, timed, _), group in groups.items()]


def _class(host: dict[str, str]) -> Host:
    """What must be the same for times to be compared; not what changes from hour to hour."""
    return tuple((key, host.get(key, "")) for key in ("cpu_class", "cpu", "machine", "system", "cores"))


def _machine(device: str, timed: bool, runs: Sequence[Run], evaluated: Sequence[Evaluated]) -> Machine:
    host = next((run.host for run in reversed(runs) if run.host), {})
    series: dict[tuple[object, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.made):
        series.setdefault((run.name, run.subject.path, run.runtime, run.threads, run.batch), []).append(run)
    good = [[run for run in line if run.launches and not run.error] for line in series.values()]
    good = sorted((line for line in good if line), key=lambda line: _rank(line[-1]))
    newest = [line[-1] for line in good]
    data = _data(newest, evaluated, host.get("cpu_class", ""))
    entries = tuple(
        Entry(row, line[-1], _accuracy(line[-1], evaluated, host.get("cpu_class", ""), data), tuple(line[:-1]))
        for row, line in zip(summary.rows(newest), good, strict=True)
    )
    failed = tuple(line[-1] for line in series.values() if line[-1].error or not line[-1].launches)
    return Machine(device, host, timed, entries, failed, data)


def _rank(run: Run) -> tuple[float, str]:
    cost = run.cpu_ms if run.timed else run.instructions or 0
    return cost, run.name


def _data(runs: Sequence[Run], evaluated: Sequence[Evaluated], cpu_class: str) -> str:
    """The pictures on which most of the runs were evaluated: shares of different pictures are not comparable."""
    counts = {
        data: sum(_accuracy(run, evaluated, cpu_class, data) is not None for run in runs)
        for data in sorted({pictures(record) for record in evaluated})
    }
    return max(counts, key=lambda data: counts[data], default="") if any(counts.values()) else ""


def _accuracy(run: Run, evaluated: Sequence[Evaluated], cpu_class: str, data: str) -> Evaluated | None:
    """The newest one that is of the same bytes, runtime, CPU class and pictures."""
    runtime = run.facts.get("runtime", run.runtime)
    fits = [
        record
        for record in evaluated
        if (record.subject.digest, record.cpu_class, record.runtime, pictures(record))
        == (run.subject.digest, cpu_class, runtime, data)
    ]
    return max(fits, key=lambda record: record.made, default=None)


def pictures(record: Evaluated) -> str:
    return f"{record.pictures:,} of {record.data}"
