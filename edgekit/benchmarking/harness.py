"""Time files against each other: fresh processes, launch after launch, that take turns round by round.

Whatever else the machine does falls on all of them alike, so ratios hold where times do not. Or count their instructions.
"""

import random
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgekit import __version__, artifact, registry
from edgekit.artifact import Model
from edgekit.devices import Device, Job, Memory, Ready, Samples, Worker, opened
from edgekit.devices.benchmark_model import Means
from edgekit.errors import EdgekitError, UnsupportedError
from edgekit.runs import REFERENCE, Launch, Run, now, subject
from edgekit.runtimes import OperatorTime, Options

COUNTED = 4  # inferences whose instructions are counted; the least of them is the figure
LEAST_ROUNDS = 2  # whatever the budget

Tick = Callable[[], None]  # called after each step


def nothing() -> None:
    pass


@runtime_checkable
class Benchmarking(Device, Protocol):
    """A device where a program that a user brings can time a file: means, and facts of the host."""

    def benchmark(
        self, binary: Path, file: Path, threads: int, warmup: int, runs: int, timeout: float
    ) -> tuple[Means, dict[str, str]]: ...


@dataclass(frozen=True)
class Plan:
    """How long and how often.

    runs      timed inferences of each file, spread over the launches
    launches  fresh processes of each file
    warmup    inferences of each process that do not count, after its first
    budget    seconds after which no further launch, and no further round, begins
    timeout   seconds without an answer that mean a hang
    """

    runs: int = 100
    launches: int = 5
    warmup: int = 5
    budget: float = 120.0
    timeout: float = 300.0
    seed: int = 0

    @property
    def rounds(self) -> int:
        return -(-self.runs // self.launches)


@dataclass
class Entry:
    """A file in a runtime, what came of it so far, and its worker while one lives."""

    model: Model
    path: Path
    runtime: str
    options: Options
    batch: int | None = None
    ready: Ready | None = None
    worker: Worker | None = None
    turns: list[Samples] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    counts: tuple[int, ...] = ()
    means: Means | None = None
    facts: dict[str, str] = field(default_factory=dict)
    host: dict[str, str] = field(default_factory=dict)
    failure: EdgekitError | None = None

    @property
    def where(self) -> str:
        """The runtime; on an accelerator "litert-gpu", which is another line of a history."""
        on = self.options.accelerator
        return self.runtime if on == "cpu" else f"{self.runtime}-{on}"

    def again(self) -> "Entry":
        """The same file, of which nothing is measured yet."""
        return Entry(self.model, self.path, self.runtime, self.options, self.batch)

    def attempt(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do it, unless something failed before; keep what fails."""
        if self.failure is None:
            try:
                act(*arguments)
            except EdgekitError as error:
                self.failure = error

    def open(self, device: Device, plan: Plan, ahead: int = 0) -> Worker:
        job = Job(str(self.path), self.runtime, self.options, self.batch, plan.seed, ahead)
        self.worker = device.start(job, plan.timeout)
        self.ready = self.worker.ready
        self.facts, self.host = self.ready.facts, self.ready.host
        return self.worker

    def begin(self, device: Device, plan: Plan) -> None:
        worker = self.open(device, plan, ahead=plan.warmup + plan.rounds)
        if plan.warmup:
            worker.infer(plan.warmup)

    def count(self, device: Device, plan: Plan) -> None:
        self.counts = self.open(device, plan).count(COUNTED)

    def ask_tool(self, device: Benchmarking, binary: Path, plan: Plan) -> None:
        file, threads = self.model.model_file, self.options.threads
        self.means, self.host = device.benchmark(binary, file, threads, plan.warmup, plan.runs, plan.timeout)
        self.facts = {"runtime": binary.name, "threads": str(threads)}

    def take_turn(self) -> None:
        assert self.worker
        self.turns.append(self.worker.infer(1))

    def finish(self) -> None:
        assert self.worker
        self.keep(self.worker.end())

    def keep(self, memory: Memory | None = None) -> None:
        """Make a launch of the turns so far."""
        if not self.ready or not self.turns:
            return
        wall, cpu = ([ns for turn in self.turns for ns in getattr(turn, clock)] for clock in ("wall_ns", "cpu_ns"))
        switches = sum(turn.switches for turn in self.turns)
        phases = self.ready.imported, self.ready.load, self.ready.first
        self.launches.append(Launch(*phases, tuple(wall), tuple(cpu), switches, memory, self.ready.step_ns))
        self.turns = []

    def close(self) -> None:
        if self.worker:
            self.worker.kill()
            self.worker = None

    def run(self, device: Device, session: str, made: str, *, timed: bool, cut: bool = False) -> Run:
        ready = self.ready
        return Run(
            session=session,
            made=made,
            edgekit=__version__,
            subject=subject(self.model, self.path),
            runtime=self.where,
            device=device.name,
            threads=self.options.threads,
            batch=self.batch or (max(ready.input_spec.shape[0], 1) if ready else 1),
            fed=ready.source if ready else "",
            facts=self.facts,
            host=self.host,
            launches=tuple(self.launches),
            counts=self.counts,
            means=self.means,
            timed=timed,
            cut=cut,
            error=self.failure.message if self.failure else None,
        )


class CutShort(KeyboardInterrupt):
    """The user stopped it: `runs` hold what was measured until then, where anything was."""

    def __init__(self, runs: list[Run]) -> None:
        super().__init__()
        self.runs = runs


def entries(
    paths: Sequence[Path], runtimes: Sequence[str], threads: Sequence[int], options: Options, batch: int | None
) -> list[Entry]:
    """Every file in every runtime named (in the first that opens it, where none is) with every number of threads.

    Raises ArtifactError, RequestError; UnsupportedError for a file that none of the runtimes opens.
    """
    made = []
    for path in paths:
        model = artifact.open_model(path)
        names = [name for name in runtimes if model.target in registry.runtime(name).targets]
        if runtimes and not names:
            fits = " or ".join(registry.opening(model.target))
            raise UnsupportedError(f"{' and '.join(runtimes)} cannot open {path}", hint=f"--runtime {fits}")
        for name in names or [registry.runtime_for(model.target).name]:
            made += [Entry(model, path, name, replace(options, threads=n), batch) for n in threads]
    return made


def fixed(beside: Entry) -> Entry:
    """The fixed computation, to take its turns beside files; it opens none."""
    return Entry(beside.model, beside.path, REFERENCE, Options())


def compare(made: Sequence[Entry], device: Device, plan: Plan, *, tick: Tick = nothing) -> list[Run]:
    """Time the entries against each other. What fails is left out of what follows, and its Run says why. Raises CutShort."""
    rng, deadline = random.Random(plan.seed), time.monotonic() + plan.budget
    with _session(made, device, timed=True) as runs:
        for _ in range(plan.launches):
            began = time.monotonic()
            launch(made, device, plan, rng, deadline, tick)
            if 2 * time.monotonic() - began > deadline:
                break  # one more would not fit
    return runs


def count(made: Sequence[Entry], device: Device, plan: Plan, *, tick: Tick = nothing) -> list[Run]:
    """Instructions of single inferences, of one entry after the other: they do not depend on what else a machine does.

    `plan` sets the timeout and the seed. Errors as `compare` has them.
    """
    with _session(made, device, timed=False) as runs:
        for entry in made:
            try:
                entry.attempt(entry.count, device, plan)
            finally:
                entry.close()
            tick()
    return runs


def by_tool(
    made: Sequence[Entry], device: Benchmarking, binary: Path, plan: Plan, *, tick: Tick = nothing
) -> list[Run]:
    """What a program of the user's tells of one .tflite file after the other: means. Errors as `compare` has them."""
    for entry in made:
        if entry.model.target != "tflite":
            raise UnsupportedError(f"{binary.name} runs .tflite files, not {entry.path}", hint="leave it out")
    with _session(made, device, timed=True) as runs:
        for entry in made:
            entry.attempt(entry.ask_tool, device, binary, plan)
            tick()
    return runs


@contextmanager
def _session(made: Sequence[Entry], device: Device, *, timed: bool) -> Iterator[list[Run]]:
    """Runs of what the block measures, filled in at its end. What a user stops keeps what it has: raises CutShort."""
    session, made_at, runs = secrets.token_hex(6), now(), list[Run]()
    try:
        yield runs
    except KeyboardInterrupt as stop:
        for entry in made:
            entry.keep()
        cut = [entry.run(device, session, made_at, timed=timed, cut=True) for entry in made]
        raise CutShort([run for run in cut if run.measured]) from stop
    runs += [entry.run(device, session, made_at, timed=timed) for entry in made]


def launch(made: Sequence[Entry], device: Device, plan: Plan, rng: random.Random, deadline: float, tick: Tick) -> None:
    """One process of each entry, all at once; their inferences take turns, in an order drawn anew each round."""
    try:
        for entry in rng.sample(made, len(made)):
            entry.attempt(entry.begin, device, plan)
        for number in range(plan.rounds):
            if number >= LEAST_ROUNDS and time.monotonic() > deadline:
                break
            for entry in rng.sample(made, len(made)):
                entry.attempt(entry.take_turn)
            tick()
        for entry in made:
            entry.attempt(entry.finish)
    finally:
        for entry in made:
            entry.close()


def profile(entry: Entry, device: Device, plan: Plan) -> tuple[OperatorTime, ...]:
    """Time by operator, of as many inferences as a launch has rounds. Raises UnsupportedError where no runtime tells."""
    job = Job(str(entry.path), entry.runtime, replace(entry.options, profile=True), entry.batch, plan.seed)
    with opened(device, job, plan.timeout) as worker:
        return worker.profile(plan.rounds)
