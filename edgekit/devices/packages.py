"""Debian packages and wheels of another architecture, unpacked into a folder: without root rights, without installing.

apt-get works in a state of its own that knows of no installed package, so that it fetches all that a package needs.
"""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgekit.devices.cache import Say, run
from edgekit.errors import DeviceError

CONFIGURATION = """
Dir::State "{0}/state"; Dir::State::status "{0}/status"; Dir::Cache "{0}/cache"; Dir::Cache::archives "{0}";
APT::Architecture "{1}"; APT::Architectures {{ "{1}"; }};
APT::Sandbox::User "root"; APT::Install-Recommends "false";
Acquire::Languages "none"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""


def debian(packages: Sequence[str], architecture: str | None, into: Path, downloads: Path, say: Say) -> dict[str, str]:
    """Unpack packages and all that they need; the versions of all by name. None: this system's architecture.

    Raises DeviceError where this is no Debian, or its packages cannot be fetched.
    """
    for tool in ("apt-get", "dpkg-deb", "dpkg"):
        if not shutil.which(tool):
            raise DeviceError(
                f"{tool} is not installed: devices are set up from Debian packages",
                hint="a Debian system, or a container of one",
            )
    architecture = architecture or run(["dpkg", "--print-architecture"], "ask dpkg").strip()
    apt = downloads / architecture
    for folder in ("state/lists/partial", "cache", "partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    configuration = apt / "apt.conf"
    configuration.write_text(CONFIGURATION.format(apt, architecture), "utf-8")
    env = {"APT_CONFIG": str(configuration), "LC_ALL": "C"}

    say(f"downloading Debian's package lists for {architecture}")
    run(["apt-get", "-q", "update"], f"fetch Debian's package lists for {architecture}", env=env)
    install = ["apt-get", "-q", "-y", "--download-only", "install", *packages]
    uris = run([*install, "--print-uris"], f"find {' and '.join(packages)}", env=env)
    sizes = [int(size) for size in re.findall(r"^'\S+' \S+ (\d+)", uris, re.MULTILINE)]
    if sizes:
        say(f"downloading {' '.join(packages)} and what that needs: {len(sizes)} packages, {sum(sizes) / 1e6:.0f} MB")
        run(install, f"download {' and '.join(packages)}", env=env)
    found = {}
    for archive in sorted(apt.glob("*.deb")):
        run(["dpkg-deb", "-x", archive, into], f"unpack {archive.name}")
        name, version = urllib.parse.unquote(archive.stem).split("_")[:2]
        found[name] = version
    return found


def wheels(distributions: Iterable[str], python: str, glibc: int, machine: str, into: Path, say: Say) -> dict[str, str]:
    """Install distributions, with what they need, for a Python `3.11` on glibc 2.`glibc`; the versions by name.

    They get the versions that are installed here, where they are. Raises DeviceError without pip or uv.
    """
    wanted = [pinned(name) for name in distributions]
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(glibc, 16, -1)]
    say(f"downloading wheels for {machine}: {', '.join(wanted)}")
    run(
        [
            *_pip(),
            *("install", "--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary=:all:"),
            *(f"--target={into}", f"--python-version={python}", *platforms, f"--platform=manylinux2014_{machine}"),
            *wanted,
        ],
        f"install wheels for {machine}",
    )
    found = importlib.metadata.distributions(path=[str(into)])
    versions = {distribution.metadata["Name"].lower().replace("_", "-"): distribution.version for distribution in found}
    return {name: versions[name] for name in distributions}


def pinned(name: str) -> str:
    """`numpy==2.4.6` where that is the version here."""
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return name


def installed_here(versions: Mapping[str, str]) -> bool:
    """Whether these are the versions of this environment, as far as it has them."""
    return all(pinned(name) in (name, f"{name}=={version}") for name, version in versions.items())


def _pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    for tool, command in (("uv", ["uv", "tool", "run", "pip"]), ("pip3", ["pip3"]), ("pip", ["pip"])):
        if shutil.which(tool) and not subprocess.run([*command, "--version"], capture_output=True).returncode:
            return command
    raise DeviceError("neither pip nor uv is there to fetch wheels", hint="python -m ensurepip")
