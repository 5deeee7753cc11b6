"""The int8 grid of a layer's weights, as exporters lay it and quantization-aware training sees it: symmetric, a step per output."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.inspection import overflow

Layer = nn.Conv2d | nn.Linear


def step(layer: Layer, *, pair_safe: bool) -> Tensor:
    """float32 [outputs]: the largest weight is 127 steps, or fewer where the grid is pair-safe (exporters/rounding.py)."""
    weight = layer.weight.detach().flatten(1)
    largest = weight.abs().amax(1)
    if pair_safe and in_pairs(layer):
        path = layer.weight.detach().flatten(2).mT.flatten(1) if isinstance(layer, nn.Conv2d) else weight
        after = functional.pad(path[:, 1:], (0, 1))
        pairs = torch.maximum(path.relu() + after.relu(), (-path).relu() + (-after).relu())
        largest = torch.maximum(largest, pairs.amax(1) * 127 / overflow.LIMIT)
    return (largest / 127).clamp_min(1e-12).float()


def in_pairs(layer: Layer) -> bool:
    """Whether kernels add this layer's products in pairs, through the channels of a tap, tap by tap: not those of depthwise
    convolutions."""
    return isinstance(layer, nn.Linear) or layer.in_channels != layer.groups
