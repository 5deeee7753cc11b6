"""Is a file slower, larger or worse than the one before it? Checks with an outcome each, and what they come to.

sequential.py  the test that decides between two files launch by launch
paired.py      launches of both files, side by side
checks.py      one function per check
contract.py    what a program that uses the file relies on
dashboards.py  what Bencher and github-action-benchmark read
baseline.py    what is compared with: another file, or numbers written down earlier
judging.py     which checks can be made, and making them
outputs.py     the files that a verdict is written to
"""

from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgekit import reading
from edgekit.errors import RequestError

Outcome = Literal["pass", "fail", "inconclusive", "skipped"]
Percent = Annotated[float, msgspec.Meta(gt=0)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate may cost more than its baseline. Percentages, but where a unit is given.

    max_slowdown      CPU time of an inference; `detect`: fail at this slowdown, not only when it is surely exceeded
    max_drop          points of accuracy: what `eval` counts first (with data)
    max_growth        bytes of the model file
    max_memory        bytes at the peak, and `SLACK_BYTES` above that
    max_load          CPU time of opening the file
    max_sqnr_loss     decibels of the proof
    max_operators     how many more operators
    max_instructions  of an inference (devices that count)
    allow_contract    another contract passes: inputs, outputs, classes, scores, preprocessing
    budget            seconds for the latency test
    """

    max_slowdown: Percent = 5.0
    detect: bool = False
    max_drop: Percent = 0.5
    max_growth: Percent = 1.0
    max_memory: Percent = 5.0
    max_load: Percent = 25.0
    max_sqnr_loss: Percent = 1.0
    max_operators: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_instructions: Percent = 1.0
    allow_contract: bool = False
    budget: Percent = 60.0


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """gate.toml: limits for all, and for artifacts whose name fits a pattern (the last that fits wins, by field)."""

    limits: dict[str, Any] = {}
    artifact: dict[str, dict[str, Any]] = {}

    def of(self, name: str, **asked: Any) -> Limits:
        """`asked`: flags, which count most; None where they were not given."""
        chosen = dict(self.limits)
        for pattern, fields in self.artifact.items():
            if fnmatch(name, pattern):
                chosen |= fields
        chosen |= {field: value for field, value in asked.items() if value is not None}
        try:
            return msgspec.convert(chosen, Limits)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$.")
            field = where.rstrip("`")
            said = f"{field} is {chosen[field]!r}" if field in chosen else "limits"
            raise RequestError(f"{said}: {what}", hint=f"known: {', '.join(Limits.__struct_fields__)}") from None


def budgets(path: Path) -> Budgets:
    """Read a gate.toml. Raises RequestError."""
    try:
        found = reading.toml(path, Budgets)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}", hint="--budgets FILE, or leave it out") from None
    except reading.Malformed as error:
        raise RequestError(f"{path}: {error}", hint='tables [limits] and [artifact."NAME-*"]') from None
    for pattern in ("", *found.artifact):
        found.of(pattern)  # wrong names and values are said now, whichever artifact they are for
    return found


class Check(msgspec.Struct, frozen=True):
    """One question and its answer.

    metric      what was compared: contract, size, operators, proof, answers, memory, load, latency, instructions, or
                what `eval` counts first
    method      how: counted, paired, calibrated, absolute
    limit, estimate, low, high, detectable
                in `unit`; more is worse, also of the proof and of accuracy, where it is what is lost. `low` and `high` are
                those that decided: `pass` where both lie below the limit, `fail` where both lie above, else
                `inconclusive`. `detectable`: the smallest effect that this test finds (95 % power at a level of 99 %)
    measured    the candidate's own figure, where it is the same on every machine: bytes, instructions
    why         in words
    """

    metric: str
    method: str
    outcome: Outcome
    why: str
    unit: str = "%"
    limit: float | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    launches: int = 0
    seconds: float = 0.0
    measured: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What the checks come to. `notes`: what a user should be told besides."""

    candidate: str
    baseline: str
    device: str
    runtime: str
    cpu_class: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    schema: Literal[1] = 1

    def __repr__(self) -> str:
        """In one line: what is not passed, and the outcome of all."""
        said = [f"{check.metric} {check.outcome}" for check in self.checks if check.outcome != "pass"]
        passed = sum(check.outcome == "pass" for check in self.checks)
        return f"Verdict({self.outcome}: {', '.join([*said, f'{passed} checks pass'])})"

    @property
    def outcome(self) -> Outcome:
        outcomes = [check.outcome for check in self.checks]
        for outcome in ("fail", "inconclusive", "pass"):
            if outcome in outcomes:
                return outcome
        return "skipped"

    @property
    def where(self) -> str:
        return f"{self.runtime} on {self.device}, CPU class {self.cpu_class}"

    def exit_code(self, *, strict: bool) -> int:
        """0 pass; 1 a limit is missed; with `strict`, 5 where something was not decided or could not be compared."""
        if self.outcome == "fail":
            return 1
        return 5 if strict and any(check.outcome in ("inconclusive", "skipped") for check in self.checks) else 0
