"""The clock of this process's CPU time, and by how much it moves at once.

Where a process has a CPU limit (`ulimit -t`) or a CPU timer, Linux serves CLOCK_PROCESS_CPUTIME_ID, which is
time.process_time, from a counter that moves with the scheduler's ticks: 4 ms, and an inference takes less. getrusage
stays exact to the microsecond. Other kernels have other coarse clocks, so that the step is found out by reading.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

MOVES = 20  # of a clock, of which the median is its step
MICROSECOND = 1000
PATIENCE = 0.1  # seconds to wait for them


@dataclass(frozen=True)
class Clock:
    """`read`: nanoseconds. `step`: nanoseconds by which it moves; 0 where any two readings differ."""

    name: str
    read: Callable[[], int]
    step: int

    @property
    def words(self) -> str:
        """`process_time`, or `getrusage, which moves in steps of 1 us`"""
        return f"{self.name}, which moves in steps of {self.step / 1e3:g} us" if self.step else self.name


@cache
def cpu_clock() -> Clock:
    """The finest there is."""
    process_time = clock("process_time", time.process_time_ns)
    try:
        import resource
    except ImportError:  # Windows
        return process_time
    if process_time.step == 0:
        return process_time

    def used() -> int:
        told = resource.getrusage(resource.RUSAGE_SELF)
        return round((told.ru_utime + told.ru_stime) * 1e6) * 1000

    return min(clock("getrusage", used, least=MICROSECOND), process_time, key=lambda found: found.step)


def clock(name: str, read: Callable[[], int], least: int = 0) -> Clock:
    """A clock, and how far apart two readings of it are that differ at all. `least`: nanoseconds, its unit."""
    end = time.monotonic() + PATIENCE
    last, moves, stood = read(), list[int](), False
    while len(moves) < MOVES and time.monotonic() < end:
        now = read()
        if now == last:
            stood = True
        else:
            moves.append(now - last)
        last = now
    if not moves:
        return Clock(name, read, round(PATIENCE * 1e9))
    return Clock(name, read, max(least, round(statistics.median(moves)) if stood else 0))
