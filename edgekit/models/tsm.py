"""Networks of images that see clips: the temporal shift of TSM (Lin et al. 2019, https://arxiv.org/abs/1811.08383).

    py:edgekit.models.tsm:micro              a ResNet of 6 blocks for frames of 32 x 32 pixels: 0.15 M parameters, 6 M
                                             multiplications a frame. It can be trained on a laptop
    py:edgekit.models.tsm:mobilenetv2_050    timm's, for frames of 112 x 112 and more

Both see 8 frames and were never trained. One of your own, with weights of images to begin with, is a function in a file:

    def build():
        return Tsm(timm.create_model("mobilenetv2_100", pretrained=True), frames=8)
"""

from collections.abc import Iterator

import timm
import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torch.nn import functional

from edgekit.errors import UnsupportedError

FRAMES = 8
PART = 8  # one channel in so many is the next frame's, and one the last frame's
FIRST = ("conv_pw", "conv1")  # of a residual block: what reads its input


class Tsm(nn.Module):
    """Clips [n, 3, frames, h, w] through a network of images; answers the mean over the frames. In each residual block of the
    network an eighth of the channels comes from the next frame, and an eighth from the one before.

    net  of timm, with residual blocks as MobileNetV2's, EfficientNet's or a ResNet's: changed in place

    Raises UnsupportedError for a network without such blocks.
    """

    def __init__(self, net: nn.Module, frames: int = FRAMES) -> None:
        super().__init__()
        self.net, self.frames = net, frames
        blocks = list(_residual(net))
        if not blocks:
            raise UnsupportedError(
                f"{type(net).__name__} has no residual blocks to shift frames in",
                hint="a MobileNetV2 or a ResNet of timm",
            )
        for block, first in blocks:
            setattr(block, first, nn.Sequential(Shift(frames), getattr(block, first)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.net(x.transpose(1, 2).flatten(0, 1))
        return torch.unflatten(answers, 0, (-1, self.frames)).mean(1)


class Shift(nn.Module):
    """Frames [n * t, c, h, w], some of whose channels change places with their neighbours'; nothing comes before the first and
    after the last."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        part = x.shape[1] // PART
        clips = torch.unflatten(x, 0, (-1, self.frames))
        after = functional.pad(clips[:, 1:, :part], (0, 0, 0, 0, 0, 0, 0, 1))
        before = functional.pad(clips[:, :-1, part : 2 * part], (0, 0, 0, 0, 0, 0, 1, 0))
        return torch.cat([after, before, clips[:, :, 2 * part :]], 2).flatten(0, 1)


def _residual(net: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Blocks whose input is added to their answer, each with the name of its first layer. A ResNet's add something always."""
    for block in net.modules():
        first = next((name for name in FIRST if isinstance(getattr(block, name, None), nn.Module)), None)
        if first and (getattr(block, "has_skip", False) or hasattr(block, "downsample")):
            yield block, first


def micro() -> nn.Module:
    """Without a ResNet's pooling behind the first layers: the first shift sees steps of a pixel."""
    shape = {"layers": (2, 2, 1, 1), "channels": (16, 32, 48, 64), "stem_type": "deep", "stem_width": 8}
    net = ResNet(BasicBlock, num_classes=8, zero_init_last=False, **shape)
    net.maxpool = nn.Identity()
    return Tsm(net)


def mobilenetv2_050() -> nn.Module:
    return Tsm(timm.create_model("mobilenetv2_050"))
