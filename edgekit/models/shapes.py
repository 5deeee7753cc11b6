"""Layers of other widths: a pruned network is its architecture, resized to the shapes of its weights."""

from collections.abc import Mapping
from typing import Any

import torch
from timm.layers.attention import Attention
from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn


def resize(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give every layer the widths that a state dict has. In place; the numbers are then not filled in yet.

    Knows convolutions (depthwise ones too), linear layers, normalisation and timm's attention: what pruning changes.
    """
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    changed = {name: state[name] for name, tensor in own.items() if name in state and state[name].shape != tensor.shape}
    for name, wanted in changed.items():
        path, _, leaf = name.rpartition(".")
        empty = torch.empty(wanted.shape, dtype=own[name].dtype)
        parameter = isinstance(own[name], nn.Parameter)
        setattr(module.get_submodule(path), leaf, nn.Parameter(empty) if parameter else empty)
    for path in sorted({name.rpartition(".")[0] for name in changed}):
        _settle(module.get_submodule(path))
    for layer in module.modules():
        if is_attention(layer):
            count_heads(layer)


def is_attention(layer: nn.Module) -> bool:
    """That of ViT, DeiT and Swin: queries, keys and values from one linear layer, heads that do not know each other."""
    return isinstance(layer, Attention | WindowAttention)


def count_heads(attention: Any) -> None:
    """Say again how many heads there are, after its linear layers have changed."""
    width = attention.proj.in_features
    attention.num_heads = width // head_width(attention)
    if hasattr(attention, "attn_dim"):
        attention.attn_dim = width


def head_width(attention: Any) -> int:
    """Of one head. Swin's attention knows only the factor that scales its scores, 1 / sqrt(width)."""
    own = getattr(attention, "head_dim", None)
    return int(own) if own else round(attention.scale**-2)


def _settle(layer: nn.Module) -> None:
    """What a layer says of itself follows its weight."""
    weight = getattr(layer, "weight", None)
    match layer:
        case nn.Conv2d():
            if layer.groups == layer.in_channels:  # depthwise
                layer.groups = layer.in_channels = len(weight)  # type: ignore[arg-type]
            else:
                layer.in_channels = weight.shape[1] * layer.groups  # type: ignore[union-attr]
            layer.out_channels = len(weight)  # type: ignore[arg-type]
        case nn.Linear():
            layer.out_features, layer.in_features = weight.shape  # type: ignore[union-attr]
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            layer.num_features = len(weight)  # type: ignore[arg-type]
        case nn.LayerNorm():
            layer.normalized_shape = tuple(weight.shape)  # type: ignore[union-attr]
