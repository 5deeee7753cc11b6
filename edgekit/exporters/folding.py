"""BatchNorm becomes a convolution, so that its numbers are weights like others, which can be prepared: it is taken into the
convolution before it, as every converter does, and becomes one of its own where it follows anything else."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d
Layer = Convolution | nn.Linear
Norm = nn.BatchNorm2d | nn.BatchNorm3d

SMALLEST = 1e-4  # of a layer's largest weight


@torch.no_grad()
def fold_batch_norm(module: nn.Module, pictures: torch.Tensor) -> nn.Module | None:
    """A copy without BatchNorm2d and 3d: each is in the convolution whose answer it reads, or a depthwise 1x1 of its own.

    The outcome is checked on normalised images [n, 3, h, w] or clips: None where the answers changed (a convolution's answer is
    read elsewhere too), or where the network takes one image only.
    """
    folded = copy.deepcopy(module).eval()
    try:
        before, expected = _norms(folded, pictures[:2])
        replaced = {norm: _in_place_of(norm, before[norm]) for norm in before}
        for parent in [m for _, m in folded.named_modules()]:
            for name, child in list(parent.named_children()):
                if child in replaced:
                    setattr(parent, name, replaced[child])
        same = alike(expected, folded(pictures[:2]))
    except RuntimeError:  # a network that takes one image only
        same = False
    if not same:
        return None
    for layer in weighted(folded):
        _keep_scale(layer)
    return folded


def _norms(module: nn.Module, pictures: torch.Tensor) -> tuple[dict[Norm, nn.Module | None], Any]:
    """Every BatchNorm with fixed statistics -> the convolution whose answer it reads, where both run once; the answers."""
    norms = [m for _, m in module.named_modules() if isinstance(m, Norm) and m.running_mean is not None]
    made: Any = WeakTensorKeyDictionary()  # tensor -> the convolution that made it, and its state then
    before: dict[Norm, nn.Module | None] = {}
    calls: Counter[nn.Module] = Counter()

    def makes(layer: nn.Module, given: Any, answer: torch.Tensor) -> None:
        calls[layer] += 1
        made[answer] = layer, answer._version

    def reads(norm: Norm, given: tuple[torch.Tensor]) -> None:
        calls[norm] += 1
        layer, version = made.get(given[0], (None, 0))
        before[norm] = layer if given[0]._version == version else None  # nothing was added to it in place

    handles = [m.register_forward_hook(makes) for _, m in module.named_modules() if isinstance(m, Convolution)]
    handles += [norm.register_forward_pre_hook(reads) for norm in norms]
    try:
        answers = module(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return {n: layer if layer and calls[n] == calls[layer] == 1 else None for n, layer in before.items()}, answers


def _in_place_of(norm: Norm, layer: nn.Module | None) -> nn.Module:
    """What stands where a BatchNorm stood: the rest of it, behind a depthwise convolution where no layer takes it in."""
    rest = [
        m for m in (getattr(norm, "drop", None), getattr(norm, "act", None)) if m is not None
    ]  # timm's BatchNormAct2d
    if isinstance(layer, nn.Conv2d | nn.Conv3d) or (isinstance(layer, nn.ConvTranspose2d) and layer.groups == 1):
        fused = fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
        layer.weight, layer.bias = fused.weight, fused.bias
        return nn.Sequential(*rest)
    n = norm.num_features
    kind = nn.Conv3d if isinstance(norm, nn.BatchNorm3d) else nn.Conv2d
    alone = kind(n, n, 1, groups=n, bias=False).eval()
    alone.weight.fill_(1)
    return nn.Sequential(fuse_conv_bn_eval(alone, norm), *rest)


def weighted(module: nn.Module) -> list[Layer]:
    return [m for _, m in module.named_modules() if isinstance(m, Layer)]


def by_output(layer: Layer) -> torch.Tensor:
    """The weights as [groups, outputs of a group, inputs of a group, taps]."""
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    first = layer.weight.reshape(groups, len(layer.weight) // groups, layer.weight.shape[1], -1)
    return first.transpose(1, 2) if isinstance(layer, nn.ConvTranspose2d) else first


def put_by_output(layer: Layer, weights: torch.Tensor) -> None:
    """The inverse of by_output."""
    first = weights.transpose(1, 2) if isinstance(layer, nn.ConvTranspose2d) else weights
    layer.weight.data.copy_(first.reshape(layer.weight.shape))


def divide(layer: Layer, factor: torch.Tensor, *, axis: int) -> None:
    """The weights along their first or second axis, each by its own factor, in place."""
    layer.weight /= factor.view([-1 if a == axis else 1 for a in range(layer.weight.ndim)])


def put(network: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """The network with a module at a path, in place; for "" that module itself."""
    if not path:
        return module
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
    return network


def run_once(module: nn.Module, pictures: torch.Tensor) -> tuple[list[Layer], list[nn.Module]]:
    """The layers with weights that run once or never, and those that run more than once for normalised images."""
    calls: Counter[nn.Module] = Counter()
    layers = weighted(module)
    handles = [layer.register_forward_hook(lambda layer, given, answer: calls.update([layer])) for layer in layers]
    try:
        module(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return [m for m in layers if calls[m] < 2], [m for m in layers if calls[m] > 1]


def alike(expected: Any, got: Any) -> bool:
    """Of tensors, and of whatever holds tensors."""
    pairs = zip(tree_leaves(expected), tree_leaves(got), strict=True)
    return all(torch.allclose(e, g, atol=1e-3 * float(e.abs().max())) for e, g in pairs if isinstance(e, torch.Tensor))


def _keep_scale(layer: Layer) -> None:
    """Give a channel of all but zero weights one that is not: its scale would be so small that its bias overflows."""
    weights = by_output(layer).detach().clone()
    rows = weights.flatten(0, 1).flatten(1)
    largest, where = rows.abs().max(1)
    floor = SMALLEST * largest.max()
    for channel in (largest < floor).nonzero().flatten().tolist():
        rows[channel, where[channel]] = floor
    put_by_output(layer, rows.reshape(weights.shape))
