"""All targets under one budget: each searched, the front of each confirmed, and the recipe that serves them all."""

import contextlib
import math
import resource
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgekit import cells, publishing, registry
from edgekit import recipe as recipes
from edgekit.candidates.making import linked
from edgekit.candidates.plan import planned
from edgekit.data.files import check_folder, check_labels
from edgekit.devices import host
from edgekit.errors import EdgekitError, MissingExtraError, RequestError
from edgekit.places import alone, check_file, check_place, replacing
from edgekit.tuning import Choice, Tuned, page
from edgekit.tuning.budget import Budget, worst
from edgekit.tuning.measuring import Measuring, Say, Trial
from edgekit.tuning.search import Search, until
from edgekit.tuning.space import Point, Space, flat, points

Steps = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many steps; called after each


@dataclass(frozen=True)
class Request:
    """What is tuned.

    models   names or runs: the first in fp32 is the reference; others are weights to try, pruned or trained for int8
    builds   files that are built for each target at most, beside fp32; hours: after which no further one is begun
    changes  fields of every recipe
    others   as Measuring has them
    """

    models: tuple[str, ...]
    data: Path
    out: Path
    targets: tuple[str, ...] = ("all",)
    budget: Budget = field(default_factory=Budget)
    space: Space = field(default_factory=Space)
    builds: int = 12
    hours: float | None = None
    split: str | None = None
    truth: Path | None = None
    limit: int | None = None
    again: bool = False
    program: tuple[str, ...] = cells.EDGEKIT
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return Path(self.models[0].rpartition(":")[2]).name.removesuffix(".toml") or "model"

    def check(self) -> None:
        """Refuse what cannot be met or done, before anything runs. Raises RequestError, DeviceError, DataError, OutputError."""
        self.budget.check()
        for on in self.budget.devices:
            registry.device(on).state()
        if self.builds < 1:
            raise RequestError(f"--evaluations {self.builds} builds nothing", hint="--evaluations 12")
        if self.hours is not None and not 0 < self.hours < math.inf:
            raise RequestError(f"--hours {self.hours:g} is no time", hint="--hours 1, or leave it out")
        if (self.out / "manifest.json").exists():
            raise RequestError(f"{self.out} is an artifact", hint="-o another/folder")
        check_place(self.out / page.DOCUMENT, "-o another/folder")
        check_file(self.out / "best.toml", "-o another/folder")
        for target in registry.targets_named(self.targets):
            publishing.check_destination(self.out / f"best-{target}")
            check_file(self.out / f"best-{target}.toml", "-o another/folder")
        check_folder(self.data, "--data with a folder of images")
        if self.truth:
            check_labels(self.truth)


def tune(
    request: Request, *, say: Say = lambda line: None, steps: Steps = lambda total: contextlib.nullcontext(lambda: None)
) -> Tuned:
    """The best file of each target. A target of which nothing can be made is a choice with its error; what the user stops has `cut`
    set, and the next call goes on.

    Raises RequestError, DataError, DeviceError, OutputError.
    """
    request.check()
    spaces = _spaces(request)
    with alone(request.out, "tune"):
        measuring = Measuring(
            out=request.out,
            data=request.data,
            devices=request.budget.devices,
            split=request.split,
            truth=request.truth,
            limit=request.limit,
            again=request.again,
            program=request.program,
            say=say,
        )
        late, choices, one, cut = until(request.hours), list[Choice](), "", False
        total = sum(
            min(request.builds, len(some) - 1) for some in spaces.values() if not isinstance(some, EdgekitError)
        )
        try:
            with steps(total) as tick:
                searches = []
                for target, some in spaces.items():
                    if isinstance(some, EdgekitError):
                        choices.append(Choice(target, "", "missed", error=str(some)))
                        continue
                    search = Search(
                        target, some, request.budget, measuring, request.builds, request.space.float_layers, late, tick
                    )
                    search.run()
                    searches.append(search)
            serving = _serving(searches)
            for search in searches:
                front = search.confirm(serving.get(search.target))
                choices.append(_kept(search, front, request))
            one = _one(searches, serving, request)
        except KeyboardInterrupt:
            cut = True
        used = resource.getrusage(resource.RUSAGE_SELF)
        tuned = Tuned(
            title=request.title,
            choices=tuple(sorted(choices, key=lambda choice: list(spaces).index(choice.target))),
            headline=measuring.headline,
            data=measuring.images,
            cpu_class=host.cpu_class(),
            one=one,
            notes=tuple(dict.fromkeys(measuring.notes)),
            cpu_s=(used.ru_utime + used.ru_stime, measuring.spent),
            cut=cut,
        )
        return tuned if cut else page.saved(tuned, request.budget, measuring.records(), request.out)


