"""Spread the channels of what a layer reads over its 8-bit grid, by a multiplication in front of the layer.

For files in which floats surround the layers, and only what they read becomes integers: the multiplication is one more
float operator. A channel is multiplied, and the weights that read it are divided by the same (SmoothQuant, Xiao et al.
2022, arXiv:2211.10438, where a norm takes the factors; here nothing could: PReLUs, sums and joins lie between).
"""

import copy
from typing import Any

import torch
from torch import nn

from edgekit.exporters.folding import Layer, alike, divide, weighted

SHARE = 0.75  # of the full factor, in decibels: the rest would leave the weights uneven
CAP = 64.0  # a channel that is silent on the calibration images may speak on others
FEW = 4  # channels, and it is not worth it: an image's


class Spread(nn.Module):
    """A layer that reads its input times a factor for each channel."""

    factor: torch.Tensor

    def __init__(self, layer: nn.Module, factor: torch.Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("factor", factor)

    def forward(self, x: torch.Tensor, *size: Any, **named: Any) -> torch.Tensor:
        answer: torch.Tensor = self.layer(x * self.factor, *size, **named)
        return answer


@torch.no_grad()
def spread(folded: nn.Module, pictures: torch.Tensor) -> nn.Module | None:
    """A copy with a multiplication in front of every dense layer, by normalised images [n, c, h, w].

    None where the answers would change, or the network asks its layers for more than answers.
    """
    copied = copy.deepcopy(folded)
    reach = _reach(copied, pictures)
    expected = copied(pictures[:2])
    instead = {layer: _spread(layer, reached) for layer, reached in reach.items()}
    for parent in [m for _, m in copied.named_modules()]:
        for name, child in list(parent.named_children()):
            if child in instead:
                setattr(parent, name, instead[child])
    try:
        return copied if alike(expected, copied(pictures[:2])) else None
    except AttributeError:
        return None


def _reach(network: nn.Module, pictures: torch.Tensor) -> dict[Layer, torch.Tensor]:
    """The largest magnitude in every channel that a dense layer reads."""
    reach: dict[Layer, torch.Tensor] = {}

    def watch(layer: Layer, given: tuple[torch.Tensor, ...]) -> None:
        channels = given[0] if isinstance(layer, nn.Linear) else given[0].movedim(1, -1)
        reached = channels.abs().flatten(0, -2).amax(0)
        reach[layer] = torch.maximum(reach.get(layer, reached), reached)

    layers = [m for m in weighted(network) if isinstance(m, nn.Linear) or (m.groups == 1 and m.in_channels >= FEW)]
    handles = [layer.register_forward_pre_hook(watch) for layer in layers]
    try:
        network(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return reach


def _spread(layer: Layer, reached: torch.Tensor) -> Spread:
    factor = (reached.max() / reached.clamp_min(1e-9)).clamp(1, CAP) ** SHARE
    if isinstance(layer, nn.Linear):
        layer.weight /= factor
        return Spread(layer, factor)
    divide(layer, factor, axis=0 if isinstance(layer, nn.ConvTranspose2d) else 1)
    return Spread(layer, factor.view(1, -1, *[1] * (layer.weight.ndim - 2)))
