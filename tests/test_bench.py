"""The harness with a device of programmable cost, the file of runs, and the command with real runtimes."""

import json
import math
import random
import re

import msgspec
import pytest
from click.testing import CliRunner
from conftest import GOLDEN_FILES, ask_edgekit, run_edgekit

from edgekit import artifact, runs
from edgekit.benchmarking import harness, summary
from edgekit.cli.bench import bench
from edgekit.devices import Phase, Ready, Samples
from edgekit.errors import DataError, OutputError, UnsupportedError, WorkerError
from edgekit.reporting import report
from edgekit.reporting.html import html
from edgekit.reporting.markdown import markdown
from edgekit.runtimes import InputSpec, Options

TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"


class Costly:
    """Files of programmable cost on a machine whose speed wanders."""

    name, counts, timed, at_once = "costly", True, True, 8

    def __init__(self, costs, dies_after=None, stopped_after=math.inf, cpu_clock=True, step_ns=0):
        self.step_ns = step_ns
        self.costs, self.dies_after, self.stopped_after = costs, dies_after or {}, stopped_after
        self.cpu_clock = cpu_clock
        self.rng, self.order, self.started = random.Random(1), [], 0

    def state(self):
        return "ready"

    def start(self, job, timeout):
        self.started += 1
        return Worker(self, job)


class Worker:
    def __init__(self, device, job):
        self.device, self.job, self.done = device, job, 0
        phase = Phase(1_000_000, 900_000)
        self.ready = Ready(
            phase, phase, phase, InputSpec((1, 2), "float32"), {"runtime": job.runtime}, {}, "noise", device.step_ns
        )

    def infer(self, times):
        self.done += times
        if self.done > self.device.dies_after.get(self.job.runtime, math.inf):
            raise WorkerError("it crashed")
        if len(self.device.order) == self.device.stopped_after:
            raise KeyboardInterrupt
        self.device.order.append(self.job.runtime)
        ns = tuple(round(self.device.costs[self.job.runtime] * self.device.rng.uniform(1, 1.02)) for _ in range(times))
        return Samples(ns, ns, 0) if self.device.cpu_clock else Samples(ns)

    def count(self, times):
        if len(self.device.order) == self.device.stopped_after:
            raise KeyboardInterrupt
        least = 5 * self.device.costs[self.job.runtime]
        return (least + 6, least)

    def end(self):
        return None

    def kill(self):
        pass


def entries(*runtimes):
    return [harness.Entry(artifact.load(ONNX), ONNX, runtime, Options()) for runtime in runtimes]


def test_files_take_turns_and_ratios_are_found():
    device = Costly({"a": 1_000_000, "b": 2_000_000})
    ticks = []
    measured = harness.compare(
        entries("a", "b"), device, harness.Plan(runs=40, launches=4, warmup=0), tick=lambda: ticks.append(1)
    )
    assert [len(run.launches) for run in measured] == [4, 4]
    assert [run.samples for run in measured] == [40, 40]
    assert len(ticks) == 40
    rounds = {"".join(device.order[i : i + 2]) for i in range(0, 80, 2)}
    assert rounds == {"ab", "ba"}  # each once a round, in an order drawn anew
    row = summary.rows(measured)[1]
    assert row.time_ratio.low < 2 < row.time_ratio.high
    assert row.time_ratio.value == pytest.approx(2, rel=0.01)
    said = re.fullmatch(
        r"tiny-onnx-int8@a is (2.0\d) \[(\S+), (\S+)\] times faster than tiny-onnx-int8@b, and .*",
        summary.verdict(measured),
    )
    value, low, high = map(float, said.groups())
    assert low <= value <= high
    assert (low, high) == (round(row.time_ratio.low, 2), round(row.time_ratio.high, 2))


def test_the_same_file_twice_has_two_names():
    measured = harness.compare(entries("a", "a"), Costly({"a": 10**6}), harness.Plan(runs=20, launches=2))
    one, two = (row.name for row in summary.rows(measured))
    assert one != two


