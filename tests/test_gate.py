"""The gate: its test on synthetic launches with fixed seeds, every check, baselines, renderings, and the command."""

import errno
import json
import math
import random
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock
from xml.etree import ElementTree

import msgspec
import pytest
from conftest import GOLDEN_FILES, ask_edgekit, run_edgekit
from onnx import TensorProto, helper

import edgekit_vision
from edgekit import artifact, registry
from edgekit.devices import Memory, Phase, Ready, Samples
from edgekit.errors import ArtifactError, MissingExtraError, OutputError, RequestError
from edgekit.evaluation.accuracy import Paired
from edgekit.gating import Check, Limits, Verdict, baseline, budgets, checks, dashboards, rendering
from edgekit.gating.contract import contract
from edgekit.gating.judging import Judge, update
from edgekit.gating.outputs import Outputs
from edgekit.gating.sequential import LAUNCHES, boundary, decide
from edgekit.inspection import inspect
from edgekit.manifest import file_record, read_manifest, save_manifest
from edgekit.runtimes import InputSpec
from edgekit.statistics.intervals import blur
from edgekit.statistics.proportions import agresti_min, mcnemar_midp, wilson
from edgekit.tasks import Classification

TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"


def gates(slowdown, count=1000, *, detect=False, noise=0.013, seed=0, mad=0.0):
    """Outcomes of gates whose launches are log ratios with normal noise; `mad`: the share of launches that are off by 30 %."""
    rng = random.Random(seed)

    def launch():
        return math.log1p(slowdown) + rng.gauss(0, noise) + (0.3 if rng.random() < mad else 0)

    return [decide(launch, boundary(0.05, detect=detect)).outcome for _ in range(count)]


def test_what_did_not_change_does_not_fail():
    assert gates(0).count("fail") == 0
    assert gates(0, detect=True).count("fail") <= 5  # 0.5 %
    assert gates(0, mad=0.05).count("fail") <= 5


def test_a_slowdown_is_found():
    assert gates(0.10).count("fail") >= 990
    assert gates(0.05, detect=True).count("fail") >= 960
    assert gates(0.10, detect=True).count("fail") >= 999


def test_an_improvement_passes():
    assert set(gates(-0.2, 50)) == {"pass"}


def test_a_machine_too_noisy_to_tell_is_inconclusive():
    outcomes = gates(0.0, 300, noise=0.2)
    assert outcomes.count("inconclusive") > 180
    assert outcomes.count("fail") <= 9  # 3 %: every one of up to 13 looks errs in 0.5 %


def test_it_stops_as_soon_as_it_knows_and_when_it_must():
    steady = iter([0.30, 0.31, 0.29, 0.30] + [0.0] * 40)
    assert decide(lambda: next(steady), 0.05).estimate.launches == LAUNCHES.start
    wobbly = random.Random(1)
    undecided = decide(lambda: 0.05 + wobbly.gauss(0, 0.02), 0.05)
    assert undecided.estimate.launches <= LAUNCHES[-1]
    spent = decide(lambda: wobbly.gauss(0, 1e-6), 0.05, go_on=lambda done: done < 3)
    assert (spent.estimate.launches, spent.decided, spent.outcome) == (3, False, "inconclusive")
    assert "fewer launches than the 4" in checks.latency(spent, Limits(), "paired", 5.0).why


@pytest.mark.parametrize("slowdown", [-0.05, 0.0, 0.02, 0.05, 0.08, 0.2])
@pytest.mark.parametrize("detect", [False, True])
def test_the_word_and_the_interval_never_disagree(slowdown, detect):
    """Of latency, load and memory, however noisy: what is shown decides."""
    rng, limits = random.Random(3), Limits(detect=detect)
    seen = set()
    for _ in range(60):
        noise, last = rng.choice([0.003, 0.02, 0.1, 0.4]), rng.choice([2, 4, 9, 99])
        found = decide(
            lambda n=noise: math.log1p(slowdown) + rng.gauss(0, n),
            boundary(0.05, detect=detect),
            go_on=lambda done, most=last: done < most,
        )
        logs = [math.log1p(slowdown) + rng.gauss(0, noise) for _ in range(5)]
        bytes_ = [(round(1e8 * math.exp(x)), 10**8) for x in logs]
        made = [checks.latency(found, limits, "paired", 5.0), checks.load(logs, limits)]
        for check in [*made, checks.memory(bytes_, "paired", limits)]:
            if check.launches >= LAUNCHES.start:
                by_eye = "fail" if check.low > check.limit else "pass" if check.high < check.limit else "inconclusive"
                assert check.outcome == by_eye
            else:
                assert check.outcome == "inconclusive"
            seen.add(check.outcome)
    assert len(seen) > 1


