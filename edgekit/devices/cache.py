"""What the emulated devices need, kept in the user's cache: parts that are there whole, or not at all."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.errors import DeviceError
from edgekit.places import output_errors

Say = Callable[[str], None]


class Part(msgspec.Struct, frozen=True):
    """A folder of the cache, and the versions of what is in it by name."""

    folder: Path
    holds: dict[str, str]


def cache() -> Path:
    """$EDGEKIT_CACHE, or `edgekit` where this user's caches are."""
    if own := os.environ.get("EDGEKIT_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"


def part(name: str) -> Part | None:
    """None where it was never made."""
    folder = cache() / name
    try:
        return Part(folder, msgspec.json.decode((folder / "holds.json").read_bytes(), type=dict[str, str]))
    except (OSError, msgspec.DecodeError):
        return None


def make(name: str, build: Callable[[Path, Path], dict[str, str]]) -> Part:
    """`build(folder, downloads)` fills an empty folder and says what it holds; the folder gets its name when it is
    whole. Downloads stay until then, so that the next try goes on where this one stopped.

    Raises DeviceError where another process is at it, OutputError.
    """
    home = cache()
    stage, downloads, folder = home / f"{name}.partial", home / f"{name}.downloads", home / name
    with output_errors("set EDGEKIT_CACHE to a folder elsewhere"), _alone(home, name):
        shutil.rmtree(stage, ignore_errors=True)  # of a try that was killed
        stage.mkdir()
        downloads.mkdir(exist_ok=True)
        try:
            holds = build(stage, downloads)
            (stage / "holds.json").write_bytes(msgspec.json.encode(holds))
            shutil.rmtree(folder, ignore_errors=True)
            stage.rename(folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(downloads, ignore_errors=True)
    return Part(folder, holds)


def run(command: Sequence[str | Path], what: str, *, env: Mapping[str, str] | None = None) -> str:
    """Its standard output. Raises DeviceError with the last line that it said."""
    done = subprocess.run(
        command, env=os.environ | dict(env or {}), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise DeviceError(
            f"cannot {what}: {said[-1].strip() if said else f'exit code {done.returncode}'}",
            hint="check the network and try again: what was downloaded is kept",
        )
    return done.stdout


@contextlib.contextmanager
def _alone(home: Path, name: str) -> Iterator[None]:
    """One process at a time; the lock goes with the process."""
    import fcntl  # not on Windows, where none of this runs

    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeviceError(f"another process is setting up {name}", hint="wait until it has ended") from None
        yield
