"""The module that is exported: the model with what surrounds it in the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edgekit.exporters.on_pixels import Edge
from edgekit.layouts import Pair, scale_of
from edgekit.preprocess import Preprocess
from edgekit.recipe import LayoutName, Recipe

SCOPE = "model"  # the attribute of ExportWrapper that holds the network


class ExportWrapper(nn.Module):
    """Raw pixels (or normalised floats) in; out comes what the network answers, a tensor or a tuple of them.

    Takes [n, channels, h, w] or [n, channels, t, h, w]: pixels 0..255 as float32, uint8 or int8 (pixel - 128) when folded (0..1 where the recipe's unit
    says so), normalised float32 when not. With an `edge` the network itself takes pixels. Boxes and scores come out in the recipe's layout.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self, module: nn.Module, spec: Preprocess, recipe: Recipe, *, traced_type: torch.dtype, edge: Edge | None = None
    ) -> None:
        super().__init__()
        self.model = module
        self.folded, self.edge = recipe.folds, edge
        self.softmax = recipe.softmax
        self.traced_type = traced_type
        self.layout = recipe.layout
        self.shares = scale_of(recipe.layout, recipe.target, spec.input_size) if recipe.layout else (1.0, 1.0)
        mean, std = torch.tensor(spec.mean).double(), torch.tensor(spec.std).double()
        levels = 255 / recipe.unit
        # (pixel - 255 * mean) / (255 * std) as a multiplication and an addition over whole rows of an image, because
        # runtimes are slow at spreading three numbers over an image: a quarter of MobileNetV2's time as integers
        width = spec.input_size[1]
        self.register_buffer("scale", (1 / (levels * std)).float().repeat(width))
        self.register_buffer("shift", (-mean / std).float().repeat(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if self.traced_type != torch.float32:
            x = x.float()
        if self.traced_type == torch.int8:
            x = x + 128
        if self.edge:
            x = self.edge(x)
        elif self.folded:
            rows = x.movedim(1, -1).flatten(-2) * self.scale + self.shift
            x = rows.reshape(x.shape[0], *x.shape[2:], x.shape[1]).movedim(-1, 1)
        with _unchecked():
            answer: torch.Tensor | tuple[torch.Tensor, ...] = self.model(x)
        if self.layout and isinstance(answer, tuple):
            boxes, scores = answer
            return laid_out(self.layout, boxes, scores, self.shares)
        return _probabilities(answer) if self.softmax and isinstance(answer, torch.Tensor) else answer


@contextmanager
def _unchecked() -> Iterator[None]:
    """torch's checks of a tensor's numbers pass: a file has nobody to tell. `_check_tensor_all` (transformers' deformable
    attention) leaves an operator behind that no converter knows; `_assert` would be a branch that depends on the image."""
    checks, plain = torch._check_tensor_all_with, torch._assert

    def passes(*given: Any, **named: Any) -> None:
        pass

    def holds(condition: object, message: object) -> None:
        if not isinstance(condition, torch.Tensor):
            plain(condition, message)

    torch._check_tensor_all_with, torch._assert = passes, holds
    try:
        yield
    finally:
        torch._check_tensor_all_with, torch._assert = checks, plain


def laid_out(
    name: LayoutName, boxes: torch.Tensor, scores: torch.Tensor, scale: Pair
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Boxes [n, a, 4], x1 y1 x2 y2, and scores [n, a, c] as a layout has them (see layouts.py)."""
    left, top, right, bottom = boxes.chunk(4, 2)
    wide, high = scale
    x, y, w, h = (left + right) / (2 * wide), (top + bottom) / (2 * high), (right - left) / wide, (bottom - top) / high
    if name == "mediapipe":
        return torch.cat([y, x, h, w], 2), scores
    return torch.cat([x, y, w, h, scores], 2).transpose(1, 2)


def _probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Over the channels, which TFLite has last, as its softmax wants them."""
    return scores.movedim(1, -1).softmax(-1).movedim(-1, 1) if scores.ndim > 2 else scores.softmax(-1)