def test_no_time_and_one_step_of_the_clock_decide_nothing():
    assert blur(4e6, 3e6, 9e6) == blur(4e6, 4e6, 9e6) == blur(0, 0, 9e6) == math.inf
    assert blur(0, 1e6, 1e6) == 0
    assert blur(1e3, 1e5, 2e5) == pytest.approx(0.015)
    found = decide(lambda: 0.0, 0.05, blur=lambda: math.inf)
    assert (found.outcome, found.estimate.launches) == ("inconclusive", 2)
    check = checks.latency(found, Limits(), "paired", 5.0)
    assert (check.outcome, check.estimate, check.low) == ("inconclusive", None, None)
    assert "steps too coarse" in check.why
    assert decide(lambda: 0.0, 0.05, blur=lambda: 0.06).outcome == "inconclusive"
    assert checks.load([0.0] * 9, Limits(), blur=math.inf).outcome == "inconclusive"


def test_size_and_memory():
    limits = Limits()
    assert checks.size(1010, 1000, limits).outcome == "pass"
    assert checks.size(1011, 1000, limits).outcome == "fail"
    assert checks.size(10, 0, limits).outcome == "fail"  # an empty file
    for now, then, outcome in (
        (31_000_000, 30_000_000, "pass"),
        (32_000_000, 30_000_000, "fail"),
        (2_900_000, 2_000_000, "pass"),
    ):
        assert checks.memory([(now, then)] * 4, "paired", limits).outcome == outcome
    slack = checks.memory([(2_900_000, 2_000_000)] * 4, "paired", limits)
    assert (slack.limit, "1 MB more is no news" in slack.why) == (50, True)
    noisy = checks.memory([(30_000_000, 30_000_000), (34_000_000, 30_000_000)] * 2, "paired", limits)
    assert noisy.outcome == "inconclusive"


def test_operators_that_leave_int8():
    then = checks.Operators({"CONV_2D int8": 30}, 1.0)
    assert checks.operators(then, then, Limits()).outcome == "pass"
    same_count = checks.Operators({"CONV_2D int8": 29, "CONV_2D float32": 1}, 0.93)
    found = checks.operators(same_count, then, Limits())
    assert found.outcome == "fail"
    assert "multiply-adds in int8 100.0% to 93.0%" in found.why
    more = checks.Operators({"CONV_2D int8": 30, "DEQUANTIZE int8": 2}, 1.0)
    assert checks.operators(more, then, Limits()).outcome == "fail"
    assert checks.operators(more, then, Limits(max_operators=2)).outcome == "pass"


def test_the_proof_of_a_file():
    assert checks.proof(20.1, 20.9, Limits()).outcome == "pass"
    assert checks.proof(19.0, 20.9, Limits()).outcome == "fail"
    assert checks.proof(None, 20.9, Limits()).outcome == "pass"  # equal to the last bit
    assert checks.proof(110.0, None, Limits()).outcome == "fail"


def test_opening_fails_only_when_it_is_sure():
    assert checks.load([0.01, -0.01, 0.02, 0.0], Limits()).outcome == "pass"
    assert checks.load([0.9, 0.95, 0.88, 0.91], Limits()).outcome == "fail"
    assert checks.load([0.0, 2.0, 0.1, 0.2], Limits()).outcome == "inconclusive"


def paired(lost, won, pictures):
    return Paired(
        candidate="a",
        reference="b",
        pictures=pictures,
        lost=lost,
        won=won,
        drop=agresti_min(lost, won, pictures),
        midp=mcnemar_midp(lost, won),
        agreement=wilson(pictures - lost - won, pictures),
        confident_agreement=wilson(1, 1),
        sqnr_db_p10=None,
        sqnr_db_p50=None,
        flips=(),
    )