def test_a_device_that_tells_only_wall_time():
    device = Costly({"a": 1_000_000, "b": 2_000_000}, cpu_clock=False)
    measured = harness.compare(entries("a", "b"), device, harness.Plan(runs=40, launches=4))
    row = summary.rows(measured)[1]
    assert (row.cpu_ms, round(row.wall_p50_ms)) == (None, 2)
    assert row.time_ratio.value == pytest.approx(2, rel=0.01)
    assert "tiny-onnx-int8@a is 2.0" in summary.verdict(measured)
    page = markdown(report(measured))
    assert "| file | Wall, ms | Wall / fastest |" in page
    assert "wall, ms" not in page


@pytest.mark.parametrize("steady", [False, True])
def test_the_same_cost_is_the_same_time(steady):
    device = Costly({"a": 10**6, "b": 10**6})
    if steady:  # to the last digit
        device.rng.uniform = lambda low, high: low
    measured = harness.compare(entries("a", "b"), device, harness.Plan(runs=100))
    assert "tiny-onnx-int8@a and tiny-onnx-int8@b take the same time" in summary.verdict(measured)


@pytest.mark.parametrize(("cost", "step_ns"), [(0, 0), (0, 4_000_000), (3_900_000, 4_000_000)])
def test_a_clock_too_coarse_tells_nothing(cost, step_ns):
    """No 0.00 ms, no ratio of 1.00 [1.00, 1.00]: of zero, and of no more than a step of the clock."""
    device = Costly({"a": cost, "b": 44 * cost}, step_ns=step_ns)
    measured = harness.compare(entries("a", "b"), device, harness.Plan(runs=20, launches=3))
    quick, slow = summary.rows(measured)
    assert (quick.cpu_ms, slow.time_ratio) == (None, None)
    assert summary.verdict(measured).startswith("Nothing is told of who is faster: the clock of CPU times moves in")
    page = report(measured)
    for text in (markdown(page), html(page)):
        assert "too coarse to tell those of tiny-onnx-int8" in text


def test_a_step_of_the_clock_widens_the_ratio():
    fine, coarse = (
        summary.rows(
            harness.compare(
                entries("a", "b"), Costly({"a": 10**7, "b": 2 * 10**7}, step_ns=step), harness.Plan(runs=20, launches=3)
            )
        )[1].time_ratio
        for step in (0, 10**6)
    )
    assert coarse.low < 0.9 * fine.low
    assert coarse.high > 1.1 * fine.high


def test_what_dies_is_one_row():
    made = entries("a", "b")
    device = Costly({"a": 1000, "b": 1000}, dies_after={"b": 7})
    measured = harness.compare(made, device, harness.Plan(runs=50, launches=5, warmup=0))
    assert measured[0].samples == 50
    assert measured[1].error == "it crashed"
    assert device.started == 5 + 1  # it died in its first launch and was not started again


def test_instructions_are_counted_once_and_apart():
    device = Costly({"a": 1_000_000, "b": 2_000_000})
    measured = harness.count(entries("a", "b"), device, harness.Plan())
    assert device.started == 2
    assert [(run.timed, run.launches, run.instructions) for run in measured] == [
        (False, (), 5_000_000),
        (False, (), 10_000_000),
    ]
    assert [row.instructions_ratio for row in summary.rows(measured)] == [None, 2]
    assert summary.verdict(measured).startswith("tiny-onnx-int8@a takes 0.50 of the instructions of tiny-onnx-int8@b")
    assert summary.how(measured).startswith("the least of 2 inferences of each on costly")


def test_what_a_user_stops_keeps_what_it_has():
    device = Costly({"a": 1000, "b": 1000}, stopped_after=2 * 10 + 7)  # in the fourth round of the second launch
    with pytest.raises(harness.CutShort) as caught:
        harness.compare(entries("a", "b"), device, harness.Plan(runs=50, launches=5, warmup=0))
    assert sorted(run.samples for run in caught.value.runs) == [13, 14]
    assert all(len(run.launches) == 2 and run.cut for run in caught.value.runs)
    with pytest.raises(harness.CutShort) as caught:
        harness.compare(entries("a"), Costly({"a": 1000}, stopped_after=0), harness.Plan(warmup=0))
    assert caught.value.runs == []


