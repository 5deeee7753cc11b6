"""Networks that take clips, [n, 3, t, h, w]: how they are told from those that take pictures."""

from torch import nn

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
    """Refuse a network over time that is to be fed pictures. Raises RequestError."""
    if takes_clips(module) and not spec.is_clip:
        raise RequestError(
            f"{model} takes clips: --frames N", hint="--frames 16 --frame-rate 15, as the network was trained"
        )
