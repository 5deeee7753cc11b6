"""Which detectors can be taught, and by whose loss."""

from torch import nn

from edgekit.errors import UnsupportedError
from edgekit.models.yolox import YoloX
from edgekit.training.boxes import Lessons
from edgekit.training.simota import SimOta


def check(module: nn.Module, name: str) -> None:
    """Raises UnsupportedError for a detector whose loss is not known."""
    if not isinstance(module, YoloX):
        raise UnsupportedError(
            f"edgekit train does not know how {name} learns boxes: {type(module).__name__}",
            hint="yolox_nano, yolox_tiny or yolox_s",
        )


def of(module: nn.Module, size: tuple[int, int]) -> Lessons:
    """For pictures of a size [height, width]."""
    return SimOta(size)
