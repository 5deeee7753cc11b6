"""edgekit report"""

from pathlib import Path

import click

from edgekit.cli.output import Talk, common
from edgekit.errors import RequestError


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
      edgekit report build/runs.jsonl laptop.jsonl -o page.html --title "October"
      edgekit report -o - >> "$GITHUB_STEP_SUMMARY"
    """
    from edgekit import runs
    from edgekit.reporting import pages
    from edgekit.reporting import report as make
    from edgekit.reporting.markdown import markdown

    where = Path(output)
    to_stdout = output == "-"
    if to_stdout and talk.json:
        raise RequestError("-o - and --json both want stdout", hint="-o report.md --json")
    sources = [Path(file) for file in files or ("build/runs.jsonl",)]
    if not to_stdout:
        pages.check(where, sources)
    records, warnings = runs.read(sources)
    for warning in warnings:
        talk.warn(warning)
    made = make(records, warnings, title)
    if to_stdout:
        talk.result(markdown(made).rstrip("\n"), None, verbatim=True)
        return 0
    size = pages.write(made, where)
    counts = {
        "runs": made.runs,
        "evaluations": len(made.evaluated),
        "machines": len(made.machines),
    }
    document = {"written": output, "bytes": size, **counts, "warnings": warnings}
    talk.result(f"{output}  {size / 1e3:.0f} kB\n  {made.counts}", document)
    return 0
