"""A sweep of 60 rows that is killed ten times; and whether two workers are two.

    python benchmarks/sweep_kills.py

Rows are copies of a small artifact that differ in a file beside it, each timed by `edgekit bench`. The sweep and all that it started is ended by
SIGKILL at random moments and begun again. From /proc: how many rows ran at once, and how often fewer than two while one waited. Then twelve rows with
one worker and with two: CPU seconds of each.
"""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgekit.devices import host

ROWS, KILLS, WORKERS, FEW = 60, 10, 2, 12
GOLDEN = Path(__file__).parent.parent / "tests/golden/tiny-onnx-int8"
RESULTS = Path(__file__).parent / "results"
GRID = 'models = {models}\nbench = ["--launches", "2", "--runs", "3"]\n'


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        grid = written(Path(folder, "grid"), ROWS)
        out, chance = Path(folder, "out"), random.Random(0)
        kept: dict[str, int] = {}
        lost, at_once, looks, idle = 0, 0, 0, 0
        for kill in range(KILLS + 1):
            process = begun(grid, out, WORKERS)
            end = len(kept) + chance.randint(2, 7) if kill < KILLS else ROWS + 1
            for running, waiting in watched(process):
                at_once, looks = max(at_once, running), looks + (waiting and running > 0)
                idle += waiting and 0 < running < WORKERS
                if len(cells(out)) >= end:
                    time.sleep(chance.uniform(0, 1))
                    os.killpg(process.pid, signal.SIGKILL)
                    break
            process.wait()
            time.sleep(0.5)
            again = {key for key, made in kept.items() if cells(out).get(key) != made}
            assert not again, f"made once more: {again}"
            lost = max(lost, len([*out.glob("cells/*")]) - len(cells(out)))
            kept = cells(out)
            print(f"{kill + 1}: {len(kept)} kept, at most {at_once} at once", flush=True)
        rows = [*out.glob("rows/*.json")]
        assert len(kept) == len(rows) == ROWS, (len(kept), len(rows))
        few = written(Path(folder, "few"), FEW)
        spent = {workers: cost(few, Path(folder, f"out-{workers}"), workers) for workers in (1, WORKERS)}
    text = f"""# A sweep that is killed

Made by `python benchmarks/sweep_kills.py` on {host.cpu_class()}; the machine was busy with other things (load {host.conditions().get("load", "")}).

- {ROWS} rows, {KILLS} kills of the sweep and all that it had started: {len(rows)} rows in the end, every cell made once, at most {lost} lost by a kill.
- Two workers: never more than {at_once} rows at once; in {idle} of {looks} looks while a row waited fewer than two ran.
- {FEW} rows: {spent[1]:.1f} CPU seconds with one worker, {spent[WORKERS]:.1f} with two ({spent[WORKERS] / spent[1]:.2f}).
"""
    (RESULTS / f"sweep-{host.cpu_class()}.md").write_text(text, "utf-8")
    print(text)


def written(place: Path, rows: int) -> Path:
    for number in range(rows):
        copy = Path(shutil.copytree(GOLDEN, place / f"row-{number}"))
        (copy / "beside.txt").write_text(str(number), "utf-8")
    grid = place / "grid.toml"
    grid.write_text(GRID.format(models=json.dumps([str(place / f"row-{number}") for number in range(rows)])), "utf-8")
    return grid


def begun(grid: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edgekit", "sweep", str(grid), "-o", str(out), "--workers", str(workers), "--json"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def cells(out: Path) -> dict[str, int]:
    """When each cell that is kept was made."""
    return {place.parent.name: place.stat().st_mtime_ns for place in out.glob("cells/*/cell.json")}


def watched(process: subprocess.Popen[bytes]) -> Iterator[tuple[int, bool]]:
    """Rows that run, and whether there are others that wait, until it ends. A row that has begun last is no sign of those behind it."""
    last = -1
    while process.poll() is None:
        numbers = rows_of(process.pid)
        last = max([last, *numbers])
        yield len(numbers), last < ROWS - 1
        time.sleep(0.1)


def rows_of(parent: int) -> list[int]:
    """The numbers of the rows that a sweep runs."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in task.read_text("utf-8").split():
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--cell" in words:
                found.append(int(words[words.index(b"--cell") + 1]))
    return found


def cost(grid: Path, out: Path, workers: int) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun(grid, out, workers).wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
