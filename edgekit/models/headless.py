"""timm's networks in front of their classifier: the vector of an image, and those of its patches."""

import math
from typing import Any

import torch
from torch import nn


class Tokens(nn.Module):
    """Answers the vector of an image, [n, d], and those of its patches in rows, [n, t, e], without class and register tokens."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net: Any = net
        self.prefix = int(getattr(net, "num_prefix_tokens", 0))
        self.channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.net.forward_features(x)
        vector = self.net.forward_head(features)
        if features.ndim == 3:
            return vector, features[:, self.prefix :]
        return vector, features.flatten(1, 2) if self.channels_last else features.flatten(2).transpose(1, 2)


def has_tokens(module: nn.Module) -> bool:
    """Whether `Tokens` can be made of it."""
    return callable(getattr(module, "forward_features", None)) and callable(getattr(module, "forward_head", None))


def pooling(module: nn.Module) -> str:
    """How one of timm's networks makes one vector of an image, in words; "" of others."""
    for part in module.modules():
        own = getattr(part, "global_pool", None)
        kind = own if isinstance(own, str) else getattr(own, "pool_type", None)
        if kind == "avg":
            return "mean of the patches" if hasattr(part, "num_prefix_tokens") else "global average"
        if isinstance(kind, str) and kind:
            return {"token": "class token", "map": "attention"}.get(kind, kind)
    return ""


def grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of square patches of an image [height, width]; None where so many make no such grid."""
    rows = round(math.sqrt(tokens * size[0] / size[1]))
    columns = tokens // max(rows, 1)
    return (rows, columns) if rows * columns == tokens and rows * size[1] == columns * size[0] else None
