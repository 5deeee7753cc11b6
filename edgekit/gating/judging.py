"""Which checks can be made of a candidate and its baseline, and making them."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import artifact, parity
from edgekit.artifact import Artifact, Model
from edgekit.benchmarking.harness import COUNTED
from edgekit.data import DataSet
from edgekit.devices import Device, Job, opened
from edgekit.errors import EdgekitError, RequestError, UnsupportedError
from edgekit.evaluation import STATE, evaluate, open_for
from edgekit.evaluation.opening import AS_IN_THE_FILE
from edgekit.gating import Check, Limits, Outcome, Verdict, baseline, checks
from edgekit.gating.baseline import Baseline, Numbers
from edgekit.gating.contract import contract
from edgekit.gating.paired import PairedLaunches, log_ratios
from edgekit.gating.sequential import LAUNCHES, LEVEL, boundary, decide, look
from edgekit.inspection import Inspection, inspect
from edgekit.places import check_file
from edgekit.runs import percent
from edgekit.runtimes import Options
from edgekit.statistics.intervals import estimate

Progress = Callable[[int, str], AbstractContextManager[Callable[[], None]]]  # so many steps of what; called for each


def judged_on(
    model: Model,
    data: str | os.PathLike[str] | None,
    *,
    labels: str | os.PathLike[str] | None = None,
    images: str | None = None,
    masks: str | None = None,
    ignore: int | str | None = AS_IN_THE_FILE,
) -> DataSet | None:
    """The images for the check of accuracy; None where none are named. Raises RequestError, and as `open_for`."""
    if data is None:
        if labels or images or masks or ignore != AS_IN_THE_FILE:
            flag = "--labels" if labels else "--images" if images else "--masks" if masks else "--ignore"
            raise RequestError(f"{flag} says what is on the images of --data", hint="--data DIR")
        return None
    if not isinstance(model, Artifact):
        raise RequestError(f"{model.name} says nothing of its images", hint="--data needs artifacts")
    truth = Path(labels) if labels else None
    return open_for(model, Path(data), labels_file=truth, images=images, masks=masks, ignore=ignore)


@dataclass
class Judge:
    """A candidate on a device in a runtime, ready to be compared.

    data            images for the check of accuracy; None leaves it out
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
    warn: Callable[[str], None] = lambda line: None
    progress: Progress = lambda total, what: nullcontext(lambda: None)

    def judge(self, base: Baseline) -> Verdict:
        """Every check that the two allow.

        Raises RequestError for files of two kinds, and where a file cannot be run; MissingExtraError where nothing here
        reads the operators of its format.
        """
        if base.target not in (None, self.model.target):
            raise RequestError(
                f"{self.path} is a {self.model.target} file, the baseline a {base.target} file",
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
            notes=(*notes, *_of_the_clock(where), *_advice(found)),
        )

    def job(self, path: Path, runtime: str | None = None) -> Job:
        return Job(str(path), runtime or self.runtime, self.options, None, self.seed)

    def _of_the_file(self, base: Baseline) -> list[Check]:
        seen, theirs = _seen(self.model), _seen(base.model) if base.model else None
        agreed = contract(base.model, theirs) if base.model else base.known.contract
        then = base.model.model_bytes if base.model else base.known.bytes
        found = checks.contract(contract(self.model, seen), agreed, self.limits)
        found.append(checks.size(self.model.model_bytes, then, self.limits))
        if seen is None or (base.model and theirs is None):
            return [*found, checks.skipped("operators", f"nothing here looks into {self.model.target} files")]
        was = checks.operators_of(theirs) if theirs else _operators(base.known)
        return [*found, checks.operators(checks.operators_of(seen), was, self.limits)]

    def _of_the_proof(self, base: Baseline) -> list[Check]:
        if not isinstance(self.model, Artifact) or isinstance(base.model, artifact.LooseFile):
            return [checks.skipped("proof", "a file without an artifact carries no proof")]
        now, then = self.model.manifest.proof, base.model.manifest.proof if base.model else None
        if then:
            found = [checks.proof(now.sqnr_db, then.sqnr_db, self.limits)]
        elif base.known.sqnr_db is None:
            found = [checks.skipped("proof", "the baseline holds none")]
        else:
            found = [checks.proof(now.sqnr_db, base.known.sqnr_db, self.limits)]
        return [*found, self._verified()]

    def _verified(self) -> Check:
        """The golden images, answered where the gate runs."""
        assert isinstance(self.model, Artifact)
        v = parity.verify(self.model, self.runtime, self.options, self.device, self.timeout)
        why = f"max |d| {v.max_abs:.3g} to the golden answers, tolerance {v.tolerance:.3g}"
        if not v.tensors_equal:
            why = f"images become other tensors than where it was made; {why}"
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

    def _paired(self, other: Path) -> tuple[dict[str, str], dict[str, str], list[Check]]:
        limits = self.limits
        edge = boundary(limits.max_slowdown / 100, detect=limits.detect)
        with self.progress(LAUNCHES[-1], "timing candidate and baseline") as tick:
            pair = self._pair(self.job(other), tick)
            decision = decide(pair.launch, edge, go_on=pair.go_on, blur=lambda: pair.blur(pair.times))
            found = checks.latency(decision, limits, "paired", limits.max_slowdown, pair.seconds, pair.clock)
            rest = self._of_opening(pair)
            # without an estimate the clock cannot tell, however often
            while any(c.outcome == "inconclusive" and c.estimate is not None for c in rest) and pair.may_open():
                pair.open_both()
                rest = self._of_opening(pair)
        assert pair.ready
        return pair.ready.facts, pair.ready.host, [found, *rest]

    def _of_opening(self, pair: PairedLaunches) -> list[Check]:
        memory = [(ours.needed, theirs.needed) for ours, theirs in pair.memories]
        blur = pair.blur(pair.loads)
        return [
            *([checks.memory(memory, "paired", self.limits)] if memory else []),
            checks.load(log_ratios(pair.loads), self.limits, pair.clock, blur=blur),
        ]

    def _against_numbers(self, numbers: Numbers) -> tuple[dict[str, str], dict[str, str], list[Check]]:
        """Times that were written down: calibrated where the machine is as it was, else only told."""
        if numbers.cpu_ms is None:
            facts, where = self._facts()
            return facts, where, [checks.skipped("latency", "the baseline holds no times")]
        limit = max(self.limits.max_slowdown, checks.CALIBRATED_LEAST)
        score = numbers.score
        then = math.log(score) if score else 0.0
        with self.progress(LAUNCHES[-1], "timing the candidate against a fixed computation") as tick:
            pair = self._pair(self.job(self.path, "reference"), tick)
            decision = decide(
                lambda: pair.launch() - then,
                math.log1p(limit / 100),
                go_on=pair.go_on,
                blur=lambda: pair.blur(pair.times) + (numbers.score_within or 0.0),
            )
        assert pair.ready
        differ = numbers.differences(facts_of(pair, self.device))
        if score and not differ:
            found = [checks.latency(decision, self.limits, "calibrated", limit, pair.seconds, pair.clock)]
        else:
            found = [self._absolute(pair, numbers.cpu_ms, differ)]
        if numbers.memory_bytes and pair.memories and not differ:
            pairs = [(ours.needed, numbers.memory_bytes) for ours, _ in pair.memories]
            found.append(checks.memory(pairs, "stored", self.limits))
        return pair.ready.facts, pair.ready.host, found

    def _absolute(self, pair: PairedLaunches, cpu_ms: float, differ: Sequence[str]) -> Check:
        """Milliseconds against those of another machine: told, and judged only on request."""
        logs = [math.log(max(ours, 1) / (cpu_ms * 1e6)) for ours, _ in pair.times]
        found = look(logs, math.log1p(self.limits.max_slowdown / 100), pair.blur(pair.times))
        check = checks.latency(found, self.limits, "absolute", self.limits.max_slowdown, pair.seconds, pair.clock)
        reason = "; ".join(differ) or "the baseline holds no score"
        why = f"{cpu_ms:.2f} to {pair.ns / 1e6:.2f} ms, but not comparable: {reason}"
        outcome: Outcome = check.outcome if self.allow_absolute else "skipped"
        return msgspec.structs.replace(check, outcome=outcome, why=why)

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
            return [checks.skipped("accuracy", "--data needs artifacts on both sides")]
        if self.model.labels() != base.model.labels():
            return [checks.skipped("accuracy", "the classes are not the same")]
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
        assert found.change
        if found.paired:  # of classes, images that flip tell more
            return [checks.accuracy(found.paired, found.change.figure, self.limits, found.learned)]
        return [checks.figure(found.change, self.limits, found.learned)]

    def _facts(self) -> tuple[dict[str, str], dict[str, str]]:
        with opened(self.device, self.job(self.path), self.timeout) as worker:
            return worker.ready.facts, worker.ready.host

    def _pair(self, other: Job, tick: Callable[[], None]) -> PairedLaunches:
        return PairedLaunches(
            self.job(self.path), other, self.device, self.limits.budget, self.timeout, self.seed, tick
        )

    def numbers(self, source: str | None = None, *, times: bool = True) -> Numbers:
        """The candidate as the next baseline; without `times`, only what is the same on every machine.

        Raises MissingExtraError where nothing reads the operators of its format.
        """
        seen = inspect(self.model.model_file)
        operators = checks.operators_of(seen)
        proof = self.model.manifest.proof if isinstance(self.model, Artifact) else None
        numbers = Numbers(
            name=self.model.name,
            digest=self.model.digest(),
            bytes=self.model.model_bytes,
            contract=contract(self.model, seen),
            operators=operators.count,
            int8_macs=operators.int8_macs,
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
        """Without times, and a warning, where the machine is too noisy or its clock too coarse to hold another day against them."""
        logs: list[float] = []
        with self.progress(LAUNCHES[-1], "timing the candidate against a fixed computation") as tick:
            pair = self._pair(self.job(self.path, "reference"), tick)
            while True:
                logs.append(pair.launch())
                if len(logs) < LAUNCHES.start:
                    continue
                score = estimate(logs, LEVEL, pair.blur(pair.times))
                within = score.high - score.value
                spent = len(logs) >= LAUNCHES[-1] or not pair.go_on(len(logs))
                if within <= checks.SCORE_WITHIN or spent or math.isinf(score.blur):
                    break
        if math.isinf(score.blur):
            self.warn(
                "no times are written down: the clock of CPU times is too coarse here to tell how long the file takes"
            )
            return numbers
        if within > checks.SCORE_USELESS:
            self.warn(
                f"no times are written down: {len(logs)} launches tell them only to {percent(within):.0f} %; again when the machine"
                " is less busy, or a longer --budget"
            )
            return numbers
        return msgspec.structs.replace(
            numbers,
            cpu_ms=round(pair.ns / 1e6, 4),
            score=round(math.exp(score.value), 5),
            score_within=round(within, 5),
            memory_bytes=pair.memory if pair.memories else None,
            host=facts_of(pair, self.device),
        )

    def _with_counts(self, numbers: Numbers) -> Numbers:
        count, facts, _ = self._count(self.path)
        return msgspec.structs.replace(numbers, instructions={f"{self.device.name} {facts['runtime']}": count})


@dataclass(frozen=True)
class Update:
    """A baseline that was replaced: what changed, in words. `numbers`: of a .json; `untold`: without the times it should
    hold."""

    changes: list[str]
    numbers: Numbers | None = None
    untold: bool = False


def update(judge: Judge, where: str, source: str | None = None, *, times: bool = True) -> Update:
    """The candidate becomes the baseline `where`: a .json of numbers, or a file. Raises as `Judge.numbers` and
    `baseline.replace` do."""
    if where.endswith(".json"):
        check_file(Path(where), "--baseline another/numbers.json")
        old = baseline.read(Path(where)) if Path(where).exists() else None
        new = judge.numbers(source or (old.source if old else None), times=times)
        untold = times and judge.device.timed and new.cpu_ms is None
        new = baseline.complete(new, old, counted=not judge.device.timed)
        baseline.write(Path(where), new)
        return Update(baseline.changes(old, new), new, untold)
    before = "nothing"
    with suppress(EdgekitError), baseline.opened(where) as base:
        if base.model:
            before = f"{base.model.digest()[:12]}, {base.model.model_bytes:,} bytes"
    baseline.replace(where, judge.model)
    return Update([f"{before} -> {judge.model.digest()[:12]}, {judge.model.model_bytes:,} bytes"])


def facts_of(pair: PairedLaunches, device: Device) -> dict[str, str]:
    assert pair.ready
    return {**pair.ready.host, **pair.ready.facts, "device": device.name}


def _seen(model: Model) -> Inspection | None:
    """None for a format that cannot be looked into."""
    try:
        return inspect(model.model_file)
    except UnsupportedError:
        return None


def _operators(numbers: Numbers) -> checks.Operators:
    return checks.Operators(numbers.operators, numbers.int8_macs)


def _of_the_clock(host: dict[str, str]) -> list[str]:
    """Where it moves in steps, as under a CPU limit."""
    clock = host.get("cpu_clock", "")
    return [f"CPU times are by {clock}"] if "steps" in clock else []


def _advice(found: Sequence[Check]) -> list[str]:
    """A changed contract can be wanted. An improvement should become the baseline, or the next regression hides behind it."""
    if any(c.metric == "contract" and c.outcome == "fail" for c in found):
        return ["the contract is another; --allow-contract where that is wanted"]
    better = [c for c in found if c.metric in ("latency", "size", "memory") and c.outcome == "pass" and _better(c)]
    named = " and ".join(f"{c.metric} by {-c.estimate:.1f} %" for c in better if c.estimate is not None)
    return [f"better: {named}; --update makes this the baseline"] if better else []


def _better(check: Check) -> bool:
    surely = check.high if check.high is not None else check.estimate
    return surely is not None and check.limit is not None and surely < -check.limit