def test_the_budget_ends_it():
    device = Costly({"a": 1000})
    (run,) = harness.compare(entries("a"), device, harness.Plan(budget=0, warmup=0))
    assert (len(run.launches), run.samples) == (1, harness.LEAST_ROUNDS)


def test_names_of_two_folders_are_no_longer_than_they_need_be():
    (run,) = harness.compare(entries("a"), Costly({"a": 1000}), harness.Plan(runs=2, launches=1))
    twins = [
        msgspec.structs.replace(run, subject=msgspec.structs.replace(run.subject, path=f"/home/somebody/{where}/tiny"))
        for where in ("old", "new")
    ]
    assert summary.names(twins) == ["old/tiny", "new/tiny"]


def test_names_tell_rows_apart():
    measured = harness.compare(entries("a", "a"), Costly({"a": 1000}), harness.Plan(runs=2, launches=1))
    assert len(set(summary.names(measured[:1]))) == 1
    measured = harness.compare(entries("a", "b"), Costly({"a": 1000, "b": 1000}), harness.Plan(runs=2, launches=1))
    assert summary.names(measured) == ["tiny-onnx-int8@a", "tiny-onnx-int8@b"]


def test_a_file_that_no_runtime_named_opens():
    with pytest.raises(UnsupportedError) as caught:
        harness.entries([TFLITE], ["onnxruntime"], [1], Options(), None)
    assert caught.value.hint == "--runtime litert"


def test_runs_are_kept_and_read_again(tmp_path):
    measured = harness.compare(entries("a"), Costly({"a": 1000}), harness.Plan(runs=4, launches=2))
    file = tmp_path / "deep" / "runs.jsonl"
    runs.append(file, measured)
    with file.open("ab") as f:
        f.write(b'{"kind":"latency","session":"x"')  # a process was killed while it wrote
    again, warnings = runs.read([file])
    assert again == measured
    assert "only half written" in warnings[0]
    runs.append(file, measured)  # the half line does not swallow the next
    again, warnings = runs.read([file])
    assert again == measured * 2
    assert len(warnings) == 1


