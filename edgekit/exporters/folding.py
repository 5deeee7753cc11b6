"""BatchNorm into the convolution before it: what every converter does, done first so that weights can be prepared."""

import copy
from collections import Counter

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SMALLEST = 1e-4  # of a layer's largest weight


@torch.no_grad()
def fold_batch_norm(module: nn.Module, pictures: torch.Tensor) -> nn.Module | None:
    """A copy in which every convolution that is directly followed by a BatchNorm has taken it in.

    "Followed" goes by the order of registration, so the outcome is checked on normalised pictures [n, 3, h, w]:
    None where the answers changed, or where the network takes one picture only.
    """
    folded = copy.deepcopy(module).eval()
    for parent in list(folded.modules()):
        previous: nn.Module | None = None
        for name, child in list(parent.named_children()):
            if (
                isinstance(child, nn.BatchNorm2d)
                and isinstance(previous, nn.Conv2d)
                and previous.out_channels == child.num_features
            ):
                fused = fuse_conv_bn_eval(previous, child)
                previous.weight, previous.bias = fused.weight, fused.bias
                # timm's BatchNormAct2d holds its activation
                rest = [m for m in (getattr(child, "drop", None), getattr(child, "act", None)) if m is not None]
                setattr(parent, name, nn.Sequential(*rest))
            previous = child
    try:
        same = alike(module(pictures[:2]), folded(pictures[:2]))
    except RuntimeError:  # a network that takes one picture only
        same = False
    if not same:
        return None
    for layer in weighted(folded):
        _keep_scale(layer.weight)
    return folded


def weighted(module: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def run_once(module: nn.Module, pictures: torch.Tensor) -> tuple[list[nn.Conv2d | nn.Linear], list[nn.Module]]:
    """The layers with weights that run once or never, and those that run more than once for normalised pictures."""
    calls: Counter[nn.Module] = Counter()
    layers = weighted(module)
    handles = [layer.register_forward_hook(lambda layer, given, answer: calls.update([layer])) for layer in layers]
    try:
        module(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return [m for m in layers if calls[m] < 2], [m for m in layers if calls[m] > 1]


def alike(expected: torch.Tensor, got: torch.Tensor) -> bool:
    return torch.allclose(expected, got, atol=1e-3 * float(expected.abs().max()))


def _keep_scale(weight: torch.Tensor) -> None:
    """Give a channel of all but zero weights one that is not: its scale would be so small that its bias overflows."""
    rows = weight.data.flatten(1)
    largest, where = rows.abs().max(1)
    floor = SMALLEST * largest.max()
    for channel in (largest < floor).nonzero().flatten().tolist():
        rows[channel, where[channel]] = floor
