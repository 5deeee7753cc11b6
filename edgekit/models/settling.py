"""Weights that were never trained, made to compute: what is measured of them then is that of the whole network.

Networks are often made with branches that begin at zero (the last BatchNorm of a residual block, a LayerScale, a gain),
and with BatchNorms that have seen nothing. Converters fold such branches away, and activations die or explode: sizes,
times and answers are those of another network.
"""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgekit.errors import WeightsError, many, reason
from edgekit.models.chance import seeded

SMALL = 0.01  # a gain that is smaller, everywhere the same, was never trained
ADDED = ("bias", "beta", "token", "embed", "pos", "shift", "mean")  # in the names of what is added, not multiplied


@torch.no_grad()
def settle(module: nn.Module, pictures: torch.Tensor) -> str:
    """Fill gains and weights of zero, and give BatchNorms the statistics of normalised images [n, 3, h, w]. In place.

    Returns what was done, for people. Raises WeightsError where the network does not run in training's way.
    """
    gains = [p for name, p in module.named_parameters() if _is_gain(name, p) and _is_idle(p)]
    for gain in gains:
        gain.fill_(1.0)
    empty = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear) and not m.weight.any()]
    with seeded(0):
        for layer in empty:
            layer.reset_parameters()
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    _take_statistics(module, norms, pictures)
    said = [
        f"{many(len(gains), 'gains')} near zero set to one" if gains else "",
        f"{many(len(empty), 'layers')} of zeros drawn anew" if empty else "",
        f"the statistics of {many(len(norms), 'BatchNorms')} taken from {len(pictures)} {'clips' if pictures.ndim == 5 else 'images'}"
        if norms
        else "",
    ]
    done = ", ".join(filter(None, said))
    return f"untrained weights, made to compute: {done}" if done else ""


def folded(module: nn.Module) -> list[_BatchNorm]:
    """The BatchNorms that are a part of their convolutions already, as in a published ONNX file."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and _is_folded(m)]


@torch.no_grad()
def unfold(module: nn.Module, norms: list[_BatchNorm], pictures: torch.Tensor) -> None:
    """Give BatchNorms that were folded statistics of normalised images [n, 3, h, w]. In place; module: not in training.

    What the module answers stays as it is: gains and shifts undo what the statistics do. But in training a BatchNorm takes
    those of its batch, and with gains of one all layers would then answer at another scale than they learned.
    """
    hooks = [norm.register_forward_pre_hook(_take_own) for norm in norms]
    module(pictures)
    for hook in hooks:
        hook.remove()


def _is_folded(norm: _BatchNorm) -> bool:
    """Whether it changes nothing but the shift. One that is new has a variance of one, to which its epsilon is added."""
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None or not norm.affine:
        return False
    return not mean.any() and bool((norm.weight == 1).all()) and torch.equal(var, torch.ones_like(var) - norm.eps)


def _take_own(norm: nn.Module, given: tuple[torch.Tensor]) -> None:
    assert isinstance(norm, _BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    var, mean = torch.var_mean(given[0], [0, *range(2, given[0].ndim)])
    norm.bias.add_(mean - norm.running_mean)
    norm.weight.copy_((var + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)


def _is_gain(name: str, parameter: nn.Parameter) -> bool:
    """One number for a channel, or for all of them, that something is multiplied with."""
    leaf = name.rpartition(".")[2]
    return parameter.numel() == max(parameter.shape, default=1) and not any(word in leaf for word in ADDED)


def _is_idle(gain: torch.Tensor) -> bool:
    return bool(gain.abs().max() < SMALL) and bool((gain == gain.flatten()[0]).all())


def _take_statistics(module: nn.Module, norms: list[_BatchNorm], pictures: torch.Tensor) -> None:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over what is seen
        norm.train()
    try:
        module(pictures)
    except Exception as error:  # whatever the network's code raises
        raise WeightsError(
            f"BatchNorms without training cannot take statistics from {len(pictures)} images: {reason(error)}",
            hint="--samples 2 or more; a network that takes batches; or --weights FILE",
        ) from error
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