def test_top_1():
    assert checks.accuracy(paired(10, 8, 10_000), "top-1", Limits()).outcome == "pass"
    assert checks.accuracy(paired(300, 100, 10_000), "top-1", Limits()).outcome == "fail"
    near = checks.accuracy(paired(180, 100, 10_000), "top-1", Limits())  # 0.8 points are lost, and perhaps 0.47
    assert (near.outcome, near.low < near.limit < near.estimate) == ("inconclusive", True)
    open_ = checks.accuracy(paired(3, 2, 100), "top-1", Limits())
    assert open_.outcome == "inconclusive"
    assert open_.why.endswith("of 100 images, which do not decide: about 12,364 would")


class Machine:
    """A device whose workers take what their file costs, give or take a percent, and answer right but for `off`."""

    name, counts, timed, at_once, off = "local", True, True, 8, 0.0

    def __init__(self, costs, *, cpu_clock=True, **host):
        self.cpu_clock = cpu_clock
        self.costs, self.host = costs, {"cpu": "test", "cpu_class": "x86", "cores": "2"} | host
        self.rng = random.Random(5)

    def start(self, job, timeout):
        return Worker(self, job, self.costs["reference" if job.runtime == "reference" else job.model])


class Worker:
    def __init__(self, machine, job, cost):
        self.machine, self.job, self.cost = machine, job, cost
        phase = Phase(cost, cost if machine.cpu_clock else None)
        facts = {"runtime": "litert 2", "threads": "1"}
        self.ready = Ready(phase, phase, phase, InputSpec((1, 2), "float32"), facts, machine.host, "noise")

    def infer(self, times):
        ns = tuple(round(self.cost * self.machine.rng.uniform(1, 1.02)) for _ in range(times))
        return Samples(ns, ns, 0) if self.machine.cpu_clock else Samples(ns)

    def count(self, times):
        return (self.cost,) * times

    def answer(self, tensors):
        return tuple(a + self.machine.off for a in artifact.load(Path(self.job.model)).golden().answers)

    def end(self):
        return Memory(0, 10, 20, 30_000_000, 0, 30_000_010)

    def kill(self):
        pass


def judge(machine, path=TFLITE, **options):
    return Judge(path, artifact.open_model(path), "litert", machine, Limits(budget=1e9), **options)


def outcomes(verdict):
    return {c.metric: c.outcome for c in verdict.checks}


@pytest.fixture
def slower(tmp_path):
    """The same file elsewhere, so that the machine can give it another cost."""
    return shutil.copytree(TFLITE, tmp_path / "slower")


def test_the_same_cost_passes_and_a_higher_one_fails(slower):
    machine = Machine({str(TFLITE): 10**6, str(slower): 1_200_000})
    with baseline.opened(str(TFLITE)) as base:
        same = judge(machine).judge(base)
        assert set(outcomes(same).values()) == {"pass"}
        assert same.exit_code(strict=True) == 0
        worse = judge(machine, slower).judge(base)
    assert outcomes(worse) | {"latency": "fail"} == outcomes(worse)
    assert worse.exit_code(strict=False) == 1
    latency = next(c for c in worse.checks if c.metric == "latency")
    assert latency.low < 20 < latency.high
    assert latency.method == "paired"


def test_a_device_without_a_cpu_clock_is_judged_by_wall_time(slower):
    machine = Machine({str(TFLITE): 10**6, str(slower): 1_200_000}, cpu_clock=False)
    with baseline.opened(str(TFLITE)) as base:
        worse = judge(machine, slower).judge(base)
    latency = next(c for c in worse.checks if c.metric == "latency")
    assert (latency.outcome, latency.why) == ("fail", "wall time of an inference")


def test_a_faster_file_should_become_the_baseline(slower):
    machine = Machine({str(TFLITE): 10**6, str(slower): 1_200_000})
    with baseline.opened(str(slower)) as base:
        assert "--update" in judge(machine).judge(base).notes[0]


def test_numbers_of_the_same_machine_are_calibrated(slower, tmp_path):
    costs = {str(TFLITE): 10**6, str(slower): 1_300_000, "reference": 400_000}
    numbers = judge(Machine(costs)).numbers()
    baseline.write(tmp_path / "numbers.json", numbers)
    with baseline.opened(str(tmp_path / "numbers.json")) as base:
        hot = Machine({name: 2 * cost for name, cost in costs.items()})  # the whole machine is slower: no news
        assert outcomes(judge(hot).judge(base))["latency"] == "pass"
        verdict = judge(Machine(costs), slower).judge(base)
        assert outcomes(verdict)["latency"] == "fail"
        check = next(c for c in verdict.checks if c.metric == "latency")
        assert (check.method, check.limit) == ("calibrated", 7.0)


