"""One function per check: what it compares, and when it passes."""

import math
import statistics
from collections.abc import Sequence

import msgspec

from edgekit.evaluation.accuracy import Paired, drop_verdict
from edgekit.evaluation.results import Change, what_decides
from edgekit.gating import Check, Limits, Outcome
from edgekit.gating.contract import Contract, differences
from edgekit.gating.sequential import LAUNCHES, Decision, look
from edgekit.inspection import Inspection
from edgekit.runs import Learned, percent
from edgekit.statistics.intervals import Estimate

SLACK_BYTES = 1_000_000  # resident memory moves by pages and pools: 0.5 MB between equal processes
NAMED = 4  # changes that are told one by one
CALIBRATED_LEAST = 7.0  # percent: four standard deviations of a calibrated score are 6.8
SCORE_WITHIN, SCORE_USELESS = (
    0.015,
    0.05,
)  # of a log ratio: a score to write down is told as well as this; no use beyond


class Operators(msgspec.Struct, frozen=True):
    """How many of each, as "CONV_2D int8", and the share of multiply-adds in int8."""

    count: dict[str, int]
    int8_macs: float | None


def operators_of(seen: Inspection) -> Operators:
    return Operators({f"{o.name} {o.precision}": o.count for o in seen.operators}, seen.int8_macs)


def contract(now: Contract, then: Contract | None, limits: Limits) -> list[Check]:
    """What a program relies on: any change fails, unless changes are wanted. What cannot be compared is skipped."""
    if then is None:
        return [skipped("contract", "the baseline holds none: an earlier edgekit wrote it; --update writes it anew")]
    if None in (now.inputs, then.inputs):
        found = [skipped("contract", f"nothing here reads what goes into and out of {now.target} files")]
    else:
        changed = _brief(differences(now, then))
        outcome: Outcome = "pass" if not changed or limits.allow_contract else "fail"
        why = "; ".join(changed) or "the same"
        found = [Check("contract", "counted", outcome, f"allowed: {why}" if changed and outcome == "pass" else why)]
    if None in (now.meaning, then.meaning):
        found.append(
            skipped("classes", "a file without an artifact does not tell its classes, scores and preprocessing")
        )
    return found


def size(now: int, then: int, limits: Limits) -> Check:
    growth = _more(now, then)
    outcome: Outcome = "pass" if growth <= limits.max_growth else "fail"
    why = f"{then:,} to {now:,} bytes"
    return Check("size", "counted", outcome, why, limit=limits.max_growth, estimate=growth, measured=now)


def operators(now: Operators, then: Operators, limits: Limits) -> Check:
    """No more operators than allowed, and no smaller share of the multiply-adds in int8."""
    more = sum(now.count.values()) - sum(then.count.values())
    names = sorted(now.count.keys() | then.count.keys())
    changed = [
        f"{n} {then.count.get(n, 0)} to {now.count.get(n, 0)}" for n in names if now.count.get(n) != then.count.get(n)
    ]
    was, is_ = then.int8_macs or 0.0, now.int8_macs or 0.0
    left = is_ < was - 1e-3
    if left:
        changed.insert(0, f"multiply-adds in int8 {was:.1%} to {is_:.1%}")
    changed = _brief(changed)
    outcome: Outcome = "fail" if more > limits.max_operators or left else "pass"
    return Check("operators", "counted", outcome, "; ".join(changed) or "the same", "more", limits.max_operators, more)


def proof(now: float | None, then: float | None, limits: Limits) -> Check:
    """SQNR against PyTorch, as the artifacts' manifests have it; None: equal to the last bit."""
    was, is_ = (math.inf if db is None else db for db in (then, now))
    loss = 0.0 if was == is_ else was - is_
    outcome: Outcome = "pass" if loss <= limits.max_sqnr_loss else "fail"
    words = " to ".join("equal" if db is None else f"{db:.1f} dB" for db in (then, now))
    finite = loss if math.isfinite(loss) else None
    return Check("proof", "counted", outcome, f"SQNR against PyTorch {words}", "dB", limits.max_sqnr_loss, finite)


def memory(pairs: Sequence[tuple[int, int]], method: str, limits: Limits) -> Check:
    """Peaks of candidate and baseline, by launch. Below SLACK_BYTES more is no news, whatever its share."""
    now, then = (statistics.median(side) for side in zip(*pairs, strict=True))
    share = max(limits.max_memory / 100, SLACK_BYTES / max(then, 1))
    found = look([math.log(max(a, 1) / max(b, 1)) for a, b in pairs], math.log1p(share))
    why = f"peak {then / 1e6:.1f} to {now / 1e6:.1f} MB"
    if share > limits.max_memory / 100:
        why += f", {SLACK_BYTES / 1e6:.0f} MB more is no news"
    return _measured("memory", method, found, why, 100 * share)


