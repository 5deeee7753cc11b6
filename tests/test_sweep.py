"""Grids, who runs their rows, and what is kept of them."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from unittest.mock import Mock

import pytest
from conftest import GOLDEN_FILES, ask_edgekit

from edgekit.cli.sweep import _check_many
from edgekit.errors import OutputError, RequestError, UnknownNameError
from edgekit.places import locked
from edgekit.sweep import grid as grids
from edgekit.sweep import making, plans
from edgekit.sweep.engines import Ended, Job, Local
from edgekit.sweep.grid import Grid, check, count, dump, load, rows

TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"
QUICK = ("--runs", "3", "--launches", "1")


@pytest.fixture
def grid(tmp_path):
    asked = Grid((str(TFLITE), str(ONNX)), bench=QUICK)
    (tmp_path / "grid.toml").write_bytes(dump(asked))
    return asked


class Counted:
    """Makes rows in this process, and counts them; `ends` says how some end instead."""

    def __init__(self, asked, out, ends=()):
        self.asked, self.out, self.ends, self.ran = asked, out, dict(ends), []

    def run(self, jobs, scratch):
        for job in jobs:
            self.ran.append(job.number)
            if job.number in self.ends:
                yield Ended(job.number, *self.ends[job.number])
            else:
                making.make_row(rows(self.asked)[job.number], self.asked, self.out)
                yield Ended(job.number, 0, b"", "")


@pytest.fixture
def swept(grid, tmp_path):
    def run(ends=()):
        engine = Counted(grid, tmp_path / "out", ends)
        return making.sweep(grid, tmp_path / "grid.toml", tmp_path / "out", engine), engine.ran

    return run


def test_a_second_run_makes_nothing(swept, tmp_path):
    first, ran = swept()
    assert ran == [0, 1]
    assert {one.candidate.error for one in first.made.values()} == {None}
    assert all(one.candidate.cpu_ms and one.records for one in first.made.values())
    again, ran = swept()
    assert (ran, again.made) == ([], first.made)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cells", "locks", "rows"]


def test_a_killed_row_is_left_for_the_next_time(swept):
    found, ran = swept({0: (-9, b"", "")})
    assert ([row.number for row in found.left], ran) == ([0], [0, 1])
    assert "was killed" in found.killed[0]
    found, ran = swept()
    assert (found.left, ran) == ([], [0])


def test_what_hits_every_row_ends_the_sweep(swept):
    told = json.dumps({"error": "cannot write: No space left on device", "hint": "free some space", "exit_code": 4})
    with pytest.raises(OutputError, match="No space left"):
        swept({0: (4, told.encode(), "")})


def test_what_lies_in_the_folder_already_stays(swept, tmp_path):
    mine = tmp_path / "out" / "work" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("a month")
    swept()
    assert mine.read_text() == "a month"


def test_two_sweeps_do_not_share_a_folder(swept, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(RequestError, match="another sweep is at work"):
        swept()


def test_the_command_makes_a_table_and_a_page_and_its_processes_end(grid, tmp_path):
    done = ask_edgekit("sweep", tmp_path / "grid.toml", "-o", tmp_path / "out", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(row["cell"], row["made"], row["error"]) for row in told["rows"]] == [(0, True, None), (1, True, None)]
    assert (tmp_path / "out" / "report.html").is_file()
    assert json.loads((tmp_path / "out" / "sweep.json").read_text("utf-8"))["rows"] == told["rows"]
    again = ask_edgekit("sweep", tmp_path / "grid.toml", "-o", tmp_path / "out")
    assert "2 of 2 rows there already" in again.stderr
    assert "tiny-onnx-int8" in again.stdout
    one = ask_edgekit("sweep", tmp_path / "grid.toml", "-o", tmp_path / "out", "--cell", "1", "--json")
    assert [row["cell"] for row in json.loads(one.stdout)["rows"]] == [1]


@pytest.mark.full  # exporters say which schemes they hold
def test_the_rows_are_the_product_and_say_how_they_differ(tmp_path):
    asked = Grid(
        ("mobilenetv2", "lenet5"),
        ("tflite", "openvino"),
        ("fp32", "int8-dynamic"),
        ("local", "x86"),
        recipe={"seed": [1, 2], "keep_float": [[], ["head", "stem"]], "mean": [0.5, 0.5, 0.5]},
    )
    found = rows(asked)
    assert (count(asked), len(found)) == (2 * 2 * 2 * 2 * 4, 2 * 4 * 2 * 3)
    assert [row.number for row in found] == list(range(len(found)))
    assert found[0].name == "mobilenetv2 tflite fp32, seed=1, keep_float=none"
    assert found[-1].name.endswith(", on x86")
    refused = [row for row in found if row.planned.error]
    assert {row.planned.scheme for row in refused} == {"fp32"}
    assert "nothing to keep" in str(refused[0].planned.error)
    made = [row.planned for row in found if row.planned.recipe and row.device == "local"]
    assert len({one.folder_name for one in made}) == len(made)
    assert made[0].recipe.mean == (0.5, 0.5, 0.5)


@pytest.mark.full
def test_the_grid_of_the_documentation_has_the_rows_that_it_says(tmp_path):
    (tmp_path / "grid.toml").write_text(grids.__doc__.partition("\n\n")[2], "utf-8")
    found = rows(load(tmp_path / "grid.toml"))
    made = {(row.planned.target, row.planned.recipe.quantize.scheme) for row in found if row.planned.recipe}
    assert made == {(target, scheme) for target in ("tflite", "onnx") for scheme in ("fp32", "int8")}
    assert all("runs/mine" in str(row.planned.error) for row in found if not row.planned.recipe)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `models`"),
        ('models = ["m"]\ntarget = ["tflite"]', r"line 2: unknown field 'target' \(did you mean targets"),
        ("models = []", "models are empty"),
        ('models = ["lenet5"]\nschemes = ["int9"]', "unknown scheme 'int9'"),
        ('models = ["lenet5"]\ntargets = ["tflit"]', "unknown target 'tflit'"),
        ('models = ["lenet5"]\ndevices = ["moon"]', "unknown device 'moon'"),
        ('models = ["lenet5"]\n[recipe]\nsampels = 3', r"unknown field of a recipe 'sampels' \(did you mean samples"),
        ('models = ["lenet5"]\n[recipe]\nscheme = "fp32"', "the grid says that itself"),
        ("models = 3", "line 1: models: "),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused(tmp_path, text, said):
    file = tmp_path / "grid.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(RequestError, match=said):
        load(file)


def test_a_grid_is_read_as_it_is_written(grid, tmp_path):
    assert load(tmp_path / "grid.toml") == grid
    with pytest.raises(RequestError, match="No such file"):
        load(tmp_path / "none.toml")


@pytest.mark.full
def test_a_model_that_nobody_knows_is_a_row_and_nothing_else_an_error():
    found = rows(Grid(("mobilnetv2", str(TFLITE))))
    assert [bool(row.planned.error) for row in found] == [True, False]
    with pytest.raises(UnknownNameError, match="mobilnetv2"):
        rows(Grid(("mobilnetv2",)))


BEGUN = """
import sys, time, pathlib
note = pathlib.Path(sys.argv[1])
with note.open("a") as file: file.write(f"+{sys.argv[2]} ")
time.sleep(float(sys.argv[3]))
with note.open("a") as file: file.write(f"-{sys.argv[2]} ")
sys.exit(int(sys.argv[4]))
"""


def jobs(note, count, seconds="0.1", code="0"):
    return [Job(n, (sys.executable, "-c", BEGUN, str(note), str(n), seconds, code), "local") for n in range(count)]


PAIRED = """
import sys, time, pathlib
note, own, other = pathlib.Path(sys.argv[1]), *sys.argv[2:]
with note.open("a") as file: file.write(f"+{own} ")
began = time.monotonic()
while f"+{other} " not in note.read_text():
    if time.monotonic() - began > 60: sys.exit(1)
    time.sleep(0.01)
