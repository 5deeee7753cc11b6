"""Which checks can be made of a candidate and its baseline, and making them."""

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import artifact, parity
from edgekit.artifact import Artifact, Model
from edgekit.bench.evaluation import STATE, evaluate
from edgekit.bench.harness import COUNTED
from edgekit.bench.statistics import estimate
from edgekit.data import DataSet
from edgekit.devices import Device, Job, opened
from edgekit.errors import RequestError, UnsupportedError
from edgekit.gate import Check, Limits, Outcome, Verdict, checks
from edgekit.gate.baseline import Baseline, Numbers
from edgekit.gate.duel import Duel
from edgekit.gate.sequential import LAUNCHES, LEVEL, decide
from edgekit.runtimes import Options

Progress = Callable[[int, str], AbstractContextManager[Callable[[], None]]]  # so many steps of what; called for each


@dataclass
class Judge:
    """A candidate on a device in a runtime, ready to be compared.

    data            pictures for the top-1 check; None leaves it out
    allow_absolute  times of another machine may fail the candidate too
    """

    path: Path
    model: Model
    runtime: str
    device: Device
    limits: Limits
    options: Options = Options()
    data: DataSet | None = None
    allow_absolute: bool = False
    timeout: float = 300.0
    seed: int = 0
    say: Callable[[str], None] = lambda line: None
    progress: Progress = lambda total, what: nullcontext(lambda: None)

    def judge(self, base: Baseline) -> Verdict:
        """Every check that the two allow.

        Raises RequestError for files of two kinds, and where a file cannot be run; MissingExtraError where nothing here
        reads the operators of its format.
        """
        if base.model and base.model.target != self.model.target:
            raise RequestError(
                f"{self.path} is a {self.model.target} file, the baseline a {base.model.target} file",
                hint="files of one target; edgekit bench compares others",
            )
        notes = [base.note] if base.note else []
        found = [*self._of_the_file(base), *self._of_the_proof(base)]
        facts, where, more = self._of_the_run(base)
        found += more
        found += self._of_the_answers(base)
        return Verdict(
            candidate=str(self.path),
            baseline=base.name,
            device=self.device.name,
            runtime=facts["runtime"],
            cpu_class=where.get("cpu_class", "unknown"),
            checks=tuple(found),
            notes=(*notes, *_advice(found)),
        )

    def job(self, path: Path, runtime: str | None = None) -> Job:
        return Job(str(path), runtime or self.runtime, self.options, None, self.seed)

    def _of_the_file(self, base: Baseline) -> list[Check]:
        then = base.model.model_bytes if base.model else base.known.bytes
        found = [checks.size(self.model.model_bytes, then, self.limits)]
        try:
            now = checks.operators_of(self.model.model_file)
            was = checks.operators_of(base.model.model_file) if base.model else _operators(base.known)
        except UnsupportedError as error:
            return [*found, checks.skipped("operators", f"{error.message}: {error.hint}")]
        return [*found, checks.operators(now, was, self.limits)]

    def _of_the_proof(self, base: Baseline) -> list[Check]:
        if not isinstance(self.model, Artifact) or isinstance(base.model, artifact.LooseFile):
            return [checks.skipped("proof", "a file without an artifact carries no proof")]
        now, then = self.model.manifest.proof, base.model.manifest.proof if base.model else None
        assert now
        if then:
            found = [checks.proof(now.sqnr_db, then.sqnr_db, self.limits)]
        elif base.known.sqnr_db is None:
            found = [checks.skipped("proof", "the baseline holds none")]
        else:
            found = [checks.proof(now.sqnr_db, base.known.sqnr_db, self.limits)]
        return [*found, self._verified()]

    def _verified(self) -> Check:
        """The golden pictures, answered where the gate runs."""
        assert isinstance(self.model, Artifact)
        v = parity.verify(self.model, self.runtime, self.options, self.device)
        why = f"max |d| {v.max_abs:.3g} to the golden answers, tolerance {v.tolerance:.3g}"
        if not v.tensors_equal:
            why = f"pictures become other tensors than where it was made; {why}"
        if not v.kernels_exact:
            why = f"int8 kernels overflow here: {v.kernels_db:.1f} dB from exact arithmetic; {why}"
        return Check("answers", "counted", "pass" if v.passed else "fail", why, "", v.tolerance, v.max_abs)

    def _of_the_run(self, base: Baseline) -> tuple[dict[str, str], dict[str, str], list[Check]]:
        """Facts of the session and of the host, and the checks that need the file to run."""
        if not self.device.timed:
            return self._counted(base)
        if base.path:
            return self._paired(base.path)
        return self._against_numbers(base.known)

    def _paired(self, baseline: Path) -> tuple[dict[str, str], dict[str, str], list[Check]]:
        with self.progress(LAUNCHES[-1], "timing candidate and baseline, at most") as tick:
            duel = self._duel(self.job(baseline), tick)
            decision = decide(duel.launch, self.limits.max_slowdown / 100, detect=self.limits.detect, go_on=duel.go_on)
        found = [checks.latency(decision, self.limits, "paired", self.limits.max_slowdown, duel.seconds, duel.clock)]
        if duel.memories:
            found.append(checks.memory(duel.memory, duel.baseline_memory, "paired", self.limits))
        found.append(checks.load(duel.loads, self.limits, duel.clock))
        assert duel.ready
        return duel.ready.facts, duel.ready.host, found

    def _against_numbers(self, numbers: Numbers) -> tuple[dict[str, str], dict[str, str], list[Check]]:
        """Times that were written down: calibrated where the machine is as it was, else only told."""
        if numbers.cpu_ms is None:
            facts, where = self._facts()
            return facts, where, [checks.skipped("latency", "the baseline holds no times")]
        limit = max(self.limits.max_slowdown, checks.CALIBRATED_LEAST)
        with self.progress(LAUNCHES[-1], "timing the candidate against a fixed computation, at most") as tick:
            duel = self._duel(self.job(self.path, "reference"), tick)
            score = numbers.score
            then = math.log(score) if score else 0.0
            decision = decide(lambda: duel.launch() - then, limit / 100, go_on=duel.go_on)
        assert duel.ready
        differ = numbers.differences(facts_of(duel, self.device))
        if score and not differ:
            found = [checks.latency(decision, self.limits, "calibrated", limit, duel.seconds)]
        else:
            found = [self._absolute(statistics.median(duel.ns) / 1e6, numbers, differ)]
        if numbers.memory_bytes and duel.memories and not differ:
            found.append(checks.memory(duel.memory, numbers.memory_bytes, "stored", self.limits))
        return duel.ready.facts, duel.ready.host, found

    def _absolute(self, now: float, numbers: Numbers, differ: Sequence[str]) -> Check:
        why = "; ".join(differ) or "the baseline holds no score"
        assert numbers.cpu_ms
        slower = 100 * (now / numbers.cpu_ms - 1)
        outcome: Outcome = "skipped"
        if self.allow_absolute:
            outcome = "fail" if slower > self.limits.max_slowdown else "pass"
        why = f"{numbers.cpu_ms:.2f} to {now:.2f} ms, but not comparable: {why}"
        return Check("latency", "absolute", outcome, why, "%", self.limits.max_slowdown, slower)

    def _counted(self, base: Baseline) -> tuple[dict[str, str], dict[str, str], list[Check]]:
        """Instructions: nothing else of an emulator means anything."""
        self.say(f"counting instructions on {self.device.name}")
        now, facts, where = self._count(self.path)
        key = f"{self.device.name} {facts['runtime']}"
        if base.path:
            then, theirs, _ = self._count(base.path)
            if theirs["runtime"] != facts["runtime"]:
                return facts, where, [checks.skipped("instructions", f"{theirs['runtime']} ran the baseline")]
        elif key in base.known.instructions:
            then = base.known.instructions[key]
        else:
            return facts, where, [checks.skipped("instructions", f"the baseline holds none for {key}")]
        return facts, where, [checks.instructions(now, then, self.limits, key)]

    def _count(self, path: Path) -> tuple[int, dict[str, str], dict[str, str]]:
        with opened(self.device, self.job(path), self.timeout) as worker:
            return min(worker.count(COUNTED)), worker.ready.facts, worker.ready.host

    def _of_the_answers(self, base: Baseline) -> list[Check]:
        if self.data is None:
            return []
        if not isinstance(self.model, Artifact) or not isinstance(base.model, Artifact):
            return [checks.skipped("top-1", "--data needs artifacts on both sides")]
        found = evaluate(
            [self.model, base.model],
            self.data,
            device=self.device,
            options=self.options,
            timeout=self.timeout,
            state=STATE,
            say=self.say,
            progress=lambda total: self.progress(total, "answering"),
        )
        assert found.paired
        return [checks.accuracy(found.paired, self.limits, found.learned)]

    def _facts(self) -> tuple[dict[str, str], dict[str, str]]:
        with opened(self.device, self.job(self.path), self.timeout) as worker:
            return worker.ready.facts, worker.ready.host

    def _duel(self, other: Job, tick: Callable[[], None]) -> Duel:
        return Duel(self.job(self.path), other, self.device, self.limits.budget, self.timeout, self.seed, tick)

    def numbers(self, source: str | None = None, *, times: bool = True) -> Numbers:
        """The candidate as the next baseline; without `times`, only what is the same on every machine.

        Raises MissingExtraError where nothing reads the operators of its format.
        """
        seen = checks.operators_of(self.model.model_file)
        proof = self.model.manifest.proof if isinstance(self.model, Artifact) else None
        numbers = Numbers(
            name=self.model.name,
            digest=self.model.digest(),
            bytes=self.model.model_bytes,
            operators=seen.count,
            int8_macs=seen.int8_macs,
            sqnr_db=proof.sqnr_db if proof else None,
            cpu_ms=None,
            memory_bytes=None,
            score=None,
            instructions={},
            host={},
            source=source,
        )
        if not self.device.timed:
            return self._with_counts(numbers)
        return self._with_times(numbers) if times else numbers

    def _with_times(self, numbers: Numbers) -> Numbers:
        with self.progress(LAUNCHES.start, "timing the candidate against a fixed computation") as tick:
            duel = self._duel(self.job(self.path, "reference"), tick)
            score = estimate([duel.launch() for _ in range(LAUNCHES.start)], LEVEL)
        return msgspec.structs.replace(
            numbers,
            cpu_ms=round(statistics.median(duel.ns) / 1e6, 4),
            score=round(math.exp(score.value), 5),
            memory_bytes=duel.memory if duel.memories else None,
            host=facts_of(duel, self.device),
        )

    def _with_counts(self, numbers: Numbers) -> Numbers:
        count, facts, _ = self._count(self.path)
        return msgspec.structs.replace(numbers, instructions={f"{self.device.name} {facts['runtime']}": count})


def facts_of(duel: Duel, device: Device) -> dict[str, str]:
    assert duel.ready
    return {**duel.ready.host, **duel.ready.facts, "device": device.name}


def _operators(numbers: Numbers) -> checks.Operators:
    return checks.Operators(numbers.operators, numbers.int8_macs)


def _advice(found: Sequence[Check]) -> list[str]:
    """An improvement should become the baseline, or the next regression hides behind it."""
    better = [c for c in found if c.metric in ("latency", "size", "memory") and _better(c)]
    named = " and ".join(f"{c.metric} by {-c.estimate:.1f} %" for c in better if c.estimate is not None)
    return [f"better: {named}; --update makes this the baseline"] if better else []


def _better(check: Check) -> bool:
    surely = check.high if check.high is not None else check.estimate
    return surely is not None and check.limit is not None and surely < -check.limit
