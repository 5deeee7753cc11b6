"""Which scheme `--int8` means for a model and a target: the one reader of schemes.toml."""

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from edgekit.errors import UnsupportedError
from edgekit.recipe import Recipe, Scheme


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    family: str
    target: str
    scheme: Scheme
    why: str
    gain: dict[str, float] = {}


@cache
def table() -> tuple[Row, ...]:
    text = files("edgekit").joinpath("schemes.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["row"], tuple[Row, ...])


def find(family: str, target: str, scheme: str | None = None) -> Row | None:
    return next((r for r in table() if (r.family, r.target) == (family, target) and scheme in (None, r.scheme)), None)


def resolve(recipe: Recipe, family: str) -> tuple[Recipe, str]:
    """The recipe with "int8" replaced by the best known scheme, and why it was taken."""
    if recipe.quantize.scheme != "int8":
        return recipe, "as asked"
    row = find(family, recipe.target)
    if row is None:
        raise UnsupportedError(
            f"no int8 scheme is known for {family} models on {recipe.target}", hint="--scheme names one"
        )
    quantize = msgspec.structs.replace(recipe.quantize, scheme=row.scheme)
    return msgspec.structs.replace(recipe, quantize=quantize), row.why


def forecast(family: str, target: str, scheme: str, cpu_class: str) -> str | None:
    """One line where this machine's CPU class gains nothing from an int8 scheme that was made for phones."""
    row = find(family, target, scheme)
    gain = row.gain.get(cpu_class) if row else None
    if row is None or gain is None or gain > 1.1:
        return None
    phone = row.gain.get("arm-dotprod")
    there = f" (on ARM with dot products it takes {phone:.1f} x fewer instructions)" if phone else ""
    return f"this machine's CPU ({cpu_class}) gains nothing from {scheme}: {gain:.2f} x the speed of fp32{there}"
