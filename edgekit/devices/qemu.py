"""QEMU's user mode: a program sees another CPU. The dynamic build comes from Debian, with the libraries that it needs,
and runs beside whatever is installed; a plugin of ours counts instructions (icount.c)."""

import hashlib
import os
import shutil
from pathlib import Path

from edgekit.devices.cache import Part, Say, make, part, run
from edgekit.devices.packages import debian
from edgekit.errors import DeviceError

SOURCE = Path(__file__).with_name("icount.c")
PLUGINS_UNTIL = 9  # Debian's QEMU is built without them from 10 on; those of 9 have another interface
EMULATORS = ("qemu-aarch64", "qemu-x86_64")


def set_up(say: Say) -> Part:
    """Fetch QEMU where it is missing, and compile the counter where that can be. Raises DeviceError, OutputError."""

    def fetch(folder: Path, downloads: Path) -> dict[str, str]:
        holds = debian(["qemu-user"], None, folder, downloads, say)
        for program in (folder / "usr/bin").glob("qemu-*"):
            if program.name not in EMULATORS:
                program.unlink()  # 30 others
        return {"qemu-user": holds["qemu-user"]}

    there = part("qemu") or make("qemu", fetch)
    if not counts(there) and (reason := _compile(there, say)):
        say(f"devices will answer, but not count instructions: {reason}")
    return there


def _compile(there: Part, say: Say) -> str | None:
    """The counter, from its source; None, or why it cannot be."""
    if int(version(there).partition(".")[0]) >= PLUGINS_UNTIL:
        return f"QEMU {version(there)} of this Debian has no plugins; that of Debian 12 has"
    compiler = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang") if c and shutil.which(c)), None)
    if compiler is None:
        return "there is no C compiler"
    say("compiling the counter of instructions")
    fresh = _counter(there).with_suffix(f".{os.getpid()}")
    run([compiler, "-shared", "-fPIC", "-O2", "-o", fresh, SOURCE], "compile icount.c")
    fresh.replace(_counter(there))
    return None


def ready(kind: str) -> Part:
    """For a kind of device. Raises DeviceError where it was not set up."""
    if there := part("qemu"):
        return there
    raise DeviceError(f"{kind} is not set up", hint=f"edgekit doctor --setup {kind}")


def version(there: Part) -> str:
    """`7.2` of Debian's `1:7.2+dfsg-7`."""
    return there.holds["qemu-user"].partition(":")[2].partition("+")[0]


def counts(there: Part) -> bool:
    return _counter(there).exists()


def command(there: Part, emulator: str, cpu: str, prefix: Path) -> list[str]:
    """Runs what is appended to it; paths that are there below `prefix` are the guest's own."""
    loaders = [str(path) for path in there.folder.rglob("ld-linux*.so.*") if not path.is_symlink()]
    libraries = sorted({str(file.parent) for file in there.folder.rglob("*.so.*")})
    by = [loaders[0], "--library-path", ":".join(libraries)] if loaders else []  # static from Debian 13 on
    plugin = ["-plugin", f"file={_counter(there)}"] if counts(there) else []
    return [*by, str(there.folder / "usr/bin" / emulator), "-cpu", cpu, "-L", str(prefix), *plugin]


def _counter(there: Part) -> Path:
    """Named by its source, so that a newer edgekit compiles its own."""
    return there.folder / f"icount-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