def load(logs: Sequence[float], limits: Limits, clock: str = "CPU", *, blur: float = 0.0) -> Check:
    """Time of opening the file; log ratios by launch."""
    found = look(logs, math.log1p(limits.max_load / 100), blur)
    return _measured("load", "paired", found, f"{clock} time of opening the file", limits.max_load)


def latency(
    decision: Decision, limits: Limits, method: str, limit: float, seconds: float = 0.0, clock: str = "CPU"
) -> Check:
    why = f"{clock} time of an inference"
    if method == "paired" and limits.detect:
        why += f"; half-way to {limit:.3g} % (--detect)"
        limit /= 2
    return _measured("latency", method, decision, why, limit, seconds)


def _measured(metric: str, method: str, found: Decision, why: str, limit: float, seconds: float = 0.0) -> Check:
    """A check of launches by sequential.py's rule: its interval is the one that decided."""
    seen = found.estimate
    if math.isinf(seen.blur):
        why = f"{why}: the clock here moves in steps too coarse to tell it"
        return Check(metric, method, found.outcome, why, "%", limit, launches=seen.launches, seconds=round(seconds, 1))
    if not found.decided:
        why += f"; {_undecided(seen)}"
    return Check(
        metric, method, found.outcome, why, "%", limit, percent(seen.value), percent(seen.low), percent(seen.high),
        percent(seen.detectable), seen.launches, round(seconds, 1),
    )  # fmt: skip


def _undecided(seen: Estimate) -> str:
    if seen.launches < LAUNCHES.start:
        return f"fewer launches than the {LAUNCHES.start} that can decide fitted into the --budget"
    spent = f"{seen.launches} launches do not decide" if seen.launches >= LAUNCHES[-1] else "the --budget was spent"
    return f"{spent}: too noisy a machine, or too near the limit"


def instructions(now: int, then: int, limits: Limits, where: str) -> Check:
    more = _more(now, then)
    outcome: Outcome = "pass" if more <= limits.max_instructions else "fail"
    why = f"{then / 1e6:.2f} to {now / 1e6:.2f} million on {where}"
    return Check("instructions", "counted", outcome, why, limit=limits.max_instructions, estimate=more, measured=now)


def accuracy(paired: Paired, figure: str, limits: Limits, learned: Learned | None = None) -> Check:
    """How often the right class is named, on the same images; figure: what that is called. The estimate is what is lost; `learned`: how many of the images were trained on."""
    outcome: Outcome = drop_verdict(paired, limits.max_drop / 100)
    careful = f"; careful: {learned.words(paired.pictures)}" if learned and learned.pictures else ""
    if paired.drop is None:
        why = f"not labelled; {paired.agreement.value:.2%} of {paired.pictures:,} images named alike{careful}"
        return Check(figure, "paired", outcome, why, "points", limits.max_drop)
    why = f"lost {paired.lost}, won {paired.won} of {paired.pictures:,} images"
    if outcome == "inconclusive":
        why += f", which do not decide: {what_decides(paired, limits.max_drop / 100)}"
    why += careful
    estimate, low, high = (100 * x for x in (paired.drop.estimate, paired.drop.low, paired.drop.high))
    return Check(figure, "paired", outcome, why, "points", limits.max_drop, estimate, low, high)


def figure(change: Change, limits: Limits, learned: Learned | None = None) -> Check:
    """The headline figure of any task on the same images, as `accuracy`."""
    limit = limits.max_drop / 100
    outcome: Outcome = change.verdict(limit)
    careful = f"; careful: {learned.words(change.pictures)}" if learned and learned.pictures else ""
    alike = ", ".join(f"{a.name} {a.value:.2%}" for a in change.alike)
    if change.drop is None:
        return Check(change.figure, "paired", outcome, f"not labelled; {alike}{careful}", "points", limits.max_drop)
    why = f"{alike} of {change.pictures:,} images"
    if outcome == "inconclusive":
        why += f", which do not decide: {what_decides(change, limit)}"
    estimate, low, high = (100 * x for x in (change.drop.estimate, change.drop.low, change.drop.high))
    return Check(change.figure, "paired", outcome, why + careful, "points", limits.max_drop, estimate, low, high)


def _brief(changes: list[str]) -> list[str]:
    more = len(changes) - NAMED
    return [*changes[:NAMED], f"{more} more change{'s' if more > 1 else ''}"] if more > 0 else changes


def skipped(metric: str, why: str) -> Check:
    return Check(metric, "none", "skipped", why)


def _more(now: float, then: float) -> float:
    """Percent, without the last digits of floating point: 1,010 is 1 % more than 1,000."""
    return round(100 * (now / max(then, 1) - 1), 9)
