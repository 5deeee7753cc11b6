"""Runs as rows to read: the one table that the terminal, CSV, JSON and reports show, and what it comes to in words."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp
from pathlib import Path

from edgekit.runs import Run, ratio


@dataclass(frozen=True)
class Ratio:
    """Time over the first row's (CPU time, but where a device tells only wall time), with a 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, repr=False)
class Row:
    """Milliseconds are medians, but `mean_ms`, which is all that some tools tell; percentiles are there where there are
    samples for them. What was not measured is None."""

    name: str
    runtime: str
    device: str
    threads: int
    batch: int
    bytes: int
    error: str | None
    load_ms: float | None = None
    first_ms: float | None = None
    cpu_ms: float | None = None
    wall_p50_ms: float | None = None
    wall_p90_ms: float | None = None
    wall_p99_ms: float | None = None
    mean_ms: float | None = None
    per_second: float | None = None
    memory_bytes: int | None = None
    instructions: int | None = None
    time_ratio: Ratio | None = None
    instructions_ratio: float | None = None

    def __repr__(self) -> str:
        """In one line."""
        took = [
            f"{ms:.2f} ms {of}"
            for ms, of in ((self.cpu_ms, "CPU"), (self.wall_p50_ms, "wall"), (self.mean_ms, "mean"))
            if ms
        ]
        counted = [f"{self.instructions / 1e6:.2f} M instructions"] if self.instructions else []
        said = [self.error] if self.error else [*took[:1], *counted, f"{self.bytes / 1e6:.2f} MB"]
        return f"Row({self.name}: {', '.join(said)})"


def rows(runs: Sequence[Run]) -> list[Row]:
    """One row a run; ratios to the first that has times, or instructions."""
    timed = next((run for run in runs if run.launches), None)
    counted = next((run for run in runs if run.counts), None)
    return [_row(name, run, timed, counted) for name, run in zip(names(runs), runs, strict=True)]


def names(runs: Sequence[Run]) -> list[str]:
    """The shortest names that tell the runs apart; `again (2)` for a file that was named twice."""
    ways: list[Callable[[Run], str]] = [
        lambda run: run.name,
        lambda run: f"{run.name}@{run.runtime}",
        lambda run: f"{run.name} x{run.threads}",
        lambda run: f"{run.name}@{run.runtime} x{run.threads}",
        *(partial(_end, parts=parts) for parts in (2, 3)),
        lambda run: run.subject.path,
    ]
    for way in ways:
        if len({way(run) for run in runs}) == len(runs):
            return [way(run) for run in runs]
    found = []
    seen: Counter[str] = Counter()
    for run in runs:
        name = f"{run.subject.path}@{run.runtime} x{run.threads}"
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _end(run: Run, parts: int) -> str:
    return "/".join(Path(run.subject.path).parts[-parts:])


def _row(name: str, run: Run, base: Run | None, counted: Run | None) -> Row:
    instructions = run.instructions
    plain = Row(
        name=name,
        runtime=run.facts.get("runtime", run.runtime),
        device=run.device,
        threads=run.threads,
        batch=run.batch,
        bytes=run.subject.bytes,
        error=run.error,
        instructions=instructions,
        instructions_ratio=_over(instructions, counted.instructions) if counted and run is not counted else None,
    )
    if run.means:
        load, first, mean = (ns / 1e6 for ns in (run.means.load, run.means.first, run.means.inference))
        return replace(plain, load_ms=load, first_ms=first, mean_ms=mean)
    if not run.launches:
        return plain
    wall = run.wall_ms()
    found = ratio(run, base) if base is not None and run is not base and run.session == base.session else None
    return Row(
        **vars(plain)
        | {
            "load_ms": run.phase_ms("load"),
            "first_ms": run.phase_ms("first"),
            "cpu_ms": run.ms if run.clock == "CPU" and run.told else None,
            **{f"wall_{name}_ms": ms for name, ms in wall.items()},
            "per_second": run.batch * 1e3 / wall["p50"] if wall["p50"] else None,
            "memory_bytes": run.memory_bytes,
            "time_ratio": Ratio(exp(found.value), exp(found.low), exp(found.high)) if found else None,
        }
    )


