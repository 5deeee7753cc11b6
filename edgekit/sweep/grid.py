"""A grid file: what is to be made and measured, as lists whose product is taken.

models = ["mobilenetv2", "runs/mine"]     # as `edgekit export` takes them
targets = ["tflite", "onnx"]              # unsaid: all
schemes = ["fp32", "int8"]                # unsaid: every one that the target can hold; int8: the best known for it
devices = ["local", "arm64:cortex-a76"]   # unsaid: local
data = "photos/"                          # unsaid: nothing is evaluated
eval = ["--limit", "1000"]                # more words of `edgekit eval`, and of `edgekit bench` in `bench`

[recipe]                                  # fields of recipes; a list of values is one more factor
calibration = "photos/"
samples = [64, 256]
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from edgekit import reading, registry
from edgekit.candidates.plan import Planned, check_schemes, is_made, planned
from edgekit.errors import EdgekitError, RecipeError, RequestError, UnknownNameError, did_you_mean
from edgekit.recipe import SCHEMES, Quantize, Recipe

AT_A_TIME = 500  # rows that are made without asking
SINGLE = ("keep_float", "mean", "std", "input_size")  # fields that are lists themselves: a list of lists is a factor
OWN = ("model", "target", "scheme", "schema", "quantize")  # of a recipe, that the grid says by itself


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """As the module says. Paths are as the user wrote them."""

    models: tuple[str, ...]
    targets: tuple[str, ...] = ("all",)
    schemes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("local",)
    data: str | None = None
    bench: tuple[str, ...] = ()
    eval: tuple[str, ...] = ()
    recipe: dict[str, Any] = {}


@dataclass(frozen=True)
class Row:
    """One file on one device. number: its place in the grid, from 0."""

    number: int
    planned: Planned
    device: str

    @property
    def name(self) -> str:
        """ "mobilenetv2 tflite int8-static, samples=64, on arm64:cortex-a76" """
        return self.planned.name if self.device == "local" else f"{self.planned.name}, on {self.device}"


def load(path: Path) -> Grid:
    """Raises RequestError with the file, the line and the field."""
    try:
        return check(reading.toml(path, Grid))
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}", hint="a grid file; edgekit sweep --help shows one") from None
    except reading.Malformed as error:
        hint = did_you_mean(error.field, Grid.__struct_fields__) or f"fields: {', '.join(Grid.__struct_fields__)}"
        raise RequestError(error.of(path), hint=hint) from None


def dump(grid: Grid) -> bytes:
    """As TOML; `load` reads it back."""
    return msgspec.toml.encode(msgspec.to_builtins(grid))


def check(grid: Grid) -> Grid:
    """Refuse what a glance tells. Raises RequestError, UnknownNameError, DeviceError."""
    for name in ("models", "targets", "devices"):
        if not all(getattr(grid, name)) or not getattr(grid, name):
            raise RequestError(f"the grid's {name} are empty", hint='models = ["mobilenetv2"], or leave it out')
    check_schemes(grid.schemes)
    known = {*Recipe.__struct_fields__, *Quantize.__struct_fields__} - set(OWN)
    for field in grid.recipe:
        if field in OWN:
            raise RequestError(f"[recipe] {field}: the grid says that itself", hint="models, targets, schemes")
        if field not in known:
            raise UnknownNameError("field of a recipe", field, known)
    for device in grid.devices:
        registry.device(device)
    registry.targets_named(grid.targets)
    return grid


def rows(grid: Grid) -> list[Row]:
    """In the order in which they are made: one device after the other, so that the second finds the files. What cannot be is a row
    with its reason. Raises RequestError where nothing can be."""
    combinations = ({field: value for field, (value, _) in one.items()} for one in products(grid.recipe))
    files = [one for changes in combinations for one in _files(grid, changes)]
    if all(one.error for one in files):
        raise next(one.error for one in files if one.error)
    pairs = itertools.product(grid.devices, files)
    return [Row(number, one, device) for number, (device, one) in enumerate(pairs)]


def count(grid: Grid) -> int:
    """How many rows there are at most, before any is thought through."""
    targets, schemes = registry.targets_named(grid.targets), grid.schemes or SCHEMES
    factors = [len(_values(field, said)) for field, said in grid.recipe.items()]
    made = sum(map(is_made, grid.models))
    nets = (len(grid.models) - made) * len(targets) * len(schemes) * math.prod(factors)
    return (nets + made) * len(grid.devices)


def _files(grid: Grid, changes: Mapping[str, Any]) -> Iterator[Planned]:
    varied = [field for field, said in grid.recipe.items() if len(_values(field, said)) > 1]
    told = ", ".join(f"{field}={in_words(changes[field])}" for field in varied)
    targets = registry.targets_named(grid.targets)
    for model in grid.models:
        try:
            found = planned([model], targets, grid.schemes, changes)
        except RecipeError:
            raise
        except EdgekitError as error:
            found = [Planned("", "", "", error=error)]
        for one in found:
            name = one.name if one.artifact else f"{Path(model).name or model} {one.name}".strip()
            yield replace(one, name=f"{name}, {told}" if told else name, variant=told)


def products(fields: Mapping[str, Any]) -> Iterator[dict[str, tuple[Any, int]]]:
    """Every combination of what fields are said to be: field -> its value, and which of its list that is."""
    factors = (enumerate(_values(field, said)) for field, said in fields.items())
    for values in itertools.product(*factors):
        yield {field: (value, at) for field, (at, value) in zip(fields, values, strict=True)}


def _values(field: str, said: Any) -> list[Any]:
    """The values of a factor: those of a list, and of fields that are lists, of a list of lists."""
    if not isinstance(said, list):
        return [said]
    if field in SINGLE:
        return [tuple(value) for value in said] if said and all(isinstance(v, list) for v in said) else [tuple(said)]
    return said


def in_words(value: Any) -> str:
    """Of a field of a recipe, as a name shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "+".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
