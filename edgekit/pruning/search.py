"""How much to cut: bisection on what the smaller network costs, as measured."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from edgekit.pruning.cutting import MOST

ROUNDS = 7
NEAR = 0.02  # below what is asked for: near enough


@dataclass(frozen=True, repr=False)
class Found:
    """
    cut      share of each layer that was taken away
    reached  share of the cost that is left
    met      False: not even the deepest cut is small enough, and this is that one
    """

    module: nn.Module
    cut: float
    reached: float
    met: bool

    def __repr__(self) -> str:
        """In one line."""
        name, met = type(self.module).__name__, "" if self.met else ", MORE than asked for"
        return f"Found({name}, {self.cut:.0%} of each layer cut, {self.reached:.3g} of the cost is left{met})"


def search(
    cut: Callable[[float], nn.Module], cost: Callable[[nn.Module], float], keep: float, say: Callable[[str], None]
) -> Found:
    """The least cut whose cost is at most `keep` of the whole, as far as bisection in ROUNDS tells.

    A cost that is measured wavers a little; what is kept was measured to be small enough.
    """

    def attempt(share: float) -> Found:
        module = cut(share)
        reached = cost(module)
        say(f"without {share:.0%} of each layer: {reached:.3f}")
        return Found(module, share, reached, reached <= keep)

    deepest = attempt(MOST)
    if not deepest.met:
        return deepest
    best, low = deepest, 0.0
    for _ in range(ROUNDS):
        tried = attempt((low + best.cut) / 2)
        if tried.met:
            best = tried
        else:
            low = tried.cut
        if best.reached >= keep - NEAR:
            break
    return best
