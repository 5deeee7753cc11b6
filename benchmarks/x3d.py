"""X3D-XS for `py:benchmarks/x3d.py:x3d_xs`, never trained: a network of depthwise Conv3d, squeeze-excite and SiLU.

Feichtenhofer 2020, https://arxiv.org/abs/2004.04730, tables 1 and 3: 3.8 M parameters, 0.6 G multiplications for 4 frames of 160 x 160.
"""

import torch
from torch import nn

WIDTHS, DEPTHS, EXPANSION = (24, 48, 96, 192), (3, 5, 11, 7), 2.25
HEAD, SQUEEZE = 2048, 16


def x3d_xs(classes: int = 400) -> nn.Module:
    """Clips [n, 3, t, h, w] to logits [n, classes]."""
    blocks: list[nn.Module] = []
    width = WIDTHS[0]
    for out, depth in zip(WIDTHS, DEPTHS, strict=True):
        blocks += [
            Bottleneck(width if not n else out, out, stride=1 if n else 2, squeezes=n % 2 == 0) for n in range(depth)
        ]
        width = out
    inner = int(EXPANSION * width)
    return nn.Sequential(
        nn.Conv3d(3, WIDTHS[0], (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
        *convolution(WIDTHS[0], WIDTHS[0], (5, 1, 1), groups=WIDTHS[0]),
        nn.ReLU(),
        *blocks,
        *convolution(width, inner, (1, 1, 1)),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(inner, HEAD, bias=False),
        nn.ReLU(),
        nn.Linear(HEAD, classes),
    )


class Bottleneck(nn.Module):
    """1x1x1 wider, depthwise 3x3x3, 1x1x1 back, beside a shortcut."""

    def __init__(self, width: int, out: int, *, stride: int, squeezes: bool) -> None:
        super().__init__()
        inner = int(EXPANSION * out)
        self.path = nn.Sequential(
            *convolution(width, inner, (1, 1, 1)),
            nn.ReLU(),
            *convolution(inner, inner, (3, 3, 3), stride, groups=inner),
            SqueezeExcite(inner) if squeezes else nn.Identity(),
            nn.SiLU(),
            *convolution(inner, out, (1, 1, 1)),
        )
        same = width == out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(width, out, (1, 1, 1), stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.path(x) + self.shortcut(x))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = -(-channels // SQUEEZE // 8) * 8
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(channels, inner, 1),
            nn.ReLU(),
            nn.Conv3d(inner, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gated: torch.Tensor = x * self.gate(x)
        return gated


def convolution(
    width: int, out: int, kernel: tuple[int, int, int], stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """Strides are those of a frame's height and width: no frame is left out."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(width, out, kernel, (1, stride, stride), padding, groups=groups, bias=False), nn.BatchNorm3d(out)
