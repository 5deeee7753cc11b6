"""What every command shares: the flags -q, -v, --json and --debug, talking, and how an error ends the program."""

import contextlib
import errno
import functools
import importlib
import io
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from edgekit.cli import terminal, usage
from edgekit.cli.work import Work, duration
from edgekit.errors import EdgekitError, OutputError, RequestError
from edgekit.harmless import harmless
from edgekit_vision import refuse_strangers

F = TypeVar("F", bound=Callable[..., Any])
INTERRUPTED = 130
UNREAD = 141  # as a shell tells SIGPIPE


class Stop:
    """Ctrl-C or SIGTERM: KeyboardInterrupt, and again at the next step.

    Once is not enough: what is raised in a callback of the garbage collector (jax has one) is swallowed.
    """

    asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self.check()

    def check(self) -> None:
        if self.asked:
            raise KeyboardInterrupt


STOP = Stop()


class Program(usage.Group):
    """All commands: SIGTERM ends them as orderly as Ctrl-C, at whatever moment it comes, and an output that takes nothing is
    an error like others. `homes` says where each command is: it is imported when it is asked for."""

    def __init__(self, *args: Any, homes: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of work, which click would sort."""
        return list(dict.fromkeys([*self.homes, *self.commands]))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.homes and cmd_name not in self.commands:
            module, _, name = self.homes[cmd_name].partition(":")
            self.add_command(getattr(importlib.import_module(f"edgekit.cli.{module}"), name))
        return super().get_command(ctx, cmd_name)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # where --help is answered
        with _read():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _read():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, **kwargs: Any) -> Any:  # type: ignore[override]
        refuse_strangers()
        words = list(sys.argv[1:] if args is None else args)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:  # what runs in the background of a script ignores Ctrl-C
                signal.signal(number, STOP)
        _open_streams()
        try:
            # click's own standalone mode would end with "Aborted!" and 1
            code = super().main(words, **kwargs | {"standalone_mode": False, "prog_name": "edgekit"})
        except usage.HELPED as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            fail(usage.explained(error), as_json="--json" in words)
        except EdgekitError as error:  # of a word that is no command; or the command's own, with --debug
            if "--debug" in words:
                raise
            fail(error, as_json="--json" in words)
        except (KeyboardInterrupt, click.Abort):  # before the command begins, or when it is done
            interrupted()
        except OSError as error:
            if not _writing(error):
                raise
            _forget()
            fail(OutputError(f"cannot write the answer: {error.strerror}", hint="send it to a place with space"))
        sys.exit(code)  # of --help and --version, which alone come back


class Steps:
    """The steps of long work, as the library says them (`say`), and how much of the step at work is done (`say.share`)."""

    def __init__(self, work: Work, *, quiet: bool) -> None:
        self.work, self.quiet = work, quiet
        self.said: set[str] = set()

    def __call__(self, line: str) -> None:
        STOP.check()
        if not self.quiet:
            self.said.add(line)
            self.work.step(harmless(f"  {line}"))

    def share(self, done: float) -> None:
        STOP.check()
        self.work.share(done)


@dataclass
class Talk:
    """Results go to stdout, talk to stderr; with --json stdout is one JSON document only."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False

    def __post_init__(self) -> None:
        self.answered = False
        self.unkept: EdgekitError | None = None
        self.work = Work(lambda line: echo(line, err=True))
        self.say = Steps(self.work, quiet=self.quiet)

    def loading(self) -> None:
        """Seconds pass until torch is imported."""
        if not self.quiet and os.environ.get("RANK", "0") == "0":
            self.work.waiting("loading torch")

    def detail(self, line: str) -> None:
        if self.verbose and not self.quiet:
            self.work.line(harmless(f"  {line}"))

    def warn(self, line: str) -> None:
        self.work.line(harmless(f"warning: {line}"))

    def result(self, lines: str, document: Any, *, verbatim: bool = False) -> None:
        """The answer, for people or as data. `verbatim`: what a program may read, CSV or TOML."""
        self.work.end()
        self.answered = True
        if self.json:
            unkept = _document(self.unkept) if self.unkept else {}
            echo(json.dumps(document | unkept if unkept else document, indent=2), verbatim=True)
        elif lines:
            echo(lines, verbatim=verbatim)

    def keep(self, write: Callable[..., object], *what: Any) -> bool:
        """Write what is kept of an answer, and whether it was written: what stops that is told with the answer, which took
        minutes, and not in its place. Before `result`."""
        try:
            write(*what)
        except EdgekitError as error:
            self.unkept = self.unkept or error
            return False
        return True

    def unsaid(self, lines: Sequence[str]) -> list[str]:
        """Those that were not said as a step: nothing is said twice."""
        return [line for line in lines if line not in self.say.said]

    def next(self, command: Sequence[str | Path] = (), *, timed: bool = True) -> None:
        """The last word of long work to people: how long it took, and one command to go on with, if there is one."""
        self.work.end()
        if not (self.json or self.quiet):
            took = [f"took {duration(self.work.elapsed)}"] if timed else []
            echo("\n".join([*took, *([f"next: {shlex.join(map(str, command))}"] if command else [])]))

    @contextmanager
    def working(self) -> Iterator[None]:
        """However it ends, no clock goes on."""
        try:
            yield
        finally:
            self.work.end()

    @contextmanager
    def progress(self, total: int, what: str, unit: str = "rounds") -> Iterator[Callable[[], None]]:
        """A bar with the time left on a terminal, one plain line elsewhere; yields the function that moves it on."""
        if self.quiet:
            yield STOP.check
            return
        with self.work.counted(total, what, unit) as advance:

            def tick() -> None:
                STOP.check()
                advance()

            yield tick


def echo(text: str, *, err: bool = False, verbatim: bool = False) -> None:
    """Everything that is shown goes through here: what files say must not steer the terminal, and what people read fits it.
    Raises OutputError."""
    if not err and sys.stdout is None:
        raise OutputError("cannot write the answer: standard output is closed", hint="send it somewhere: > answer.txt")
    text = harmless(text)
    if not verbatim:
        if width := terminal.columns(err=err):
            text = terminal.fitted(text, width)
        if terminal.colourful(err=err):
            text = terminal.painted(text)
    click.echo(text, err=err)  # noqa: TID251


def fail(error: EdgekitError, *, as_json: bool = False) -> NoReturn:
    """End the program with what an error says and its exit code."""
    with contextlib.suppress(OSError):  # where stderr takes nothing the exit code must do
        echo(f"error: {error.message}", err=True)
        if error.hint:
            echo(f"  try: {error.hint}", err=True)
    if as_json:
        echo(json.dumps(_document(error)), verbatim=True)
    sys.exit(error.exit_code)


def _document(error: EdgekitError) -> dict[str, Any]:
    return {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}


def interrupted() -> NoReturn:
    echo("interrupted; nothing half-made was left behind", err=True)
    sys.exit(INTERRUPTED)


def _environment(error: OSError | MemoryError | UnicodeEncodeError) -> EdgekitError | None:
    """What no command foresees: the system refuses (a name too long, no memory, too many files). None: a fault of ours."""
    if isinstance(error, MemoryError):
        return OutputError("memory ran out", hint="a smaller file, or a machine with more")
    if isinstance(error, UnicodeEncodeError):
        return RequestError(f"a name is not UTF-8 and cannot be written down: {error.object}", hint="rename it")
    if error.errno is None or isinstance(error, BrokenPipeError) or _writing(error):
        return None
    kind = RequestError if error.errno == errno.ENAMETOOLONG else OutputError
    where = f"{error.filename}: " if error.filename is not None else ""
    unread = "it is not yours to read: chmod u+r, or another user" if isinstance(error, PermissionError) else ""
    return kind(f"{where}{error.strerror}", hint=unread or "--debug shows where it happened")


def _writing(error: OSError) -> bool:
    """Whether it is standard output that takes nothing: of a file there would be a name."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


@contextmanager
def _read() -> Iterator[None]:
    """A reader that has enough, as `head` has, ends the program; click would end it with 1, as for a limit that is missed."""
    try:
        yield
    except BrokenPipeError:
        _forget()
        sys.exit(UNREAD)


def _forget() -> None:
    """What waits in the buffer of standard output would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_streams() -> None:
    """A standard stream that the caller closed: the next file that is opened would take its number, and be written to by
    whatever prints. What cannot be encoded for a terminal is spelled out."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def common(function: F) -> F:
    """Add the shared flags; pass a Talk as the first argument; turn an EdgekitError into its exit code."""

    @click.option("-q", "--quiet", is_flag=True, help="Only results and errors.")
    @click.option("-v", "--verbose", is_flag=True, help="More of what is going on.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, talk on stderr.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def wrapper(*args: Any, quiet: bool, verbose: bool, as_json: bool, debug: bool, **kwargs: Any) -> None:
        talk = Talk(quiet, verbose, as_json, debug)
        from edgekit.extras import needs

        try:
            with talk.working(), needs():
                code = function(talk, *args, **kwargs)
            if talk.unkept:
                raise talk.unkept
        except EdgekitError as error:
            if debug:
                raise
            fail(error, as_json=as_json and not talk.answered)  # stdout holds one document
        except (KeyboardInterrupt, click.Abort):
            interrupted()
        except (OSError, MemoryError, UnicodeEncodeError) as error:
            told = _environment(error)
            if debug or told is None:
                raise
            fail(told, as_json=as_json and not talk.answered)
        sys.exit(code or 0)

    return wrapper  # type: ignore[return-value]


def table(rows: Sequence[tuple[str, ...]], *, header: tuple[str, ...] | None = None, indent: str = "") -> str:
    """Columns padded to their widest cell, folded where a terminal is narrower; "" of no rows."""
    if not rows:
        return ""
    lines = [tuple(cell.replace("\n", "\\n") for cell in line) for line in ([header, *rows] if header else rows)]
    widths = terminal.widths(lines, len(indent), terminal.columns())
    return "\n".join(indent + part for line in lines for part in terminal.folded(line, widths))


def megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
