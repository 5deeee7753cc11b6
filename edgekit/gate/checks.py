"""One function per check: what it compares, and when it passes."""

import math
from pathlib import Path

import msgspec

from edgekit.bench.accuracy import Learned, Paired, drop_verdict, needed
from edgekit.bench.runs import percent
from edgekit.bench.statistics import estimate
from edgekit.gate import Check, Limits, Outcome
from edgekit.gate.sequential import LEVEL, Decision
from edgekit.inspection import inspect

SLACK_BYTES = 1_000_000  # resident memory moves by pages and pools: 0.5 MB between equal processes
NAMED = 4  # changes that are told one by one
CALIBRATED_LEAST = 7.0  # percent: four standard deviations of a calibrated score are 6.8


class Operators(msgspec.Struct, frozen=True):
    """How many of each, as "CONV_2D int8", and the share of multiply-adds in int8."""

    count: dict[str, int]
    int8_macs: float | None


def operators_of(file: Path) -> Operators:
    """Raises UnsupportedError for files that cannot be looked into."""
    seen = inspect(file)
    return Operators({f"{o.name} {o.precision}": o.count for o in seen.operators}, seen.int8_macs)


def size(now: int, then: int, limits: Limits) -> Check:
    growth = _more(now, then)
    outcome: Outcome = "pass" if growth <= limits.max_growth else "fail"
    why = f"{then:,} to {now:,} bytes"
    return Check("size", "counted", outcome, why, limit=limits.max_growth, estimate=growth)


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
    if len(changed) > NAMED:
        changed[NAMED:] = [f"{len(changed) - NAMED} more changes"]
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


def memory(now: int, then: int, method: str, limits: Limits) -> Check:
    growth = _more(now, then)
    outcome: Outcome = "pass" if growth <= limits.max_memory or now - then <= SLACK_BYTES else "fail"
    why = f"peak {then / 1e6:.1f} to {now / 1e6:.1f} MB"
    return Check("memory", method, outcome, why, limit=limits.max_memory, estimate=growth)


def load(logs: list[float], limits: Limits, clock: str = "CPU") -> Check:
    """Time of opening the file: a failure only where it is surely above the limit."""
    found = estimate(logs, LEVEL)
    edge = math.log1p(limits.max_load / 100)
    outcome: Outcome = "fail" if found.low > edge else "pass" if found.value <= edge else "inconclusive"
    return Check(
        "load", "paired", outcome, f"{clock} time of opening the file", "%", limits.max_load, percent(found.value),
        percent(found.low), percent(found.high), percent(found.detectable), found.launches,
    )  # fmt: skip


def latency(decision: Decision, limits: Limits, method: str, limit: float, seconds: float, clock: str = "CPU") -> Check:
    found = decision.estimate
    how = "decided" if decision.decided else "budget spent"
    if decision.outcome == "inconclusive":
        how = f"the machine is too noisy: nothing below {percent(found.detectable):.1f} % would be seen; a longer --budget"
    grey = f", boundary {limit / 2:.1f} % (--detect)" if limits.detect else ""
    return Check(
        "latency", method, decision.outcome, f"{clock} time of an inference, {how}{grey}", "%", limit, percent(found.value),
        percent(found.low), percent(found.high), percent(found.detectable), found.launches, round(seconds, 1),
    )  # fmt: skip


def instructions(now: int, then: int, limits: Limits, where: str) -> Check:
    more = _more(now, then)
    outcome: Outcome = "pass" if more <= limits.max_instructions else "fail"
    why = f"{then / 1e6:.2f} to {now / 1e6:.2f} million on {where}"
    return Check("instructions", "counted", outcome, why, limit=limits.max_instructions, estimate=more)


def accuracy(paired: Paired, limits: Limits, learned: Learned | None = None) -> Check:
    """Top-1 on the same pictures. `learned`: how many of them were trained on."""
    outcome: Outcome = drop_verdict(paired, limits.max_drop / 100)
    careful = f"; careful: {learned.words} were trained on" if learned and learned.pictures else ""
    if paired.drop is None:
        why = f"not labelled; {paired.agreement.value:.2%} of {paired.pictures:,} pictures named alike{careful}"
        return Check("top-1", "paired", outcome, why, "points", limits.max_drop)
    why = f"lost {paired.lost}, won {paired.won} of {paired.pictures:,} pictures"
    if outcome == "inconclusive":
        why += f"; about {needed(paired, limits.max_drop / 100):,} would decide"
    why += careful
    estimate, low, high = (100 * x for x in (paired.drop.estimate, paired.drop.low, paired.drop.high))
    return Check("top-1", "paired", outcome, why, "points", limits.max_drop, estimate, low, high)


def skipped(metric: str, why: str) -> Check:
    return Check(metric, "none", "skipped", why)


def _more(now: float, then: float) -> float:
    """Percent, without the last digits of floating point: 1,010 is 1 % more than 1,000."""
    return round(100 * (now / then - 1), 9)
