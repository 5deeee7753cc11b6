"""Networks that take clips, [n, 3, t, h, w]: how they are told from those that take images."""

from torch import nn
from torchvision.models.video import S3D
from torchvision.models.video.resnet import VideoResNet

from edgekit.errors import RequestError
from edgekit.preprocess import Preprocess

# layers over time and space at once; whoever has one takes clips
OVER_TIME = (
    nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d,
)  # fmt: skip


def takes_clips(module: nn.Module) -> bool:
    """Whether it has layers over time. One without may take clips all the same, and be two-dimensional inside."""
    return any(isinstance(layer, OVER_TIME) for layer in module.modules())


def check(model: str, module: nn.Module, spec: Preprocess) -> None:
    """Refuse a network over time that is to be fed images. Raises RequestError."""
    if takes_clips(module) and not spec.is_clip:
        raise RequestError(
            f"{model} takes clips: --frames N",
            hint="edgekit export ... --frames 16 --frame-rate 15, as the network was trained",
        )


def usual(module: nn.Module) -> Preprocess | None:
    """What torchvision's networks of clips see of a frame (Kinetics-400), but for its proportions, which are kept here. None of
    others."""
    if not isinstance(module, VideoResNet | S3D):
        return None
    side = 224 if isinstance(module, S3D) else 112
    mean, std = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
    return Preprocess((side, side), 0.875, "center", "bilinear", mean, std)
