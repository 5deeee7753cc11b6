"""A verdict for people and for machines: lines for a terminal, Markdown for a pull request, JUnit XML for a CI system."""

from collections.abc import Sequence
from xml.etree import ElementTree

from edgekit.gating import Check, Verdict
from edgekit.harmless import harmless
from edgekit.reporting.table import markdown_table, markdown_text

MARK = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "skipped": "⏭️"}


def _is_quality(check: Check) -> bool:
    """The more the better: the proof, and accuracy in points; all else costs."""
    return check.metric == "proof" or check.unit == "points"


def header(verbose: bool) -> tuple[str, ...]:
    return ("check", "change", "limit", *(["method"] if verbose else []), "outcome")


def rows(verdict: Verdict, verbose: bool) -> list[tuple[str, ...]]:
    return [(c.metric, change(c), _limit(c), *([_method(c)] if verbose else []), c.outcome) for c in verdict.checks]


def reasons(verdict: Verdict, verbose: bool) -> list[str]:
    """`latency: CPU time of an inference, ...`: of what did not pass; with `verbose` of all."""
    return [f"{c.metric}: {c.why}" for c in verdict.checks if c.why and (verbose or c.outcome != "pass")]


def change(check: Check) -> str:
    """`+1.2 % [-0.3, +2.7]`; of what is the better the more there is, what it gains: `-0.4 points [-0.9, +0.1], worse`."""
    if check.estimate is None:
        return ""
    if check.unit in ("", "more"):
        return f"{check.estimate:.3g}" if check.unit == "" else f"{check.estimate:+.0f}"
    estimate, low, high = check.estimate, check.low, check.high
    word = ""
    if _is_quality(check):
        estimate, low, high = round(-estimate, 1), _negative(high), _negative(low)  # a word of what is seen
        word = ", better" if estimate > 0 else ", worse" if estimate < 0 else ""
    interval = f" [{low:+.1f}, {high:+.1f}]" if low is not None and high is not None else ""
    return f"{estimate + 0.0:+.1f} {check.unit}{interval}{word}"


def _negative(number: float | None) -> float | None:
    return None if number is None else -number


def sentence(verdict: Verdict) -> str:
    """What it comes to, in plain words."""
    failed = [c.metric for c in verdict.checks if c.outcome == "fail" and c.metric != "contract"]
    misfit = any(c.metric == "contract" and c.outcome == "fail" for c in verdict.checks)
    open_ = [c.metric for c in verdict.checks if c.outcome == "inconclusive"]
    skipped = [c.metric for c in verdict.checks if c.outcome == "skipped"]
    against = f"{verdict.candidate} against {verdict.baseline}"
    if misfit or failed:
        told = [
            *(["has another contract"] if misfit else []),
            *([f"misses the limit of {', '.join(failed)}"] if failed else []),
        ]
        return f"fail: {against} {' and '.join(told)}."
    rest = f"; not compared: {', '.join(skipped)}" if skipped else ""
    if open_:
        decided = f"{against} is within its limits as far as was decided"
        return f"inconclusive: {decided}; not decided: {', '.join(open_)}{rest}."
    return f"{verdict.outcome}: {against} is within its limits{rest}."


def markdown(verdict: Verdict) -> str:
    """A step summary or a comment. The hidden first line lets a comment be found and replaced."""
    head = ("", *header(verbose=True)[:4], "smallest effect seen", "why")
    table = [
        (MARK[c.outcome], c.metric, change(c), _limit(c), _method(c), _detectable(c), c.why) for c in verdict.checks
    ]
    lines = [
        "<!-- edgekit gate -->",
        f"### {MARK[verdict.outcome]} edgekit gate: {markdown_text(verdict.candidate)}",
        "",
        markdown_table(head, table),
        "",
        markdown_text(sentence(verdict)),
        *(f"Note: {markdown_text(note)}." for note in verdict.notes),
        "",
        f"<sub>{markdown_text(verdict.where)}</sub>",
        "",
    ]
    return "\n".join(lines)


def junit(verdicts: Sequence[Verdict]) -> str:
    """One suite a verdict, one case a check: a regression is a failure, what was not decided or compared is skipped."""
    suites = ElementTree.Element("testsuites")
    for v in verdicts:
        outcomes = [c.outcome for c in v.checks]
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=f"edgekit gate {v.candidate}",
            tests=str(len(outcomes)),
            failures=str(outcomes.count("fail")),
            skipped=str(outcomes.count("skipped") + outcomes.count("inconclusive")),
        )
        for c in v.checks:
            case = ElementTree.SubElement(
                suite, "testcase", classname=v.candidate, name=c.metric, time=f"{c.seconds:.1f}"
            )
            said = f"{change(c)} (limit {_limit(c)}, {_method(c)}): {c.why}"
            if c.outcome == "fail":
                ElementTree.SubElement(case, "failure", message=said)
            elif c.outcome != "pass":
                ElementTree.SubElement(case, "skipped", message=f"{c.outcome}: {c.why}")
    ElementTree.indent(suites)
    return harmless(ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)) + "\n"


def _limit(check: Check) -> str:
    if check.limit is None:
        return ""
    if _is_quality(check):
        return f"-{check.limit:.3g} {check.unit}"
    return f"{check.limit:.3g} {check.unit}".strip()


def _detectable(check: Check) -> str:
    return f"{check.detectable:.1f} {check.unit}" if check.detectable is not None else ""


def _method(check: Check) -> str:
    if not check.launches:
        return check.method
    return f"{check.method}, {check.launches} launches"
