"""What came of it: a sentence for each target, tables, a page, Markdown and JSON."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from edgekit.places import replacing
from edgekit.reporting import pages
from edgekit.reporting import report as of_records
from edgekit.reporting.table import Cell, Table, table
from edgekit.runs import Evaluated, Record
from edgekit.tuning import Choice, Figures, Interval, Tried, Tuned
from edgekit.tuning.budget import Budget

REPORT, MARKDOWN, DOCUMENT = "report.html", "report.md", "tune.json"


def sentence(choice: Choice, headline: str) -> str:
    """What was found for a target, and how sure it is."""
    if choice.error:
        return f"nothing was made: {choice.error}"
    out = sum(bool(one.out) for one in choice.tried)
    said = [f"of {choice.recipes} recipes {choice.built} were built and {out} ruled out"]
    figures = choice.figures
    if figures and figures.loss and figures.images:
        said.append(
            f"loses {points(figures.loss)} points of {headline} on {figures.images:,} images that chose nothing"
        )
    elif choice.name == "fp32":
        said.append(
            "nothing smaller or quicker meets the budget"
            if choice.verdict == "met"
            else "nothing does better than fp32"
        )
    if figures and choice.name != "fp32":
        said += [f"{ratio(time)} of fp32's {what(on)}" for on, time in figures.times.items()]
    return "; ".join([*said, *quicker(choice)])


def what(on: str) -> str:
    return "CPU time" if on == "local" else f"cost on {on}"


def budgets(choice: Choice) -> str:
    """ "loss met, time on local undecided (about 5,100 images would tell)" """
    told = [f"{name} {verdict}" for name, verdict in choice.verdicts.items()]
    if choice.needed:
        told.append(f"about {choice.needed:,} images would decide")
    return ", ".join(told)


def quicker(choice: Choice) -> list[str]:
    """Of each file that is quicker, and whose budget is undecided, a line."""
    return [
        f"{name} is quicker, and undecided" + (f": about {needed:,} images would decide" if needed else "")
        for name, needed in choice.quicker.items()
    ]


def points(of: Interval) -> str:
    return f"{100 * of.value:.2f} [{100 * of.low:.2f}, {100 * of.high:.2f}]"


def ratio(of: Interval) -> str:
    return f"{of.value:.2f}" if of.low == of.high else f"{of.value:.2f} [{of.low:.2f}, {of.high:.2f}]"


def rows(choice: Choice) -> list[tuple[str, ...]]:
    """Of the front: the name, MB, what it loses and how long it takes, where nothing was chosen."""
    return [
        (("* " if one.name == choice.name else "  ") + one.name, _mb(one), *_figures(one.confirmed, choice))
        for one in front(choice)
    ]


def header(choice: Choice, headline: str) -> tuple[str, ...]:
    return (
        f"  {choice.target}",
        "MB",
        f"loses, points of {headline}",
        *(f"{what(on)} / fp32" for on in _devices(choice)),
    )


def front(choice: Choice) -> list[Tried]:
    """Those that were confirmed, the quickest first."""
    some = [one for one in choice.tried if one.name in choice.front and one.confirmed]
    return sorted(some, key=lambda one: one.confirmed.slowest if one.confirmed else 0.0)


def _devices(choice: Choice) -> list[str]:
    return list(choice.figures.times) if choice.figures else []


def _mb(one: Tried) -> str:
    return f"{one.bytes / 1e6:.2f}" if one.bytes is not None else ""


def _figures(figures: Figures | None, choice: Choice) -> list[str]:
    if figures is None:
        return ["" for _ in range(1 + len(_devices(choice)))]
    return [_points(figures), *(ratio(figures.times[on]) if on in figures.times else "" for on in _devices(choice))]


def document(tuned: Tuned, budget: Budget) -> dict[str, object]:
    """As JSON has it."""
    return {
        "title": tuned.title,
        "verdict": tuned.verdict,
        "one": tuned.one or None,
        "budget": msgspec.to_builtins(budget),
        "headline": tuned.headline,
        "data": tuned.data,
        "cpu_class": tuned.cpu_class,
        "targets": [msgspec.to_builtins(choice) | {"sentence": sentence(choice, tuned.headline)} for choice in tuned],
        "notes": list(tuned.notes),
        "cpu_s": dict(zip(("own", "commands"), (round(s, 1) for s in tuned.cpu_s), strict=True)),
        "report": str(tuned.report) if tuned.report else None,
        "interrupted": tuned.cut,
    }


def saved(tuned: Tuned, budget: Budget, records: Sequence[Record], out: Path) -> Tuned:
    """With the files that it is written to. Raises OutputError."""
    tuned = replace(tuned, document=out / DOCUMENT, report=out / REPORT)
    lead = tuple(one for choice in tuned if choice.tried for one in _tables(choice, tuned.headline))
    sentences = tuple((one.target, _found(one, tuned.headline)) for one in tuned)
    report = of_records(_plain(records), tuned.notes, f"{tuned.title}, tuned")
    for name in (REPORT, MARKDOWN):
        pages.write(
            replace(report, lead=lead, facts=(("Budget", limits(budget)), *sentences, *report.facts)), out / name
        )
    with replacing(out / DOCUMENT) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(document(tuned, budget))))
    return tuned


def limits(budget: Budget) -> str:
    """ "at most 0.5 points lost, 0.6 of fp32's time on local, 5 MB" """
    said = [f"{100 * budget.max_loss:g} points lost"] if budget.max_loss is not None else []
    if budget.keep_latency is not None:
        said.append(f"{budget.keep_latency:g} of fp32's time on {', '.join(budget.devices)}")
    if budget.max_bytes is not None:
        said.append(f"{budget.max_bytes / 1e6:g} MB")
    return f"at most {', '.join(said)}"


def _found(choice: Choice, headline: str) -> str:
    """What is taken, what the budgets say of it, and how it was found."""
    told = [f"{choice.name} is taken", budgets(choice)] if choice.name else []
    return "; ".join(filter(None, [*told, sentence(choice, headline)]))


def _plain(records: Sequence[Record]) -> list[Record]:
    """Which labels are confused is another question."""
    return [
        msgspec.structs.replace(one, confusion=None, mistakes=()) if isinstance(one, Evaluated) else one
        for one in records
    ]


def _tables(choice: Choice, headline: str) -> tuple[Table, ...]:
    told = header(choice, headline)
    shown = [(one, row) for one, row in zip(front(choice), rows(choice), strict=True) if one.confirmed]
    values = [
        (None, one.bytes, _loss(one.confirmed), *(one.confirmed.times[on].value for on in _devices(choice)))
        for one, _ in shown
        if one.confirmed
    ]
    chosen = table(
        f"{choice.target}: confirmed on images that chose nothing; * is taken",
        {
            name: [Cell(row[at].strip(), value[at]) for (_, row), value in zip(shown, values, strict=True)]
            for at, name in enumerate(("recipe", *told[1:]))
        },
    )
    figures = [(one.chosen_by or Figures(None, {})) for one in choice.tried]
    every = table(
        f"{choice.target}: every recipe, by the images that chose, which are no result",
        {
            "recipe": [Cell(one.name) for one in choice.tried],
            "MB": [Cell(_mb(one), one.bytes) for one in choice.tried],
            "loses, points": [Cell(_points(f), _loss(f)) for f in figures],
            "images": [Cell(f"{f.images:,}" if f.images else "", f.images) for f in figures],
            "time / fp32": [
                Cell("; ".join(map(ratio, f.times.values())), f.slowest if f.times else None) for f in figures
            ],
            "left because": [Cell(one.out) for one in choice.tried],
        },
    )
    return (chosen, every) if shown else (every,)


def _points(figures: Figures) -> str:
    """fp32 loses nothing to itself, whatever the images."""
    return "" if figures.loss is None else "0" if not figures.images else points(figures.loss)


def _loss(figures: Figures | None) -> float | None:
    return figures.loss.value if figures and figures.loss else None
