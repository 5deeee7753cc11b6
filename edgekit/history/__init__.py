"""Runs over time: a series of comparable figures for each file on each device, and where it changes.

Times of two days, or of two machines, are not comparable; a ratio of what took turns is. A series is therefore of
instructions where they were counted, and elsewhere of ratios: to the fixed computation (`edgekit bench --reference`) or, where
that was not timed, to a file of the same sessions whose bytes stayed the same.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edgekit.history.changes import Change, changes
from edgekit.runs import REFERENCE, Record, Run, comparable, ratio

FIXED = "the fixed computation"
LEAST = 1.0  # percent

Key = tuple[object, ...]


@dataclass(frozen=True)
class Point:
    """A session's figure. `log`: of the ratio or the count; `error`: its standard error, 0 of a count."""

    made: str
    log: float
    error: float
    digest: str
    runtime: str


@dataclass(frozen=True)
class Series:
    """A file in one setting on one device, oldest session first.

    over  what times are divided by, FIXED with its version or a file's name; empty for instructions
    """

    name: str
    target: str
    device: str
    machine: str
    unit: Literal["instructions", "ratio"]
    over: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]

    def figure(self, point: Point) -> float:
        """As it is read: millions of instructions, or a ratio."""
        return math.exp(point.log) / (1e6 if self.unit == "instructions" else 1)

    def files(self, change: Change) -> int:
        """How many times the bytes of the file became others while the figure changed."""
        seen = [point.digest for point in self.points[max(change.first - 1, 0) : change.last + 1]]
        return sum(a != b for a, b in pairwise(seen))

    def runtimes(self, change: Change) -> list[str]:
        """The runtimes during a change, where there were several."""
        seen = list(dict.fromkeys(p.runtime for p in self.points[max(change.first - 1, 0) : change.last + 1]))
        return seen if len(seen) > 1 else []


@dataclass(frozen=True)
class History:
    """`alone`: names of files that were timed with nothing to divide their times by, in all sessions or all but one."""

    series: tuple[Series, ...]
    alone: tuple[str, ...]


def history(records: Iterable[Record], least: float = LEAST) -> History:
    """Every series of two sessions or more; changes below `least` percent are left out."""
    runs = [record for record in records if isinstance(record, Run) and record.measured and record.error is None]
    runs.sort(key=lambda run: (run.made, run.session))
    counted = [run for run in runs if not run.timed and run.instructions]
    timed = [run for run in runs if run.timed and len(run.launches) > 1]
    found = [_counts(line, least) for line in _lines(counted, _counted_on)]
    alone: list[str] = []
    for machine in _grouped(timed, _timed_on):
        ratios, lonely = _ratios(machine, least)
        found += ratios
        alone += lonely
    several = sorted((s for s in found if len(s.points) > 1), key=lambda s: (not s.changes, s.name, s.device))
    return History(tuple(several), tuple(dict.fromkeys(alone)))


def _counted_on(run: Run) -> Key:
    """Counts depend on the emulated core alone, not on what emulates it."""
    return run.device, run.batch


def _timed_on(run: Run) -> Key:
    return run.device, run.batch, comparable(run.host)


def _grouped(runs: Iterable[Run], key: Callable[[Run], Key]) -> list[list[Run]]:
    groups: dict[Key, list[Run]] = defaultdict(list)
    for run in runs:
        groups[key(run)].append(run)
    return list(groups.values())


def _lines(runs: Sequence[Run], where: Callable[[Run], Key]) -> list[list[Run]]:
    """The runs of each file in each setting; of a name that stands twice in one session the n-th belongs to the n-th."""
    lines: dict[Key, list[Run]] = defaultdict(list)
    seen: Counter[Key] = Counter()
    for run in runs:
        setting = (run.name, run.runtime, run.threads, *where(run))
        nth = seen[(*setting, run.session)]
        seen[(*setting, run.session)] += 1
        lines[(*setting, nth)].append(run)
    return list(lines.values())


def _counts(line: list[Run], least: float) -> Series:
    logs = [math.log(run.instructions or 1) for run in line]
    points = [_point(run, log, 0.0) for run, log in zip(line, logs, strict=True)]
    return _series(line, "instructions", "", points, changes(logs, None, least))


def _ratios(machine: list[Run], least: float) -> tuple[list[Series], list[str]]:
    """The series of one machine, and the names of files that nothing was timed beside."""
    lines = _lines([run for run in machine if run.runtime != REFERENCE], _timed_on)
    sessions: dict[str, dict[str, Run]] = defaultdict(dict)  # what there is to divide by: name -> session -> run
    for run in machine:
        if run.runtime == REFERENCE:
            sessions[f"{FIXED} ({_runtime(run)})"].setdefault(run.session, run)
    for line in lines:
        if len({(run.subject.digest, run.facts.get("runtime")) for run in line}) == 1:
            sessions[line[0].name] |= {run.session: run for run in line}
    found, alone = [], []
    for line in lines:
        others = {name: by for name, by in sessions.items() if name != line[0].name}
        over = max(
            others, key=lambda name: (sum(r.session in others[name] for r in line), name.startswith(FIXED)), default=""
        )
        points = []
        for run in line:
            base = others[over].get(run.session) if over else None
            if base is not None and (told := ratio(run, base)) is not None:
                points.append(_point(run, told.value, told.error))
        if len(points) > 1 or len(points) == len(line):
            named = changes([p.log for p in points], [p.error for p in points], least)
            found.append(_series(line, "ratio", over, points, named))
        else:
            alone.append(line[0].name)
    return found, alone


def _point(run: Run, log: float, error: float) -> Point:
    return Point(run.made, log, error, run.subject.digest, _runtime(run))


def _runtime(run: Run) -> str:
    """With its version."""
    return run.facts.get("runtime", run.runtime)


def _series(
    line: list[Run], unit: Literal["instructions", "ratio"], over: str, points: list[Point], named: list[Change]
) -> Series:
    last = line[-1]
    machine = f"{last.host.get('cpu_class', 'unknown')}, {last.host.get('cpu', 'CPU not recorded')}"
    return Series(
        last.name,
        last.subject.target,
        last.device,
        machine if unit == "ratio" else "",
        unit,
        over,
        tuple(points),
        tuple(named),
    )
