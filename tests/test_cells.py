"""Cells: made once, whatever is killed, crashes or changes."""

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from edgekit import cells
from edgekit.cells import Cell, Done
from edgekit.errors import DataError

# A stand-in for edgekit: says what it is told, after noting in a file that it ran, and makes a folder where it is asked to.
PROGRAM = """
import json, os, pathlib, sys, time
what, note, out = sys.argv[1:4]
with open(note, "a") as ran:
    ran.write(f"{os.getpid()}\\n")
if what == "crash":
    os.abort()
if what == "refuse":
    print(json.dumps({"error": f"no operator Foo for {out}", "hint": "--scheme fp32", "exit_code": 4}))
    sys.exit(4)
if what == "reject":
    pathlib.Path(out + ".rejected").mkdir()
    print(json.dumps({"error": "it answers differently", "hint": f"kept as {out}.rejected", "exit_code": 4}))
    sys.exit(4)
if what == "fault":
    sys.exit("Traceback\\nKeyError: 'conv1'")
if what == "missed":
    print(json.dumps({"verdict": "fail"}))
    sys.exit(1)
if what == "stopped":
    sys.exit(130)
if what.startswith("slow"):
    time.sleep(float(what[4:]))
pathlib.Path(out).mkdir()
pathlib.Path(out, "model").write_text(what)
print(json.dumps({"said": what, "json": sys.argv[4:]}))
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM, "utf-8")
    return [sys.executable, str(file)]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def asked(what: str, note: Path, **inputs: str) -> Cell:
    return cells.cell([what, "{note}", "{out}"], {"note": note}, note="known", **inputs)


def ran(note: Path) -> int:
    return len(note.read_text("utf-8").split()) if note.exists() else 0


def test_a_second_run_makes_nothing(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted = asked("model", note)
    first = cells.make(tmp_path / "store", wanted, program=program)
    assert first.answer == {"said": "model", "json": ["--json"]}
    assert (first.error, first.exit_code) == (None, 0)
    assert first.cpu_s > 0
    assert first.peak_bytes > 1e6
    out = cells.made(tmp_path / "store", wanted.key)
    assert out
    assert (out / "model").read_text("utf-8") == "model"
    assert cells.make(tmp_path / "store", wanted, whole=True, program=program) == first
    assert ran(note) == 1
    assert [done.key for done in cells.kept(tmp_path / "store")] == [wanted.key]
    assert sorted(p.name for p in (tmp_path / "store" / wanted.key).iterdir()) == ["cell.json", "out"]


def test_figures_stay_where_the_file_is_dropped(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted, store = asked("model", note), tmp_path / "store"
    first = cells.make(store, wanted, program=program)
    cells.drop(store, wanted.key)
    assert cells.made(store, wanted.key) is None
    assert cells.make(store, wanted, program=program) == first
    assert ran(note) == 1
    assert cells.make(store, wanted, whole=True, program=program).answer == first.answer
    assert cells.made(store, wanted.key)
    assert ran(note) == 2


def test_other_input_is_another_cell(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("one", "utf-8")
    command = ["eval", "{data}", "--limit", "3"]

    def key(data: Path, /, *more: str, **inputs: str) -> str:
        return cells.cell([*command, *more], {"data": data}, **inputs).key

    first = key(data)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "a.txt").write_text("one", "utf-8")
    assert key(copy) == first  # where it lies does not matter
    assert key(data, data=cells.digest(data)) == first
    (copy / "a.txt").write_text("two", "utf-8")
    others = [
        key(copy),
        key(data, "--verbose"),
        key(data, weights="abc"),
        key(data, cpu_class="riscv"),
        key(data, torch="0"),
        key(data, edgekit="0"),
    ]
    (copy / "a.txt").rename(copy / "b.txt")
    others.append(key(copy))
    (copy / "linked").symlink_to(data)
    others.append(key(copy))
    (data / "a.txt").write_text("three", "utf-8")
    others.append(key(copy))
    assert len({first, *others}) == 10
    with pytest.raises(DataError, match="No such file"):
        key(tmp_path / "missing")


@pytest.mark.parametrize("look", [cells.digest, cells.stamp])
def test_a_folder_that_cannot_be_listed_is_an_error(
    look: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        look(tmp_path)


def test_commands_of_edgekit(tmp_path: Path) -> None:
    assert {"target": "tflite"} in cells.make(tmp_path, cells.cell(["list", "targets"])).answer
    refused = cells.make(tmp_path, cells.cell(["verify", str(tmp_path / "nothing")]))
    assert refused.error
    assert refused.exit_code == 2
    assert str(tmp_path / "nothing") in refused.error


def test_who_asks_is_told_where_it_is_made_now(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted, store, begun = asked("model", note), tmp_path / "store", list[int]()
    for fresh in (False, False, True):
        cells.make(store, wanted, program=program, fresh=fresh, begins=lambda: begun.append(ran(note)))
    assert (begun, ran(note)) == ([0, 1], 2)


@pytest.mark.parametrize(
    ("what", "error", "hint", "code"),
    [
        ("crash", "crashed (SIGABRT)", "", -6),
        ("refuse", "no operator Foo for {out}", "--scheme fp32", 4),
        ("fault", "ended without an answer (exit code 1): KeyError: 'conv1'", "", 1),
    ],
)
def test_an_error_is_kept_until_it_is_asked_again(
    tmp_path: Path, program: list[str], note: Path, what: str, error: str, hint: str, code: int
) -> None:
    wanted, store = asked(what, note), tmp_path / "store"
    done = cells.make(store, wanted, program=program)
    assert (done.error, done.hint, done.exit_code, done.answer) == (error, hint, code, None)
    assert cells.make(store, wanted, whole=True, program=program) == done
    assert ran(note) == 1
    cells.make(store, wanted, again=True, program=program)
    assert ran(note) == 2


def test_a_rejected_file_is_there_to_be_looked_at(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted, store = asked("reject", note), tmp_path / "store"
    done = cells.make(store, wanted, program=program)
    assert (done.error, done.hint) == ("it answers differently", "kept as {out}.rejected")
    assert cells.made(store, wanted.key) == store / wanted.key / "out"
    cells.drop(store, wanted.key)
    assert cells.made(store, wanted.key) is None


def test_a_missed_limit_is_an_answer(tmp_path: Path, program: list[str], note: Path) -> None:
    done = cells.make(tmp_path / "store", asked("missed", note), program=program)
    assert (done.error, done.answer, done.exit_code) == (None, {"verdict": "fail"}, 1)


def test_what_takes_too_long_is_an_error(tmp_path: Path, program: list[str], note: Path) -> None:
    done = cells.make(tmp_path / "store", asked("slow600", note), timeout=0.2, program=program)
    assert (done.error, done.exit_code) == ("took longer than 0.2 s", -signal.SIGKILL)


def test_a_stopped_command_is_no_result(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted = asked("stopped", note)
    with pytest.raises(KeyboardInterrupt):
        cells.make(tmp_path / "store", wanted, program=program)
    assert cells.find(tmp_path / "store", wanted.key) is None


def test_a_damaged_record_is_made_anew(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted, store = asked("model", note), tmp_path / "store"
    first = cells.make(store, wanted, program=program)
    (store / wanted.key / "cell.json").write_text("{", "utf-8")
    assert cells.make(store, wanted, program=program).answer == first.answer
    assert ran(note) == 2


def test_two_at_once_make_it_once(tmp_path: Path, program: list[str], note: Path) -> None:
    wanted, store = asked("slow0.3", note), tmp_path / "store"
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: cells.make(store, wanted, program=program), range(2))
    assert one == other
    assert ran(note) == 1


MAKER = """
import sys
from pathlib import Path
from edgekit import cells

def go(store, note, *program):
    for what in ("model", "slow600"):
        cells.make(Path(store), cells.cell([what, "{note}", "{out}"], {"note": Path(note)}, note="known"), program=program)

go(*sys.argv[1:])
"""


def test_a_killed_run_loses_the_cell_that_it_made_and_leaves_no_process(
    tmp_path: Path, program: list[str], note: Path
) -> None:
    store = tmp_path / "store"
    maker = subprocess.Popen([sys.executable, "-c", MAKER, store, note, *program])
    while ran(note) < 2:
        assert maker.poll() is None
        time.sleep(0.02)
    maker.kill()
    maker.wait()
    left = asked("slow600", note)
    assert [done.command[0] for done in cells.kept(store)] == ["model"]
    assert (store / left.key / "work").is_dir()

    done = cells.make(
        store, left, timeout=0.5, program=program
    )  # no one holds the lock: the command ended with its maker
    assert done.error == "took longer than 0.5 s"
    assert not (store / left.key / "work").exists()
    assert isinstance(cells.make(store, asked("model", note), program=program), Done)
    assert ran(note) == 3