def test_numbers_of_another_machine_are_not_compared_unless_asked(slower, tmp_path):
    costs = {str(TFLITE): 10**6, str(slower): 1_300_000, "reference": 400_000}
    baseline.write(tmp_path / "numbers.json", judge(Machine(costs)).numbers())
    other = Machine(costs, cpu="another")
    with baseline.opened(str(tmp_path / "numbers.json")) as base:
        verdict = judge(other, slower).judge(base)
        latency = next(c for c in verdict.checks if c.metric == "latency")
        assert latency.outcome == "skipped"
        assert "cpu is another, was test" in latency.why
        assert (verdict.exit_code(strict=False), verdict.exit_code(strict=True)) == (0, 5)
        assert outcomes(judge(other, slower, allow_absolute=True).judge(base))["latency"] == "fail"


def test_instructions_where_times_mean_nothing(slower, tmp_path):
    machine = Machine({str(TFLITE): 10**6, str(slower): 1_030_000})
    machine.name, machine.timed = "arm64:cortex-a76", False
    with baseline.opened(str(TFLITE)) as base:
        verdict = judge(machine, slower).judge(base)
        assert outcomes(verdict) | {"instructions": "fail", "answers": "pass"} == outcomes(verdict)
        machine.off = 100.0  # its kernels are wrong
        assert outcomes(judge(machine).judge(base))["answers"] == "fail"
    machine.off = 0.0
    baseline.write(tmp_path / "counts.json", judge(machine).numbers())
    with baseline.opened(str(tmp_path / "counts.json")) as base:
        assert outcomes(judge(machine).judge(base))["instructions"] == "pass"
        assert outcomes(judge(machine, slower).judge(base))["instructions"] == "fail"
        machine.name = "arm64:cortex-a53"
        assert outcomes(judge(machine).judge(base))["instructions"] == "skipped"


def test_numbers_lead_to_their_file_while_it_is_the_same(tmp_path, slower):
    machine = Machine({str(TFLITE): 10**6, "reference": 400_000})
    baseline.write(tmp_path / "numbers.json", judge(machine).numbers("slower"))
    with baseline.opened(str(tmp_path / "numbers.json")) as base:
        assert base.path == slower
    (slower / "model.tflite").write_bytes(b"other")
    with baseline.opened(str(tmp_path / "numbers.json")) as base:
        assert base.path is None
        assert "cannot be had" in base.note


def test_numbers_without_times_say_so(tmp_path):
    machine = Machine({str(TFLITE): 10**6})
    baseline.write(tmp_path / "numbers.json", judge(machine).numbers(times=False))
    with baseline.opened(str(tmp_path / "numbers.json")) as base:
        found = outcomes(judge(machine).judge(base))
    assert found | {"size": "pass", "operators": "pass", "proof": "pass", "latency": "skipped"} == found


def test_what_an_update_changes(tmp_path):
    old = judge(Machine({str(TFLITE): 10**6, "reference": 400_000})).numbers()
    new = msgspec.structs.replace(old, bytes=old.bytes + 5)
    assert baseline.changes(old, new) == [f"bytes: {old.bytes} -> {new.bytes}"]
    assert baseline.changes(None, new) == ["new"]


def test_numbers_of_one_file_come_together(slower):
    machine = Machine({str(TFLITE): 10**6, "reference": 400_000})
    timed = judge(machine).numbers()
    machine.name, machine.timed = "arm64:cortex-a76", False
    counted = judge(machine).numbers()
    both = baseline.complete(counted, timed, counted=True)
    assert (both.cpu_ms, both.instructions) == (timed.cpu_ms, counted.instructions)
    again = baseline.complete(timed, both, counted=False)
    assert (again.cpu_ms, again.instructions) == (timed.cpu_ms, counted.instructions)
    other = msgspec.structs.replace(timed, digest="of another file")
    assert baseline.complete(counted, other, counted=True) == counted


def test_what_was_not_compared_is_said():
    passed = msgspec.structs.replace(VERDICT, checks=VERDICT.checks[1:])
    assert rendering.sentence(passed).endswith("is within its limits; not compared: proof.")


