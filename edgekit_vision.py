"""The distribution `edgekit-vision`: how it was installed, and whether the package `edgekit` is its alone.

PyPI's `edgekit` is somebody else's. Where that is installed too, the package is theirs or a mixture, so this module lies
beside the package and not in it.
"""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = __name__.replace("_", "-")
HERE = Path(__file__).resolve().parent


def main() -> None:
    """The command `edgekit`."""
    refuse_strangers()
    from edgekit.cli import main

    main()


def refuse_strangers() -> None:
    """End the program where another distribution has files in the package."""
    if found := strangers():
        names = " ".join(name.partition(" ")[0] for name in found)
        sys.stderr.write(
            f"error: not only {NAME} has files in the Python package 'edgekit', but also {', '.join(found)}\n"
            f"  try: pip uninstall {names} && pip install --force-reinstall --no-deps {requirement()}\n"
        )
        sys.exit(3)


@functools.cache
def strangers() -> tuple[str, ...]:
    """Other distributions with files in the package, as `name version`.

    It reads what importlib.metadata would: to import that takes half the time of `edgekit --help`, and to ask it, more.
    """
    found = set()
    for place in map(Path, sys.path):
        for about in [*place.glob("*.dist-info"), *place.glob("*.egg-info")]:
            name, _, version = about.stem.partition("-")
            if name != __name__ and _brings_edgekit(about):
                found.add(f"{name} {version}".strip())
    return tuple(sorted(found))


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
    clone = HERE if here is None and (HERE / "pyproject.toml").exists() else None  # only put on the path
    if path := clone or _path(url):
        return f'{"-e " if origin.get("dir_info", {}).get("editable") else ""}"{path}{extras}"'
    return f'"{NAME}{extras} @ {url}"' if url else f'"{NAME}{extras}"'


def installed() -> "Distribution | None":
    """The distribution that brought the package; None where the package was only put on the path."""
    from importlib.metadata import distributions

    named = next(iter(distributions(name=NAME)), None)
    return named or next((d for d in distributions(name="edgekit") if _is_here(d.read_text("direct_url.json"))), None)


def _brings_edgekit(about: Path) -> bool:
    """Whether a folder of metadata tells of files of the package, and is not of this clone before it was renamed."""
    files, packages = "\n" + _read(about / "RECORD"), _read(about / "top_level.txt").split()
    if "\nedgekit/" not in files and "\nedgekit.py," not in files and "edgekit" not in packages:
        return False
    return not _is_here(_read(about / "direct_url.json"))


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _origin(direct_url: str | None) -> dict[str, Any]:
    import json

    origin: dict[str, Any] = json.loads(direct_url or "{}")
    return origin


def _is_here(direct_url: str | None) -> bool:
    path = _path(_origin(direct_url).get("url", ""))
    return path is not None and path.resolve() == HERE


def _path(url: str) -> Path | None:
    """Of a `file:` address."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None
