"""YOLOX, a detector without anchors (Ge et al. 2021, https://arxiv.org/abs/2107.08430): written anew, with the published names.

    yolox_micro 128 x 128 pixels, nano's layers: 0.9 M parameters; edgekit's own
    yolox_nano  416 x 416 pixels, depthwise convolutions: 0.9 M parameters
    yolox_tiny  416 x 416: 5.1 M
    yolox_s     640 x 640: 9.0 M

A tensor has the name it has in the published .pth (Megvii's, Apache-2.0), so such a file fits as it is. Published weights
take BGR pixels 0..255 (`take_rgb`); yolox_micro takes RGB in -1..1.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from torch.nn import functional

STRIDES = (8, 16, 32)
OWN = ("yolox_micro",)  # of edgekit, which trains on RGB
RARE = 0.01  # what an untrained network's scores begin with: nearly every place is background
EPS, MOMENTUM = 1e-3, 0.03  # of BatchNorm, as the published networks have it

HALF = (0.5, 0.5, 0.5)

Level = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
_CLASSIFIERS = tuple(f"head.cls_preds.{i}" for i in range(len(STRIDES)))
_SHARED = {
    "num_classes": 80, "first_conv": "backbone.backbone.stem.conv.conv", "classifier": _CLASSIFIERS, "crop_pct": 1.0,
    "crop_mode": "letterbox", "interpolation": "bilinear", "mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255),
}  # fmt: skip

default_cfgs = generate_default_cfgs(
    {
        "yolox_micro": {"input_size": (3, 128, 128), **_SHARED, "num_classes": 5, "mean": HALF, "std": HALF},
        "yolox_nano": {"input_size": (3, 416, 416), **_SHARED},
        "yolox_tiny": {"input_size": (3, 416, 416), **_SHARED},
        "yolox_s": {"input_size": (3, 640, 640), **_SHARED},
    }
)


class YoloX(nn.Module):
    """Images [n, 3, h, w], h and w multiples of 32, to boxes [n, a, 4], x1 y1 x2 y2 in input pixels, and scores [n, a, c].

    depth  1 for yolox_l: how often a block is repeated; width: channels; both as published
    separable  depthwise and pointwise convolutions in place of whole ones of 3 x 3, as in yolox_nano
    """

    task = "detection"

    def __init__(
        self,
        num_classes: int = 80,
        in_chans: int = 3,
        depth: float = 0.33,
        width: float = 0.25,
        *,
        separable: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        stem, repeats = int(64 * width), max(round(3 * depth), 1)
        levels = (4 * stem, 8 * stem, 16 * stem)
        self.backbone = Pyramid(in_chans, stem, repeats, separable=separable)
        self.head = Head(levels, int(256 * width), num_classes, separable=separable)

    def get_classifier(self) -> nn.Module:
        return self.head.cls_preds

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.head.set_classes(num_classes)

    def core(self, x: torch.Tensor) -> tuple[Level, ...]:
        """Of each of STRIDES: boxes [n, 4, h, w] (middle from its place, logarithms of width and height, in strides),
        objectness [n, 1, h, w] and classes [n, c, h, w] as logits."""
        levels: tuple[Level, ...] = self.head(self.backbone(x))
        return levels

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return decode(self.core(x))


def decode(levels: Sequence[Level], strides: Sequence[int] = STRIDES) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes [n, a, 4], x1 y1 x2 y2 in input pixels, and scores [n, a, c] in 0..1, level after level, row after row."""
    boxes, scores = [], []
    for (box, objectness, classes), stride in zip(levels, strides, strict=True):
        middle, size = (_flat(part) for part in box.chunk(2, 1))
        middle, half = (middle + places(box)) * stride, size.exp() * (stride / 2)
        boxes.append(torch.cat([middle - half, middle + half], 2))
        scores.append(_flat(classes).sigmoid() * _flat(objectness).sigmoid())
    return torch.cat(boxes, 1), torch.cat(scores, 1)