def test_a_package_that_is_missing_is_no_check_less(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with baseline.opened(str(ONNX)) as base, pytest.raises(MissingExtraError) as caught:
        judge(Machine({str(ONNX): 10**6}), ONNX).judge(base)
    assert caught.value.hint == edgekit_vision.install("run-onnx")


def test_a_baseline_out_of_a_commit(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    shutil.copytree(TFLITE, tmp_path / "models" / "tiny")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    shutil.rmtree(tmp_path / "models")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with baseline.opened("git:HEAD:models/tiny") as base:
        assert base.model.digest() == artifact.load(TFLITE).digest()
    for wrong in ("git:HEAD:nowhere", "git:no-such-ref:models/tiny", "git:", "git:--output=x:models"):
        with pytest.raises(RequestError), baseline.opened(wrong):
            pass


def test_no_baseline(tmp_path):
    with pytest.raises(RequestError, match="No such file"), baseline.opened(str(tmp_path / "none.json")):
        pass
    (tmp_path / "other.json").write_text('{"name": 3}')
    with pytest.raises(ArtifactError, match="no baseline"), baseline.opened(str(tmp_path / "other.json")):
        pass


def test_budgets_by_name(tmp_path):
    file = tmp_path / "gate.toml"
    file.write_text('[limits]\nmax_slowdown = 4\n[artifact."vit-*"]\nmax_slowdown = 8\nmax_operators = 3\n')
    named = budgets(file)
    assert named.of("mobilenetv2").max_slowdown == 4
    assert named.of("vit-tiny") == Limits(max_slowdown=8, max_operators=3)
    assert named.of("vit-tiny", max_slowdown=1.0, max_drop=None).max_slowdown == 1
    for wrong in ("[limits]\nmax_slow = 4", "[limits]\nmax_slowdown = -1", "[limit]", "x ="):
        file.write_text(wrong)
        with pytest.raises(RequestError):
            budgets(file)
    with pytest.raises(RequestError, match="budget is 0: Expected `float`"):
        named.of("vit-tiny", budget=0)
    with pytest.raises(RequestError, match="No such file"):
        budgets(tmp_path / "none.toml")


VERDICT = Verdict(
    "new|<b>",
    "old",
    "local",
    "litert 2",
    "x86",
    (
        Check("latency", "paired", "fail", "CPU time", "%", 5.0, 12.3, 9.9, 14.6, 3.1, 6, 21.0),
        Check("size", "counted", "pass", "1 to 2 bytes", "%", 1.0, 0.2),
        Check("proof", "none", "skipped", "a file carries none"),
    ),
)


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", ["junit", "bmf", "benchmark_action"])
def test_a_file_of_a_verdict_takes_its_place_whole_or_not_at_all(name, tmp_path, monkeypatch):
    place = tmp_path / "verdict"
    place.write_text("the last one")
    monkeypatch.setattr("edgekit.places.os.fsync", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        Outputs(**{name: str(place)}).write(VERDICT)
    assert place.read_text() == "the last one"


def test_a_file_and_its_weights_become_the_baseline_together_or_not_at_all(tmp_path, monkeypatch):
    for name in ("old", "new"):
        for place in (tmp_path / name / "net.xml", tmp_path / name / "net.bin"):
            place.parent.mkdir(exist_ok=True)
            place.write_text(name)
    new = artifact.open_model(tmp_path / "new" / "net.xml")
    copies = iter([shutil.copyfile, full_disk])
    monkeypatch.setattr(shutil, "copyfile", lambda *of: next(copies)(*of))
    with pytest.raises(OutputError, match="No space left"):
        baseline.replace(str(tmp_path / "old" / "net.xml"), new)
    assert {place.name: place.read_text() for place in (tmp_path / "old").iterdir()} == {
        "net.xml": "old",
        "net.bin": "old",
    }


def test_markdown_and_junit():
    text = rendering.markdown(VERDICT)
    assert "| latency | +12.3 % [+9.9, +14.6] | 5 % | paired, 6 launches | 3.1 % | CPU time |" in text
    assert "new\\|&lt;b>" in text
    assert text.startswith("<!-- edgekit gate -->")  # by which a comment is found again
    suite = ElementTree.fromstring(rendering.junit([VERDICT]))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert suite.find("testcase/failure").get("message").startswith("+12.3 %")


def test_dashboards_read_ratios_and_counts_alone():
    told = (
        *VERDICT.checks,
        checks.size(1010, 1000, Limits()),
        checks.instructions(1_020, 1_000, Limits(), "arm64:cortex-a76"),
        Check("memory", "stored", "pass", "peak", "%", 5.0, -3.0),
        Check("load", "absolute", "pass", "3 to 4 ms, but not comparable", "%", 25.0, 33.0),
    )
    verdict = Verdict("build/model", "old", "local", "litert 2", "x86", told)
    assert json.loads(dashboards.bmf(verdict)) == {
        "model on local": {
            "latency-ratio": {"value": 1.123, "lower_value": 1.099, "upper_value": 1.146},
            "file-size": {"value": 1010},
            "instructions": {"value": 1020},
            "memory-ratio": {"value": 0.97},
        }
    }
    entries = json.loads(dashboards.benchmark_action(verdict))
    assert [entry["name"] for entry in entries][:2] == ["model on local: latency-ratio", "model on local: file-size"]
    assert entries[0]["range"] == "[1.099, 1.146]"
    assert all(entry.keys() <= {"name", "unit", "value", "range", "extra"} for entry in entries)


def test_a_verdict_is_told_where_no_file_of_it_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "judge", lambda self, base: VERDICT)
    monkeypatch.setattr(Outputs, "write", Mock(side_effect=OutputError("cannot write: No space left on device")))
    arguments = ("gate", TFLITE, "--baseline", TFLITE, "--junit", tmp_path / "v.xml")
    done = ask_edgekit(*arguments, cwd=tmp_path)
    assert (done.returncode, "No space left" in done.stderr, VERDICT.where in done.stdout) == (4, True, True)
    told = json.loads(ask_edgekit(*arguments, "--json", cwd=tmp_path).stdout)
    assert (told["outcome"], told["exit_code"]) == (VERDICT.outcome, 4)


def test_the_command(tmp_path):
    (tmp_path / "gate.toml").write_text("[limits]\nmax_slowdown = 1000\nmax_load = 1000\nmax_memory = 1000\n")
    arguments = ("gate", TFLITE, "--baseline", TFLITE, "--budgets", tmp_path / "gate.toml", "--json")
    written = {f"--{name}": tmp_path / name for name in ("markdown", "junit", "bmf", "benchmark-action")}
    done = run_edgekit(*arguments, *(word for pair in written.items() for word in pair), cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["outcome"] == "pass"
    assert {c["metric"] for c in json.loads(done.stdout)["checks"]} >= {
        "size",
        "operators",
        "proof",
        "answers",
        "latency",
        "load",
    }
    assert "is within its limits" in written["--markdown"].read_text()
    series = json.loads(written["--bmf"].read_text())["tiny-tflite-int8 on local"]
    assert series["file-size"] == {"value": artifact.load(TFLITE).model_bytes}
    assert series["latency-ratio"].keys() == {"value", "lower_value", "upper_value"}
    assert len(json.loads(written["--benchmark-action"].read_text())) == len(series)
    nowhere = TFLITE / "model.tflite" / "v.md"
    for flag in written:  # said before anything runs
        done = ask_edgekit("gate", TFLITE, "--baseline", TFLITE, flag, nowhere, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"try: {flag} another/file" in done.stderr
    larger = ask_edgekit("gate", ONNX / "model.onnx", "--baseline", TFLITE / "model.tflite", cwd=tmp_path)
    assert larger.returncode == 2
    assert "tflite" in larger.stderr


def test_numbers_that_cannot_be_written_are_not_measured(tmp_path):
    (tmp_path / "file").touch()
    judge = Mock()
    with pytest.raises(RequestError, match="is a file, not a folder"):
        update(judge, str(tmp_path / "file" / "numbers.json"))
    judge.numbers.assert_not_called()


def test_an_artifact_takes_the_place_of_its_baseline(tmp_path):
    place = tmp_path / "baselines" / "tiny"
    first = run_edgekit("gate", TFLITE, "--baseline", place, "--update", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "nothing ->" in first.stdout
    assert artifact.load(place).digest() == artifact.load(TFLITE).digest()
    assert ask_edgekit("gate", ONNX, "--baseline", place, "--update", cwd=tmp_path).returncode == 0
    assert artifact.load(place).target == "onnx"
    refused = ask_edgekit("gate", ONNX, "--baseline", "git:HEAD:x", "--update", cwd=tmp_path)
    assert refused.returncode == 2


def test_the_reference_is_a_fixed_computation(golden_artifact):
    session = registry.runtime("reference").open(artifact.load(golden_artifact))
    (first,), (second,) = (session.run(None) for _ in range(2))
    assert (first == second).all()
    assert first.shape == (1, 24)


def seal(folder, names=None, **fields):
    """The artifact with other labels and other fields in its manifest, as an export would have written them."""
    manifest = read_manifest(folder)
    if names:
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
        listed = manifest.files | {"labels.txt": file_record(folder / "labels.txt")}
        fields |= {"files": listed, "labels": len(names)}
    save_manifest(folder, msgspec.structs.replace(manifest, **fields))
    return folder


GOLDEN_MANIFEST = read_manifest(TFLITE)
LABELS = artifact.load(TFLITE).labels()
OTHER_SPEC = msgspec.structs.replace(GOLDEN_MANIFEST.preprocess, mean=(0.1, 0.2, 0.3), interpolation="nearest")
CHANGES = {
    "renamed": ({"names": [*LABELS[:-1], "boot"]}, f"class {len(LABELS) - 1} '{LABELS[-1]}' to 'boot'"),
    "in another order": ({"names": [LABELS[1], LABELS[0], *LABELS[2:]]}, "the same classes in another order"),
    "another number": (
        {
            "names": LABELS[:-1],
            "outputs": (msgspec.structs.replace(GOLDEN_MANIFEST.outputs[0], shape=(1, len(LABELS) - 1)),),
        },
        f"{len(LABELS)} classes to {len(LABELS) - 1}",
    ),
    "scores": ({"task": Classification("probabilities")}, "scores logits to probabilities"),
    "independent": ({"task": Classification(independent=True)}, "independent no to yes"),
    "threshold": ({"task": Classification(threshold=0.25)}, "threshold 0.5 to 0.25"),
    "preprocessing": ({"preprocess": OTHER_SPEC}, "interpolation bicubic to nearest; mean 0.5x0.5x0.5 to 0.1x0.2x0.3"),
    "layout": (
        {"inputs": (msgspec.structs.replace(GOLDEN_MANIFEST.input, scale=0.5, zero_point=3),)},
        "input scale",
    ),
}


def agreed(folder):
    model = artifact.open_model(folder)
    return contract(model, inspect(model.model_file))


@pytest.mark.parametrize("what", CHANGES)
def test_another_contract_fails_and_is_named(what, slower, tmp_path):
    fields, said = CHANGES[what]
    baseline.write(tmp_path / "numbers.json", judge(Machine({str(TFLITE): 10**6})).numbers(times=False))
    now, then = agreed(seal(slower, **fields)), baseline.read(tmp_path / "numbers.json").contract
    assert then == agreed(TFLITE)
    (check,) = checks.contract(now, then, Limits())
    assert (check.metric, check.outcome) == ("contract", "fail")
    assert said in check.why
    (allowed,) = checks.contract(now, then, Limits(allow_contract=True))
    assert (allowed.outcome, allowed.why) == ("pass", f"allowed: {check.why}")


def test_another_contract_fails_the_gate(slower):
    seal(slower, task=Classification(threshold=0.25))
    machine = Machine({str(TFLITE): 10**6, str(slower): 10**6})
    with baseline.opened(str(TFLITE)) as base:
        verdict = judge(machine, slower).judge(base)
    assert outcomes(verdict) | {"contract": "fail", "latency": "pass"} == outcomes(verdict)
    assert verdict.exit_code(strict=False) == 1
    assert "--allow-contract" in verdict.notes[-1]
    assert rendering.sentence(verdict).endswith("has another contract.")


def onnx_file(path, name="x", shape=(1, 3, 8, 8), dtype=TensorProto.FLOAT, outputs=("y",)):
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", [name], [output]) for output in outputs]
    ends = [value(output, dtype, shape) for output in outputs]
    graph = helper.make_graph(nodes, "net", [value(name, dtype, shape)], ends)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return artifact.open_model(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"name": "picture"}, "input name x to picture"),
        ({"shape": (1, 3, 16, 16)}, "input shape 1x3x8x8 to 1x3x16x16; output shape 1x3x8x8 to 1x3x16x16"),
        ({"shape": ("n", 3, 8, 8)}, "input shape 1x3x8x8 to ?x3x8x8"),
        ({"dtype": TensorProto.UINT8}, "input dtype float32 to uint8"),
        ({"outputs": ("y", "z")}, "1 output to 2"),
        ({"outputs": ("z",)}, "output name y to z"),
    ],
)
def test_files_of_any_tool_have_a_contract_too(tmp_path, fields, said):
    then, now = onnx_file(tmp_path / "old.onnx"), onnx_file(tmp_path / "new.onnx", **fields)
    one, other = (contract(model, inspect(model.model_file)) for model in (now, then))
    ports, classes = checks.contract(one, other, Limits())
    assert ports.outcome == ("fail" if said else "pass")
    assert (said or "the same") in ports.why
    assert (classes.metric, classes.outcome) == ("classes", "skipped")


def test_an_artifact_and_its_bare_file_are_alike_as_far_as_both_tell():
    for folder in (TFLITE, ONNX):
        whole = artifact.load(folder)
        bare = artifact.open_model(whole.model_file)
        one, other = (contract(model, inspect(model.model_file)) for model in (whole, bare))
        assert [c.outcome for c in checks.contract(one, other, Limits())] == ["pass", "skipped"]
        assert [c.outcome for c in checks.contract(one, one, Limits())] == ["pass"]


def test_what_no_contract_is_known_of_is_said(tmp_path):
    numbers = judge(Machine({str(TFLITE): 10**6})).numbers(times=False)
    old = {k: v for k, v in msgspec.to_builtins(numbers).items() if k not in ("contract", "score_within")}
    (tmp_path / "old.json").write_text(json.dumps(old | {"schema": 1, "cpu_ms": 0.0, "score": 1.0}))
    assert baseline.read(tmp_path / "old.json").cpu_ms is None  # no time at all
    with baseline.opened(str(tmp_path / "old.json")) as base:
        verdict = judge(Machine({str(TFLITE): 10**6})).judge(base)
    assert (verdict.checks[0].metric, verdict.checks[0].outcome) == ("contract", "skipped")
    assert (verdict.exit_code(strict=False), verdict.exit_code(strict=True)) == (0, 5)
    assert "not compared: contract" in rendering.sentence(verdict)
    unread = contract(artifact.LooseFile(Path("model.pt2")), None)
    assert [c.outcome for c in checks.contract(unread, unread, Limits())] == ["skipped", "skipped"]


@pytest.mark.parametrize(
    "field",
    [
        *({"cpu_ms": 0.0}, {"bytes": 0}, {"score": -1}, {"instructions": {"x": 0}}, {"schema": [1]}, {"schema": 9}),
        *({"cpu_ms": 1e308}, {"score": 1e-300}, {"score_within": 1e9}, {"bytes": 10**400}),  # their logarithms, too
    ],
)
def test_numbers_that_nobody_writes_are_no_baseline(tmp_path, field):
    numbers = judge(Machine({str(TFLITE): 10**6})).numbers(times=False)
    (tmp_path / "odd.json").write_text(json.dumps(msgspec.to_builtins(numbers) | field))
    with pytest.raises(ArtifactError, match="no baseline"):
        baseline.read(tmp_path / "odd.json")


def test_numbers_of_another_target_are_refused(tmp_path):
    baseline.write(tmp_path / "n.json", judge(Machine({str(TFLITE): 10**6})).numbers(times=False))
    with baseline.opened(str(tmp_path / "n.json")) as base, pytest.raises(RequestError, match="a tflite file"):
        judge(Machine({str(ONNX): 10**6}), ONNX).judge(base)


@pytest.mark.parametrize("costs", [{"reference": 0}, {str(TFLITE): 0}])
def test_times_that_the_clock_does_not_tell_are_not_written_down(costs):
    said = []
    numbers = judge(Machine({str(TFLITE): 10**6, "reference": 10**6} | costs), warn=said.append).numbers()
    assert (numbers.cpu_ms, numbers.score) == (None, None)
    assert "too coarse" in said[0]


def test_signs_say_what_is_gained(tmp_path):
    assert rendering.change(checks.proof(21.5, 20.4, Limits())) == "+1.1 dB, better"
    assert rendering.change(checks.proof(20.4, 21.5, Limits())) == "-1.1 dB, worse"
    assert rendering.change(checks.proof(20.44, 20.4, Limits())) == "+0.0 dB"
    assert (
        rendering.change(checks.accuracy(paired(300, 100, 10_000), "top-1", Limits()))
        == "-2.0 points [-2.4, -1.6], worse"
    )
    assert rendering.change(checks.size(900, 1000, Limits())) == "-10.0 %"
