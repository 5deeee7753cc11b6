"""A function of edgekit's in a process of its own, for what opens a file in its runtime without a worker: what breaks
there (a crash, a hang) breaks that process alone.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

from edgekit.devices import Failure
from edgekit.devices.process import ended, last_words, raised
from edgekit.errors import EdgekitError, WorkerError

T = TypeVar("T")
TIMEOUT = 600.0  # seconds that mean a hang


def apart(what: str, function: Callable[..., T], *arguments: Any, timeout: float = TIMEOUT) -> T:
    """What a module's function answers to arguments that can be pickled. `what` runs, for errors.

    Raises WorkerError where the process crashes, hangs or dies, and the EdgekitError that the function raised.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the program that started it, which ends it
        )
        try:
            reply, _ = process.communicate(pickle.dumps((function, arguments)), timeout)
        except subprocess.TimeoutExpired:
            raise WorkerError(f"{what} hangs: no answer for {timeout:.0f} s, so its process was ended") from None
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise WorkerError(f"{what} {ended(process.returncode)}{last_words(said)}")
    answer: T | Failure = pickle.loads(reply)  # noqa: S301  of our own process
    if isinstance(answer, Failure):
        raise raised(answer)
    return answer


def main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a native library prints goes to standard error
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301, TID251  of our own process
    try:
        answer = function(*arguments)
    except EdgekitError as error:
        answer = Failure.of(error)
    replies.write(pickle.dumps(answer))
    replies.close()


if __name__ == "__main__":
    main()
