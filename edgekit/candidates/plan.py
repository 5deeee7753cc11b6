"""Which files there could be of what is named: every target and scheme of a model or a run, or artifacts as they are."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgekit import artifact, publishing, registry, zoo
from edgekit import recipe as recipes
from edgekit.artifact import Artifact
from edgekit.errors import EdgekitError, RequestError, UnknownNameError
from edgekit.recipe import SCHEMES, Recipe

ASKED = (*SCHEMES, "int8")  # the last is the best known for the network and the target: its export finds that out


@dataclass(frozen=True)
class Planned:
    """A file to be: by its recipe, or there already; or why there can be none."""

    name: str
    target: str
    scheme: str
    recipe: Recipe | None = None
    artifact: Artifact | None = None
    error: EdgekitError | None = None
    variant: str = ""  # what tells it from others of its target and scheme, in words

    @property
    def folder_name(self) -> str:
        """Its artifact's: by the exact scheme and the variant, so that no two share one."""
        assert self.recipe
        plain = msgspec.structs.replace(self.recipe, quantize=recipes.Quantize(self.recipe.quantize.scheme)).folder_name
        return f"{plain}-{self.recipe.digest()[:8]}" if self.variant else plain

    def check_place(self, out: Path) -> None:
        """Refuse a folder in which something else lies under the artifact's name. Raises RequestError, OutputError."""
        if self.recipe:
            publishing.check_destination(out / self.folder_name)


def planned(
    models: Sequence[str], targets: Sequence[str], schemes: Sequence[str], changes: Mapping[str, Any]
) -> list[Planned]:
    """In the order in which they are named. changes: fields of every recipe, as `recipe.amended` takes them.

    Raises RequestError for nothing to make, names that nobody knows, and artifacts under changes; ArtifactError.
    """
    check_schemes(schemes)
    made = [word for word in models if is_made(word)]
    nets = [word for word in models if word not in made]
    if made and not nets and changes:
        raise RequestError(
            f"--{next(iter(changes)).replace('_', '-')} is for exports, and these are artifacts", hint="leave it out"
        )
    found: list[Planned] = []
    for word in models:
        if word in made:
            one = artifact.load(word)
            found.append(Planned(one.name, one.target, one.manifest.scheme, artifact=one))
        else:
            found += _of_model(word, targets, schemes, changes, several=len(models) > 1)
    if found and all(one.error for one in found):
        raise next(one.error for one in found if one.error)
    twice = {one.name for one in found if [other.name for other in found].count(one.name) > 1}
    if twice:
        raise RequestError(f"two files are called {twice.pop()}", hint="name each once")
    return found


def check_schemes(schemes: Sequence[str]) -> None:
    """Raises UnknownNameError."""
    for scheme in schemes:
        if scheme not in ASKED:
            raise UnknownNameError("scheme", scheme, ASKED)


def _of_model(
    model: str, targets: Sequence[str], schemes: Sequence[str], changes: Mapping[str, Any], *, several: bool
) -> list[Planned]:
    if model.endswith(".toml"):
        base = recipes.load(Path(model))
    else:
        zoo.check_name(model)
        base = Recipe(model, "tflite")
    before = f"{Path(base.model).name} " if several else ""
    found = []
    for target in targets:
        try:
            held = registry.exporter(target).schemes
        except EdgekitError as error:
            found.append(Planned(f"{before}{target}", target, "", error=error))
            continue
        best = {"int8"} if any(scheme.startswith("int8") for scheme in held) else set()
        for scheme in [scheme for scheme in ASKED if scheme in {*held, *best} and scheme in (schemes or SCHEMES)]:
            name, said = f"{before}{target} {scheme}", dict(changes)
            if not scheme.startswith("int8"):
                said.pop("samples", None)  # nothing is calibrated
            try:
                found.append(Planned(name, target, scheme, recipes.amended(base, scheme, target=target, **said)))
            except RequestError as error:
                found.append(Planned(name, target, scheme, error=error))
    if not found:
        raise RequestError(f"{', '.join(targets)} can hold none of {', '.join(schemes)}", hint="another --scheme")
    return found


def is_made(word: str) -> bool:
    """Whether a model is an artifact: it is taken as it is, in its own target and scheme."""
    return (Path(word) / "manifest.json").is_file()


def reads(recipe: Recipe) -> dict[str, Path]:
    """The files and folders that decide what an export makes, by what they are."""
    said = {
        "weights": recipe.weights,
        "calibration": recipe.calibration,
        "labels": recipe.labels,
        "model": recipe.model,
    }
    found = {name: Path(word) for name, word in said.items() if word and Path(word).exists()}
    if recipe.model.startswith("py:") and (source := _source(recipe.model)):
        found["source"] = source
    return found


def _source(model: str) -> Path | None:
    """The file of py:package.module:function, without importing anything."""
    module = model.removeprefix("py:").rpartition(":")[0]
    if module.endswith(".py"):
        return Path(module) if Path(module).is_file() else None
    below = Path(*module.split("."))
    places = (
        Path(folder) / name for folder in ["", *sys.path] for name in (below.with_suffix(".py"), below / "__init__.py")
    )
    return next((place for place in places if place.is_file()), None)
