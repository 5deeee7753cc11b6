"""Files built and measured, each step a cell: what was made for the same recipe, images and versions is never made again."""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit import artifact, cells, registry, runs
from edgekit import recipe as recipes
from edgekit.artifact import Artifact
from edgekit.candidates.plan import reads
from edgekit.cells import Cell, Done
from edgekit.errors import many
from edgekit.evaluation import open_for
from edgekit.places import output_errors, replacing
from edgekit.recipe import Recipe
from edgekit.runs import Learned, Record
from edgekit.tuning import Figures, Interval
from edgekit.tuning.space import Point

CHOOSES, REPORTS = "1/2", "2/2"
Say = Callable[[str], None]


@dataclass
class Trial:
    """A recipe on its way. key: of its export; out: as Tried has it; proof: the file was made, and its proof refused it."""

    point: Point
    key: str = ""
    bytes: int | None = None
    out: str = ""
    proof: bool = False
    over_loss: bool = False  # left because of what it loses, and not because of its time or size
    screened: Figures | None = None
    chosen_by: Figures | None = None
    confirmed: Figures | None = None

    @property
    def known(self) -> Figures | None:
        """The best that is known of it while choosing."""
        return self.chosen_by or self.screened


@dataclass
class Measuring:
    """What is asked of every file.

    out       the folder of the cells
    data      labelled images: of a `split`, with what is on them in a file (`truth`), `limit` of them at most
    devices   where files are timed or counted
    again     what failed is tried once more
    program   that makes cells
    spent     CPU seconds of the cells that were made now; made: how many these are
    """

    out: Path
    data: Path
    devices: tuple[str, ...] = ("local",)
    split: str | None = None
    truth: Path | None = None
    limit: int | None = None
    again: bool = False
    program: Sequence[str] = cells.EDGEKIT
    say: Say = lambda line: None
    spent: float = 0.0
    made: int = 0
    headline: str = ""
    images: str = ""
    notes: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)  # keys of the cells that nothing was chosen by

    @property
    def store(self) -> Path:
        return self.out / "cells"

    def done(self, wanted: Cell, what: str, *needs: Trial, whole: bool = False) -> Done:
        """What comes of a cell. needs: whose artifacts it reads; whole: what it makes must be there. Raises OutputError,
        KeyboardInterrupt."""
        begun = False

        def begins() -> None:
            nonlocal begun
            begun = True
            for trial in needs:
                self.opened(trial)
            self.say(what)

        done = cells.make(self.store, wanted, whole=whole, again=self.again, program=self.program, begins=begins)
        if begun:
            self.spent, self.made = self.spent + done.cpu_s, self.made + 1
        return done

    # of one file

    def built(self, trial: Trial) -> bool:
        """Exported and proven; else `out` says why not."""
        wanted = self._export(trial.point)
        trial.key = wanted.key
        done = self.done(wanted, f"{trial.point.recipe.target} {trial.point.name}: exporting and proving")
        if done.error:
            trial.proof = cells.made(self.store, wanted.key) is not None
            trial.out = done.error
            return False
        (told,) = done.answer
        trial.bytes = told["bytes"]
        return True

    def folder(self, trial: Trial) -> Path:
        """Where its artifact lies."""
        return self.store / trial.key / "out" / trial.point.folder

    def opened(self, trial: Trial) -> Artifact:
        """Its artifact, made again where it was dropped."""
        wanted = self._export(trial.point)
        self.done(wanted, f"{trial.point.recipe.target} {trial.point.name}: exporting once more", whole=True)
        return artifact.load(self.folder(trial))

    def _export(self, point: Point) -> Cell:
        place = self.written(point.recipe)
        command = ("export", "{recipe}", "-o", f"{cells.OUT}/{point.folder}")
        return cells.cell(command, {"recipe": place} | reads(point.recipe))

    def written(self, recipe: Recipe) -> Path:
        """The recipe as a file."""
        place = self.out / "recipes" / f"{recipe.digest()[:16]}.toml"
        if not place.is_file():
            with output_errors():
                place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                partial.write_text(recipes.dump(recipe), "utf-8")
        return place

    def count(self, of: Artifact) -> int:
        """How many images a file can be judged on. Raises DataError, RequestError."""
        images = len(open_for(of, self.data, labels_file=self.truth, split=self.split))
        return min(images, self.limit or images)

    # of files against fp32

    def loss(self, trial: Trial, base: Trial, part: str = "", limit: int | None = None) -> tuple[Interval | None, int]:
        """What it loses of the task's figure on a part of the images, or on all, and how many these are. None: `out` says why."""
        wanted = self._eval(trial, base, part, limit)
        few = f" on {limit:,} images" if limit else ""
        chooses = "confirming" if part == REPORTS else "evaluating"
        done = self.done(wanted, f"{trial.point.recipe.target} {trial.point.name}: {chooses}{few}", trial, base)
        self.reported += [wanted.key] if part == REPORTS else []
        if done.error:
            trial.out = done.error
            return None, 0
        change, told = done.answer["change"], done.answer
        self.headline, self.images = change["figure"], told["data"].rpartition(", part ")[0]
        self.notes += [note for note in told["notes"] if note not in self.notes]
        if told["learned"] and told["learned"]["pictures"]:
            learned = Learned(told["learned"]["pictures"], told["learned"]["of"])
            note = f"{learned.words(change['pictures'])}: what is lost on others may be more"
            self.notes += [note] if note not in self.notes else []
        drop = change["drop"]
        return Interval(drop["estimate"], drop["low"], drop["high"]), change["pictures"]

    def _eval(self, trial: Trial, base: Trial, part: str, limit: int | None) -> Cell:
        most = (self.limit // 2 if part else self.limit) if self.limit else sys.maxsize
        limit = min(limit or sys.maxsize, most)
        words = ["eval", "{artifact}", "--reference", "{base}", "--data", "{data}", *(["--part", part] if part else [])]
        words += ["--limit", str(limit)] if limit < sys.maxsize else []
        words += ["--split", self.split] if self.split else []
        words += ["--labels", "{truth}"] if self.truth else []
        words += ["--state", "{state}", "-o", cells.OUT]
        places = {"data": self.data, "state": self.out / "answers", **self._files(artifact=trial, base=base)}
        places |= {"truth": self.truth} if self.truth else {}
        known = {"artifact": trial.key, "base": base.key, "state": "beside"}
        return cells.cell(words, places, **known, data=cells.known_digest(self.data, self.out / "data"))

    def times(
        self, files: Sequence[Trial], base: Trial, launches: int, runs: int, *, reports: bool = False
    ) -> list[dict[str, Interval]]:
        """Of each file and each device its time over that of fp32, in turns; its instructions where a device counts them."""
        found: list[dict[str, Interval]] = [{} for _ in files]
        for on in self.devices:
            timed = registry.device(on).timed
            some = self._timed(files, base, on, launches, runs, reports) if timed else self._counted(files, base, on)
            for times, ratio in zip(found, some, strict=True):
                if ratio:
                    times[on] = ratio
        return found

    def _timed(
        self, files: Sequence[Trial], base: Trial, on: str, launches: int, runs: int, reports: bool
    ) -> list[Interval | None]:
        target, which = base.point.recipe.target, many(len(files) + 1, "files")
        wanted = self._bench([base, *files], on, launches, runs)
        done = self.done(wanted, f"{target}: timing {which} in turns on {on}", base, *files)
        self.reported += [wanted.key] if reports else []
        if done.error:
            self.notes.append(f"{target}: nothing was timed on {on}: {done.error}")
            return [None] * len(files)
        ratios = [row["time_ratio"] for row in done.answer["rows"][1:]]
        return [Interval(ratio["value"], ratio["low"], ratio["high"]) if ratio else None for ratio in ratios]

    def _counted(self, files: Sequence[Trial], base: Trial, on: str) -> list[Interval | None]:
        """Counts need no turns: one file at a time, once."""
        counts = []
        for trial in (base, *files):
            what = f"{trial.point.recipe.target} {trial.point.name}"
            done = self.done(self._bench([trial], on, 1, 1), f"{what}: counting on {on}", trial)
            if done.error:
                self.notes.append(f"{what}: nothing was counted on {on}: {done.error}")
            counts.append(None if done.error else done.answer["rows"][0]["instructions"])
        first, *others = counts
        return [Interval(n / first, n / first, n / first) if n and first else None for n in others]

    def _bench(self, files: Sequence[Trial], on: str, launches: int, runs: int) -> Cell:
        named = {f"file{i}": trial for i, trial in enumerate(files)}
        words = ["bench", *(f"{{{name}}}" for name in named), "-o", cells.OUT]
        words += [] if on == "local" else ["--on", on]
        words += ["--launches", str(launches), "--runs", str(runs), "--budget", str(60 * len(files))]
        return cells.cell(words, self._files(**named), **{name: trial.key for name, trial in named.items()})

    def _files(self, **files: Trial) -> dict[str, Path]:
        return {name: self.folder(trial) for name, trial in files.items()}

    def sensitive(self, point: Point) -> list[str]:
        """Patterns of the layers of an int8 recipe, in the order in which they should stay in float; none where that cannot be told."""
        place, q = self.written(point.recipe), point.recipe.quantize
        words = ["inspect", "--sensitivity", "{recipe}", "--target", point.recipe.target, "--scheme", q.scheme]
        done = self.done(
            cells.cell(words, {"recipe": place} | reads(point.recipe)),
            f"{point.recipe.target} {point.name}: which layers int8 costs most",
        )
        if done.error:
            self.notes.append(f"{point.recipe.target}: no layers in float were tried: {done.error}")
            return []
        return [f"^{re.escape(layer['layer'])}$" for layer in done.answer["layers"]]

    def records(self) -> list[Record]:
        """What `bench` and `eval` wrote of that which nothing was chosen by."""
        places = [cells.made(self.store, key) for key in dict.fromkeys(self.reported)]
        return runs.read([place for place in places if place])[0] if any(places) else []
