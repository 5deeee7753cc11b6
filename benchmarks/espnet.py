"""ESPNet p=2 q=8 (S. Mehta et al. 2018, arXiv:1803.06815), written so that the authors' checkpoints load strictly."""

from pathlib import Path

import torch
from torch import nn


class Named(nn.Module):
    """Children under given names, run in order."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.children():
            x = part(x)
        return x


def convolution(i: int, o: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, kernel, stride, (kernel - 1) // 2 * dilation, dilation, bias=False)


def alone(i: int, o: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> Named:
    return Named(conv=convolution(i, o, kernel, stride, dilation))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def norm_act(channels: int) -> Named:
    return Named(bn=norm(channels), act=nn.PReLU(channels))


def conv_norm_act(i: int, o: int, kernel: int, stride: int = 1) -> Named:
    return Named(conv=convolution(i, o, kernel, stride), bn=norm(o), act=nn.PReLU(o))


def twice(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, 2, bias=False)


class Pyramid(nn.Module):
    """A reduction (1x1, or 3x3 of stride 2), then five 3x3 convolutions of different dilations, summed up and joined."""

    def __init__(self, i: int, o: int, *, add: bool = True, down: bool = False) -> None:
        super().__init__()
        n = o // 5
        self.c1 = alone(i, n, 3, 2) if down else alone(i, n, 1)
        self.d1 = alone(n, o - 4 * n)
        self.d2, self.d4, self.d8, self.d16 = (alone(n, n, dilation=d) for d in (2, 4, 8, 16))
        self.add = add and not down
        self.bn: nn.Module = norm(o) if down else norm_act(o)
        self.act: nn.Module = nn.PReLU(o) if down else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.c1(x)
        a = self.d2(y)
        b = a + self.d4(y)
        c = b + self.d8(y)
        d = c + self.d16(y)
        z = torch.cat([self.d1(y), a, b, c, d], 1)
        answer: torch.Tensor = self.act(self.bn(x + z if self.add else z))
        return answer


class Encoder(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.level1 = conv_norm_act(3, 16, 3, 2)
        self.b1 = norm_act(19)
        self.level2_0 = Pyramid(19, 64, down=True)
        self.level2 = nn.Sequential(*[Pyramid(64, 64) for _ in range(2)])
        self.b2 = norm_act(131)
        self.level3_0 = Pyramid(131, 128, down=True)
        self.level3 = nn.Sequential(*[Pyramid(128, 128) for _ in range(8)])
        self.b3 = norm_act(256)
        self.classifier = alone(256, classes, 1)


class ESPNet(nn.Module):
    """[n, 3, h, w] to logits [n, classes, h, w]; h and w are multiples of 8."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        n = classes
        self.encoder = Encoder(n)
        self.level3_C = alone(131, n, 1)
        self.br = norm(n)
        self.conv = conv_norm_act(19 + n, n, 3)
        self.up_l3 = nn.Sequential(twice(n))
        self.combine_l2_l3 = nn.Sequential(norm_act(2 * n), Pyramid(2 * n, n, add=False))
        self.up_l2 = nn.Sequential(twice(n), norm_act(n))
        self.classifier = twice(n)
        self.pool = nn.AvgPool2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        e = self.encoder
        half = self.pool(x)
        joined = e.b1(torch.cat([e.level1(x), half], 1))
        first = e.level2_0(joined)
        second = e.b2(torch.cat([e.level2(first), first, self.pool(half)], 1))
        third = e.level3_0(second)
        low = e.classifier(e.b3(torch.cat([third, e.level3(third)], 1)))
        middle = torch.cat([self.level3_C(second), self.up_l3(self.br(low))], 1)
        high = torch.cat([self.up_l2(self.combine_l2_l3(middle)), joined], 1)
        answer: torch.Tensor = self.classifier(self.conv(high))
        return answer


READ_THE_PICTURE = ("encoder.level1", "encoder.level2_0.c1", "encoder.level3_0.c1", "level3_C", "conv")


class Divided(nn.Module):
    """By 255 after mean and std, as the authors trained it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(x / 255)
        return answer


def camvid(checkpoint: Path) -> nn.Module:
    """The authors' CamVid checkpoint, turned from BGR to RGB. Takes (pixel - mean) / std."""
    state: dict[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    for name in READ_THE_PICTURE:  # its channels are the last three of what they read
        weight = state[f"{name}.conv.weight"]
        weight[:, -3:] = weight[:, -3:].flip(1)
    for key, value in state.items():
        if key.startswith(("encoder.b1.", "encoder.b2.")) and value.ndim:
            value[-3:] = value[-3:].flip(0)
    net = ESPNet(12)
    net.load_state_dict(state)
    return Divided(net).eval()
