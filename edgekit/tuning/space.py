"""What is tried, as data: blocks of schemes and fields of recipes, whose products are the recipes.

[[try]]
schemes = ["int8-static"]
ranges = ["mse", "minmax"]       # any field of a recipe; a list of values is a factor

builtin = false                  # without the blocks of space.toml
float_layers = false             # no layers in float, whatever int8 costs there
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from edgekit import reading
from edgekit.candidates.plan import planned
from edgekit.errors import RequestError, UnknownNameError, did_you_mean
from edgekit.recipe import SCHEMES, Quantize, Recipe, full
from edgekit.sweep.grid import OWN, in_words, products

MOST = 2000  # recipes of a target: more are a slip of the pen


class Space(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the module says. Each block: `schemes`, and fields of recipes."""

    blocks: tuple[dict[str, Any], ...] = msgspec.field(name="try", default=())
    builtin: bool = True
    float_layers: bool = True


@dataclass(frozen=True)
class Point:
    """A recipe of the space. far: how many of its fields are not what export does by itself."""

    name: str
    recipe: Recipe
    far: int

    @property
    def folder(self) -> str:
        """Its artifact's name."""
        return f"{self.recipe.folder_name}-{self.recipe.digest()[:6]}" if self.far else self.recipe.folder_name

    def unlike(self, other: "Point") -> int:
        """In how many fields."""
        one, two = (flat(point.recipe) for point in (self, other))
        return sum(one[name] != two[name] for name in one)


def flat(recipe: Recipe) -> dict[str, Any]:
    """Every field, those of `quantize` beside the others; without the target."""
    whole = full(recipe)
    return {name: said for name, said in (whole | whole["quantize"]).items() if name not in ("target", "quantize")}


def load(path: Path | None) -> Space:
    """The built-in space, with the blocks of a file. Raises RequestError with the file, the line and the field."""
    text = files("edgekit.tuning").joinpath("space.toml").read_text("utf-8")
    own = msgspec.toml.decode(text, type=Space)
    if path is None:
        return own
    try:
        said = reading.toml(path, Space)
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}", hint="a file that is there; docs/tune.md shows one") from None
    except reading.Malformed as error:
        hint = (
            did_you_mean(error.field, ("try", "builtin", "float_layers")) or "blocks of [[try]]; docs/tune.md shows one"
        )
        raise RequestError(error.of(path), hint=hint) from None
    for block in said.blocks:
        _check(block, path)
    space = msgspec.structs.replace(said, blocks=(*(own.blocks if said.builtin else ()), *said.blocks))
    if not space.blocks:
        raise RequestError(f"{path}: nothing to try", hint='[[try]] with schemes = ["int8-static"]')
    return space


def _check(block: Mapping[str, Any], path: Path) -> None:
    schemes = block.get("schemes")
    if not isinstance(schemes, list) or not schemes:
        raise RequestError(f"{path}: a block without schemes", hint='schemes = ["int8-static"]')
    known = {*Recipe.__struct_fields__, *Quantize.__struct_fields__} - set(OWN)
    for name in block:
        if name != "schemes" and name not in known:
            raise UnknownNameError(f"field of a recipe in {path}", name, known)
    for scheme in schemes:
        if scheme not in SCHEMES:
            raise UnknownNameError("scheme", str(scheme), SCHEMES)


def points(space: Space, models: Sequence[str], target: str, changes: Mapping[str, Any]) -> list[Point]:
    """The recipes of a target that mean something, each once; those of the first model first. changes: fields of all of them.

    Raises RequestError, MissingExtraError where a target holds nothing."""
    found: dict[str, Point] = {}
    for model in models:
        for fields, schemes in _variants(space):
            told = ", ".join(f"{name}={in_words(value)}" for name, (value, _) in fields.items() if _)
            far = sum(bool(at) for _, at in fields.values())
            try:
                some = planned([model], [target], schemes, {**changes, **{n: v for n, (v, _) in fields.items()}})
            except RequestError:
                continue  # means nothing for any scheme of the block in this target
            for one in some:
                if one.recipe:
                    name = ", ".join(filter(None, [one.scheme, told, Path(model).name if model != models[0] else ""]))
                    found.setdefault(one.recipe.digest(), Point(name, one.recipe, far))
        if len(found) > MOST:
            raise RequestError(f"more than {MOST:,} recipes for {target}", hint="shorter lists in --space")
    if not found:
        planned([models[0]], [target], (), changes)  # says why
        raise RequestError(f"{target} can hold nothing of what is to be tried", hint="--space, or another --target")
    return list(found.values())


def _variants(space: Space) -> Iterator[tuple[dict[str, tuple[Any, int]], list[str]]]:
    """Of each block each combination: field -> its value, and which of its list that is."""
    for block in space.blocks:
        fields = {name: said for name, said in block.items() if name != "schemes"}
        for combination in products(fields):
            yield combination, list(block["schemes"])
