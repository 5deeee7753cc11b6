"""A command run to its end, and what it cost."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Spent:
    """How a command ended.

    exit_code   negative: the signal that ended it
    late        why, where it was ended because it took too long
    cpu_s       of the process and those that it waited for; peak_bytes: of the largest of them
    """

    exit_code: int
    late: str | None
    cpu_s: float
    wall_s: float
    peak_bytes: int

    @property
    def stopped(self) -> bool:
        """Whether someone wished it to end."""
        return self.exit_code == 130 or -self.exit_code in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(command: Sequence[str], folder: Path, timeout: float | None = None, *, keep: int | None = None) -> Spent:
    """Run a command with its output in the files `stdout` and `stderr` of a folder. It ends when this process does.

    timeout  seconds, after which it is killed
    keep     a file descriptor that it holds open as long as it lives: a lock
    """
    begin, late = time.monotonic(), threading.Event()
    process = start(command, folder, keep=keep)

    def stop() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout or threading.TIMEOUT_MAX, stop)
    timer.daemon = True
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        timer.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not of what has ended
            os.killpg(process.pid, signal.SIGKILL)  # what it left running; itself, where this process is interrupted
        process.wait()
    return Spent(
        exit_code=process.returncode,
        late=f"took longer than {timeout:g} s" if late.is_set() else None,
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.monotonic() - begin,
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def start(command: Sequence[str], folder: Path, *, keep: int | None = None) -> subprocess.Popen[bytes]:
    """Begin a command, as `run` does, in a group of processes of its own. On Linux it is killed when this thread ends."""
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=() if keep is None else (keep,),
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child does first: ask Linux to be killed when this process is. Elsewhere it runs on."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return ask
