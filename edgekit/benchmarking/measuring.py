"""Files timed, counted, or both: the sessions that one request comes to."""

import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from edgekit import registry
from edgekit.benchmarking import harness
from edgekit.benchmarking.harness import Benchmarking, CutShort, Entry, Plan
from edgekit.devices import Device
from edgekit.errors import EdgekitError, RequestError, many
from edgekit.runs import REFERENCE, Run

Progress = Callable[[int, str, str], AbstractContextManager[Callable[[], None]]]  # so many steps, of what, their unit


@dataclass(frozen=True)
class Request:
    """What of the files is measured, and where.

    count      instructions too; devices that cannot be timed are always counted
    tool       a program of the user's that times them, on a phone
    reference  a fixed computation takes its turns beside them
    profile    times by operator, and nothing else
    accelerator  where on a phone
    """

    device: Device
    plan: Plan
    count: bool = False
    tool: Path | None = None
    reference: bool = False
    profile: bool = False
    accelerator: str = "cpu"

    @property
    def counts(self) -> bool:
        return self.count or not self.device.timed

    def check(self, threads: Sequence[int]) -> None:
        """Refuse what contradicts itself, before anything runs. Raises RequestError, DeviceError."""
        if self.profile and self.counts:
            raise RequestError("--profile is about times", hint="--on local, without --count")
        if self.tool and (self.count or self.profile or not isinstance(self.device, Benchmarking)):
            raise RequestError("--benchmark-binary runs on a phone and tells times alone", hint="--on adb")
        if self.reference and (self.device.name != "local" or self.profile):
            raise RequestError("--reference is timed on this machine", hint="--on local, without --profile")
        if self.accelerator != "cpu":
            self._check_accelerator()
        if self.counts:
            self.counter()
            if set(threads) != {1}:  # how long they wait for each other is chance
                raise RequestError("instructions are counted of one thread", hint="--threads 1")

    def _check_accelerator(self) -> None:
        if self.accelerator not in getattr(self.device, "accelerators", ()):
            what = f"{self.device.name} is measured on its CPU alone, not on a {self.accelerator.upper()}"
            raise RequestError(what, hint="--on adb, a phone; or leave --accelerator out")
        if self.tool:
            raise RequestError("--benchmark-binary times the CPU", hint="leave --accelerator or --benchmark-binary out")

    def counter(self) -> Device:
        """What counts instructions: an emulated CPU where the device cannot. Raises RequestError, DeviceError."""
        if self.device.counts:
            return self.device
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise RequestError(f"{self.device.name} cannot count instructions", hint="--on arm64:cortex-a76 can")
        counter = registry.device("x86")
        counter.state()
        return counter


@dataclass(frozen=True)
class Measured:
    """What came of it. `cut`: by the user, before all was measured."""

    sessions: tuple[tuple[Run, ...], ...]
    failures: tuple[EdgekitError, ...] = ()
    cut: bool = False

    @property
    def runs(self) -> list[Run]:
        return [run for session in self.sessions for run in session]

    @property
    def of_files(self) -> list[list[Run]]:
        """The sessions without the fixed computation."""
        files = ([run for run in session if run.runtime != REFERENCE] for session in self.sessions)
        return [session for session in files if session]


def measure(
    made: Sequence[Entry], request: Request, progress: Progress = lambda total, what, unit: nullcontext(lambda: None)
) -> Measured:
    """Time the entries against each other, then count them where that is asked for. What fails is kept in its Run.

    Raises RequestError, DeviceError, UnsupportedError as `harness` does.
    """
    files = many(len(made), "files")
    device, plan = request.device, request.plan
    entries, sessions, cut = list(made), list[Sequence[Run]](), False
    try:
        if request.tool and isinstance(device, Benchmarking):
            with progress(len(made), f"timing {files} with {request.tool}", "files") as tick:
                sessions.append(harness.by_tool(made, device, request.tool, plan, tick=tick))
        elif device.timed:
            timed = [*made, harness.fixed(made[0])] if request.reference else made
            entries = list(timed)
            with progress(plan.launches * plan.rounds, f"timing {files}", "rounds") as tick:
                sessions.append(harness.compare(timed, device, plan, tick=tick))
        if request.counts:
            counter, counted = request.counter(), [entry.again() for entry in made]
            entries += counted
            with progress(len(counted), f"counting instructions on {counter.name}", "files") as tick:
                sessions.append(harness.count(counted, counter, plan, tick=tick))
    except CutShort as stop:
        sessions.append(stop.runs)
        cut = True
    failures = tuple(entry.failure for entry in entries if entry.failure)
    return Measured(tuple(tuple(session) for session in sessions), failures, cut)
