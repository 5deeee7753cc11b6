"""How few layers in float are enough, where int8 loses too much: prefixes of the sensitivity order, doubled, then bisected."""

from collections.abc import Callable, Sequence

from edgekit.recipe import amended
from edgekit.tuning.space import Point

BUILDS = 8  # at most


def with_floats(point: Point, patterns: Sequence[str]) -> Point:
    """The recipe with these layers in float, beside those that are in float already."""
    kept = (*point.recipe.quantize.keep_float, *patterns)
    name = f"{point.name}, {len(patterns)} in float"
    return Point(name, amended(point.recipe, keep_float=kept), point.far + 1)


def fewest(order: Sequence[str], enough: Callable[[int], bool | None], builds: int) -> None:
    """Ask `enough` of ever better numbers of layers, at most `builds` times: whether so many are enough; None: even so many cost more
    time than there is, and more would cost more."""
    low, high, count = 0, len(order), 1
    while builds > 0 and high - low > 1:
        builds -= 1
        found = enough(count)
        if found is None:
            return
        if found:
            high = count
        else:
            low = count
        count = min(2 * count, (low + high + 1) // 2) if high == len(order) else (low + high) // 2
