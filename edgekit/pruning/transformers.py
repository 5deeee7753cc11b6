"""Vision transformers of timm (ViT, DeiT, Swin), cut by whole heads and by hidden units of their MLPs.

The width between blocks stays: every block adds to it. A head's score is the size of what it can write there, a hidden
unit's that of what it reads times what it writes (products of squared L2 norms). Source: our own; torch-pruning 1.6 leaves
both families in a state that cannot run.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.models.shapes import count_heads, head_width, is_attention

MULTIPLE = 8  # hidden units come in multiples of it: kernels compute that many at once


def cut(module: nn.Module, share: float) -> None:
    """Take `share` of the MLPs' hidden units and half as large a share of the heads away. In place."""
    for layer in module.modules():
        if is_attention(layer):
            _cut_heads(layer, math.ceil(layer.num_heads * (1 - share / 2)))  # type: ignore[operator]
        if isinstance(getattr(layer, "fc1", None), nn.Linear) and isinstance(getattr(layer, "fc2", None), nn.Linear):
            _cut_hidden(layer, share)


def _cut_heads(attention: Any, count: int) -> None:
    heads, width = attention.num_heads, head_width(attention)
    if count >= heads:
        return
    written = attention.proj.weight.detach().square().sum(0).view(heads, width).sum(1)
    kept = _largest(written, count)
    columns = (kept[:, None] * width + torch.arange(width)).flatten()
    _keep(attention.qkv, rows=torch.cat([columns + part * heads * width for part in range(3)]))
    _keep(attention.proj, columns=columns)
    if hasattr(attention, "relative_position_bias_table"):  # Swin: a column for each head
        table = attention.relative_position_bias_table.detach()
        attention.relative_position_bias_table = nn.Parameter(table[:, kept].clone())
    count_heads(attention)


def _cut_hidden(mlp: Any, share: float) -> None:
    hidden = mlp.fc1.out_features
    count = max(MULTIPLE, round(hidden * (1 - share) / MULTIPLE) * MULTIPLE)
    if count >= hidden:
        return
    size = mlp.fc1.weight.detach().square().sum(1) * mlp.fc2.weight.detach().square().sum(0)
    kept = _largest(size, count)
    _keep(mlp.fc1, rows=kept)
    _keep(mlp.fc2, columns=kept)


def _largest(scores: Tensor, count: int) -> Tensor:
    """Their indices, in order."""
    return scores.topk(count).indices.sort().values


def _keep(linear: nn.Linear, rows: Tensor | None = None, columns: Tensor | None = None) -> None:
    weight, bias = linear.weight.detach(), None if linear.bias is None else linear.bias.detach()
    if rows is not None:
        weight, bias = weight[rows], None if bias is None else bias[rows]
    if columns is not None:
        weight = weight[:, columns]
    linear.weight = nn.Parameter(weight.clone())
    linear.bias = None if bias is None else nn.Parameter(bias.clone())
    linear.out_features, linear.in_features = weight.shape
