"""edgekit report"""

from pathlib import Path

import click

from edgekit.cli.output import Talk, common
from edgekit.errors import RequestError

KINDS = (".html", ".htm", ".md")


@click.command(short_help="Draw what was measured, as a page.")
@click.argument("files", nargs=-1, metavar="[RUNS]...")
@click.option(
    "-o",
    "--output",
    default="build/report.html",
    show_default=True,
    metavar="FILE",
    help="An .html page, or .md; - is Markdown on stdout.",
)
@click.option("--title", default="edgekit report", show_default=True, metavar="TEXT", help="Heading of the page.")
@common
def report(talk: Talk, files: tuple[str, ...], output: str, title: str) -> int:
    """Draw what edgekit bench and edgekit eval measured: one page that needs no network, or Markdown.

    RUNS are files of runs, build/runs.jsonl where none is named. Machines are kept apart; accuracy is found by the bytes
    of the file.

    \b
    Examples:
      edgekit report
      edgekit report build/runs.jsonl laptop.jsonl -o build/report.html --title "MobileNetV2 in October"
      edgekit report -o - >> "$GITHUB_STEP_SUMMARY"
    """
    from edgekit import places, runs
    from edgekit.reporting import report as make
    from edgekit.reporting.html import html
    from edgekit.reporting.markdown import markdown

    where = Path(output)
    to_stdout = output == "-"
    if to_stdout and talk.json:
        raise RequestError("-o - and --json both want stdout", hint="-o report.md --json")
    if not to_stdout and where.is_dir():
        raise RequestError(f"{output} is a folder", hint=f"-o {where / 'report.html'}")
    if not to_stdout and where.suffix.lower() not in KINDS:
        raise RequestError(f"{output} is neither .html nor .md", hint="-o report.html, -o report.md, or -o -")
    sources = [Path(file) for file in files or ("build/runs.jsonl",)]
    if not to_stdout and any(source.exists() and where.exists() and source.samefile(where) for source in sources):
        raise RequestError(f"{output} is one of the files of runs", hint="-o build/report.html")
    records, warnings = runs.read(sources)
    for warning in warnings:
        talk.warn(warning)
    made = make(records, warnings, title)
    if to_stdout:
        talk.result(markdown(made).rstrip("\n"), None)
        return 0
    text = markdown(made) if where.suffix.lower() == ".md" else html(made)
    with places.output_errors("-o another/report.html"):
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text, "utf-8", newline="\n")
    counts = {
        "runs": made.runs,
        "evaluations": len(made.evaluated),
        "machines": len(made.machines),
    }
    said = ", ".join(f"{n} {what[:-1] if n == 1 else what}" for what, n in counts.items() if n)
    document = {"written": output, "bytes": len(text.encode()), **counts, "warnings": warnings}
    talk.result(f"{output}  {len(text.encode()) / 1e3:.0f} kB\n  {said}", document)
    return 0