def _spaces(request: Request) -> dict[str, "list[Point] | EdgekitError"]:
    """Of each target its recipes, fp32 first, or why there are none. Raises what is true of all of them."""
    found: dict[str, list[Point] | EdgekitError] = {}
    for target in registry.targets_named(request.targets):
        try:
            (base,) = planned([request.models[0]], [target], ["fp32"], request.changes)
            if base.artifact or not base.recipe:
                error = base.error or RequestError(f"{request.models[0]} is a file already", hint="a model, or a run")
                raise error
            some = points(request.space, request.models, target, request.changes)
            first = Point("fp32", base.recipe, 0)
            found[target] = [first, *(point for point in some if point.recipe != first.recipe)]
        except (RequestError, MissingExtraError) as error:
            found[target] = error
    errors = [one for one in found.values() if isinstance(one, EdgekitError)]
    if len(errors) == len(found):
        raise errors[0]
    return found


def _kept(search: Search, front: list[Trial], request: Request) -> Choice:
    """With the artifact and the recipe of the file that is taken, under names to type. Raises OutputError."""
    choice = search.choice(front)
    if not front:
        return choice
    taken, _, _ = search.taken(front)
    place, recipe = request.out / f"best-{search.target}", request.out / f"best-{search.target}.toml"
    search.measuring.opened(taken)
    linked(search.measuring.folder(taken), place)
    _write(recipe, taken.point.recipe)
    return msgspec.structs.replace(choice, artifact=str(place), recipe=str(recipe))


def _write(place: Path, recipe: recipes.Recipe) -> None:
    with replacing(place) as partial:
        partial.write_text(recipes.dump(recipe), "utf-8")


def _serving(searches: Sequence[Search]) -> dict[str, Trial]:
    """Of each target the same recipe, the quickest of those that miss no budget where they were chosen; none where there is none."""
    if len(searches) < 2:
        return {}
    by_recipe = [{msgspec.json.encode(flat(t.point.recipe), order="sorted"): t for t in s.ranked} for s in searches]
    found: list[tuple[bool, float, list[Trial]]] = []
    for recipe in by_recipe[0]:
        trials = [known[recipe] for known in by_recipe if recipe in known]
        if len(trials) == len(searches):
            verdicts = [
                worst(s.budget.verdicts(t.bytes, t.chosen_by))
                for s, t in zip(searches, trials, strict=True)
                if t.chosen_by
            ]
            times = [t.chosen_by.slowest for t in trials if t.chosen_by]
            if "missed" not in verdicts:
                found.append(("undecided" in verdicts, math.prod(times), trials))
    best = min(found, key=lambda one: one[:2], default=None)
    return {s.target: t for s, t in zip(searches, best[2], strict=True)} if best else {}


def _one(searches: Sequence[Search], serving: Mapping[str, Trial], request: Request) -> str:
    """The name of the recipe that meets every budget in every target on what chose nothing, which is written to best.toml."""
    place = request.out / "best.toml"
    met = serving and all(
        trial.confirmed and worst(request.budget.verdicts(trial.bytes, trial.confirmed)) == "met"
        for trial in serving.values()
    )
    if not met:
        place.unlink(missing_ok=True)
        return ""
    first = serving[searches[0].target]
    _write(place, first.point.recipe)
    return first.point.name
