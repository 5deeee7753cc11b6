"""Artifacts side by side: open, feed, time, compare."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import artifact, registry
from edgekit.bench.latency import Ratio, Samples, measure, ratio
from edgekit.runtimes import Options


@dataclass(frozen=True)
class Row:
    """Milliseconds are medians of single inferences; `ratio` is CPU time over the first artifact's."""

    name: str
    runtime: str
    bytes: int
    cpu_ms: float
    wall_ms: float
    ratio: Ratio | None
    samples: Samples

    @property
    def ratio_text(self) -> str:
        return f"{self.ratio.value:.2f} [{self.ratio.low:.2f}, {self.ratio.high:.2f}]" if self.ratio else "1"

    def document(self) -> dict[str, Any]:
        r = self.ratio
        return {
            "artifact": self.name,
            "runtime": self.runtime,
            "bytes": self.bytes,
            "cpu_ms": self.cpu_ms,
            "wall_ms": self.wall_ms,
            "cpu_ratio": {"value": r.value, "low": r.low, "high": r.high} if r else None,
            "samples_ns": {"cpu": self.samples.cpu, "wall": self.samples.wall},
        }


def compare(
    folders: Sequence[Path], options: Options, *, rounds: int, warmup: int, tick: Callable[[], None] = lambda: None
) -> list[Row]:
    """Time artifacts on their own golden tensors. Raises ArtifactError, WorkerError."""
    opened = [artifact.load(folder) for folder in folders]
    with ExitStack() as stack:
        sessions = []
        for a in opened:
            session = registry.runtime_for(a.manifest.target).open(a, options)
            stack.callback(session.close)
            sessions.append(session)
        tensors = [a.golden().tensors[:1] for a in opened]
        calls = [lambda s=s, t=t: s.run(t) for s, t in zip(sessions, tensors, strict=True)]
        samples = measure(calls, rounds=rounds, warmup=warmup, tick=tick)
        runtimes = [s.facts()["runtime"] for s in sessions]
    return [
        Row(
            name=a.name,
            runtime=runtime,
            bytes=a.model_bytes,
            cpu_ms=statistics.median(s.cpu) / 1e6,
            wall_ms=statistics.median(s.wall) / 1e6,
            ratio=ratio(s, samples[0]) if i else None,
            samples=s,
        )
        for i, (a, s, runtime) in enumerate(zip(opened, samples, runtimes, strict=True))
    ]


def sentence(rows: Sequence[Row]) -> str:
    """The fastest against the slowest, in plain words."""
    fast, slow = min(rows, key=lambda r: r.cpu_ms), max(rows, key=lambda r: r.cpu_ms)
    r = ratio(slow.samples, fast.samples)
    smaller = slow.bytes / fast.bytes
    size = (
        f"{smaller:.1f} times smaller"
        if smaller >= 1.05
        else f"{1 / smaller:.1f} times larger"
        if smaller <= 0.95
        else "as large"
    )
    if r.low <= 1:
        return f"{fast.name} and {slow.name} take the same time as far as {len(fast.samples.cpu)} rounds can tell; the first is {size}."
    margin = max(r.high - r.value, r.value - r.low)
    return f"{fast.name} is {r.value:.2f} +- {margin:.2f} times faster than {slow.name}, and {size}."
