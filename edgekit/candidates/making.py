"""Each candidate exported, evaluated, and all timed in turns: every step a cell, so that a second run makes nothing."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import exp
from pathlib import Path

import msgspec

from edgekit import artifact, cells, parity, publishing, runs
from edgekit import recipe as recipes
from edgekit.artifact import Artifact
from edgekit.benchmarking.summary import Ratio
from edgekit.candidates import Benchmark, Candidate, page
from edgekit.candidates.plan import Planned, reads
from edgekit.cells import Cell, Done
from edgekit.data.files import check_folder, check_labels
from edgekit.devices import host
from edgekit.errors import RequestError, many
from edgekit.evaluation import accuracy
from edgekit.places import check_place, locked, output_errors, replacing
from edgekit.runs import Evaluated, Record, Run
from edgekit.statistics.figures import Figure, lost
from edgekit.statistics.proportions import Drop

Say = Callable[[str], None]
Steps = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many steps; called after each


@dataclass(frozen=True)
class Request:
    """What is asked of every candidate.

    title   of the report
    out     the folder that everything goes to: artifacts by name, the report, cells
    data    images that say what is right; None: nothing is evaluated
    evals   more words of `edgekit eval`; benches: of `edgekit bench`
    within  as Benchmark has it
    on      the device that files are timed on; one at a time, also of several processes
    again   what failed is tried once more; fresh: everything is made anew
    """

    title: str
    out: Path
    data: Path | None
    evals: tuple[str, ...] = ()
    benches: tuple[str, ...] = ()
    places: Mapping[str, Path] = field(default_factory=dict)  # files of labels that `evals` name in braces
    within: float = 1.0
    on: str = "local"
    again: bool = False
    fresh: bool = False

    @property
    def store(self) -> Path:
        return self.out / "cells"

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """While no other process does this. Raises OutputError."""
        place = self.out / "locks" / re.sub(r"[^\w.-]+", "-", what)
        with output_errors():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        with locked(place):
            yield

    def check(self, wanted: Sequence[Planned]) -> None:
        """Before anything is made of them. Raises RequestError, OutputError, DataError."""
        if not 0 <= self.within <= 100:
            raise RequestError(f"--within {self.within:g} is no number of points", hint="--within 1")
        if (self.out / "manifest.json").exists():
            raise RequestError(f"{self.out} is an artifact", hint="-o another/folder")
        check_place(self.out / "report.html", "-o another/folder")
        for one in wanted:
            one.check_place(self.out)
        if self.data is not None:
            check_folder(self.data, "--data with a folder of images")
        for place in self.places.values():
            check_labels(place)


@dataclass
class Making:
    """What was made so far. Steps of a candidate that failed leave out the next ones."""

    request: Request
    say: Say
    tick: Callable[[], None] = lambda: None
    found: list[Candidate] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: str = ""
    data_digest: str = ""
    answers: dict[str, Path] = field(default_factory=dict)  # of a candidate, by its name: what it said of each image

    def make(self, wanted: Sequence[Planned]) -> None:
        """Raises KeyboardInterrupt where the user stops it; then `found` holds what was made until then."""
        for one in wanted:
            self.found.append(self._exported(one))
            if self.request.data is not None and self.found[-1].artifact:
                self.found[-1] = self._evaluated(self.found[-1])
            self.tick()
        self._timed()
        self.tick()

    def _done(self, wanted: Cell, what: str) -> Done:
        """What comes of a cell; said where it has to be made."""
        asked = self.request
        return cells.make(
            asked.store, wanted, whole=True, again=asked.again, fresh=asked.fresh, begins=lambda: self.say(what)
        )

    def _exported(self, one: Planned) -> Candidate:
        plain = Candidate(one.name, one.target, one.scheme)
        if one.error:
            return msgspec.structs.replace(plain, error=one.error.message, hint=one.error.hint)
        if one.artifact:
            return _described(plain, one.artifact)
        assert one.recipe
        place = self.request.out / "recipes" / f"{one.folder_name}.toml"
        with output_errors():
            place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as partial:
            partial.write_text(recipes.dump(one.recipe), "utf-8")
        into = f"{cells.OUT}/{one.folder_name}"
        wanted = cells.cell(("export", "{recipe}", "-o", into), {"recipe": place} | reads(one.recipe))
        done = self._done(wanted, f"{one.name}: exporting and proving")
        if done.error:
            return msgspec.structs.replace(plain, error=done.error, hint=done.hint)
        made = cells.made(self.request.store, wanted.key)
        assert made
        with self.request.alone(one.folder_name):
            return _described(plain, linked(made / one.folder_name, self.request.out / one.folder_name))

    def _evaluated(self, one: Candidate) -> Candidate:
        assert one.artifact
        assert self.request.data
        self.data_digest = self.data_digest or cells.digest(self.request.data)
        places = {"artifact": Path(one.artifact), "data": self.request.data, **self.request.places}
        state = {"state": self.request.out / "answers"}
        command = ("eval", "{artifact}", "--data", "{data}", "--state", "{state}", "-o", cells.OUT, *self.request.evals)
        wanted = cells.cell(command, places | state, data=self.data_digest, state="beside")
        done = self._done(wanted, f"{one.name}: evaluating")
        if done.error:
            return msgspec.structs.replace(one, error=done.error, hint=done.hint)
        self.answers[one.name] = state["state"] / Path(done.answer["answers"]).name
        (record,) = self._read(wanted)
        assert isinstance(record, Evaluated)
        self.data = record.data
        self.notes += [note for note in done.answer.get("notes", ()) if note not in self.notes]
        if record.learned and record.learned.pictures:
            self.notes.append(f"{one.name}: {record.learned.words(record.pictures)}")
        return msgspec.structs.replace(one, headline=record.headline)

    def _timed(self) -> None:
        """All files against each other, in one session."""
        files = [one for one in self.found if one.artifact]
        if not files:
            return
        places = {f"file{i}": Path(one.artifact or "") for i, one in enumerate(files)}
        on = () if self.request.on == "local" else ("--on", self.request.on)
        command = ("bench", *(f"{{{name}}}" for name in places), "-o", cells.OUT, *on, *self.request.benches)
        wanted = cells.cell(command, places)
        where = f" on {self.request.on}" if on else ""
        with self.request.alone(self.request.on):
            done = self._done(wanted, f"timing {many(len(files), 'files')} in turns{where}")
        if done.error:
            self.notes.append(f"nothing was timed: {done.error}")
            return
        timed = {str(Path(run.subject.path)): run for run in self._read(wanted) if isinstance(run, Run)}
        measured = [run for run in timed.values() if run.measured and run.timed]
        fastest = min(measured, key=lambda run: run.ms, default=None)
        for i, one in enumerate(self.found):
            if one.artifact and (run := timed.get(str(Path(one.artifact)))):
                self.found[i] = _with_time(one, run, fastest)

    def _read(self, wanted: Cell) -> list[Record]:
        made = cells.made(self.request.store, wanted.key)
        assert made
        records, _ = runs.read([made])
        self.records += records
        return records


def benchmark(
    wanted: Sequence[Planned],
    request: Request,
    *,
    say: Say = lambda line: None,
    steps: Steps = lambda total: contextlib.nullcontext(lambda: None),
) -> Benchmark:
    """Make, prove, evaluate and time candidates, and write the table as a page and as JSON.

    What the user stops has `cut` set and holds what was made until then: the next call goes on from there. What fails is a
    row with its reason.

    Raises RequestError, DataError, OutputError.
    """
    request.check(wanted)
    making, cut = Making(request, say), False
    try:
        with steps(len(wanted) + 1) as making.tick:
            making.make(wanted)
    except KeyboardInterrupt:
        cut = True
    order = sorted(making.found, key=lambda c: (c.artifact is None, c.cpu_ms is None, c.cpu_ms or 0.0))
    found = Benchmark(
        title=request.title,
        candidates=tuple(_with_losses(order, making.answers)),
        within=request.within,
        cpu_class=host.cpu_class(),
        data=making.data,
        notes=tuple(dict.fromkeys(making.notes)),
        cut=cut,
    )
    return page.saved(found, making.records, request.out) if found.candidates else found


def _described(plain: Candidate, of: Artifact) -> Candidate:
    m = of.manifest
    return msgspec.structs.replace(
        plain,
        scheme=m.scheme,
        artifact=str(of.folder),
        bytes=of.model_bytes,
        proof=parity.describe(m.proof, m.preprocess.units),
        sqnr_db=m.proof.sqnr_db,
        oldest=m.oldest_interpreter,
    )


def _with_losses(found: Sequence[Candidate], answers: Mapping[str, Path]) -> list[Candidate]:
    """What each loses against the most accurate one; `answers`: by name, the files of what they said of each image."""
    judged = [(one, one.headline) for one in found if one.headline]
    if not judged:
        return list(found)
    best, most = max(judged, key=lambda pair: pair[1].value)

    def loss(one: Candidate, headline: Figure) -> Drop:
        seen = accuracy.lost(answers[one.name], answers[best.name]) if {one.name, best.name} <= answers.keys() else None
        return seen or lost(headline, most)

    return [
        msgspec.structs.replace(one, loss=loss(one, one.headline)) if one.headline and one is not best else one
        for one in found
    ]


def _with_time(one: Candidate, run: Run, fastest: Run | None) -> Candidate:
    if not run.measured:
        return msgspec.structs.replace(one, error=run.error, hint="edgekit bench tells more")
    one = msgspec.structs.replace(one, instructions=run.instructions)
    if not run.timed:
        return one
    found = runs.ratio(run, fastest) if fastest and run is not fastest else None
    ratio = Ratio(exp(found.value), exp(found.low), exp(found.high)) if found else None
    return msgspec.structs.replace(one, cpu_ms=run.ms, ratio=ratio)


def linked(made: Path, place: Path) -> Artifact:
    """The artifact of a cell under a name to type: links to the same files, or copies where there are none. Raises OutputError,
    RequestError where something else lies there."""
    if not _same(made, place):
        with publishing.staging(place) as stage:
            shutil.copytree(made, stage, copy_function=_link, dirs_exist_ok=True)
    return artifact.load(place)


def _same(made: Path, place: Path) -> bool:
    """Whether the manifest, which holds the digests of all files, is that of the cell."""
    with output_errors():
        there = place / "manifest.json"
        return there.is_file() and there.read_bytes() == (made / "manifest.json").read_bytes()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