with note.open("a") as file: file.write(f"-{own} ")
"""


def test_as_many_at_once_as_there_are_workers(tmp_path, monkeypatch):
    """Each job waits for its partner, so that one worker would never end."""
    monkeypatch.setattr("edgekit.devices.host.free_memory", lambda: None)
    note = tmp_path / "note"
    pairs = [Job(n, (sys.executable, "-c", PAIRED, str(note), str(n), str(n ^ 1)), "local") for n in range(6)]
    ended = list(Local(2).run(pairs, tmp_path / "scratch"))
    assert sorted((one.number, one.exit_code) for one in ended) == [(n, 0) for n in range(6)]
    running, most = 0, []
    for event in note.read_text("utf-8").split():
        running += 1 if event.startswith("+") else -1
        most.append(running)
    assert (max(most), most[-1], len(most)) == (2, 0, 12)


def test_where_memory_is_short_one_runs_after_the_other(tmp_path, monkeypatch):
    note = tmp_path / "note"
    monkeypatch.setattr("edgekit.devices.host.free_memory", lambda: 3_000_000_000)
    list(Local(3).run(jobs(note, 3), tmp_path / "scratch"))
    events = note.read_text("utf-8").split()
    assert [event[0] for event in events] == ["+", "-"] * 3
    assert [event[1] for event in events] == ["0", "0", "1", "1", "2", "2"]


def test_a_job_that_fails_or_dies_is_told_and_the_next_one_runs(tmp_path):
    dies = Job(
        1, (sys.executable, "-c", "import os, sys; print('last', file=sys.stderr); sys.stderr.flush(); os.abort()"), "x"
    )
    fails, _ = jobs(tmp_path / "note", 2, "0", "4")
    told = {one.number: one for one in Local().run([fails, dies, jobs(tmp_path / "note", 3, "0")[2]], tmp_path)}
    assert {number: one.exit_code for number, one in told.items()} == {0: 4, 1: -6, 2: 0}
    assert told[1].said.startswith("last")


def test_who_leaves_leaves_nothing_running(tmp_path, monkeypatch):
    monkeypatch.setattr("edgekit.devices.host.free_memory", lambda: None)
    note = tmp_path / "note"
    with closing(Local(2).run([*jobs(note, 1, "0"), *jobs(note, 3, "60")[1:]], tmp_path)) as ended:
        assert next(ended).number == 0
        began = time.monotonic()
        while note.read_text("utf-8").count("+") < 2 and time.monotonic() - began < 30:
            time.sleep(0.05)
    assert "-1" not in note.read_text("utf-8")
    assert "-2" not in note.read_text("utf-8")


@pytest.fixture
def many():
    return rows(Grid(("lenet5",), ("tflite",), ("fp32", "int8-dynamic"), recipe={"seed": list(range(150))}))


@pytest.mark.full
def test_a_matrix_takes_256_jobs(many):
    (jobs,) = json.loads(plans.as_json(many, [])).values()
    assert (len(many), len(jobs)) == (300, 150)
    assert (jobs[0]["cell"], jobs[-1]["cell"]) == ("0-1", "298-299")
    assert jobs[0]["name"] == "lenet5 tflite fp32, seed=0; lenet5 tflite int8-dynamic, seed=0"
    (few,) = json.loads(plans.as_json(many[:3], [])).values()
    assert [job["cell"] for job in few] == ["0", "1", "2"]


@pytest.mark.full
def test_make_and_slurm_call_every_row(many, tmp_path):
    command = ["edgekit", "sweep", "my grid.toml", "-o", "out"]
    (tmp_path / "Makefile").write_text(plans.as_make(many, command) + "\n", "utf-8")
    apart = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE")
    }  # the tests run below a make
    done = subprocess.run(["make", "-n"], cwd=tmp_path, env=apart, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"edgekit sweep 'my grid.toml' -o out --cell {n}" for n in range(300)]
    script = plans.as_slurm(many, command)
    assert "--array=0-299" in script
    echoed = script.replace("edgekit sweep", "echo")
    done = subprocess.run(["sh"], input=echoed, capture_output=True, text=True, env={"SLURM_ARRAY_TASK_ID": "7"})
    assert done.stdout == "my grid.toml -o out --cell 7\n"


def test_bad_requests_say_what_to_type(grid, tmp_path):
    big = tmp_path / "big.toml"
    big.write_bytes(dump(Grid(("lenet5",), recipe={"seed": list(range(1000))})))
    file, out = tmp_path / "grid.toml", tmp_path / "out"
    typo = tmp_path / "typo.toml"
    typo.write_bytes(dump(Grid((str(TFLITE),), bench=("--runz", "3"))))
    few = tmp_path / "extra.toml"
    few.write_bytes(dump(Grid((str(TFLITE),), eval=("--limit", "few"))))
    for words, said in (
        ((typo,), "the grid's bench: there is no option --runz\n  try: did you mean --runs"),
        ((typo, "--cell", "0"), "the grid's bench: there is no option --runz"),
        ((few,), "the grid's eval: --limit: "),
        ((), "there is nothing to sweep"),
        ((file, "--model", "lenet5"), "--model beside a grid file"),
        ((file, "--cell", "2"), "there is no row 2: the grid has 2"),
        ((file, "--cell", "a"), "--cell a is no number"),
        ((big,), "15,000 rows"),
        ((file, "--engine", "moon"), "unknown engine 'moon'"),
        (("--model", "lenet5", "--scheme", "int9"), "unknown scheme 'int9'"),
    ):
        done = ask_edgekit("sweep", *words, "-o", out)
        assert (done.returncode, said in done.stderr) == (2, True), (words, done.stderr)
    assert not out.exists()


@pytest.mark.full
def test_flags_of_which_nothing_can_be_made_leave_nothing(tmp_path):
    done = ask_edgekit("sweep", "--model", "nope", "-o", tmp_path / "out")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])


def test_a_row_that_was_made_and_not_timed_is_no_success(grid, tmp_path):
    text = dump(Grid((str(TFLITE),), bench=("--profile", "--launches", "1")))
    (tmp_path / "grid.toml").write_bytes(text)
    done = ask_edgekit("sweep", tmp_path / "grid.toml", "--cell", "0", "-o", tmp_path / "out")
    assert done.returncode == 4
    assert "nothing was timed" in done.stderr


def test_flags_are_a_grid_too(tmp_path):
    out = tmp_path / "out"
    done = ask_edgekit("sweep", "--model", TFLITE, "--model", ONNX, "--plan", "json", "-o", out)
    (jobs,) = json.loads(done.stdout).values()
    assert [job["name"] for job in jobs] == ["tiny-tflite-int8", "tiny-onnx-int8"]
    assert load(out / "grid.toml").models == (str(TFLITE), str(ONNX))


def test_artifacts_are_counted_as_they_are():
    """Not once for each target and scheme: 60 of them were too many rows to begin without a question."""
    assert count(Grid((str(TFLITE), str(ONNX), "lenet5"), ("tflite",), ("fp32", "fp16"), ("local", "adb"))) == 8


def test_a_grid_is_checked_as_it_is_made():
    with pytest.raises(RequestError, match="the grid's devices are empty"):
        check(Grid(("lenet5",), devices=()))


def test_where_nobody_can_be_asked_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # it was closed
    with pytest.raises(RequestError, match="15,000 rows"):
        _check_many(Mock(json=False), Grid(("lenet5",), recipe={"seed": list(range(1000))}), yes=False)
