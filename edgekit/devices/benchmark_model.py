"""TFLite's `benchmark_model`, a program for Android that a user brings. It prints means, and neither samples nor answers."""

import re
import shlex
from pathlib import Path

import msgspec

from edgekit.devices.phone import Phone, passed
from edgekit.errors import RequestError, WorkerError

NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"
TOLD = re.compile(
    rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, Warmup \(avg\): {NUMBER}, Inference \(avg\): {NUMBER}"
)


class Means(msgspec.Struct, frozen=True):
    """Nanoseconds on the wall. `inference`, `warmup`: means over many; of how many inferences."""

    load: float
    first: float
    warmup: float
    inference: float
    inferences: int


def parse(said: str) -> Means:
    """What it printed. Raises WorkerError where the line with the times is not there."""
    found, counts = TOLD.search(said), re.findall(r"count=(\d+)", said)
    if not found or not counts:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise WorkerError(f"benchmark_model tells no times: {lines[-1] if lines else 'it said nothing'}")
    load, first, warmup, inference = (float(us) * 1e3 for us in found.groups())
    return Means(load, first, warmup, inference, int(counts[-1]))


def benchmark(
    phone: Phone, binary: Path, file: Path, threads: int, warmup: int, runs: int, timeout: float
) -> tuple[Means, dict[str, str]]:
    """Run it on a .tflite file; the means, and facts of the phone. Raises RequestError, DeviceError, WorkerError."""
    if not binary.is_file():
        raise RequestError(f"{binary} is no file", hint="--benchmark-binary with benchmark_model for the phone's CPU")
    with phone.folder() as folder:
        phone.push([binary, file], folder, timeout)
        program, model = (shlex.quote(f"{folder}/{path.name}") for path in (binary, file))
        before = phone.conditions()
        flags = f"--num_threads={threads} --warmup_runs={warmup} --num_runs={runs}"
        said = phone.try_shell(f"chmod 755 {program}; {program} --graph={model} {flags} 2>&1", timeout)
        return parse(said), phone.facts() | passed(before, phone.conditions())
