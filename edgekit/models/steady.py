"""A model that answers differently each time can be neither converted nor proven: it is found out before anything else."""

import torch
from torch import nn

from edgekit.errors import UnsupportedError
from edgekit.models.picking import joined
from edgekit.models.tracing import Node

CLOSE = 1e-5  # of the largest answer: what adding in another order could make
TRIES = 16  # where something is drawn at random: a chance of one in five shows itself in 97 of 100 models


@torch.no_grad()
def check_steady(module: nn.Module, picture: torch.Tensor, drawn: Node | None) -> None:
    """Run it on one normalised image, float32 [1, 3, h, w], again and again. Raises UnsupportedError, also for no numbers.

    drawn  the first of its operators that draws random numbers
    """
    given = picture.clone()
    first = joined(module(given))
    if not torch.equal(given, picture):
        raise UnsupportedError(
            "the model writes into the image that it is given",
            hint="x = x - mean rather than x.sub_(mean), or x = x.clone() first",
        )
    if first.isnan().any():
        raise UnsupportedError(
            f"the model answers an image with {int(first.isnan().sum()):,} of {first.numel():,} values that are no numbers (NaN)",
            hint="a forward() that divides by nothing that can be 0; or weights saved before the training diverged",
        )
    allowed = CLOSE * float(first.abs().nan_to_num(posinf=0).max())
    for _ in range(TRIES if drawn else 1):
        if not torch.allclose(joined(module(picture)), first, rtol=0, atol=allowed, equal_nan=True):
            break
    else:
        return
    if drawn is None:
        raise UnsupportedError(
            "the model answers differently each time it sees the same image",
            hint="a forward() in eval mode that keeps nothing from one call to the next and draws nothing at random",
        )
    dropout = drawn.op.startswith(("bernoulli", "native_dropout"))
    raise UnsupportedError(
        f"the model answers differently each time: {drawn.op} draws random numbers in {drawn.where}{drawn.line}",
        hint="F.dropout(x, p, training=self.training), or nn.Dropout"
        if dropout
        else "a forward() that draws nothing at random in eval mode",
    )
