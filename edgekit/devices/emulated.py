"""Workers on an emulated core. They answer and count as it does; their times and their memory mean nothing."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from edgekit.devices import Job, Memory, qemu
from edgekit.devices.cache import Part, Say
from edgekit.devices.process import ProcessWorker
from edgekit.errors import DeviceError, UnknownNameError, UnsupportedError


@dataclass(frozen=True)
class Core:
    """What QEMU calls it, and the files of Linux that must agree: runtimes read there what the CPU can do."""

    cpu: str
    files: Mapping[str, str]


class Emulated:
    """What such devices share. Each has its cores by name; the first is meant where none is named."""

    kind: str
    emulator: str
    cores: ClassVar[Mapping[str, Core]]
    counts = True
    timed = False
    at_once = 8

    def __init__(self, which: str | None = None) -> None:
        self.which = which or next(iter(self.cores))
        self.name = f"{self.kind}:{self.which}"
        if self.which not in self.cores:
            raise UnknownNameError("device", self.name, [f"{self.kind}:{core}" for core in self.cores])

    def set_up(self, say: Say) -> None:
        """Fetch what is missing. Raises DeviceError, OutputError."""
        qemu.set_up(say)

    def parts(self) -> list[Part]:
        """What it needs. Raises DeviceError where something was not set up."""
        return [qemu.ready(self.kind)]

    def state(self) -> str:
        """What runs there. Raises DeviceError where it was not set up."""
        emulator, *others = self.parts()
        held = [f"QEMU {qemu.version(emulator)}"]
        held += [f"{name} {version}" for part in others for name, version in part.holds.items()]
        return ", ".join([*held, "counts" if qemu.counts(emulator) else "does not count"])

    def guest(self, prefix: Path, parts: list[Part]) -> list[str]:
        """QEMU's options, and the Python of the guest. Paths below `prefix` are the guest's own: more may be put there.

        Raises UnsupportedError where it cannot run.
        """
        raise NotImplementedError

    def python(self, prefix: Path, parts: list[Part]) -> list[str]:
        """The command of a Python on the core."""
        core = self.cores[self.which]
        linux(prefix, core)
        repeat = ("-E", "PYTHONHASHSEED=0")  # the same instructions each time
        return [*qemu.command(parts[0], self.emulator, core.cpu, prefix), *repeat, *self.guest(prefix, parts)]

    def start(self, job: Job, timeout: float) -> "EmulatedWorker":
        parts = self.parts()
        prefix = tempfile.TemporaryDirectory(prefix="edgekit-")  # the worker removes it
        command = [*self.python(Path(prefix.name), parts), "-P", "-m", "edgekit.devices.worker"]
        facts = {"cpu": f"{self.which}, emulated", "emulator": f"{self.emulator} {qemu.version(parts[0])}"}
        return EmulatedWorker(command, job, timeout, prefix, facts)


class EmulatedWorker(ProcessWorker):
    def __init__(
        self,
        command: list[str],
        job: Job,
        timeout: float,
        prefix: "tempfile.TemporaryDirectory[str]",
        facts: dict[str, str],
    ) -> None:
        self.prefix = prefix
        self.counts = "-plugin" in command
        super().__init__(command, job, timeout=timeout)
        self.ready = msgspec.structs.replace(self.ready, host=self.ready.host | facts)

    def count(self, times: int) -> tuple[int, ...]:
        if not self.counts:
            raise DeviceError("instructions are not counted here", hint="edgekit doctor --setup x86 says why")
        if self.job.options.threads > 1:  # how long they wait for each other is chance
            raise UnsupportedError("instructions are counted of one thread", hint="--threads 1")
        return super().count(times)

    def end(self) -> Memory | None:
        super().end()
        return None  # it would be the emulator's

    def kill(self) -> None:
        super().kill()
        self.prefix.cleanup()


def linux(prefix: Path, core: Core) -> None:
    """One CPU, as runtimes ask a Linux about it. Without this those of ARM crash."""
    cpus = {f"sys/devices/system/cpu/{name}": "0\n" for name in ("possible", "present", "online")}
    for name, text in (cpus | dict(core.files)).items():
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text(text, "ascii")
