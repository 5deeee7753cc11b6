"""The one table model of reports, and figures as people read them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgekit.harmless import harmless


@dataclass(frozen=True)
class Cell:
    """What is read, and the number that it is sorted by where it is one."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers, which are aligned to the right."""
        return any(row[column].value is not None for row in self.rows)


def table(caption: str, columns: dict[str, list[Cell]]) -> Table:
    """From columns of equal length; those that say nothing in any row are left out."""
    said = {name: cells for name, cells in columns.items() if any(cell.text for cell in cells)}
    return Table(caption, tuple(said), tuple(zip(*said.values(), strict=True)))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool] = ()) -> str:
    """A table of GitHub's Markdown. Cells are plain text: nothing in them is taken for Markdown or HTML."""
    right = [*numeric, *[False] * (len(header) - len(numeric))]
    lines = [_line(header), "|" + "|".join("---:" if r else "---" for r in right) + "|"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(markdown_text(cell) for cell in cells)} |"


def markdown_text(text: str) -> str:
    """Text of somebody else, such that Markdown shows it as it is, on one line: no HTML, no links, no emphasis."""
    said = harmless(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    said = "".join(f"\\{c}" if c in "\\`*_|~" else c for c in said)
    return said.replace("](", "]\\(").replace("][", "]\\[")


def ms(value: float) -> str:
    """Milliseconds (or any figure) with three digits that count."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"


def millions(count: int) -> str:
    return f"{count / 1e6:,.2f}"


def percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
