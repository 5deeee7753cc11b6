"""Places on the disk: whether they can be written, and files that take their place in one step."""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import OutputError, RequestError, UnsupportedError

OUTPUT_HINT = "-o another/folder"
UNWRITTEN = "cannot write"  # how an OutputError of the disk begins


def check_place(path: Path, hint: str) -> None:
    """Refuse a path that could not be written, before any work is done for it. Raises RequestError, OutputError."""
    with output_errors(hint):
        above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir():
        raise RequestError(f"{above} is a file, not a folder to write in", hint=hint)
    if not os.access(above, os.W_OK):
        raise OutputError(f"no permission to write in {above}", hint=hint)


def check_file(path: Path, hint: str) -> None:
    """As `check_place`, of a file: a folder in its place is refused, too."""
    check_place(path, hint)
    if path.is_dir():
        raise RequestError(f"{path} is a folder, and a file is to be written", hint=hint)


@contextlib.contextmanager
def output_errors(hint: str = OUTPUT_HINT) -> Iterator[None]:
    """Say what the disk said: OutputError for no permission, no space, read-only."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is None and error.errno not in _DISK_ERRORS):
            raise
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"free some space, or {hint}"
        raise OutputError(f"{UNWRITTEN}: {error.strerror}{where}", hint=hint) from None


@contextlib.contextmanager
def replacing(path: Path, hint: str = OUTPUT_HINT) -> Iterator[Path]:
    """A place to write a file, which then takes the place of `path` in one step; a reader never sees half of it."""
    partial = beside(path)
    with output_errors(hint):
        clear_leftovers(path)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # follows no link, takes nobody's file
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold the lock on a file or a folder that is there, which goes with the processes that hold its file descriptor. Raises
    OutputError, UnsupportedError on Windows, BlockingIOError where somebody else has it and nobody waits."""
    try:
        import fcntl
    except ImportError:
        raise UnsupportedError("many files are made on Linux and macOS", hint="WSL on Windows") from None
    with output_errors():
        lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield lock
    finally:
        os.close(lock)


@contextlib.contextmanager
def alone(out: Path, what: str) -> Iterator[None]:
    """While no other `what` works in this folder, which is made. Raises RequestError, OutputError."""
    with output_errors():
        out.mkdir(parents=True, exist_ok=True)
    try:
        with locked(out, wait=False):
            yield
    except BlockingIOError:
        raise RequestError(f"another {what} is at work in {out}", hint="wait for it, or -o another/folder") from None


NAMED = 50  # letters of a name that `beside` keeps: names have at most 255 bytes
_DISK_ERRORS = {errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EDQUOT}


def beside(out: Path) -> Path:
    """A hidden name beside `out`, which nobody else has. The pid says whether it is a leftover; it is not enough of a
    name, because each run in a container has the same one."""
    return out.with_name(f".{out.name[:NAMED]}.{os.getpid()}.{secrets.token_hex(4)}.partial")


def clear_leftovers(out: Path) -> None:
    """What killed processes left of `beside`."""
    ours = re.compile(rf"\.{re.escape(out.name[:NAMED])}\.(\d+)\.[0-9a-f]{{8}}\.partial")
    for leftover in out.parent.iterdir():
        if (pid := ours.fullmatch(leftover.name)) and not _alive(int(pid[1])):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
