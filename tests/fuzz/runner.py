"""Runs a case: `edgekit` in a forked child of a warm process, in a folder of its own, under limits, with an eye on every
file that is opened. What may come of it: a clean error, an answer, and nothing else.
"""

import contextlib
import importlib
import io
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from edgekit.cli import main
from edgekit.errors import MissingExtraError
from fuzz.corpus import KINDS, Case, artifacts

CPU_SECONDS, WAIT_SECONDS, MEMORY = 20, 240, 8 << 30
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SECRET = "nothing reads this\n"


@dataclass(frozen=True)
class Result:
    """`what`: error or answer, which are as they should be; traceback, hang, death, outside, wrong, escape, which are not."""

    kind: str
    number: int
    what: str
    code: int
    said: str
    counts: int
    peak: int  # bytes of memory, of the command and of what it started

    @property
    def good(self) -> bool:
        return self.what in ("error", "answer")


class Runner:
    """`work`: a folder for artifacts, and for one case at a time."""

    def __init__(self, work: Path) -> None:
        self.here, self.outside = work / "cases/case", work / "outside"
        shutil.rmtree(work, ignore_errors=True)
        self.here.parent.mkdir(parents=True)
        self.outside.mkdir()
        (self.outside / "secret").write_text(SECRET)
        self.bases = artifacts(work)
        _warm()

    def evaluate_once(self) -> None:
        """What `eval` keeps, for cases that damage it."""
        from PIL import Image

        self.bases["eval"] = place = self.outside.parent / "eval"
        (place / "d").mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (40, 36), (60 * i, 9, 200)).save(place / f"d/{i}.png")
        shutil.copytree(self.bases[".tflite"], place / "a")
        command = ["eval", "a", "--data", "d", "--unlabelled", "--reference", "a", "--no-save", "--state", "state"]
        code, said, _ = _forked(Case(command), place, self.outside)
        assert code == 0, said

    def run(self, kind: str, number: int) -> Result:
        make, _, _ = KINDS[kind]
        if kind == "records" and "eval" not in self.bases:
            self.evaluate_once()
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir()
        before = Path.cwd()
        os.chdir(self.here)
        try:
            case = make(self.bases, Random(f"{kind} {number}"))
        finally:
            os.chdir(before)
        code, said, peak = _forked(case, self.here, self.outside)
        return Result(kind, number, self._judged(case, code, said), code, said[-2000:], case.counts, peak)

    def _judged(self, case: Case, code: int, said: str) -> str:
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return "hang"
        if code < 0:
            return "death"
        if "Traceback (most recent" in said:
            return "traceback"
        if "OUTSIDE" in said or [p.name for p in self.outside.iterdir()] != ["secret"]:
            return "outside"
        if (self.outside / "secret").read_text() != SECRET:
            return "outside"
        if RAW.search(said):
            return "escape"
        if code == 0:
            return "wrong" if case.refused else "answer"
        return "error" if code in (1, 2, 3, 4, 5) and said.strip() else "wrong"


WARM = (
    "runs",
    "gating.judging",
    "inspection.divergence",
    "reporting.html",
    "prediction",
    "pipeline",
    "exporters.torch",
)


def _warm() -> None:
    """What every child would import again; where there is no torch, without it."""
    modules = [f"edgekit.{name}" for name in WARM] + [
        "ai_edge_litert.schema_py_generated",
        "onnx.reference",
        "onnxruntime",
    ]
    for module in modules:
        with contextlib.suppress(ImportError, MissingExtraError):
            importlib.import_module(module)


def _forked(case: Case, here: Path, outside: Path) -> tuple[int, str, int]:
    """The exit code (negative: a signal), all that was said, and the peak of memory."""
    log = here.parent / "said"
    pid = os.fork()
    if pid == 0:
        _child(case, here, outside, log)  # does not come back
    end = time.monotonic() + WAIT_SECONDS
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):  # whatever it started
        os.killpg(pid, signal.SIGKILL)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, log.read_text("utf-8", "backslashreplace"), used.ru_maxrss << 10


def _child(case: Case, here: Path, outside: Path, log: Path) -> None:
    code = 99
    try:
        os.setpgid(0, 0)
        os.chdir(here)
        number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0), os.dup2(number, 1), os.dup2(number, 2)
        for stream in ("stdout", "stderr"):
            setattr(
                sys,
                stream,
                io.TextIOWrapper(io.FileIO(1 if stream == "stdout" else 2, "w"), "utf-8", write_through=True),
            )
        (here / "tmp").mkdir()
        os.environ["TMPDIR"] = str(here / "tmp")
        import tempfile

        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.addaudithook(_watch(here, outside))
        main(case.command)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _watch(here: Path, outside: Path):
    """Says OUTSIDE where something is written elsewhere, or the secret is read."""
    inside, forbidden = str(here), str(outside)
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def hook(event: str, arguments: tuple) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        elsewhere = not path.startswith((inside, "/dev/null")) and "__pycache__" not in path
        if path.startswith(forbidden) or (elsewhere and (arguments[2] or 0) & writing):
            os.write(2, f"OUTSIDE {path}\n".encode())

    return hook
