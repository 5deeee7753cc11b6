"""Which scheme `--int8` means for a model and a target, and what schemes gain: the one reader of schemes.toml."""

import tomllib
from collections.abc import Callable, Collection
from functools import cache
from importlib.resources import files

import msgspec

from edgekit.errors import UnsupportedError
from edgekit.recipe import Recipe, Scheme, TaskName

COARSE_FIRST: tuple[Scheme, ...] = ("int8-static", "int8-dynamic", "int8-weight-only", "fp16", "fp32")
GAINS = 1.1  # fp32 over a scheme: what lies below is no gain to speak of


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """gain: fp32 over the scheme by CPU class. models: how names of architectures start that alone it is about. task: the
    one that it is about, where it is not about all.

    why, otherwise: reasons, with what a network has in braces (models.family.Family.because says when which is true)
    """

    family: str
    target: str
    scheme: Scheme
    why: str = ""
    otherwise: str = ""
    gain: dict[str, float] = {}
    models: tuple[str, ...] = ()
    task: TaskName | None = None

    def fits(self, family: str, architecture: str, task: str | None) -> bool:
        named = not self.models or architecture.startswith(self.models)
        return self.family == family and named and self.task in (None, task)


class Advice(msgspec.Struct, frozen=True):
    """What a scheme gains over fp32 on a class of CPUs, where that is nothing, and what gains more there.

    better  "SCHEME for TARGET", the target at hand before others; None where nothing known gains
    """

    cpu: str
    gain: float
    text: str
    better: str | None


@cache
def _file() -> dict[str, tuple[Row, ...]]:
    text = files("edgekit").joinpath("schemes.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, tuple[Row, ...]])


def table() -> tuple[Row, ...]:
    """What `--int8` takes; the first row that fits decides."""
    return _file()["row"]


def recommended(family: str, architecture: str, target: str, task: str | None = None) -> Row | None:
    return next((r for r in table() if r.target == target and r.fits(family, architecture, task)), None)


def _known(family: str, architecture: str, task: str | None) -> list[Row]:
    """Every measured row about a model, those about its architecture or task alone first."""
    found = [row for row in (*table(), *_file()["other"]) if row.fits(family, architecture, task)]
    return sorted(found, key=lambda row: (not row.models, not row.task))


def resolve(
    recipe: Recipe,
    family: str,
    architecture: str = "",
    because: Callable[[str, str], str] = lambda why, otherwise: why,
    task: str | None = None,
    unmeasured: Scheme | None = None,
) -> tuple[Recipe, str]:
    """The recipe with "int8" replaced by the best known scheme, and why it was taken: in the words of `because`, which
    makes a row's reasons those of the network at hand. task: None where it is not known yet. unmeasured: what to take where
    the table has no row, as the target of a plugin says it."""
    if recipe.quantize.scheme != "int8":
        return recipe, "as asked"
    row = recommended(family, architecture, recipe.target, task)
    if row:
        scheme, why = row.scheme, because(row.why, row.otherwise)
    elif unmeasured:
        scheme, why = unmeasured, f"the plugin's own choice; edgekit measured nothing for {recipe.target}"
    else:
        raise UnsupportedError(
            f"no int8 scheme is known for {family} models on {recipe.target}", hint="--scheme names one"
        )
    quantize = msgspec.structs.replace(recipe.quantize, scheme=scheme)
    return msgspec.structs.replace(recipe, quantize=quantize), why


def finer(recipe: Recipe, family: str, architecture: str, offered: Collection[str], task: str | None = None) -> str:
    """What to type where a file answers too differently: a scheme that rounds less, never one that rounds more; int8 that is
    known to gain somewhere, before fp16."""
    failed = recipe.quantize.scheme
    left = [scheme for scheme in COARSE_FIRST[COARSE_FIRST.index(failed) + 1 :] if scheme in offered]
    best = recommended(family, architecture, recipe.target, task)
    if not left:
        return (
            "the converter made another network of it: edgekit inspect --compare with another target's file shows where"
        )
    rows = (r for r in _known(family, architecture, task) if r.target == recipe.target)
    liked = {r.scheme for r in rows if r == best or max(r.gain.values(), default=0.0) > GAINS}
    instead = next((scheme for scheme in left if scheme in liked), "fp16" if "fp16" in left else left[0])
    return f"edgekit export --scheme {instead} loses less"


def measured(
    family: str, architecture: str, target: str, scheme: str, cpu: str, task: str | None = None
) -> float | None:
    """How many times faster than fp32 a scheme is on a class of CPUs; None where nobody measured it."""
    rows = [r for r in _known(family, architecture, task) if (r.target, r.scheme) == (target, scheme)]
    return rows[0].gain.get(cpu) if rows else None


def advise(
    family: str, architecture: str, target: str, scheme: str, cpu: str, task: str | None = None
) -> Advice | None:
    """Where a scheme is known to gain nothing on a class of CPUs, what is better there; None where there is no cause.

    From measurements of networks that stand for their family (schemes.toml), not of the file at hand.
    """
    gain = measured(family, architecture, target, scheme, cpu, task)
    if gain is None or gain > GAINS:
        return None
    gains: dict[tuple[str, str], float] = {}
    for row in _known(family, architecture, task):
        gains.setdefault((row.target, row.scheme), row.gain.get(cpu, 0.0))
    better = [(t == target, g, f"{s} for {t}") for (t, s), g in gains.items() if g > GAINS]
    choice = max(better, default=None)
    instead = f"{choice[2]} gains {choice[1]:.2g} x" if choice else "what is known gains nothing there but size"
    phone = measured(family, architecture, target, scheme, "arm-dotprod", task) or 0.0
    there = f" (on ARM with dot products it takes {phone:.1f} x fewer instructions)" if phone > GAINS else ""
    text = f"{cpu} gains nothing from {scheme}: {gain:.2f} x the speed of fp32{there}; {instead}"
    return Advice(cpu, gain, text, choice[2] if choice else None)