def test_no_runs_at_all(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        runs.read([tmp_path / "none.jsonl"])
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no runs"):
        runs.read([tmp_path / "empty.jsonl"])


def test_the_command(tmp_path):
    done = run_edgekit("bench", TFLITE, ONNX, ONNX / "model.onnx", "--runs", "6", "--launches", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 inferences of each in 2 processes, taking turns, 1 thread, CPU class" in done.stdout
    *_, verdict, took, following = done.stdout.splitlines()
    assert ("tiny-tflite-int8" in verdict, took[:5], following) == (True, "took ", "next: edgekit report")
    saved, _ = runs.read([tmp_path / "build" / "runs.jsonl"])
    assert [run.samples for run in saved] == [6, 6, 6]
    assert saved[0].subject.scheme == "int8-static"


@pytest.mark.parametrize(("after", "kept", "said"), [(6, 1, "keeps it"), (0, 0, "nothing half-made was left behind")])
def test_the_command_stopped(tmp_path, monkeypatch, after, kept, said):
    """Exit code 130; what was measured is shown and kept."""
    device = Costly({"onnxruntime": 1000}, stopped_after=after)
    monkeypatch.setattr("edgekit.registry.device", lambda name: device)
    done = CliRunner().invoke(bench, [str(ONNX), "--warmup", "0", "-o", str(tmp_path / "runs.jsonl")])
    assert done.exit_code == 130
    assert said in done.stderr
    assert ("6 inferences of each" in done.stdout) == bool(kept)
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == kept


@pytest.mark.parametrize("flags", [["--json"], []])
def test_what_cannot_be_kept_is_told_all_the_same(tmp_path, monkeypatch, flags):
    """The measurement took minutes: it is shown, and then the error."""
    monkeypatch.setattr("edgekit.registry.device", lambda name: Costly({"onnxruntime": 1000}))
    place = tmp_path / "runs.jsonl"
    monkeypatch.setattr("edgekit.runs.append", lambda path, runs: runs and no_space())
    done = CliRunner().invoke(bench, [str(ONNX), "--runs", "4", "--launches", "2", "-o", str(place), *flags])
    assert (done.exit_code, "No space left" in done.stderr) == (4, True), done.output
    if flags:
        document = json.loads(done.stdout)
        assert (len(document["rows"]), document["saved"], document["exit_code"]) == (1, None, 4)
    else:
        assert "4 inferences of each" in done.stdout
        assert "next:" not in done.stdout


def no_space():
    raise OutputError("cannot write: No space left on device")


def test_counts_stand_beside_times(tmp_path, monkeypatch):
    local, emulated = Costly({"onnxruntime": 1000}), Costly({"onnxruntime": 1000})
    local.counts, emulated.timed = False, False
    monkeypatch.setattr("edgekit.registry.device", lambda name: emulated if name == "x86" else local)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    done = CliRunner().invoke(bench, [str(ONNX), "--count", "--json", "--no-save", "--runs", "4", "--launches", "2"])
    timed, counted = json.loads(done.stdout)["rows"]
    assert (timed["instructions"], counted["cpu_ms"], counted["instructions"]) == (None, None, 5000)
    done = CliRunner().invoke(bench, [str(ONNX), "--on", "x86", "--no-save"])
    assert "instructions" in done.stdout.splitlines()[0]
    assert "memory" not in done.stdout  # of an emulator
    for wrong in (["--count", "--threads", "2"], ["--profile", "--count"], ["--profile", "--on", "x86"]):
        assert CliRunner().invoke(bench, [str(ONNX), *wrong]).exit_code == 2


def test_counting_that_is_not_set_up_is_said_before_anything_is_measured(tmp_path):
    done = run_edgekit("bench", ONNX, "--count", cwd=tmp_path, env={"EDGEKIT_CACHE": str(tmp_path / "none")})
    assert (done.returncode, done.stdout) == (3, "")
    assert "try: edgekit doctor --setup x86" in done.stderr


def test_one_broken_file_leaves_the_others(tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"nothing")
    done = ask_edgekit("bench", TFLITE, broken, "--runs", "2", "--launches", "1", "--json", "--no-save", cwd=tmp_path)
    assert done.returncode == 4
    rows = json.loads(done.stdout)["rows"]
    assert rows[0]["cpu_ms"] > 0
    assert "cannot open" in rows[1]["error"]
    assert "Traceback" not in done.stderr
    done = ask_edgekit("bench", TFLITE, broken, "--runs", "2", "--launches", "1", "--no-save", "-q", cwd=tmp_path)
    assert "broken.tflite  failed: ai-edge-litert" in done.stdout
    assert "2 inferences of each" in done.stdout


def test_time_by_operator_where_the_runtime_tells(tmp_path):
    done = ask_edgekit("bench", ONNX, "--profile", "--json", "--runs", "5", cwd=tmp_path)
    operators = {o["operator"]: o for o in json.loads(done.stdout)[0]["operators"]}
    assert operators["QLinearConv"]["count"] == 3
    assert all(o["ms"] >= 0 for o in operators.values())
    refused = ask_edgekit("bench", TFLITE, "--profile", cwd=tmp_path)
    assert refused.returncode == 2
    assert "does not tell the time of single operators" in refused.stderr


def test_two_owners_of_stdout(tmp_path):
    assert ask_edgekit("bench", TFLITE, "--csv", "--json", cwd=tmp_path).returncode == 2
    lines = ask_edgekit("bench", TFLITE, "--csv", "--runs", "2", "--launches", "1", "--no-save", cwd=tmp_path).stdout
    assert lines.splitlines()[0].startswith("name,runtime,device")
    assert len(lines.splitlines()) == 2
