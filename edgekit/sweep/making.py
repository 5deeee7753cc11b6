"""One row: export, bench, eval, each a cell. And all rows of a grid: those that are not made yet, by an engine."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from edgekit import cells, reading
from edgekit.candidates import Candidate
from edgekit.candidates.making import Making, Request
from edgekit.candidates.plan import reads
from edgekit.devices import process
from edgekit.errors import OutputError, RequestError, many
from edgekit.places import alone, beside, check_place, clear_leftovers, output_errors, replacing
from edgekit.recipe import full
from edgekit.runs import Evaluated, Run
from edgekit.sweep.engines import Ended, Engine, Job
from edgekit.sweep.grid import Grid, Row, rows

Say = Callable[[str], None]
Steps = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many steps; called after each
LIMIT = 256 * reading.MB  # of a row with its raw samples


class Made(msgspec.Struct, frozen=True):
    """What came of a row. records: what `bench` and `eval` wrote of it."""

    name: str
    device: str
    candidate: Candidate
    records: tuple[Run | Evaluated, ...] = ()
    notes: tuple[str, ...] = ()
    schema: Literal[1] = 1


@dataclass
class Sweep:
    """rows: of the grid; made: what came of each, by its number. killed: rows whose process was ended, and how. cut: the user
    stopped it."""

    rows: list[Row]
    made: dict[int, Made] = field(default_factory=dict)
    killed: dict[int, str] = field(default_factory=dict)
    cut: bool = False

    @property
    def left(self) -> list[Row]:
        """What the same command would make next."""
        return [row for row in self.rows if row.number not in self.made]


def make_row(row: Row, grid: Grid, out: Path, *, again: bool = False, say: Say = lambda line: None) -> Made:
    """Make one row, or say what came of it the last time. What fails is a row with its reason. Raises OutputError, DataError."""
    known = find(row, grid, out)
    if known and not (again and known.candidate.error):
        return known
    request = Request(
        title=row.name,
        out=out,
        data=Path(grid.data) if grid.data else None,
        evals=grid.eval,
        benches=grid.bench,
        on=row.device,
        again=again,
    )
    request.check([row.planned])
    making = Making(request, say, data_digest=cells.known_digest(request.data, out / "data") if request.data else "")
    making.make([row.planned])
    (candidate,) = making.found
    if candidate.artifact and not candidate.error and candidate.cpu_ms is None and candidate.instructions is None:
        candidate = msgspec.structs.replace(candidate, error="; ".join(making.notes) or "nothing was timed")
    made = Made(row.name, row.device, candidate, tuple(making.records), tuple(making.notes))
    place = _place(row, grid, out)
    with output_errors():
        place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as partial:
        partial.write_bytes(msgspec.json.encode(made))
    return made


def find(row: Row, grid: Grid, out: Path) -> Made | None:
    """What is kept of a row, where nothing that decides it has changed since."""
    if row.planned.error:
        error, one = row.planned.error, row.planned
        return Made(
            row.name, row.device, Candidate(row.name, one.target, one.scheme, error=error.message, hint=error.hint)
        )
    try:
        return reading.json(reading.blob(_place(row, grid, out), LIMIT), Made)
    except (OSError, reading.Malformed):
        return None


def _place(row: Row, grid: Grid, out: Path) -> Path:
    """By all that decides the row. Of files their sizes and times must do here: whatever changed only those finds its cells."""
    recipe = row.planned.recipe
    named = reads(recipe) if recipe else {}
    places = [*named.values(), *([Path(grid.data)] if grid.data else [])]
    if row.planned.artifact:
        places.append(row.planned.artifact.folder)
    content = [
        full(recipe) if recipe else None,
        row.planned.name,
        row.device,
        grid.bench,
        grid.eval,
        [cells.stamp(place) for place in places],
        cells.surroundings(),
    ]
    return out / "rows" / f"{hashlib.sha256(msgspec.json.encode(content, order='sorted')).hexdigest()}.json"


def sweep(
    grid: Grid,
    grid_file: Path,
    out: Path,
    engine: Engine,
    *,
    again: bool = False,
    say: Say = lambda line: None,
    steps: Steps = lambda total: contextlib.nullcontext(lambda: None),
) -> Sweep:
    """Make the rows that are not made yet. A row whose process is killed is left for the next time; what hits all rows, as a full
    disk does, ends the sweep. Raises RequestError, OutputError, DataError."""
    check_place(out / "sweep.json", "-o another/folder")
    found = Sweep(rows(grid))
    for row in found.rows:
        row.planned.check_place(out)
    with alone(out, "sweep"):
        for row in found.rows:
            known = find(row, grid, out)
            if known and (row.planned.error or not (again and known.candidate.error)):
                found.made[row.number] = known
        command = (*cells.EDGEKIT, "sweep", str(grid_file), "-o", str(out), "--json", *(["--retry"] if again else []))
        jobs = [Job(row.number, (*command, "--cell", str(row.number)), row.device) for row in found.left]
        there = sum(row.planned.error is None for row in found.rows) - len(jobs)
        if there:
            say(f"{there} of {many(len(found.rows), 'rows')} there already")
        if not jobs:
            return found
        by_number = {row.number: row for row in found.rows}
        clear_leftovers(out / "work")
        scratch = beside(out / "work")
        try:
            with steps(len(jobs)) as tick, contextlib.closing(_ran(engine, jobs, scratch)) as ended:
                for one in ended:
                    _settle(one, by_number[one.number], grid, out, found)
                    tick()
        except KeyboardInterrupt:
            found.cut = True
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return found


def _ran(engine: Engine, jobs: Sequence[Job], scratch: Path) -> Generator[Ended, None, None]:
    with output_errors():
        yield from engine.run(jobs, scratch)


def _settle(ended: Ended, row: Row, grid: Grid, out: Path, found: Sweep) -> None:
    """Write down what came of a row. Raises what its process says went wrong with all of it."""
    made = find(row, grid, out)
    if made:
        found.made[row.number] = made
        return
    with contextlib.suppress(reading.Malformed):
        told = reading.json(ended.told, dict[str, str | int])
        if "error" in told:
            kind = RequestError if ended.exit_code == RequestError.exit_code else OutputError
            raise kind(f"{row.name}: {told['error']}", hint=str(told.get("hint", "")))
    last = ended.said.splitlines()[-1:]
    found.killed[row.number] = ": ".join([process.ended(ended.exit_code), *last])
