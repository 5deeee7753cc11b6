"""A smaller copy of a network: channels in multiples of 8, whole heads, hidden units.

Convolutions are cut by torch-pruning, which follows their channels through the graph (Fang et al. 2023, DepGraph,
https://arxiv.org/abs/2301.12900); the score of a group of channels is its L2 norm. Transformers have rules of their own.
"""

import copy
import warnings

from torch import Tensor, nn

from edgekit.errors import UnsupportedError, reason
from edgekit.extras import needs
from edgekit.models import heads
from edgekit.models.shapes import is_attention
from edgekit.pruning import transformers
from edgekit.quiet import silenced

MOST = 0.9  # of what a layer has
MULTIPLE = 8  # kernels compute so many channels at once; other numbers can be slower than the whole network


def cut(module: nn.Module, example: Tensor, share: float) -> nn.Module:
    """A copy in eval mode without `share` (0..MOST) of each layer's channels, or hidden units and half as many heads.

    example  float32 [n, c, h, w]
    Raises UnsupportedError for a network that cannot be cut.
    """
    smaller = copy.deepcopy(module).eval().requires_grad_(True)
    attention = [m for m in smaller.modules() if "attention" in type(m).__name__.lower()]
    if attention:
        _refuse_other(module, attention)
        transformers.cut(smaller, share)
    else:
        _cut_channels(smaller, example, share)
    return smaller


def _cut_channels(module: nn.Module, example: Tensor, share: float) -> None:
    with needs("prune"):
        import torch_pruning

    class Pruner(torch_pruning.pruner.BasePruner):  # type: ignore[misc]
        def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
            """How many channels go. The original spares a layer whole that would keep fewer than `round_to`."""
            nearest = (current_channels - n_pruned + round_to // 2) // round_to * round_to
            kept = max(round_to, nearest)
            return max(current_channels - kept, 0)

    try:
        with warnings.catch_warnings(), silenced():
            warnings.simplefilter("ignore")
            Pruner(
                module,
                example[:1],
                importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
                pruning_ratio=share,
                max_pruning_ratio=MOST,
                ignored_layers=[heads.head(module)],
                round_to=MULTIPLE,
            ).step()
            module(example[:1])
    except Exception as error:  # of its tracing, or of the network's code
        raise UnsupportedError(
            f"{type(module).__name__} cannot be pruned: {reason(error)}",
            hint="a convolutional network without layers whose sizes stand in its code; ViT, DeiT or Swin of timm",
        ) from error
    module.zero_grad()


def _refuse_other(module: nn.Module, layers: list[nn.Module]) -> None:
    other = next((type(m).__name__ for m in layers if not is_attention(m)), None)
    if other:
        raise UnsupportedError(
            f"{type(module).__name__} has attention of a kind that cannot be pruned ({other})",
            hint="ViT, DeiT and Swin of timm can",
        )
