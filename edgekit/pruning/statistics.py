"""BatchNorm after a cut: what it knows of means and variances is the whole network's."""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

PICTURES = 1024


def estimate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Running means and variances anew, each the mean over the batches. In place; the module is in eval mode afterwards.

    batches  float32 [n, c, h, w], asked for one at a time; no labels are needed. Of one image each they would say nothing:
             such are left out
    """
    module.eval()
    layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    fitting = (batch for batch in batches if len(batch) > 1) if layers else iter(())
    if (first := next(fitting, None)) is None:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean
        layer.train()  # these alone: dropout would widen what they see
    with torch.no_grad():
        for batch in itertools.chain([first], fitting):
            module(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
