"""UltraFace RFB-320 (github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, MIT), written anew: faces, an SSD of ReLUs.

    edgekit export py:benchmarks.ultraface:rfb320 --weights version-RFB-320.pth --input-size 240x320 --crop-mode squash
        --mean 0.498,0.498,0.498 --std 0.502,0.502,0.502 --labels face.txt --target tflite

Parts have the names of the published file, which fits as it is. face.txt is one line, `face`.
"""

import math

import torch
from torch import nn

SIZE = (240, 320)  # height, width
STRIDES = (8, 16, 32, 64)
SIDES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))  # of anchors, in pixels, for each level
MIDDLE, GROWTH = 0.1, 0.2  # what the answers are scaled with
LEVELS = (8, 11, 13)  # layers of the base behind which a level is read


class Block(nn.Module):
    """A convolution with its BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1, *, relu: bool = False) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.relu(self.bn(self.conv(x)))
        return answer


class Rfb(nn.Module):
    """Three branches that see further and further."""

    def __init__(self, width: int) -> None:
        super().__init__()
        thin = width // 8
        self.branch0 = nn.Sequential(
            Block(width, thin, 1), Block(thin, 2 * thin, 3, relu=True), Block(2 * thin, 2 * thin, 3, 2)
        )
        self.branch1 = nn.Sequential(
            Block(width, thin, 1), Block(thin, 2 * thin, 3, relu=True), Block(2 * thin, 2 * thin, 3, 3)
        )
        self.branch2 = nn.Sequential(
            Block(width, thin, 1),
            Block(thin, thin // 2 * 3, 3, relu=True),
            Block(thin // 2 * 3, 2 * thin, 3, relu=True),
            Block(2 * thin, 2 * thin, 3, 5),
        )
        self.ConvLinear, self.shortcut = Block(6 * thin, width, 1), Block(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([self.branch0(x), self.branch1(x), self.branch2(x)], 1)
        answer: torch.Tensor = self.ConvLinear(seen) + self.shortcut(x)
        return answer.relu()


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def depthwise(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*convolution(inputs, inputs, 3, stride, inputs), *convolution(inputs, outputs, 1))


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    wide = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
    return nn.Sequential(wide, nn.ReLU(), nn.Conv2d(inputs, outputs, 1))


class UltraFace(nn.Module):
    """Images [n, 3, 240, 320] to boxes [n, 4420, 4], x1 y1 x2 y2 in pixels, and scores of faces [n, 4420, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.base_net = nn.ModuleList([
            nn.Sequential(*convolution(3, 16, 3, 2)), depthwise(16, 32), depthwise(32, 32, 2), depthwise(32, 32),
            depthwise(32, 64, 2), depthwise(64, 64), depthwise(64, 64), Rfb(64), depthwise(64, 128, 2), depthwise(128, 128),
            depthwise(128, 128), depthwise(128, 256, 2), depthwise(256, 256),
        ])  # fmt: skip
        self.extras = nn.ModuleList([nn.Sequential(nn.Conv2d(256, 64, 1), nn.ReLU(), separable(64, 256, 2), nn.ReLU())])
        self.classification_headers, self.regression_headers = self._heads(2), self._heads(4)
        self.register_buffer("anchors", anchors(), persistent=False)

    @staticmethod
    def _heads(numbers: int) -> nn.ModuleList:
        *widths, last = (64, 128, 256, 256)
        thin = [separable(width, len(sides) * numbers) for width, sides in zip(widths, SIDES, strict=False)]
        return nn.ModuleList([*thin, nn.Conv2d(last, len(SIDES[-1]) * numbers, 3, padding=1)])

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for number, layer in enumerate(self.base_net, 1):
            x = layer(x)
            if number in LEVELS:
                found.append(x)
        return [*found, *(extra(x) for extra in self.extras)]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        levels = self.levels(x)
        moves, logits = (
            torch.cat([flat(head(level), n) for head, level in zip(heads, levels, strict=True)], 1)
            for heads, n in ((self.regression_headers, 4), (self.classification_headers, 2))
        )
        middle, size = self.get_buffer("anchors").chunk(2, 1)
        move, growth = moves.chunk(2, 2)
        middle = middle + move * MIDDLE * size
        half = (growth * GROWTH).exp() * size / 2  # of `size / 2` the file would keep a second list
        return torch.cat([middle - half, middle + half], 2), logits.softmax(2)[..., 1:]


def flat(level: torch.Tensor, numbers: int) -> torch.Tensor:
    """[n, anchors * numbers, h, w] as [n, h * w * anchors, numbers]."""
    return level.permute(0, 2, 3, 1).reshape(len(level), -1, numbers)


def anchors() -> torch.Tensor:
    """Middle, width and height in pixels: [4420, 4]. As published, inside the image."""
    height, width = SIZE
    found = [
        (min((x + 0.5) * stride, width), min((y + 0.5) * stride, height), min(side, width), min(side, height))
        for stride, sides in zip(STRIDES, SIDES, strict=True)
        for y in range(math.ceil(height / stride))
        for x in range(math.ceil(width / stride))
        for side in sides
    ]
    return torch.tensor(found)


def rfb320() -> nn.Module:
    return UltraFace().eval()
