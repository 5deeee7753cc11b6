"""Cells: commands of edgekit whose results are kept by what went in, so that a second run makes nothing.

A cell is one command, `export`, `bench`, `eval`, ..., and the digest of all that decides what comes of it: the words of the
command, the contents of the files that it names, edgekit itself, versions, the CPU class. Its figures (the command's JSON) and what it made
lie in a folder named by the sha256 of these:

    STORE/<sha256>/cell.json    what went in, and the figures or the error: written last, in one step
    STORE/<sha256>/out/         what was made, until `drop`; of an export that failed its proof, the file that it kept
    STORE/<sha256>/work/        of a cell that is being made, or of a killed one: cleared by the next try

A command runs in a process of its own. It may crash, run out of memory or be killed: that is a cell with an error, and the
next one runs. Whoever makes a cell holds a lock on its folder, so that no two processes make the same one.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit import reading
from edgekit.devices import commands, host
from edgekit.devices.process import ended
from edgekit.errors import DataError, OutputError
from edgekit.harmless import harmless
from edgekit.places import UNWRITTEN, locked, output_errors, replacing

EDGEKIT = (sys.executable, "-m", "edgekit")
OUT = "{out}"  # in a command: where it puts what it makes
ANSWER_LIMIT, SAID_LIMIT = 64 * reading.MB, 4000
DEPENDENCIES = (
    "ai-edge-litert", "ai-edge-quantizer", "litert-torch", "numpy", "onnx", "onnxruntime", "onnxscript", "openvino", "pillow",
    "segmentation-models-pytorch", "timm", "torch", "torch-pruning", "torchvision",
)  # fmt: skip


class Cell(msgspec.Struct, frozen=True):
    """A command, and what goes in. `cell` makes one.

    command  arguments of edgekit; `{out}` in a word stands for what it makes, `{NAME}` for a place
    places   files and folders by name: where they lie is no part of the key
    inputs   digests of the places, versions, the CPU class, and whatever else decides the outcome
    """

    command: tuple[str, ...]
    places: dict[str, str]
    inputs: dict[str, str]

    @property
    def key(self) -> str:
        """The sha256 of what goes in, in hexadecimal."""
        content = msgspec.json.encode([self.command, self.inputs], order="sorted")
        return hashlib.sha256(content).hexdigest()


class Done(msgspec.Struct, frozen=True):
    """What came of a cell.

    answer      the command's JSON; None where it ended in an error
    error       what went wrong, in one line, with what to do about it in `hint`; `said`: the last lines of its stderr
    exit_code   as edgekit has them (a missed limit is 1, and no error); negative: the signal that killed it
    cpu_s       of the process and those that it started; peak_bytes: of the largest of them
    """

    key: str
    command: tuple[str, ...]
    inputs: dict[str, str]
    answer: Any
    error: str | None
    hint: str
    said: str
    exit_code: int
    cpu_s: float
    wall_s: float
    peak_bytes: int
    schema: Literal[1] = 1


def cell(command: Sequence[str], places: Mapping[str, Path] | None = None, **inputs: str) -> Cell:
    """A command with the places that it names and what else decides its outcome. Raises DataError for a place that is not there.

    inputs  by name; that of a place is its digest, where it is known already: `weights="sha256..."`. They go before those of
            `surroundings`
    """
    found = {name: str(path) for name, path in (places or {}).items()}
    digests = {name: inputs.get(name) or digest(Path(path)) for name, path in found.items()}
    return Cell(tuple(command), found, surroundings() | inputs | digests)


@cache
def surroundings() -> dict[str, str]:
    """edgekit's own files, versions of its plugins and of what they stand on, and the CPU class.

    The version of edgekit would not do: it is the same after a change in a checkout.
    """
    groups = ("edgekit.exporters", "edgekit.runtimes", "edgekit.devices")
    plugins = {
        point.dist.name for group in groups for point in importlib.metadata.entry_points(group=group) if point.dist
    }
    versions = {}
    for name in sorted({*DEPENDENCIES, *plugins}):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions | {
        "edgekit": digest(Path(__file__).parent),
        "cpu_class": host.cpu_class(),
        "python": sys.version.partition(" ")[0],
    }


def digest(path: Path) -> str:
    """Of a file, or of the names and contents of all files in a folder: a sha256. Raises DataError."""
    whole = hashlib.sha256()
    with _readable(path):
        for file in _files(path):
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(json.dumps([file.relative_to(path).as_posix(), content]).encode())
    return whole.hexdigest()


def stamp(place: Path) -> list[tuple[str, int, int]]:
    """Sizes and times of a file, or of all files in a folder: what changes with the contents, at less than their cost.
    Raises DataError."""
    with _readable(place):
        return [(str(f), (told := f.stat()).st_size, told.st_mtime_ns) for f in _files(place) if f.exists()]


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    return sorted(path for path in reading.inside(place, {"__pycache__"}.__contains__) if path.is_file())


@contextlib.contextmanager
def _readable(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{place}: {error.strerror}", hint="a file or a folder that can be read") from None


def known_digest(place: Path, notes: Path) -> str:
    """`digest` of what is large, found once until a size or a time changes. notes: a folder. Raises DataError, OutputError."""
    note = notes / hashlib.sha256(msgspec.json.encode(stamp(place))).hexdigest()
    if not note.is_file():
        with output_errors():
            notes.mkdir(parents=True, exist_ok=True)
        with replacing(note) as partial:
            partial.write_text(digest(place), "utf-8")
    return reading.text(note)


def make(
    store: Path,
    wanted: Cell,
    *,
    whole: bool = False,
    again: bool = False,
    fresh: bool = False,
    timeout: float | None = None,
    program: Sequence[str] = EDGEKIT,
    begins: Callable[[], None] = lambda: None,
) -> Done:
    """What comes of a cell: as it is kept, or made now. Waits where another process is making it.

    whole    what it made must lie in `made` too: made again where it was dropped
    again    a cell with an error is tried once more; fresh: any is made anew
    timeout  seconds after which it ends with an error
    begins   called where it is made now, before that

    Raises OutputError where the store, or what the command makes, cannot be written, KeyboardInterrupt where the command was stopped:
    nothing is kept then.
    """
    with _alone(store / wanted.key) as (folder, lock):
        done = find(store, wanted.key)
        lacks = done and whole and not done.error and not made(store, wanted.key)
        if done and not fresh and not lacks and not (again and done.error):
            return done
        begins()
        return _run(folder, wanted, [*program], timeout, lock)


def find(store: Path, key: str) -> Done | None:
    """What is kept of a cell; None where there is nothing, or nothing that can be read: then it is made anew."""
    try:
        return reading.json(reading.blob(store / key / "cell.json", ANSWER_LIMIT), Done)
    except (OSError, reading.Malformed):
        return None


def kept(store: Path) -> Iterator[Done]:
    """All cells of a store, by key."""
    for folder in sorted(store.glob("[0-9a-f]*")):
        if done := find(store, folder.name):
            yield done


def made(store: Path, key: str) -> Path | None:
    """What a cell made, unless it was dropped or nothing is made by its command; a rejected file, where it ended so."""
    out = store / key / "out"
    return out if out.exists() else None


def drop(store: Path, key: str) -> None:
    """Remove what a cell made, and keep its figures. Nothing happens to a cell that is just being made."""
    _remove(store / key / "out")


def _run(folder: Path, wanted: Cell, program: list[str], timeout: float | None, lock: int) -> Done:
    work, out = folder / "work", folder / "out"
    with output_errors():
        for leftover in (work, out):
            _remove(leftover)
        work.mkdir()
    try:
        words = [_filled(word, wanted.places | {"out": str(work / "out")}) for word in wanted.command]
        done = _outcome(wanted, work, commands.run([*program, *words, "--json"], work, timeout, keep=lock))
        if done.error and done.error.startswith(UNWRITTEN):
            raise OutputError(done.error, hint=done.hint)  # a full disk says nothing of the cell
        with output_errors(), replacing(folder / "cell.json") as place:
            for result in (work / "out", work / "out.rejected"):
                if result.exists():
                    result.rename(out)
            place.write_bytes(msgspec.json.encode(done))
        return done
    finally:
        _remove(work)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()  # where a command made a file


def _filled(word: str, places: Mapping[str, str]) -> str:
    for name, path in places.items():
        word = word.replace(f"{{{name}}}", path)
    return word


def _outcome(wanted: Cell, work: Path, spent: commands.Spent) -> Done:
    """Raises KeyboardInterrupt where the command was stopped."""
    if spent.stopped:
        raise KeyboardInterrupt
    answer, error, hint = None, spent.late, ""
    said = harmless((work / "stderr").read_bytes()[-SAID_LIMIT:].decode(errors="replace")).strip()
    try:
        answer = reading.json(reading.blob(work / "stdout", ANSWER_LIMIT), dict[str, Any] | list[Any])  # type: ignore[arg-type]
    except (OSError, reading.Malformed):
        error = error or ": ".join([ended(spent.exit_code), *said.splitlines()[-1:]])
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        error, hint = (str(answer.get(name, "")).replace(str(work / "out"), OUT) for name in ("error", "hint"))
    costs = (spent.exit_code, spent.cpu_s, spent.wall_s, spent.peak_bytes)
    if error:
        return Done(wanted.key, wanted.command, wanted.inputs, None, error, hint, said, *costs)
    return Done(wanted.key, wanted.command, wanted.inputs, answer, None, "", "", *costs)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[tuple[Path, int]]:
    """The folder of a cell, and the lock on it, which goes with the processes that hold it. Raises OutputError."""
    with output_errors():
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        yield folder, lock
