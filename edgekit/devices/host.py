"""Facts about this machine that decide the answers and the speed of an int8 file."""

import contextlib
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction-set flags; empty where the system does not tell (macOS, Windows)."""
    return frozenset((_field("/proc/cpuinfo", "flags") or _field("/proc/cpuinfo", "Features")).split())


def cpu_class() -> str:
    """x86-vnni, x86, arm-dotprod, arm, or the machine's own word for something else."""
    apple = frozenset({"asimddp"}) if platform.system() == "Darwin" else frozenset()  # it tells no flags
    return class_of(platform.machine().lower(), cpu_flags() | apple)


def class_of(machine: str, flags: frozenset[str]) -> str:
    """The CPU class of any machine, by its name and the flags of its /proc/cpuinfo."""
    if machine in ("x86_64", "amd64"):
        return "x86-vnni" if flags & {"avx512_vnni", "avx_vnni"} else "x86"
    if machine in ("aarch64", "arm64"):
        return "arm-dotprod" if "asimddp" in flags else "arm"
    return machine or "unknown"


def facts() -> dict[str, str]:
    return {
        "cpu_class": cpu_class(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": str(os.cpu_count() or 0),
        "python": platform.python_version(),
    }


def conditions() -> dict[str, str]:
    """`facts`, and what else decides how fast this machine is just now. What the system does not tell is left out."""
    told = {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "quota": _text("/sys/fs/cgroup/cpu.max"),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "",
    }
    return facts() | {name: value for name, value in told.items() if value}


def _field(file: str, name: str) -> str:
    lines = (line.partition(":") for line in _text(file).splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Resident:
    """Bytes of this process in memory: all, those that no file backs, and the most there ever were."""

    total: int
    anonymous: int
    peak: int


def free_memory() -> int | None:
    """Bytes that could be taken without swapping; None where the system does not tell (it is Linux that does)."""
    told = _field("/proc/meminfo", "MemAvailable").split()
    return int(told[0]) * 1024 if told else None


def memory() -> Resident | None:
    """None where the system does not tell (it is Linux that does)."""
    fields = dict(line.split(":", 1) for line in _text("/proc/self/status").splitlines())
    kilobytes = [fields[name].split()[0] for name in ("VmRSS", "RssAnon", "VmHWM") if name in fields]
    return Resident(*(int(k) * 1024 for k in kilobytes)) if len(kilobytes) == 3 else None


def involuntary_switches() -> int:
    """How often another process cut in on this one; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def die_first() -> None:
    """Where memory runs out, let Linux end this process before any other."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "utf-8")
