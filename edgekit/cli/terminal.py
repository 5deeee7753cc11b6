"""What a terminal is given and a file is not: lines that fit, and colour."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence

NARROWEST = 12  # a column that is folded keeps so much
COMMAND = re.compile(r"\s*(try|next): ")  # what is to be copied stays one line
COLOURS = {
    "32": r"(?:^|(?<=  ))(?:pass|ok|identical)(?=:|  |$)",
    "31;1": r"(?:^|(?<=  ))(?:error|fail|failed|FAIL|missing)(?=:|  |$)",
    "33": r"(?:^|(?<=  ))(?:warning|careful|inconclusive|skipped|but)(?=:|  |$)",
    "36;1": r"(?<=try: ).+$|(?<=next: ).+$",
}


def columns(*, err: bool = False) -> int | None:
    """Of the terminal that is written to; None where a file or a pipe takes what is written."""
    stream = sys.stderr if err else sys.stdout
    if stream is None or not stream.isatty():
        return None
    return shutil.get_terminal_size().columns


def colourful(*, err: bool = False) -> bool:
    """See no-color.org."""
    return columns(err=err) is not None and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def moving() -> bool:
    """Whether stderr is a terminal on which a line can be written over, as a bar or a clock is."""
    return columns(err=True) is not None and os.environ.get("TERM") != "dumb"


def fitted(text: str, width: int) -> str:
    """Sentences broken at words; what goes on is indented."""
    return "\n".join(_fitted(line, width) for line in text.split("\n"))


def _fitted(line: str, width: int) -> str:
    if len(line) <= width or COMMAND.match(line):
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def painted(text: str) -> str:
    """Outcomes, warnings and what to type next in colour: words that begin a line or fill a cell."""
    for code, words in COLOURS.items():
        text = re.sub(words, f"\x1b[{code}m\\g<0>\x1b[0m", text, flags=re.MULTILINE)
    return text


def widths(cells: Sequence[Sequence[str]], indent: int, width: int | None) -> list[int]:
    """Of a table's columns: as wide as their cells, or, where a terminal is narrower, less of the widest."""
    wanted = [max(map(len, column)) for column in zip(*cells, strict=True)]
    while width and (excess := indent + sum(wanted) + 2 * (len(wanted) - 1) - width) > 0:
        widest = max(range(len(wanted)), key=wanted.__getitem__)
        others = sorted(wanted)[-2] if len(wanted) > 1 else 0
        less = min(excess, max(wanted[widest] - others, 1), wanted[widest] - NARROWEST)
        if less <= 0:
            break
        wanted[widest] -= less
    return wanted


def folded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """A line of a table as the lines that it takes, padded to its columns."""
    cells = [
        textwrap.wrap(cell, width) if len(cell) > width else [cell] for cell, width in zip(line, widths, strict=True)
    ]
    depth = max(map(len, cells))
    return [
        "  ".join(
            (cell[i] if i < len(cell) else "").ljust(width) for cell, width in zip(cells, widths, strict=True)
        ).rstrip()
        for i in range(depth)
    ]
