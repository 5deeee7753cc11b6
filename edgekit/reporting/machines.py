"""Records sorted by the machine they were made on: figures of two machines are never in one ranking."""

import statistics as plain
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf, log

from edgekit.benchmarking import summary
from edgekit.runs import Evaluated, Record, Run, comparable
from edgekit.statistics.figures import Figure
from edgekit.statistics.intervals import estimate

Host = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def time_interval(run: Run) -> Interval | None:
    """95 % interval of the milliseconds of an inference, from the launches' medians; None of a single launch."""
    logs = [log(max(plain.median(launch.ns), 1)) for launch in run.launches]
    if len(logs) < 2:
        return None
    found = estimate(logs, 0.975)
    return Interval(min(exp(found.low) / 1e6, run.ms), max(exp(found.high) / 1e6, run.ms))


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
    def headline(self) -> Figure | None:
        """The figure it is judged by, if it is."""
        return self.accuracy.headline if self.accuracy else None

    @property
    def cost(self) -> float | None:
        """What an inference takes: milliseconds by the run's clock, or millions of instructions on a device whose times mean
        nothing. None where the clock was too coarse to tell."""
        if self.run.timed:
            return self.run.ms if self.run.told else None
        return None if self.row.instructions is None else self.row.instructions / 1e6

    @property
    def cost_interval(self) -> Interval | None:
        return time_interval(self.run) if self.run.timed and self.run.told else None


@dataclass(frozen=True)
class Machine:
    """Where runs are comparable. `entries`: cheapest first. `failed`: the newest runs that ended in an error. `data`: what
    accuracy was counted on."""

    device: str
    timed: bool
    batch: int
    host: dict[str, str]
    entries: tuple[Entry, ...]
    failed: tuple[Run, ...]
    data: str

    @property
    def name(self) -> str:
        """`CPU class x86-vnni`, with the device where it is another than the machine at hand."""
        emulated = "" if self.timed else ", emulated"
        device = "" if self.device == "local" else f"{self.device}: "
        batch = f", {self.batch} images an inference" if self.batch != 1 else ""
        return f"{device}CPU class {self.host.get('cpu_class', 'unknown')}{emulated}{batch}"

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
    def clock(self) -> str:
        """CPU; Wall where the device tells only that."""
        return "Wall" if self.entries and self.entries[0].run.clock == "wall" else "CPU"

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

    @property
    def figure(self) -> str:
        """What accuracy is here."""
        return next((e.headline.name for e in self.entries if e.headline), "accuracy")

    def worth(self, entry: Entry) -> float:
        if self.by_accuracy:
            return entry.headline.value if entry.headline else 0.0
        return -float(entry.row.bytes)


def _by_accuracy(entry: Entry) -> tuple[float, float]:
    return (entry.cost or 0.0, -(entry.headline.value if entry.headline else 0.0))


def _by_size(entry: Entry) -> tuple[float, float]:
    return (entry.cost or 0.0, entry.row.bytes)


def by_machine(records: Iterable[Record]) -> list[Machine]:
    """One for every device, CPU, system and size of batch, in the order of their first run."""
    records = list(records)
    runs = [record for record in records if isinstance(record, Run)]
    evaluated = [record for record in records if isinstance(record, Evaluated)]
    hosts = {(run.session, run.device): run.host for run in reversed(runs) if run.host}
    groups: dict[tuple[str, bool, int, Host], list[Run]] = {}
    for run in runs:
        host = run.host or hosts.get((run.session, run.device), {})  # what failed at once saw nothing of its host
        groups.setdefault((run.device, run.timed, run.batch, comparable(host)), []).append(run)
    return [_machine(group, device, timed, batch, evaluated) for (device, timed, batch, _), group in groups.items()]


def setting(run: Run) -> tuple[str, str, str, int]:
    """What is the same of a file's runs over time; the bytes of the file and versions may change."""
    return run.name, run.subject.path, run.runtime, run.threads


def _machine(runs: Sequence[Run], device: str, timed: bool, batch: int, evaluated: Sequence[Evaluated]) -> Machine:
    host = next((run.host for run in reversed(runs) if run.host), {})
    cpu_class = host.get("cpu_class", "")
    series = _series(sorted(runs, key=lambda run: run.made))
    good = sorted(
        filter(None, ([run for run in line if _sound(run)] for line in series)), key=lambda line: _rank(line[-1])
    )
    newest = [line[-1] for line in good]
    data = _data(newest, evaluated, cpu_class)
    entries = tuple(
        Entry(row, line[-1], _accuracy(line[-1], evaluated, cpu_class, data), tuple(line[:-1]))
        for row, line in zip(summary.rows(newest), good, strict=True)
    )
    return Machine(
        device, timed, batch, host, entries, tuple(line[-1] for line in series if not _sound(line[-1])), data
    )


def _series(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs over time, a list for each setting; a file that was named twice in one session has two."""
    series: dict[tuple[object, int], list[Run]] = {}
    seen: Counter[tuple[object, str]] = Counter()
    for run in runs:
        series.setdefault((setting(run), seen[setting(run), run.session]), []).append(run)
        seen[setting(run), run.session] += 1
    return list(series.values())


def _sound(run: Run) -> bool:
    return run.measured and all(launch.wall_ns for launch in run.launches) and run.error is None


def _rank(run: Run) -> tuple[float, str]:
    counted = inf if run.instructions is None else run.instructions
    return (run.ms if run.told else inf) if run.timed else counted, run.name


def _data(runs: Sequence[Run], evaluated: Sequence[Evaluated], cpu_class: str) -> str:
    """The images on which most of the runs were evaluated: shares of different images are not comparable."""
    counts = {
        data: sum(_accuracy(run, evaluated, cpu_class, data) is not None for run in runs)
        for data in sorted({pictures(record) for record in evaluated})
    }
    return max(counts, key=lambda data: counts[data], default="") if any(counts.values()) else ""


def _accuracy(run: Run, evaluated: Sequence[Evaluated], cpu_class: str, data: str) -> Evaluated | None:
    """The newest one that is of the same bytes, runtime, CPU class and images."""
    runtime = run.facts.get("runtime", run.runtime)
    fits = [
        record
        for record in evaluated
        if (record.subject.digest, record.cpu_class, record.runtime, pictures(record))
        == (run.subject.digest, cpu_class, runtime, data)
    ]
    return max(fits, key=lambda record: record.made, default=None)


def pictures(record: Evaluated) -> str:
    learned = record.learned
    careful = f" ({learned.words(record.pictures)})" if learned and learned.pictures else ""
    return f"{record.pictures:,} {record.data}{careful}"
