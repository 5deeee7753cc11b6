"""Networks that train with more branches than they need afterwards: RepVGG, MobileOne, FastViT, RepViT, LeViT, ...

Each such layer has a method that merges its branches into one layer. Exporters would write down all of them.
"""

import copy
import inspect
from collections.abc import Callable

import torch
from torch import nn

from edgekit.models.picking import joined

METHODS = ("fuse", "reparameterize", "switch_to_deploy")  # of timm, and of the networks' own authors
CLOSE = 1e-4  # of the largest answer
MERGED = "the branches that it was trained with were merged first (reparameterised); its answers are the same"
LEFT = "its layers stay as they were trained: its own way of merging them (reparameterising) changes its answers"


@torch.no_grad()
def merge(module: nn.Module, pictures: torch.Tensor) -> tuple[nn.Module, str]:
    """The network with its training branches merged, and what is to be said; the very module where it has none.

    pictures  normalised, float32 [n, 3, h, w]: on these the answers must stay the same, else the network stays as it is
    """
    if not any(_merging(layer) for layer in module.modules()):
        return module, ""
    expected = _answers(module, pictures)
    holder = nn.Sequential(copy.deepcopy(module))  # so that the network itself is a child, which may know how
    try:
        _merge(holder)
        merged = holder[0].eval()
        same = torch.allclose(expected, _answers(merged, pictures), atol=CLOSE * float(expected.abs().max()))
    except Exception:  # whatever the network's own code raises
        same = False
    return (merged, MERGED) if same else (module, LEFT)


def _answers(module: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    return torch.cat([joined(module(picture[None])) for picture in pictures])


def _merge(parent: nn.Module) -> None:
    """As timm.utils.reparameterize_model does it, from the outermost layer that knows how."""
    for name, child in list(parent.named_children()):
        method = _merging(child)
        made = method() if method else None
        if isinstance(made, nn.Module):
            setattr(parent, name, made)
        _merge(getattr(parent, name))


def _merging(layer: nn.Module) -> Callable[[], object] | None:
    """The layer's method that merges it, where it has one that wants no arguments (one that does means something else)."""
    for method in (getattr(layer, name, None) for name in METHODS):
        if inspect.ismethod(method) and all(
            p.default is not p.empty for p in inspect.signature(method).parameters.values()
        ):
            return method
    return None