def _over(one: int | None, other: int | None) -> float | None:
    return one / other if one and other else None


def how(runs: Sequence[Run]) -> str:
    """How they were measured."""
    first = next(run for run in runs if run.measured)
    numbers = sorted({run.threads for run in runs})
    threads = f"{' or '.join(map(str, numbers))} thread{'s' if numbers != [1] else ''}"
    cpu = first.host.get("cpu_class", "unknown")
    if not first.timed:
        emulator = first.host.get("emulator", "emulated")
        return f"the least of {len(first.counts)} inferences of each on {first.device} ({emulator}), {threads}, CPU class {cpu}"
    phone = first.host.get("phone")
    if first.means:
        least = min(run.means.inferences for run in runs if run.means)
        told = f"means of {least} inferences or more, as {first.facts['runtime']} tells them (no answer was checked)"
        return f"{told}, {threads}, CPU class {cpu} on {_phone(first)}"
    turns = (", launch by launch" if phone else ", taking turns") if len(runs) > 1 else ""
    processes = "a process" if len(first.launches) == 1 else f"{len(first.launches)} processes"
    how = f"{first.samples} inferences of each in {processes}{turns}, {threads}, CPU class {cpu}"
    if first.step_ns:
        how += f", CPU time by {first.host.get('cpu_clock', 'a coarse clock')}"
    return f"{how} on {_phone(first)}" if phone else how


def _phone(run: Run) -> str:
    """`Google Pixel 8, battery 87 %, 28.5 C, thermal none, then light`"""
    told = [f"{name} {run.host[name]}" for name in ("battery", "thermal") if name in run.host]
    return ", ".join([run.host.get("phone", "unknown"), *told])


def verdict(runs: Sequence[Run]) -> str:
    """The fastest against the slowest; the one with the fewest instructions against the one with the most."""
    counted = [(run.instructions, name, run) for name, run in zip(names(runs), runs, strict=True) if run.instructions]
    if counted:
        counted.sort(key=lambda found: found[0])
        (least, few, one), (most, many, other) = counted[0], counted[-1]
        size = _size(one.subject.bytes, other.subject.bytes)
        return f"{few} takes {least / most:.2f} of the instructions of {many} on {one.device}, and is {size}."
    timed = sorted(((n, run) for n, run in zip(names(runs), runs, strict=True) if run.measured), key=lambda r: r[1].ms)
    if coarse := [run for _, run in timed if not run.told]:
        step = f"steps of {coarse[0].step_ns / 1e6:.3g} ms" if coarse[0].step_ns else "no steps at all"
        return f"Nothing is told of who is faster: the clock of CPU times moves in {step} here, and {timed[0][0]} takes no longer."
    (fast, quick), (slow, base) = timed[0], timed[-1]  # two files, also where all times are equal
    size = _size(quick.subject.bytes, base.subject.bytes)
    found = ratio(base, quick)
    if found is None:
        return f"{fast} takes {quick.ms:.2f} ms, {slow} {base.ms:.2f} ms ({'means tell' if quick.means else 'one process tells'} no margin); the first is {size}."
    if found.low <= 0:
        return (
            f"{fast} and {slow} take the same time as far as {found.launches} processes can tell; the first is {size}."
        )
    value, low, high = (f"{exp(x):.2f}" for x in (found.value, found.low, found.high))
    return f"{fast} is {value} [{low}, {high}] times faster than {slow}, and {size}."


def _size(one: int, other: int) -> str:
    smaller = other / one
    if smaller >= 1.05:
        return f"{smaller:.1f} times smaller"
    return f"{1 / smaller:.1f} times larger" if smaller <= 0.95 else "as large"
