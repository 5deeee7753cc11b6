"""timm's networks for images of a size: made, and refused where the size does not fit."""

import math
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed, resample_abs_pos_embed
from torch import nn

from edgekit.errors import UnsupportedError, reason
from edgekit.models import anchored as anchored  # registers its networks with timm, as these do
from edgekit.models import classic as classic
from edgekit.models import micro as micro
from edgekit.models import tf_padded as tf_padded
from edgekit.models import unet as unet
from edgekit.models import yolox as yolox
from edgekit.models.checkpoints import State

Size = tuple[int, int]  # height, width


def create(name: str, size: Size | None, **options: Any) -> nn.Module:
    """timm's network. One with positions or windows must be told the size; the others do not know the word."""
    made: nn.Module
    try:
        made = timm.create_model(name, **({"img_size": size} if size else {}), **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        made = timm.create_model(name, **options)
    return made


def with_positions(state: State, network: nn.Module) -> tuple[State, str]:
    """A checkpoint whose table of positions is resampled to the network's grid of patches, and what to say of it."""
    own, embed = getattr(network, "pos_embed", None), getattr(network, "patch_embed", None)
    names = [name for name in state if name.rpartition(".")[2] == "pos_embed"]
    if not (isinstance(own, torch.Tensor) and isinstance(embed, PatchEmbed) and own.ndim == 3 and len(names) == 1):
        return state, ""
    table, prefix = state[names[0]], own.shape[1] - math.prod(embed.grid_size)
    side = math.isqrt(table.shape[1] - prefix) if table.ndim == 3 else 0
    if table.shape == own.shape or table.shape[2:] != own.shape[2:] or side * side != table.shape[1] - prefix:
        return state, ""
    resampled = resample_abs_pos_embed(table.float(), list(embed.grid_size), num_prefix_tokens=prefix)
    rows, columns = embed.grid_size
    return {**state, names[0]: resampled}, f"positions of {side}x{side} patches resampled to {rows}x{columns}"


def check_size(architecture: str, asked: Size, own: Size) -> None:
    """Refuse a size that the network cannot take, and name the nearest that it can. Raises UnsupportedError.

    Runs the network without its numbers, on torch's device "meta". A network that cannot run so in its own size
    either is left to be found out by running it.
    """
    trouble = _trouble(architecture, asked)
    if trouble is None or asked == own or _trouble(architecture, own):
        return
    sizes = sorted({*_near(architecture, asked), own})
    fitting = [f"{h}x{w}" for h, w in sizes if _trouble(architecture, (h, w)) is None]
    raise UnsupportedError(
        f"{architecture} does not take a {asked[0]}x{asked[1]} image: {trouble}",
        hint=f"--input-size {' or '.join(fitting)}",
    )


def _trouble(architecture: str, size: Size) -> str | None:
    """None where the network takes images of this size, else why not."""
    try:
        with torch.device("meta"), torch.inference_mode():
            network = create(architecture, size, num_classes=1).eval()
            network(torch.zeros(1, channels(network), *size))
    except Exception as error:  # networks refuse in many ways: an assertion, a shape, a missing key
        return reason(error)
    height, width = _patch(network)
    if size[0] % height or size[1] % width:  # its convolution would leave the last rows and columns out
        return f"it cuts images into patches of {height}x{width}"
    return None


def channels(network: nn.Module) -> int:
    """That its images have: 1 of grey ones."""
    config: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    return int(config.get("input_size", (3,))[0])


def _patch(network: nn.Module) -> Size:
    embed = getattr(network, "patch_embed", None)
    size: Size = embed.patch_size if isinstance(embed, PatchEmbed) else (1, 1)
    return size


def _near(architecture: str, size: Size) -> set[Size]:
    """The next smaller and larger sizes in steps of the patch, and in steps of 32, which most networks divide by."""
    with torch.device("meta"):
        patch = _patch(create(architecture, None, num_classes=1))
    height, width = size
    smaller = {(height // h * h or h, width // w * w or w) for h, w in (patch, (32, 32))}
    larger = {(math.ceil(height / h) * h, math.ceil(width / w) * w) for h, w in (patch, (32, 32))}
    return smaller | larger
