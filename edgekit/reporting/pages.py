"""A report as a file: a page, or Markdown."""

from collections.abc import Sequence
from pathlib import Path

from edgekit import places
from edgekit.errors import RequestError
from edgekit.reporting import Report
from edgekit.reporting.html import html
from edgekit.reporting.markdown import markdown

KINDS = (".html", ".htm", ".md")


def check(where: Path, sources: Sequence[Path]) -> None:
    """Refuse a place that is none for a report of these files of runs. Raises RequestError."""
    if where.is_dir():
        raise RequestError(f"{where} is a folder", hint=f"-o {where / 'report.html'}")
    if where.suffix.lower() not in KINDS:
        raise RequestError(f"{where} is neither .html nor .md", hint="-o report.html or -o report.md")
    if any(source.exists() and where.exists() and source.samefile(where) for source in sources):
        raise RequestError(f"{where} is one of the files of runs", hint="-o build/report.html")


def write(report: Report, where: Path) -> int:
    """How many bytes it has. Raises OutputError."""
    text = markdown(report) if where.suffix.lower() == ".md" else html(report)
    with places.output_errors("-o another/report.html"):
        where.parent.mkdir(parents=True, exist_ok=True)
    with places.replacing(where, "-o another/report.html") as partial:
        partial.write_text(text, "utf-8", newline="\n")
    return len(text.encode())
