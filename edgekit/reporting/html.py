"""A report as one page that needs nothing else: no network, no script to be read, no image file.

Its policy lets no script run but its own, by digest, and loads nothing, whatever names in the runs say.
"""

import base64
import hashlib
from pathlib import Path

from edgekit.reporting import Report, changes, confusion, history, rows, tables, words
from edgekit.reporting.machines import Machine
from edgekit.reporting.scatter import scatter
from edgekit.reporting.svg import swatch, text
from edgekit.reporting.table import Table
from edgekit.runs import Evaluated

STYLE = Path(__file__).with_name("page.css").read_text("utf-8")
SCRIPT = Path(__file__).with_name("page.js").read_text("utf-8")
DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{DIGEST}'; base-uri 'none'; form-action 'none'"
)

CHANGES = (
    "Ratios or counts of each file by session, oldest first, at equal steps; lines are levels, dashed where one changes. Never "
    "times of one machine against those of another."
)
LONG = 48  # letters of a cell that may wrap


def html(report: Report) -> str:
    """The page, in UTF-8."""
    many = len(report.machines) > 1
    title = text(report.title)
    facts = "".join(f"<div><dt>{text(word)}</dt><dd>{text(what)}</dd></div>" for word, what in report.facts)
    links = (
        [(f"m{n}", f"{machine.name} ({machine.about})") for n, machine in enumerate(report.machines)] if many else []
    )
    contents = "".join(f'<li><a href="#{anchor}">{text(name)}</a></li>' for anchor, name in links)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header class="top">
<div class="bar-top"><h1>{title}</h1><button id="theme" type="button" hidden>Dark</button></div>
<dl class="facts">{facts}</dl>
{"".join(f'<p class="warning"><strong>Warning</strong> {text(warning)}</p>' for warning in report.warnings)}
{f'<nav aria-label="Machines"><ul>{contents}</ul></nav>' if contents else ""}
</header>
<main>
{"".join(_section(lead.caption, _table(lead)) for lead in report.lead)}
{"".join(_machine(machine, n) for n, machine in enumerate(report.machines))}
{_section("Change points", changes.changes(report.series), CHANGES) if report.series else ""}
{_section("Every evaluation", _table(tables.evaluations(report.evaluated))) if report.evaluated else ""}
{"".join(map(_confused, confusion.newest(report.evaluated)))}
{_section("Method", "".join(f"<p>{text(said)}</p>" for said in words.METHOD))}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _machine(machine: Machine, number: int) -> str:
    parts = [f'<section class="machine" id="m{number}"><h2>{text(machine.name)}</h2>']
    if machine.about:
        parts.append(f'<p class="about">{text(machine.about)}</p>')
    tiles = "".join(
        f'<div class="tile"><h3>{text(h.what)}</h3><p class="who">{text(h.name)}</p><p class="figure">{text(h.figure)}</p>'
        f"<p>{text(h.remark)}</p></div>"
        for h in words.headlines(machine)
    )
    said = "".join(f"<p>{text(sentence)}</p>" for sentence in words.sentences(machine))
    parts.append(f'<div class="tiles">{tiles}</div><div class="words">{said}</div>')
    if machine.failed:
        parts.append(_section("What failed", _table(tables.errors(machine))))
    if len(machine.costed) > 1:
        worth = "accuracy" if machine.by_accuracy else "size"
        what = f"{machine.clock} time" if machine.timed else "Instructions"
        note = "Thin lines are 95 % intervals; one cut off at the edge goes on." if machine.timed else ""
        left_out = len(machine.costed) - len(machine.judged)
        if machine.by_accuracy:
            note = f"Accuracy: {machine.figure} on {machine.data}. {note}"
        if machine.by_accuracy and left_out:
            note += f" {left_out} of {len(machine.costed)} files were not evaluated on these images and are not here."
        parts.append(_section(f"{what} against {worth}", scatter(machine), note))
    if machine.timed and machine.costed:
        drawn = (
            f"{machine.clock} time of single inferences: a line of dots for each launch, a tick at its median. At most {rows.DRAWN} "
            "of a launch are drawn, evenly by size, the quickest and the slowest always; n says how many there were."
        )
        parts.append(_section("Every inference", rows.strips(machine), drawn))
        note = "Wall time from an empty process to its first answer, and of one answer after that (steady); medians over launches."
        parts.append(_section("Start", rows.phases(machine), note))
    size = rows.bars(machine.entries, lambda e: e.row.bytes, "size")
    memory = rows.bars(machine.entries, lambda e: e.memory, "memory")
    pair = _section("Size", size, "Of the model file.") if size else ""
    pair += _section("Memory", memory, "Peak, above the imported runtime.") if memory else ""
    parts.append(f'<div class="pair">{pair}</div>')
    if drawn := history.history(machine):
        note = f"{machine.clock} time of an inference by session, oldest first, at equal steps. Each chart has its own scale."
        parts.append(_section("Over time", drawn, note))
    if machine.entries:
        targets = [entry.run.subject.target for entry in machine.entries]
        parts.append(_section("Figures", _table(tables.figures(machine), targets)))
    return "\n".join([*parts, "</section>"])


def _confused(of: Evaluated) -> str:
    """What a classifier takes for what, of one set of images."""
    assert of.confusion
    drawn = confusion.matrix(of.confusion)
    note = (
        f"{of.data}. Rows are the right labels, columns what was named; darker is more of a row." if drawn else of.data
    )
    parts = [_section(f"What {of.name} takes for what", drawn + _table(confusion.pairs(of.confusion)), note)]
    more = (confusion.classes(of.confusion), confusion.mistakes(of))
    parts += [_section(f"{said.caption}: {of.name}", _table(said)) for said in more if said.rows]
    return "".join(parts)


def _section(title: str, inner: str, note: str = "") -> str:
    said = f'<p class="note">{text(note.strip())}</p>' if note.strip() else ""
    return f'<section class="part"><h3>{text(title)}</h3>{said}{inner}</section>'


def _table(table: Table, targets: list[str] | None = None) -> str:
    """`targets`: of the files of the first column, whose marks are shown."""
    numeric = [table.numeric(n) for n in range(len(table.header))]
    head = "".join(
        f'<th scope="col"{_right(right)}>{text(name)}</th>' for name, right in zip(table.header, numeric, strict=True)
    )
    body = []
    for number, row in enumerate(table.rows):
        before = swatch(targets[number]) if targets else ""
        cells = [f'<th scope="row">{before}{text(row[0].text)}</th>']
        for cell, right in zip(row[1:], numeric[1:], strict=True):
            value = "" if cell.value is None else f' data-value="{cell.value:.9g}"'
            long = ' class="long"' if len(cell.text) > LONG else ""
            cells.append(f"<td{_right(right) or long}{value}>{text(cell.text)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(table.caption)}"><table>'
        f"<caption>{text(table.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _right(right: bool) -> str:
    return ' class="number"' if right else ""
