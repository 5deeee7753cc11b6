"""Networks that train with more branches than they need afterwards: RepVGG, MobileOne, FastViT, RepViT, LeViT, ...

Each such layer has a method that merges its branches into one layer. Exporters would write down all of them. And `Focus`, the first
layer of YOLOv5 and YOLOX, which moves pixels for what one convolution does.
"""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from edgekit.models.picking import joined

METHODS = ("fuse", "reparameterize", "switch_to_deploy")  # of timm, and of the networks' own authors
CLOSE = 1e-4  # of the largest answer
MERGED = "the branches that it was trained with were merged first (reparameterised); its answers are the same"
FOCUSED = "its first layer (Focus) was written as one convolution; its answers are the same"
LEFT = "its layers stay as they were trained: merging them (reparameterising) changes its answers"


@torch.no_grad()
def merge(module: nn.Module, pictures: torch.Tensor) -> tuple[nn.Module, str]:
    """The network with its training branches merged, and what is to be said; the very module where it has none.

    pictures  normalised, float32 [n, 3, h, w]: on these the answers must stay the same, else the network stays as it is
    """
    merging = [layer for layer in module.modules() if _merging(layer)]
    if not merging:
        return module, ""
    expected = _answers(module, pictures)
    holder = nn.Sequential(copy.deepcopy(module))  # so that the network itself is a child, which may know how
    try:
        _merge(holder)
        merged = holder[0].eval()
        same = torch.allclose(expected, _answers(merged, pictures), atol=CLOSE * float(expected.abs().max()))
    except Exception:  # whatever the network's own code raises
        same = False
    said = dict.fromkeys(FOCUSED if _is_focus(layer) else MERGED for layer in merging)
    return (merged, "; ".join(said)) if same else (module, LEFT)


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
    if _is_focus(layer):
        return partial(_as_convolution, layer)
    for method in (getattr(layer, name, None) for name in METHODS):
        if inspect.ismethod(method) and all(
            p.default is not p.empty for p in inspect.signature(method).parameters.values()
        ):
            return method
    return None


def _is_focus(layer: nn.Module) -> bool:
    first = getattr(getattr(layer, "conv", None), "conv", None)
    return (
        type(layer).__name__ == "Focus"  # Ultralytics', Megvii's and edgekit's own
        and isinstance(first, nn.Conv2d)
        and first.padding_mode == "zeros"
        and (first.stride, first.dilation, first.groups) == ((1, 1), (1, 1), 1)
    )


def _as_convolution(focus: Any) -> nn.Module:
    """Focus, whose convolution of k x k reads each second pixel of each second row four times, as one of 2k x 2k with stride 2."""
    layer = copy.deepcopy(focus.conv)
    first = layer.conv
    (high, wide), (y, x) = first.kernel_size, first.padding
    outputs, inputs = first.out_channels, first.in_channels // 4
    weight = first.weight.detach().reshape(outputs, 2, 2, inputs, high, wide)  # by column and row of the four
    layer.conv = nn.Conv2d(inputs, outputs, (2 * high, 2 * wide), 2, (2 * y, 2 * x), bias=first.bias is not None)
    layer.conv.weight.data = weight.permute(0, 3, 4, 2, 5, 1).reshape(layer.conv.weight.shape)
    if first.bias is not None:
        layer.conv.bias.data = first.bias.detach()
    return nn.Sequential(OrderedDict(conv=layer))
