"""What a recipe's `keep_float` finds: the same layers in every target.

A pattern is a regular expression, searched in the path of a layer's module as PyTorch writes it (`blocks.0.attn.qkv`), the
same with slashes, as `edgekit inspect` shows it, and in what the target's own graph calls the operator (`model/head/Gemm`).
"""

import re
from collections.abc import Collection, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from edgekit.errors import RecipeError, did_you_mean
from edgekit.exporters.export_wrapper import SCOPE

Key = TypeVar("Key", bound=Hashable)
SHOWN = 3  # layers that a message names


class Operator(NamedTuple, Generic[Key]):
    """key: by which the quantizer knows it; path: of its module, with slashes; names: in the graph; layer: it has weights."""

    key: Key
    path: str
    names: tuple[str, ...]
    layer: bool


def kept(patterns: Collection[str], operators: Iterable[Operator[Key]]) -> set[Key]:
    """Keys of the operators that stay in float. Raises RecipeError for a pattern that finds nothing, and where every layer would."""
    found: set[Key] = set()
    known = list(operators) if patterns else []
    for pattern in patterns:
        named = {o.key for o in known if finds(pattern, o.path, o.names)}
        if not named:
            paths = dict.fromkeys(dotted(o.path) for o in known if o.layer)
            raise RecipeError(f"keep_float: no operator is named like '{pattern}'", hint=_nearest(pattern, list(paths)))
        found |= named
    layers = {o.key for o in known if o.layer}
    if layers and layers <= found:
        raise RecipeError("keep_float finds every layer: nothing would be quantized", hint="--scheme fp32")
    return found


def finds(pattern: str, path: str, names: Iterable[str] = ()) -> bool:
    """path: of a module, with slashes or dots."""
    inside = path.replace(".", "/").removeprefix(f"{SCOPE}/")
    return any(re.search(pattern, name) for name in (f"{SCOPE}/{inside}", inside, dotted(inside), *names))


def dotted(path: str) -> str:
    """`blocks.0.attn.qkv` of `model/blocks/0/attn/qkv`."""
    return path.removeprefix(f"{SCOPE}/").replace("/", ".")


def _nearest(pattern: str, paths: list[str]) -> str:
    """Layers that are called alike, whole or by the end of their paths; else the first ones."""
    plain = pattern.replace("\\", "").replace("/", ".").strip("^$")
    length = plain.count(".") + 1
    tails = dict.fromkeys([*paths, *(".".join(path.split(".")[-length:]) for path in paths)])
    more = f", ... ({len(paths)} in all)" if len(paths) > SHOWN else ""
    return (
        did_you_mean(plain, tails) or f"layers: {', '.join(paths[:SHOWN])}{more}; edgekit inspect --layers lists them"
    )
