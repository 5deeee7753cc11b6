"""A report as Markdown, as GitHub shows it: words and tables, no charts."""

from edgekit.history import words as told
from edgekit.reporting import Report, confusion, tables, words
from edgekit.reporting.machines import Machine
from edgekit.reporting.table import Table, markdown_table, markdown_text
from edgekit.runs import Evaluated


def markdown(report: Report) -> str:
    lines = [f"# {markdown_text(report.title)}", ""]
    lines += [f"- {word}: {markdown_text(what)}" for word, what in report.facts]
    lines += [f"\n> Warning: {markdown_text(warning)}" for warning in report.warnings]
    for lead in report.lead:
        lines += ["", f"## {markdown_text(lead.caption)}", "", _table(lead)]
    for machine in report.machines:
        lines += ["", *_machine(machine)]
    named = [(told.title(series), told.change(series, change)) for series in report.series for change in series.changes]
    if named:
        lines += ["", "## Change points", "", *(f"- {markdown_text(f'{title}: {said}')}" for title, said in named)]
    if report.evaluated:
        lines += ["", "## Accuracy", "", _table(tables.evaluations(report.evaluated))]
    for of in confusion.newest(report.evaluated):
        lines += _confused(of)
    lines += ["", "## Method", "", *(f"- {markdown_text(said)}" for said in words.METHOD), ""]
    return "\n".join(lines)


def _machine(machine: Machine) -> list[str]:
    lines = [f"## {markdown_text(machine.name)}", ""]
    if machine.about:
        lines += [markdown_text(machine.about), ""]
    for headline in words.headlines(machine):
        remark = f" ({headline.remark})" if headline.remark else ""
        lines.append(
            f"- {headline.what}: **{markdown_text(headline.name)}**, {markdown_text(headline.figure + remark)}"
        )
    lines += [f"- {markdown_text(said)}" for said in words.sentences(machine)]
    if machine.entries:
        lines += ["", _table(tables.figures(machine))]
    if machine.failed:
        lines += ["", "### What failed", "", _table(tables.errors(machine))]
    return lines


def _confused(of: Evaluated) -> list[str]:
    """What a classifier takes for what, of one set of images."""
    assert of.confusion
    matrix = confusion.counts(of.confusion)
    lines = ["", f"## {markdown_text(f'What {of.name} takes for what')}", "", markdown_text(of.data)]
    lines += ["", f"{matrix.caption}.", "", _table(matrix)] if matrix.rows else []
    for said in (confusion.pairs(of.confusion), confusion.classes(of.confusion), confusion.mistakes(of)):
        lines += ["", f"### {said.caption}", "", _table(said)] if said.rows else []
    return lines


def _table(table: Table) -> str:
    numeric = [table.numeric(n) for n in range(len(table.header))]
    return markdown_table(table.header, [[cell.text for cell in row] for row in table.rows], numeric)
