"""Runs: what was measured, one JSON line each, appended to a file. Raw samples are kept; statistics are made on reading.

Every schema that was ever written loads for ever. Lines of several kinds may stand in one file.
"""

import math
import os
import statistics as plain
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
import numpy as np

from edgekit import reading
from edgekit.artifact import Artifact, Model
from edgekit.devices import Memory, Phase
from edgekit.devices.benchmark_model import Means
from edgekit.errors import DataError, many
from edgekit.harmless import harmless
from edgekit.places import output_errors
from edgekit.statistics.confusion import Confusion, Mistake
from edgekit.statistics.figures import Figure
from edgekit.statistics.intervals import Estimate, blur, estimate, percentiles
from edgekit.statistics.proportions import Drop, Share

NAMED = 3  # lines of a file that cannot be read
REFERENCE = "reference"  # the runtime that is a fixed computation (edgekit/runtimes/reference.py)


class Launch(msgspec.Struct, frozen=True):
    """One process: its phases, and the nanoseconds of single inferences in the order they ran.

    `imported` and `cpu_ns` are None and empty where a device does not tell them. `step_ns`: as Ready has it.
    """

    imported: Phase | None
    load: Phase
    first: Phase
    wall_ns: tuple[int, ...]
    cpu_ns: tuple[int, ...]
    switches: int = 0
    memory: Memory | None = None
    step_ns: int = 0

    @property
    def ns(self) -> tuple[int, ...]:
        """By the CPU's clock; by the wall's where the device tells no other."""
        return self.cpu_ns or self.wall_ns


class Subject(msgspec.Struct, frozen=True):
    """The file that ran. `digest`: sha256 of the model file. The rest is known of artifacts only."""

    name: str
    path: str
    target: str
    digest: str
    bytes: int
    model: str = ""
    scheme: str = ""


class Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the images the weights have learned from: a figure on these says nothing of others.

    of      the images of which that can be told: all, but for weights that saw very many (see data/stamps.py)
    others  the candidate's top-1 on those that it has not learned from; None where that cannot be told of each
    """

    pictures: int
    of: int
    others: Share | None = None

    def words(self, asked: int, units: str = "images") -> str:
        """asked: how many images there are."""
        if self.of >= asked:
            return f"{self.pictures:,} of {asked:,} {units} were trained on"
        unknown = f"of {asked - self.of:,} the weights do not say"
        return f"at least {self.pictures:,} of {asked:,} {units} were trained on; {unknown}"


class Evaluated(msgspec.Struct, frozen=True, tag_field="kind", tag="accuracy"):
    """How often one file was right. `against`, `drop`: its reference, and what it loses to that, where there was one.

    learned: how many of the images were trained on, where the weights say so
    """

    made: str  # UTC, ISO 8601
    edgekit: str
    subject: Subject
    runtime: str  # and its version
    device: str
    cpu_class: str
    data: str
    pictures: int
    top1: Share | None  # of classifiers
    top5: Share | None
    against: str | None = None
    drop: Drop | None = None
    learned: Learned | None = None
    figures: tuple[Figure, ...] = ()  # of every task; lines of edgekit 0.1 have those above alone
    confusion: Confusion | None = None  # of classifiers; mistakes: those that the file is surest of
    mistakes: tuple[Mistake, ...] = ()
    schema: Literal[1] = 1

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def every_figure(self) -> tuple[Figure, ...]:
        """Those of lines that name only top-1 and top-5, too."""
        named = (("top-1", self.top1), ("top-5", self.top5))
        return self.figures or tuple(Figure.counted(name, share) for name, share in named if share)

    @property
    def headline(self) -> Figure | None:
        """What the file is judged by: "top-1", "mIoU", "1-NN"."""
        return next(iter(self.every_figure), None)


class Run(msgspec.Struct, frozen=True, tag_field="kind", tag="latency"):
    """One file in one runtime. Runs of one `session` took turns: round i of launch j was the same minute for all.

    facts   of the session as it really ran: runtime and version, threads, precision
    error   what went wrong; then the launches are those before it
    means   all that a tool told, instead of samples
    counts  instructions of single inferences, where they were counted
    timed   whether it is about times: an emulator's mean nothing
    cut     by the user, before its plan was done
    """

    session: str
    made: str  # UTC, ISO 8601
    edgekit: str
    subject: Subject
    runtime: str
    device: str
    threads: int
    batch: int
    fed: str
    facts: dict[str, str]
    host: dict[str, str]
    launches: tuple[Launch, ...]
    counts: tuple[int, ...] = ()
    means: Means | None = None
    timed: bool = True
    cut: bool = False
    error: str | None = None
    schema: Literal[1] = 1

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def measured(self) -> bool:
        """Whether anything came of it."""
        return bool(self.launches or self.counts or self.means)

    @property
    def samples(self) -> int:
        return sum(len(launch.wall_ns) for launch in self.launches)

    @property
    def clock(self) -> Literal["CPU", "wall"]:
        """Which time `ms` and ratios are of: the CPU's, but where the device tells only the time on the wall."""
        return "CPU" if all(launch.cpu_ns for launch in self.launches) and not self.means else "wall"

    @property
    def ms(self) -> float:
        """Of an inference, by `clock`: the median of the launches' medians, or the mean where only that is told."""
        if self.means:
            return self.means.inference / 1e6
        return plain.median(plain.median(launch.ns) for launch in self.launches) / 1e6

    @property
    def step_ns(self) -> int:
        """By how much the clock of `ms` moves at once."""
        return max((launch.step_ns for launch in self.launches), default=0) if self.clock == "CPU" else 0

    @property
    def told(self) -> bool:
        """Whether `ms` is a time: more than nothing, and than one step of the clock."""
        return self.measured and self.ms * 1e6 > self.step_ns

    def wall_ms(self) -> dict[str, float]:
        """Percentiles over all launches. They tell of the machine as much as of the file."""
        pooled = [ns for launch in self.launches for ns in launch.wall_ns]
        return {name: ns / 1e6 for name, ns in percentiles(pooled).items()}

    def phase_ms(self, phase: Literal["imported", "load", "first"]) -> float | None:
        """On the wall: the median over the launches. None where a device does not tell."""
        spent: list[Phase | None] = [getattr(launch, phase) for launch in self.launches]
        return plain.median(told) / 1e6 if (told := [phase.wall_ns for phase in spent if phase]) else None

    @property
    def memory_bytes(self) -> int | None:
        """What the file needs at its peak."""
        needed = [launch.memory.needed for launch in self.launches if launch.memory]
        return round(plain.median(needed)) if needed else None

    @property
    def instructions(self) -> int | None:
        """The least of the counted inferences: now and then one has more to do."""
        return min(self.counts, default=None)


