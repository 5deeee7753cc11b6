"""What every command shares: the flags -q, -v, --json and --debug, talking, and how an error ends the program."""

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from edgekit.errors import EdgekitError

F = TypeVar("F", bound=Callable[..., Any])
INTERRUPTED = 130


@dataclass
class Talk:
    """Results go to stdout, talk to stderr; with --json stdout is one JSON document only."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    debug: bool = False

    def say(self, line: str) -> None:
        """A step of long work."""
        if not self.quiet:
            click.echo(f"  {line}", err=True)

    def detail(self, line: str) -> None:
        if self.verbose and not self.quiet:
            click.echo(f"  {line}", err=True)

    def warn(self, line: str) -> None:
        click.echo(f"warning: {line}", err=True)

    def result(self, lines: str, document: Any) -> None:
        if self.json:
            click.echo(json.dumps(document, indent=2))
        elif lines:
            click.echo(lines)

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Callable[[], None]]:
        """A progress bar on a terminal, one plain line elsewhere; yields the function that moves it on."""
        if self.quiet or not sys.stderr.isatty():
            self.say(f"{what} ({total} rounds)")
            yield lambda: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)


def common(function: F) -> F:
    """Add the shared flags; pass a Talk as the first argument; turn an EdgekitError into its exit code."""

    @click.option("-q", "--quiet", is_flag=True, help="Only results and errors.")
    @click.option("-v", "--verbose", is_flag=True, help="More of what is going on.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, talk on stderr.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def wrapper(*args: Any, quiet: bool, verbose: bool, as_json: bool, debug: bool, **kwargs: Any) -> None:
        talk = Talk(quiet, verbose, as_json, debug)
        try:
            code = function(talk, *args, **kwargs)
        except EdgekitError as error:
            if debug:
                raise
            if as_json:
                click.echo(json.dumps({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))
            click.echo(f"error: {error.message}", err=True)
            if error.hint:
                click.echo(f"  try: {error.hint}", err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; nothing was left behind", err=True)
            sys.exit(INTERRUPTED)
        sys.exit(code or 0)

    return wrapper  # type: ignore[return-value]


def table(rows: Sequence[tuple[str, ...]], *, header: tuple[str, ...] | None = None, indent: str = "") -> str:
    """Columns padded to their widest cell."""
    lines = [header, *rows] if header else rows
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        indent + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
