"""A worker in a process of its own, and what to say when it does not answer."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, TypeVar

import msgspec

from edgekit import errors
from edgekit.devices import (
    Answer,
    Count,
    Counts,
    End,
    Failure,
    Infer,
    Job,
    Memory,
    Operators,
    Profile,
    Ready,
    Reply,
    Request,
    Samples,
    Tensors,
    pack,
    packed,
    unpack,
)
from edgekit.errors import EdgekitError, WorkerError
from edgekit.runtimes import OperatorTime
from edgekit.tensors import Array, Arrays

R = TypeVar("R", bound=Reply)


class ProcessWorker:
    """Starts a command, hands it the job and waits until the file is open. Raises as devices.Worker does."""

    def __init__(
        self, command: Sequence[str], job: Job, *, env: Mapping[str, str] | None = None, timeout: float
    ) -> None:
        self.job, self.timeout = job, timeout
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  closed by kill
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            env=dict(os.environ) | dict(env or {}),
            start_new_session=True,  # Ctrl-C is for the program that started it, which ends it
        )
        self.replies: queue.Queue[tuple[Reply | str, bytes] | None] = queue.Queue()
        # a thread, because a pipe cannot be waited for with a timeout on every system
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            # json: msgspec's refuses names that are not UTF-8
            self._send(json.dumps(msgspec.to_builtins(job)).encode() + b"\n")
            self.ready = self._receive(Ready)[0]
        except BaseException:
            self.kill()
            raise

    def infer(self, times: int) -> Samples:
        return self._ask(Infer(times), Samples)[0]

    def count(self, times: int) -> tuple[int, ...]:
        return self._ask(Count(times), Counts)[0].instructions

    def profile(self, times: int) -> tuple[OperatorTime, ...]:
        return self._ask(Profile(times), Operators)[0].operators

    def answer(self, tensors: Array) -> Arrays:
        """Raw answers to raw tensors [n, ...], one [n, ...] for each output, as the file has them."""
        reply, payload = self._ask(Answer(packed(tensors)), Tensors, pack([tensors]))
        return unpack(reply.outputs, payload)

    def end(self) -> Memory | None:
        """Close the file and end the process."""
        try:
            return self._ask(End(), End)[0].memory
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process whatever it does; harmless when it has ended."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.said):
            with contextlib.suppress(OSError):
                assert stream
                stream.close()

    def _ask(self, request: Request, kind: type[R], payload: bytes = b"") -> tuple[R, bytes]:
        self._send(msgspec.json.encode(request) + b"\n" + payload)
        return self._receive(kind)

    def _send(self, line: bytes) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended: the missing reply says so
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def _receive(self, kind: type[R]) -> tuple[R, bytes]:
        try:
            received = self.replies.get(timeout=self.timeout)
            code = self.process.wait(self.timeout) if received is None else 0
        except (queue.Empty, subprocess.TimeoutExpired):
            self.process.kill()
            raise WorkerError(
                f"{self._what()} hangs: no answer for {self.timeout:.0f} s, so its process was ended",
                hint="a longer --timeout, if it is only slow",
            ) from None
        if received is None:
            raise WorkerError(f"{self._what()} {ended(code)}{last_words(self.said)}")
        reply, payload = received
        if isinstance(reply, Failure):
            raise raised(reply)
        if not isinstance(reply, kind):
            self.process.kill()
            raise WorkerError(f"{self._what()} answered {reply!r:.80}, which is no {kind.__name__}")
        return reply, payload

    def _listen(self) -> None:
        """Replies as they come, or the line that is none; None when there will be no more."""
        assert self.process.stdout
        with self.process.stdout as stream:
            while (line := stream.readline()).endswith(b"\n"):
                try:
                    reply = msgspec.json.decode(line, type=Reply)
                    size = sum(p.size for p in reply.outputs) if isinstance(reply, Tensors) else 0
                except (msgspec.DecodeError, TypeError):  # TypeError: tensors of a type that nobody knows
                    self.replies.put((line.decode(errors="replace").strip(), b""))
                    break
                payload = stream.read(size)
                if len(payload) < size:
                    break
                self.replies.put((reply, payload))
        self.replies.put(None)

    def _what(self) -> str:
        return f"{self.job.runtime} with {self.job.model}"


def raised(failure: Failure) -> EdgekitError:
    """The error that a worker told of."""
    kind: type[EdgekitError] = getattr(errors, failure.kind, WorkerError)
    error = EdgekitError.__new__(kind)  # not by its own __init__, which may take other things
    EdgekitError.__init__(error, failure.message, hint=failure.hint)
    return error


def last_words(said: IO[bytes]) -> str:
    """Of what a process wrote to its standard error."""
    said.seek(0)
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""


def ended(code: int) -> str:
    """What an exit status means, in words."""
    if code == -signal.SIGKILL:
        return "was killed, most likely because memory ran out"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended without an answer (exit code {code})"
