"""Instructions of single inferences, counted from outside by the emulator that runs this process (icount.c)."""

import contextlib
import os
import struct
from collections.abc import Callable

from edgekit.errors import UnsupportedError

MARK = 0x7EAD0000
WARMUP = 2  # Python too adapts to what it repeats


def count(run: Callable[[], object], times: int) -> tuple[int, ...]:
    """Of each of `times` calls, after two that do not count. Raises UnsupportedError where nothing counts."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        return tuple(_count_one(run, reader, MARK + writer) for _ in range(WARMUP + times))[WARMUP:]
    finally:
        os.close(reader)
        os.close(writer)


def _count_one(run: Callable[[], object], reader: int, mark: int) -> int:
    """Between two marks. To close a file descriptor that does not exist does nothing, but the emulator sees it."""
    with contextlib.suppress(OSError):
        os.close(mark)
    run()
    with contextlib.suppress(OSError):
        os.close(mark)
    try:
        before, after = struct.unpack("=2Q", os.read(reader, 16))
    except (BlockingIOError, struct.error):
        raise UnsupportedError("nothing counts instructions here", hint="--on arm64:cortex-a76 can") from None
    return int(after - before)
