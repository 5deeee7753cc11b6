"""The module that is exported: the model with what surrounds it in the file."""

import torch
from torch import nn

from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe

SCOPE = "model"  # the attribute of Deployed that holds the network


class Deployed(nn.Module):
    """Raw pixels (or normalised floats) in, scores out.

    Takes [n, 3, h, w]: pixels 0..255 as float32, uint8 or int8 (pixel - 128) when folded, normalised float32 when not.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, module: nn.Module, spec: Preprocess, recipe: Recipe, *, traced_type: torch.dtype) -> None:
        super().__init__()
        self.model = module
        self.folded = recipe.folds
        self.softmax = recipe.softmax
        self.traced_type = traced_type
        mean, std = torch.tensor(spec.mean).double(), torch.tensor(spec.std).double()
        # (pixel - 255 * mean) / (255 * std) as a multiplication and an addition over whole rows of a picture, because
        # runtimes are slow at spreading three numbers over a picture: a quarter of MobileNetV2's time as integers
        width = spec.input_size[1]
        self.register_buffer("scale", (1 / (255 * std)).float().repeat(width))
        self.register_buffer("shift", (-mean / std).float().repeat(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.traced_type != torch.float32:
            x = x.float()
        if self.traced_type == torch.int8:
            x = x + 128
        if self.folded:
            rows = x.permute(0, 2, 3, 1).flatten(2) * self.scale + self.shift
            x = rows.reshape(x.shape[0], *x.shape[2:], 3).permute(0, 3, 1, 2)
        scores: torch.Tensor = self.model(x)
        return scores.softmax(-1) if self.softmax else scores
