"""Files that anybody may have written, read whole and decoded: not from a pipe or a device, which might never end, not
without a limit, and with one error for everything that is wrong inside.
"""

import errno
import json as standard
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
MB = 1 << 20
LONG = re.compile(rb"(?<![\d.])\d{20,}(?![\d.eE])")  # more than 64 bits
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
TEXT_LIMIT = 64 * MB  # of what is decoded as a whole: manifests, recipes, labels, cards


class Malformed(ValueError):
    """What a file holds is not what it should be; its text says what, in one line. `field`: a name in it that means nothing."""

    field = ""

    def of(self, path: Path) -> str:
        """ "a.toml, line 3: unknown field 'quantise'" """
        return f"{path}{', ' if str(self).startswith('line ') else ': '}{self}"


def blob(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """The bytes of a regular file. Raises OSError, also for what is no regular file and for what is larger than `limit`."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(path))
        found = file.read(limit + 1)
    if len(found) > limit:
        raise OSError(errno.EFBIG, f"too large: more than {limit // MB} MB", str(path))
    return found


def text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """Of a file in UTF-8, with or without a byte order mark. Raises OSError, Malformed."""
    try:
        return blob(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: {error}") from None


def toml(path: Path, kind: type[T]) -> T:
    """Raises OSError, Malformed: also for what is TOML and no `kind`."""
    written = text(path)
    try:
        return msgspec.convert(tomllib.loads(written), kind)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Malformed(f"not TOML: {_reason(error)}") from None
    except msgspec.ValidationError as error:
        raise _misfit(str(error), written) from None


def _misfit(said: str, written: str) -> Malformed:
    """What msgspec says of a TOML file, with the line: "Object contains unknown field `quantise` - at `$.a`"."""
    said, _, place = said.partition(" - at ")
    unknown = re.search("unknown field `(.*)`", said)
    keys = [*re.findall(r"\.(\w+)", place), *([unknown[1]] if unknown else [])]
    line = _line(written, keys)
    what = f"unknown field '{unknown[1]}'" if unknown else f"{'.'.join(keys)}: {said}" if keys else said
    error = Malformed(f"line {line}: {what}" if line else what)
    error.field = unknown[1] if unknown else ""
    return error


def _line(written: str, keys: Sequence[str]) -> int:
    """Where a key stands in TOML, below the headers of its tables; 0 where it is written in another way, as a.b = 1 is."""
    table: list[str] = []
    for number, line in enumerate(written.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]", line):
            table = header[1].split(".")
        key = re.match(r"\s*([\w-]+)\s*=", line)
        if keys and [*table, *([key[1]] if key else [])] == list(keys):
            return number
    return 0


def json(blob: bytes, kind: type[T]) -> T:
    """Raises Malformed, also for what is JSON and no `kind`, and for whole numbers that no computation can take."""
    if LONG.search(blob) and LONG.search(STRING.sub(b"", blob)):
        raise Malformed("a whole number in it has more than 19 digits")
    try:
        return msgspec.json.decode(blob, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Malformed(_reason(error)) from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` of json's. Raises Malformed where a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise Malformed(f"'{next(name for name in names if names.count(name) > 1)}' stands in it twice")
    return found


def json_once(blob: bytes) -> dict[str, Any]:
    """An object in which no key stands twice: of two, one reader may believe the first, another the last. Raises Malformed."""
    try:
        standard.loads(blob, object_pairs_hook=once)
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed(_reason(error)) from None
    return json(blob, dict[str, Any])


def is_file(path: Path) -> bool:
    """Path.is_file, which raises for names that are longer than the system takes."""
    try:
        return path.is_file()
    except OSError:
        return False


def inside(
    folder: Path, skip: Callable[[str], bool] = lambda name: False, above: frozenset[str] = frozenset()
) -> Iterator[Path]:
    """The files and folders in a folder and in those below it, those too that are linked there; not what lies in a folder
    that holds it. skip: names that are left out. Raises OSError for a folder that cannot be listed."""
    above |= {os.path.realpath(folder)}
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not skip(entry.name)]
    for entry in found:
        yield Path(entry.path)
        if _is_folder(entry) and os.path.realpath(entry.path) not in above:
            yield from inside(Path(entry.path), skip, above)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """os.DirEntry.is_dir, which raises for a link to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _reason(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


def _without_waiting(path: Any, flags: int) -> int:
    """A pipe that nobody writes would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
