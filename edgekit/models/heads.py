"""The last layer of a classifier: which it is, and a new one for other classes."""

import torch
from torch import nn

from edgekit.errors import UnsupportedError
from edgekit.models.chance import seeded


def head(module: nn.Module) -> nn.Module:
    """What turns features into scores: timm's classifier, else the last linear layer. Raises UnsupportedError."""
    own = getattr(module, "get_classifier", None)
    found = (
        own()
        if callable(own)
        else next((m for m in reversed(list(module.modules())) if isinstance(m, nn.Linear)), None)
    )
    if not isinstance(found, nn.Module) or isinstance(found, nn.Identity):
        raise UnsupportedError(
            f"{type(module).__name__} has no last linear layer to train", hint="a classifier that ends in nn.Linear"
        )
    return found


class Headed(nn.Module):
    """A network that answers features [n, d], and a head that makes scores of them."""

    def __init__(self, body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body, self.features = body, features
        self.head: nn.Module = nn.Linear(features, classes)

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, classes: int) -> None:
        self.head = nn.Linear(self.features, classes) if classes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.body(x))
        return scores


def give(module: nn.Module, features: int, classes: int, *, seed: int = 0) -> nn.Module:
    """The network, which answers features [n, d], with a head drawn with `seed`: timm's own, or one behind it."""
    reset = getattr(module, "reset_classifier", None)
    with seeded(seed):
        if not callable(reset):
            return Headed(module, features, classes)
        reset(classes)
    return module


def features(module: nn.Module) -> int:
    """How many features a head of ours is given; 0 where the network has its own."""
    return module.features if isinstance(module, Headed) else 0


def set_classes(module: nn.Module, classes: int, *, seed: int = 0, anew: bool = False) -> nn.Module:
    """Give the module a new head, drawn with `seed`, where it answers another number of classes or `anew`. In place.

    timm's networks know how (`reset_classifier`); in others the last nn.Linear is replaced. Raises UnsupportedError.
    """
    old = head(module)
    if getattr(old, "out_features", getattr(old, "out_channels", None)) == classes and not anew:
        return module
    reset = getattr(module, "reset_classifier", None)
    # of a pruned network it would make the head of the whole one
    if callable(reset) and getattr(module, "head_hidden_size", None) in (None, getattr(old, "in_features", None)):
        with seeded(seed):
            reset(classes)
        return module
    if not isinstance(old, nn.Linear):
        raise UnsupportedError(
            f"{type(module).__name__} ends in {type(old).__name__}, not in a linear layer that another takes the place of",
            hint="a classifier that ends in nn.Linear, or has a method reset_classifier(classes)",
        )
    with seeded(seed):
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    module.set_submodule(_name(module, old), new)
    return module


def remove(module: nn.Module) -> nn.Module:
    """Take the head off, so that the module answers what it sees. In place. Raises UnsupportedError where there is none."""
    old, reset = head(module), getattr(module, "reset_classifier", None)
    if callable(reset):
        reset(0)
        return module
    module.set_submodule(_name(module, old), nn.Identity())
    return module


def _name(module: nn.Module, part: nn.Module) -> str:
    """Where a part of a module is. Raises UnsupportedError where it is the whole of it, or none."""
    name = next((name for name, m in module.named_modules() if m is part), "")
    if not name:
        raise UnsupportedError(
            f"the last layer of {type(module).__name__} is no part of it", hint="a module that holds its last layer"
        )
    return name
