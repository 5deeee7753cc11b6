"""Who runs the rows of a sweep. An engine runs commands and knows nothing of what they do.

A third party's is a class with `run` under the entry point `edgekit.engines`; it is made with how many may run at once.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from edgekit.devices import commands, host

LOOKS = 0.05  # seconds between two looks at who has ended
SAID = 4000  # bytes of what a command said last
ROOM = 2e9  # bytes that a row may take: an export of a network of some 30 million parameters


class Job(NamedTuple):
    """command: with its program, to be run in this folder; whoever runs it needs the sweep's folder on the same disk."""

    number: int
    command: tuple[str, ...]
    device: str


class Ended(NamedTuple):
    """exit_code: negative for the signal that ended it. told, said: its standard output, and the end of its errors."""

    number: int
    exit_code: int
    told: bytes
    said: str


class Engine(Protocol):
    """Made with `workers`, how many jobs may run at once."""

    def run(self, jobs: Sequence[Job], scratch: Path) -> Iterator[Ended]:
        """Each job once, told as it ends. scratch: a folder for files of the engine's own. Where the iterator is closed, or the
        process is killed, jobs end. Raises DeviceError for a job that nobody can run, before any is begun."""
        ...


class Local:
    """Processes on this machine, one always, and further ones where memory is free for all of them."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def run(self, jobs: Sequence[Job], scratch: Path) -> Iterator[Ended]:
        waiting, running = list(reversed(jobs)), dict[int, subprocess.Popen[bytes]]()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers and (not running or self._room(len(running) + 1)):
                    job = waiting.pop()
                    folder = scratch / str(job.number)
                    folder.mkdir(parents=True, exist_ok=True)
                    running[job.number] = commands.start(job.command, folder)
                ended = [number for number, process in running.items() if process.poll() is not None]
                for number in ended:
                    process, folder = running.pop(number), scratch / str(number)
                    said = (folder / "stderr").read_bytes()[-SAID:].decode(errors="replace").strip()
                    yield Ended(number, process.returncode, (folder / "stdout").read_bytes(), said)
                if not ended:
                    time.sleep(LOOKS)
        finally:
            for process in running.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in running.values():
                process.wait()

    def _room(self, rows: int) -> bool:
        """Whether so many may run at once: those that run may not have grown yet. Where the system tells nothing, they may."""
        free = host.free_memory()
        return free is None or free >= rows * ROOM