def comparable(host: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """What must be the same of a machine for times to be compared; not what changes from hour to hour."""
    return tuple((key, host.get(key, "")) for key in ("cpu_class", "cpu", "machine", "system", "cores"))


def ratio(run: Run, base: Run, level: float = 0.975) -> Estimate | None:
    """log(time of `run` / that of `base`, by their clock), which took turns. None where there are not two launches of both, and
    where the clock does not tell the times.

    Ratios are taken inside a round, so that whatever else the machine did falls on both alike.
    """
    logs = [
        plain.median(math.log(max(x, 1) / max(y, 1)) for x, y in zip(a.ns, b.ns, strict=False))
        for a, b in zip(run.launches, base.launches, strict=False)
    ]
    if len(logs) < 2 or not (run.told and base.told):
        return None
    return estimate(logs, level, blur(max(run.step_ns, base.step_ns), run.ms * 1e6, base.ms * 1e6))


def percent(log: float) -> float:
    return float(np.expm1(log) * 100)


Record = Run | Evaluated
RUNS_LIMIT = 1024 * reading.MB


def subject(model: Model, path: Path) -> Subject:
    told = model.manifest if isinstance(model, Artifact) else None
    return Subject(
        name=harmless(model.name),
        path=harmless(str(path)),
        target=model.target,
        digest=model.digest(),
        bytes=model.model_bytes,
        model=told.model if told else "",
        scheme=told.scheme if told else "",
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def append(path: Path, records: Iterable[Record]) -> None:
    """Add lines to a file, and make it where it is not. Raises OutputError."""
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    with output_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if _unfinished(file):
                lines = b"\n" + lines  # what a killed process left unfinished stays a line of its own
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def read(paths: Sequence[Path]) -> tuple[list[Record], list[str]]:
    """The records of several files in their order, and warnings of lines that cannot be read. Raises DataError."""
    records: list[Record] = []
    warnings: list[str] = []
    for path in paths:
        try:
            lines = reading.blob(path, RUNS_LIMIT).split(b"\n")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}", hint="a file that edgekit bench wrote") from None
        wrong = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                records.append(reading.json(line, Record))  # type: ignore[arg-type]  # a union
            except reading.Malformed as error:
                half = number == len(lines)
                what = "was only half written" if half else f"is no run of this edgekit ({error})"
                wrong.append(f"line {number} {what}")
        more = len(wrong) - NAMED
        warnings += [f"{path}: {line}; left out" for line in wrong[:NAMED]]
        warnings += [f"{path}: {many(more, 'more lines')} like these left out"] if more > 0 else []
    if not records:
        why = f": {wrong[0]}" if len(paths) == 1 and wrong else ""
        hint = "edgekit bench ARTIFACT... writes build/runs.jsonl"
        raise DataError(f"no runs in {', '.join(map(str, paths))}{why}", hint=hint)
    return records, warnings


def _unfinished(file: BinaryIO) -> bool:
    """Whether the last line of a file lacks its end."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
