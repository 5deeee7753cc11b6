"""BatchNorm after a cut: what it knows of means and variances is the whole network's."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

PICTURES = 1024


def estimate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Running means and variances anew, each the mean over the batches. In place; the module is in eval mode afterwards.

    batches  float32 [n, 3, h, w]; no labels are needed. Of one image each they would say nothing: such are left out
    """
    layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    fitting = [batch for batch in batches if len(batch) > 1] if layers else []
    if not fitting:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean
    module.train()
    with torch.no_grad():
        for batch in fitting:
            module(batch)
    module.eval()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