def places(level: torch.Tensor) -> torch.Tensor:
    """Column and row of every place of a map [n, c, h, w]: [1, h * w, 2]."""
    rows, columns = (torch.arange(side, dtype=level.dtype, device=level.device) for side in level.shape[2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], 2).reshape(1, -1, 2)


def learned(name: str) -> str:
    """What the images were whose weights are published for a network: "rgb" or "bgr"."""
    return "rgb" if name in OWN else "bgr"


@torch.no_grad()
def take_rgb(net: YoloX) -> None:
    """Let published weights, which were trained on BGR, see RGB: their first convolution's channels change places. In place."""
    weight = net.backbone.backbone.stem.conv.conv.weight
    outputs, _, height, width = weight.shape
    weight.copy_(weight.view(outputs, 4, -1, height, width).flip(2).view_as(weight))  # of four neighbours


def _flat(level: torch.Tensor) -> torch.Tensor:
    """[n, c, h, w] as [n, h * w, c]."""
    return level.flatten(2).transpose(1, 2)


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, EPS, MOMENTUM)
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.dconv, self.pconv = Conv(inputs, inputs, kernel, stride, inputs), Conv(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pconv(self.dconv(x))  # type: ignore[no-any-return]


def _wide(inputs: int, outputs: int, stride: int = 1, *, separable: bool) -> nn.Module:
    return (Separable if separable else Conv)(inputs, outputs, 3, stride)


class Bottleneck(nn.Module):
    def __init__(self, channels: int, *, shortcut: bool, separable: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(channels, channels, 1), _wide(channels, channels, separable=separable)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class Partial(nn.Module):
    """Half of the channels through bottlenecks, half past them (a CSP layer)."""

    def __init__(self, inputs: int, outputs: int, repeats: int, *, shortcut: bool, separable: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1, self.conv2, self.conv3 = Conv(inputs, half, 1), Conv(inputs, half, 1), Conv(2 * half, outputs, 1)
        self.m = nn.Sequential(*(Bottleneck(half, shortcut=shortcut, separable=separable) for _ in range(repeats)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        through, past = self.conv1(x), self.conv2(x)  # in the published order
        return self.conv3(torch.cat([self.m(through), past], 1))  # type: ignore[no-any-return]


class Pools(nn.Module):
    """The same map, and its maxima over larger and larger squares (SPP)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(channels, channels // 2, 1), Conv(channels // 2 * 4, channels, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(side, 1, side // 2) for side in (5, 9, 13))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))  # type: ignore[no-any-return]


class Focus(nn.Module):
    """Four neighbours become channels of one place."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(inputs * 4, outputs, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]
        return self.conv(torch.cat(parts, 1))  # type: ignore[no-any-return]


class Darknet(nn.Module):
    """Images to maps at strides 8, 16 and 32."""

    def __init__(self, inputs: int, stem: int, repeats: int, *, separable: bool) -> None:
        super().__init__()
        a, b, c, d, e = (stem << i for i in range(5))
        self.stem = Focus(inputs, a)
        self.dark2 = self._stage(a, b, repeats, separable=separable)
        self.dark3 = self._stage(b, c, 3 * repeats, separable=separable)
        self.dark4 = self._stage(c, d, 3 * repeats, separable=separable)
        last = Partial(e, e, repeats, shortcut=False, separable=separable)
        self.dark5 = nn.Sequential(_wide(d, e, 2, separable=separable), Pools(e), last)

    @staticmethod
    def _stage(inputs: int, outputs: int, repeats: int, *, separable: bool) -> nn.Sequential:
        half = _wide(inputs, outputs, 2, separable=separable)
        return nn.Sequential(half, Partial(outputs, outputs, repeats, shortcut=True, separable=separable))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        fine = self.dark3(self.dark2(self.stem(x)))
        middle = self.dark4(fine)
        return fine, middle, self.dark5(middle)


class Pyramid(nn.Module):
    """What the coarse levels know goes down to the fine ones, and up again (a PAFPN)."""

    def __init__(self, inputs: int, stem: int, repeats: int, *, separable: bool) -> None:
        super().__init__()
        a, b, c = 4 * stem, 8 * stem, 16 * stem

        def partial(inputs: int, outputs: int) -> Partial:
            return Partial(inputs, outputs, repeats, shortcut=False, separable=separable)

        self.backbone = Darknet(inputs, stem, repeats, separable=separable)
        self.lateral_conv0, self.C3_p4 = Conv(c, b, 1), partial(2 * b, b)
        self.reduce_conv1, self.C3_p3 = Conv(b, a, 1), partial(2 * a, a)
        self.bu_conv2, self.C3_n3 = _wide(a, a, 2, separable=separable), partial(2 * a, b)
        self.bu_conv1, self.C3_n4 = _wide(b, b, 2, separable=separable), partial(2 * b, c)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine, middle, coarse = self.backbone(x)
        coarse = self.lateral_conv0(coarse)
        middle = self.reduce_conv1(self.C3_p4(torch.cat([_double(coarse), middle], 1)))
        fine = self.C3_p3(torch.cat([_double(middle), fine], 1))
        middle = self.C3_n3(torch.cat([self.bu_conv2(fine), middle], 1))
        return fine, middle, self.C3_n4(torch.cat([self.bu_conv1(middle), coarse], 1))


def _double(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Head(nn.Module):
    """Every level has its own: one tower tells the class, the other the box and whether there is anything."""

    def __init__(self, levels: Sequence[int], width: int, classes: int, *, separable: bool) -> None:
        super().__init__()
        self.width, count = width, len(levels)
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(nn.Sequential(*(_wide(width, width, separable=separable) for _ in "12")) for _ in levels)
            for _ in "cr"
        )
        self.reg_preds, self.obj_preds = self._layers(4, count), self._layers(1, count)
        self.stems = nn.ModuleList(Conv(channels, width, 1) for channels in levels)
        self.set_classes(classes)
        self._doubt(self.obj_preds)

    def set_classes(self, classes: int) -> None:
        """New last layers."""
        self.cls_preds = self._layers(classes, len(self.stems))
        self._doubt(self.cls_preds)

    def _layers(self, outputs: int, count: int) -> nn.ModuleList:
        return nn.ModuleList(nn.Conv2d(self.width, outputs, 1) for _ in range(count))

    @staticmethod
    def _doubt(layers: nn.ModuleList) -> None:
        for layer in layers:
            nn.init.constant_(layer.bias, -math.log((1 - RARE) / RARE))  # type: ignore[arg-type]

    def forward(self, levels: Sequence[torch.Tensor]) -> tuple[Level, ...]:
        answers = []
        for i, level in enumerate(levels):
            x = self.stems[i](level)
            classes = self.cls_preds[i](self.cls_convs[i](x))
            x = self.reg_convs[i](x)
            answers.append((self.reg_preds[i](x), self.obj_preds[i](x), classes))
        return tuple(answers)


def yolox_micro(pretrained: bool = False, **options: Any) -> nn.Module:
    return _made("yolox_micro", pretrained, {"depth": 0.33, "width": 0.25, "separable": True} | options)


def yolox_nano(pretrained: bool = False, **options: Any) -> nn.Module:
    return _made("yolox_nano", pretrained, {"depth": 0.33, "width": 0.25, "separable": True} | options)


def yolox_tiny(pretrained: bool = False, **options: Any) -> nn.Module:
    return _made("yolox_tiny", pretrained, {"depth": 0.33, "width": 0.375, "separable": False} | options)


def yolox_s(pretrained: bool = False, **options: Any) -> nn.Module:
    return _made("yolox_s", pretrained, {"depth": 0.33, "width": 0.5, "separable": False} | options)


def _made(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    network: nn.Module = build_model_with_cfg(YoloX, name, pretrained, **options)
    return network


for entry in (yolox_micro, yolox_nano, yolox_tiny, yolox_s):
    register_model(entry)
