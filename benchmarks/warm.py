"""Exports without the imports: a process that has imported torch and the makers forks for each command. Half of the CPU time of a small
network's export is import, which a benchmark of some hundred exports need not pay each time.

    with warm.program() as program: Measuring(..., program=program)

The command runs in a process of its own, as it does without this; what measures (`bench`, `eval`) is started anew.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

MAKES = ("export", "inspect")
IMPORTS = ("torch", "timm", "onnx", "onnxscript", "torch.onnx._internal.exporter._core", "edgekit.pipeline", "edgekit.cli.export")  # fmt: skip


@contextlib.contextmanager
def program() -> Iterator[tuple[str, ...]]:
    """The words that stand for `python -m edgekit`."""
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder, "socket"))
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(place)
        listening.listen()
        server = os.fork()
        if not server:
            _serve(listening)
        listening.close()
        try:
            yield (sys.executable, "-S", __file__, place)
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)


def _serve(listening: socket.socket) -> None:
    import ctypes
    import importlib

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    for name in IMPORTS:
        importlib.import_module(name)
    while True:
        asked, _ = listening.accept()
        said, fds, _, _ = socket.recv_fds(asked, 1 << 20, 2)
        child = os.fork()
        if not child:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
            _run(json.loads(said), fds)
        for fd in fds:
            os.close(fd)
        threading.Thread(target=_tell, args=(asked, child), daemon=True).start()


def _run(said: list[str], fds: list[int]) -> None:
    for at, fd in enumerate(fds, 1):
        os.dup2(fd, at)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", encoding="utf-8") for fd in (1, 2))
    os.chdir(said[0])
    sys.argv = ["edgekit", *said[1:]]
    code = 1
    try:
        from edgekit_vision import main

        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(asked: socket.socket, child: int) -> None:
    """How the child ended; it ends when who asked is gone."""
    ended = threading.Event()

    def watch() -> None:
        asked.recv(1)
        if not ended.is_set():
            os.kill(child, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(child, 0)
    ended.set()
    with contextlib.suppress(OSError):
        asked.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        asked.shutdown(socket.SHUT_RDWR)


def _ask(place: str, words: list[str]) -> None:
    if words[0] not in MAKES:
        os.execv(sys.executable, [sys.executable, "-m", "edgekit", *words])
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(place)
        socket.send_fds(asked, [json.dumps([str(Path.cwd()), *words]).encode()], [1, 2])
        code = int(asked.recv(16) or b"1")
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    _ask(sys.argv[1], sys.argv[2:])
