"""The module that is exported: the model with what surrounds it in the file."""

import torch
from torch import nn

from edgekit.models import LoadedModel
from edgekit.recipe import Recipe


class Deployed(nn.Module):
    """Raw pixels (or normalised floats) in, scores out.

    Takes [n, 3, h, w]: pixels 0..255 as float32, uint8 or int8 (pixel - 128) when folded, normalised float32 when not.
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: LoadedModel, recipe: Recipe, *, traced_type: torch.dtype) -> None:
        super().__init__()
        self.model = model.module
        self.folded = recipe.fold
        self.softmax = recipe.softmax
        self.traced_type = traced_type
        mean, std = torch.tensor(model.preprocess.mean), torch.tensor(model.preprocess.std)
        # (pixel - 255 * mean) / (255 * std) as one multiplication and one addition
        self.register_buffer("scale", (1 / (255 * std.double())).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean.double() / std.double()).float().view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.traced_type != torch.float32:
            x = x.float()
        if self.traced_type == torch.int8:
            x = x + 128
        if self.folded:
            x = x * self.scale + self.shift
        scores: torch.Tensor = self.model(x)
        return scores.softmax(-1) if self.softmax else scores
