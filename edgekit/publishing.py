"""A finished artifact takes its place in one step; a reader never sees half of one."""

import contextlib
import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit import reading
from edgekit.errors import RequestError
from edgekit.manifest import FileRecord
from edgekit.places import beside, check_place, clear_leftovers, output_errors


def check_destination(out: Path) -> None:
    """Refuse a place that cannot be written or that holds something other than an artifact."""
    with output_errors():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            foreign = _foreign(out)
            if foreign:
                what = "holds something that is not an artifact"
                raise RequestError(f"{out} {what} ({foreign})", hint="-o another/folder")
    check_place(out, "-o another/folder")


def _foreign(out: Path) -> str | None:
    """What stands in a place and is no part of an artifact; None where an artifact, and nothing else, is there."""
    if not out.is_dir():
        return "a file"
    manifest = _standing(out)
    own = {"manifest.json", "model.sig", *manifest.files} if manifest else set()
    return next((p.name for p in sorted(out.iterdir()) if p.name not in own), None)


def recipe_digest(folder: Path) -> str | None:
    """Of the artifact that stands in a place, of whatever schema; None where there is none."""
    manifest = _standing(folder)
    return manifest.recipe_digest if manifest else None


def _standing(folder: Path) -> "_Files | None":
    try:
        return reading.json(reading.blob(folder / "manifest.json"), _Files)
    except (OSError, reading.Malformed):
        return None


class _Files(msgspec.Struct):
    """What makes a manifest.json an artifact's, of whatever schema."""

    recipe_digest: str
    files: dict[str, FileRecord]


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, moved there in one step when the block ends well, removed when it does not.

    An artifact that stood there is replaced in the same step (renameat2 with RENAME_EXCHANGE on Linux; elsewhere two
    renames). What a killed process left behind is cleared by the next export to the same place; where several export
    to it at once, each has a folder of its own, and the last to end wins.
    """
    out = Path(os.path.realpath(out))  # a link stays a link: what it leads to is replaced
    check_destination(out)
    with output_errors():
        out.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        stage = beside(out)
        stage.mkdir()
    try:
        with output_errors():
            yield stage
            publish(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def publish(stage: Path, out: Path) -> None:
    """Move a finished folder to its place, in one step where the system can."""
    check_destination(out)  # again: an export takes minutes, and what it replaces is removed
    try:
        stage.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    else:
        return
    if not _exchange(stage, out):
        old = stage.with_suffix(".old")
        out.rename(old)
        stage.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    at_cwd, rename_exchange = -100, 2
    try:
        return bool(libc.renameat2(at_cwd, os.fsencode(a), at_cwd, os.fsencode(b), rename_exchange) == 0)
    except AttributeError:  # a C library without renameat2
        return False
