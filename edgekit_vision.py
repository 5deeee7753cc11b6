"""The distribution `edgekit-vision`: how it was installed, and whether the package `edgekit` is its alone.

PyPI's `edgekit` is somebody else's. Where that is installed too, the package is theirs or a mixture, so this module lies
beside the package and not in it. It is what the command `edgekit` imports first, and imports next to nothing itself:
what `--help` and the completion of a shell cost is mostly imports.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.metadata import Distribution
    from pathlib import Path
    from typing import Any

NAME = __name__.replace("_", "-")
HERE = os.path.dirname(os.path.realpath(__file__))  # pathlib takes as long to import as Python to start
HELP = f"{HERE}/edgekit/cli/help.txt"
WIDTH = 80  # columns from which on HELP is what click would say

_strangers: list[tuple[str, ...]] = []


def main() -> None:
    """The command `edgekit`."""
    refuse_strangers()
    if sys.argv[1:] in (["--help"], ["-h"]) and _helped():
        return
    from edgekit.cli import main

    main()


def _helped() -> bool:
    """Whether --help was answered: with the text that is kept, without click. Whatever is unusual is left to click."""
    try:
        columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size().columns
    except (OSError, ValueError):
        columns = WIDTH  # no terminal
    if columns and columns < WIDTH:
        return False
    try:
        with open(HELP, encoding="utf-8") as text:
            sys.stdout.write(text.read())
        sys.stdout.flush()
    except (AttributeError, OSError):
        return False
    return True


def refuse_strangers() -> None:
    """End the program where another distribution has files in the package."""
    if found := strangers():
        names = " ".join(name.partition(" ")[0] for name in found)
        sys.stderr.write(
            f"error: not only {NAME} has files in the Python package 'edgekit', but also {', '.join(found)}\n"
            f"  try: pip uninstall {names} && pip install --force-reinstall --no-deps {requirement()}\n"
        )
        sys.exit(3)


def strangers() -> tuple[str, ...]:
    """Other distributions with files in the package, as `name version`; found once.

    It reads what importlib.metadata would: to import that takes half the time of `edgekit --help`, and to ask it, more.
    """
    if not _strangers:
        _strangers.append(tuple(sorted(set(_look()))))
    return _strangers[0]


def _look() -> "list[str]":
    found = []
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for about in names:
            stem, dot, kind = about.rpartition(".")
            name, _, version = stem.partition("-")
            told = dot and kind in ("dist-info", "egg-info") and name != __name__
            if told and _brings_edgekit(os.path.join(place, about)):
                found.append(f"{name} {version}".strip())
    return found


def install(extra: str) -> str:
    """The command that adds an extra to this installation."""
    return f"pip install {requirement(extra)}"


def requirement(extra: str = "") -> str:
    """This edgekit, as pip takes it: the clone, file or address that it was installed from (PEP 610), else its name."""
    extras = f"[{extra}]" if extra else ""
    here = installed()
    origin = _origin(here.read_text("direct_url.json") if here else None)
    url = origin.get("url", "")
    if vcs := origin.get("vcs_info"):
        revision = vcs.get("requested_revision") or vcs["commit_id"]
        folder = f"#subdirectory={origin['subdirectory']}" if "subdirectory" in origin else ""
        return f'"{NAME}{extras} @ {vcs["vcs"]}+{url}@{revision}{folder}"'
    clone = HERE if here is None and os.path.exists(f"{HERE}/pyproject.toml") else None  # only put on the path
    if path := clone or _path(url):
        return f'{"-e " if origin.get("dir_info", {}).get("editable") else ""}"{path}{extras}"'
    return f'"{NAME}{extras} @ {url}"' if url else f'"{NAME}{extras}"'


def installed() -> "Distribution | None":
    """The distribution that brought the package; None where the package was only put on the path."""
    from importlib.metadata import distributions

    named = next(iter(distributions(name=NAME)), None)
    return named or next((d for d in distributions(name="edgekit") if _is_here(d.read_text("direct_url.json"))), None)


def _brings_edgekit(about: str) -> bool:
    """Whether a folder of metadata tells of files of the package, and is not of this clone before it was renamed."""
    files, packages = b"\n" + _read(f"{about}/RECORD"), _read(f"{about}/top_level.txt").split()
    if b"\nedgekit/" not in files and b"\nedgekit.py," not in files and b"edgekit" not in packages:
        return False
    return not _is_here(_read(f"{about}/direct_url.json").decode("utf-8", "replace"))


def _read(file: str) -> bytes:
    try:
        with open(file, "rb", buffering=0) as opened:
            return opened.read()
    except OSError:
        return b""


def _origin(direct_url: str | None) -> "dict[str, Any]":
    import json

    origin: dict[str, Any] = json.loads(direct_url or "{}")
    return origin


def _is_here(direct_url: str | None) -> bool:
    path = _path(_origin(direct_url).get("url", ""))
    return path is not None and os.path.realpath(path) == HERE


def _path(url: str) -> "Path | None":
    """Of a `file:` address."""
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None
