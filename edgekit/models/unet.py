"""A U-Net of edgekit's own (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597): plain convolutions, ReLUs and pools.

    unet_micro  128 x 128 pixels, widths 16, 32, 48, 64 and 80: 0.4 M parameters, 139 M multiplications

It differs from the paper where a phone gains: its first convolution halves the image, borders are padded, and a plain
bilinear upsampling takes the place of a learned one. Its scores come at half the image's size.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from torch.nn import functional

SIZE = 128
WIDTHS = (16, 32, 48, 64, 80)
HALF = (0.5, 0.5, 0.5)

default_cfgs = generate_default_cfgs(
    {
        "unet_micro": {
            "input_size": (3, SIZE, SIZE), "num_classes": 6, "first_conv": "stem.0.0", "classifier": "head",
            "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bilinear", "mean": HALF, "std": HALF,
        }
    }
)  # fmt: skip


class UNet(nn.Module):
    """Images [n, 3, h, w] to scores [n, classes, h / 2, w / 2]; h and w are multiples of 32."""

    task = "segmentation"

    def __init__(self, num_classes: int = 6, in_chans: int = 3, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.num_classes, self.width = num_classes, widths[0]
        pairs = list(pairwise(widths))
        self.stem = nn.Sequential(convolution(in_chans, widths[0], stride=2), convolution(widths[0], widths[0]))
        self.down = nn.ModuleList(twice(fine, coarse) for fine, coarse in pairs)
        self.up = nn.ModuleList(twice(fine + coarse, fine) for fine, coarse in reversed(pairs))
        self.pool = nn.MaxPool2d(2)
        self.head: nn.Module = nn.Conv2d(widths[0], num_classes, 1)

    def get_classifier(self) -> nn.Module:
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.head = nn.Conv2d(self.width, num_classes, 1) if num_classes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.stem(x)]
        for block in self.down:
            levels.append(block(self.pool(levels[-1])))
        x = levels.pop()
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, levels.pop()], 1))
        scores: torch.Tensor = self.head(x)
        return scores


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs), convolution(outputs, outputs))


def unet_micro(pretrained: bool = False, **options: Any) -> nn.Module:
    network: nn.Module = build_model_with_cfg(UNet, "unet_micro", pretrained, **options)
    return network


register_model(unet_micro)
