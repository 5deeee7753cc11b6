"""edgekit inspect --sensitivity"""

from typing import TYPE_CHECKING, Any

from edgekit.cli.output import Talk, echo, table
from edgekit.errors import RequestError, many

if TYPE_CHECKING:
    from edgekit.sensitivity import Sensitive, Sensitivity

LISTED = 20  # layers that are shown without -v
MUCH = 0.25  # of the multiply-adds: who keeps more in float keeps little of what int8 saves


def show(talk: Talk, model: str, target: str | None, scheme: str, said: dict[str, Any], draw: str | None = None) -> int:
    """said: fields of a recipe; draw: an .svg file to write."""
    from pathlib import Path

    import msgspec

    from edgekit import registry
    from edgekit.cli.export import recipe_of
    from edgekit.places import check_file, replacing
    from edgekit.reporting.bars import bars

    registry.targets_named([target] if target else [])
    from edgekit.sensitivity import measure  # takes torch

    if draw:
        if not draw.endswith(".svg"):
            raise RequestError(f"--draw {draw} is no .svg file", hint="--draw sensitivity.svg")
        check_file(Path(draw), "--draw another.svg")
    recipe = recipe_of(model, target, scheme, None, said)
    talk.say(f"loading {recipe.model}")
    found = measure(recipe, talk.say)
    if draw:
        title = (
            f"{found.model}, {found.scheme} for {found.target}: what int8 costs and saves; the first gain most in float"
        )
        with replacing(Path(draw), "--draw another.svg") as partial:
            shares = [(layer.layer, layer.noise, layer.macs) for layer in found.layers]
            partial.write_text(bars(title, ("noise", "multiply-adds"), shares), "utf-8")
    if talk.json:
        talk.result("", msgspec.to_builtins(found))
        return 0
    talk.work.end()
    every = "every layer in int8" if found.int8_db is None else f"{found.int8_db:.1f} dB with every layer in int8"
    echo(f"{found.model}, {found.scheme} for {found.target}, on {many(found.pictures, 'images')}: {every}, by PyTorch")
    shown = found.layers if talk.verbose else found.layers[: max(LISTED, found.keep)]
    header = ("layer", "alone", "noise", "multiply-adds", "with these in float")
    echo(table([_row(layer) for layer in shown], header=header))
    if len(shown) < len(found.layers):
        echo(f"of {len(found.layers)} layers the first {len(shown)}; -v lists all")
    for note in found.notes:
        talk.warn(note)
    if draw:
        echo(draw)
    echo(_verdict(found))
    kept = [word for layer in found.layers[: found.keep] for word in ("--keep-float", layer.pattern)]
    if found.kept_macs <= MUCH:
        talk.next(["edgekit", "export", model, "--target", found.target, "--scheme", found.scheme, *kept])
    return 0


def _row(layer: "Sensitive") -> tuple[str, ...]:
    return (layer.layer, _db(layer.alone_db), f"{layer.noise:.1%}", f"{layer.macs:.1%}", _db(layer.left_db))


def _db(value: float | None) -> str:
    return "equal" if value is None else f"{value:.1f} dB"


def _verdict(found: "Sensitivity") -> str:
    layers = f"{found.keep} of {len(found.layers)} layers make" if found.keep > 1 else "one layer makes"
    noise = sum(layer.noise for layer in found.layers[: found.keep])
    line = f"{layers} {noise:.0%} of the noise, with {found.kept_macs:.0%} of the multiply-adds"
    return line if found.kept_macs <= MUCH else f"{line}: no few layers are to blame"
