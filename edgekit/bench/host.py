"""Facts about this machine that decide the answers and the speed of an int8 file."""

import os
import platform
from functools import cache
from pathlib import Path


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction-set flags; empty where the system does not tell (macOS, Windows)."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = [line.partition(":")[2] for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return frozenset(lines[0].split()) if lines else frozenset()


def cpu_class() -> str:
    """x86-vnni, x86, arm-dotprod, arm, or the machine's own word for something else."""
    machine, flags = platform.machine().lower(), cpu_flags()
    if machine in ("x86_64", "amd64"):
        return "x86-vnni" if flags & {"avx512_vnni", "avx_vnni"} else "x86"
    if machine in ("aarch64", "arm64"):
        return "arm-dotprod" if "asimddp" in flags or platform.system() == "Darwin" else "arm"
    return machine or "unknown"


def facts() -> dict[str, str]:
    return {
        "cpu_class": cpu_class(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": str(os.cpu_count() or 0),
        "python": platform.python_version(),
    }
