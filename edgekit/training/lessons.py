"""Which detectors can be taught, and by whose loss."""

from torch import nn

from edgekit.errors import UnsupportedError
from edgekit.models.anchored import SsdLite
from edgekit.models.yolox import YoloX
from edgekit.training.boxes import Lessons
from edgekit.training.simota import SimOta
from edgekit.training.ssd import Ssd


def of(module: nn.Module, name: str, size: tuple[int, int]) -> Lessons:
    """Of a detector for images of a size [height, width]. Raises UnsupportedError where its loss is not known."""
    if isinstance(module, YoloX):
        return SimOta(size)
    if isinstance(module, SsdLite):
        return Ssd(module)
    raise UnsupportedError(
        f"edgekit train does not know how {name} learns boxes: {type(module).__name__}",
        hint="yolox_nano, yolox_tiny, yolox_s or ssdlite",
    )
