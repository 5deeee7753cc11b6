"""What is under way, on stderr: each step a line that stays. On a terminal the step at work has a clock, and a bar with the
time left where it is known how much is done."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgekit.cli import terminal
from edgekit.errors import many

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

TOLD = 1.0  # seconds from which on a step says how long it took


class Work:
    def __init__(self, write: Callable[[str], None]) -> None:
        """write: puts a line on stderr."""
        self.write = write
        self.began = time.monotonic()
        self._line = ""
        self._since = 0.0
        self._bar: Progress | None = None
        self._task: Any = None
        self._counts = False

    def step(self, line: str) -> None:
        """What begins now; what was at work is done. A line that is no `-ing` is a fact, which takes no time."""
        if self._counts or not terminal.moving():
            self.line(line)
        elif line.split()[0].rstrip(":").endswith("ing"):
            self.end()
            self._line, self._since = line, time.monotonic()
            self._show(line, None)
        else:
            self.line(line)
            self._show("working", None)

    def waiting(self, what: str) -> None:
        """Before anything can be said, as while torch is imported: a clock on a terminal, and no line that stays."""
        if terminal.moving():
            self.end()
            self._show(what, None)

    def line(self, line: str) -> None:
        """One that is no step; above the bar, where there is one."""
        if self._bar and self._counts:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            self.end()
            self.write(line)

    @property
    def elapsed(self) -> float:
        """Seconds since all began."""
        return time.monotonic() - self.began

    def share(self, done: float) -> None:
        """How much of the step is done: 0 to 1."""
        if self._bar:
            self._bar.update(self._task, total=1.0, completed=done)

    def end(self) -> None:
        """The step that is at work is done: its line stays."""
        line, self._line = self._line, ""
        self._hide()
        if line:
            took = time.monotonic() - self._since
            self.write(f"{line}  {duration(took)}" if took >= TOLD else line)

    @contextmanager
    def counted(self, total: int, what: str, unit: str) -> Iterator[Callable[[], None]]:
        """A bar; yields the function that moves it on."""
        self.end()
        if not terminal.moving():
            self.write(f"  {what} ({many(total, unit)})")
            yield lambda: None
            return
        self._counts = True
        self._show(what, total)
        bar, task = self._bar, self._task
        assert bar
        try:
            yield lambda: bar.advance(task)
        finally:
            self._counts = False
            self._hide()

    def _show(self, what: str, total: float | None) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Remaining
        from rich.text import Text

        class Left(Remaining):
            """Tells nothing where an item takes longer than all that is left was thought to take."""

            done, since = 0.0, 0.0

            def render(self, task: Task) -> Text:
                if task.completed != self.done:
                    self.done, self.since = task.completed, task.get_time()
                late = task.get_time() - self.since > (task.time_remaining or 0)
                told = super().render(task).plain
                return Text("" if late or not told.strip("-:") else f"{told} left", style="progress.remaining")

        room = (terminal.columns(err=True) or 80) - 40  # what the bar and the clocks take
        shown = what.strip() if len(what.strip()) <= room else f"{what.strip()[: room - 3]}..."
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(14), TimeElapsedColumn())
        self._bar = Progress(*columns, Left(compact=True), console=_console(), transient=True, refresh_per_second=4)
        self._task = self._bar.add_task(shown, total=total)
        self._bar.start()

    def _hide(self) -> None:
        if bar := self._bar:
            self._bar = None
            bar.stop()
            with contextlib.suppress(OSError):
                bar.console.file.close()


def _console() -> "Console":
    """Of the terminal itself: what a library prints is caught by turning stderr elsewhere (`quiet.silenced`)."""
    from rich.console import Console

    return Console(file=os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace"), force_terminal=True)


def duration(seconds: float) -> str:
    """`3.2 s`, `41 s`, `12 min`"""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
