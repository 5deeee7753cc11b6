"""MobileNetV2 as TensorFlow has it: timm's, with padding on the right and below where it strides, for pixels from -1 to 1.

The weights that Google and others publish, as .tflite files too, are of these; timm's own mobilenetv2_* pad on all sides.
"""

from functools import partial
from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.efficientnet import _gen_mobilenet_v2
from torch import nn

WIDTHS = {"035": 0.35, "050": 0.5, "075": 0.75, "100": 1.0, "140": 1.4}
HALF = (0.5, 0.5, 0.5)

default_cfgs = generate_default_cfgs(
    {
        f"tf_mobilenetv2_{name}": {
            "input_size": (3, 224, 224), "pool_size": (7, 7), "crop_pct": 0.875, "interpolation": "bilinear",
            "mean": HALF, "std": HALF, "first_conv": "conv_stem", "classifier": "classifier",
        }
        for name in WIDTHS
    }
)  # fmt: skip


def _make(name: str, width: float, pretrained: bool = False, **options: Any) -> nn.Module:
    made: nn.Module = _gen_mobilenet_v2(name, width, pretrained=pretrained, pad_type="same", bn_eps=1e-3, **options)
    return made


for _suffix, _width in WIDTHS.items():
    entry = partial(_make, f"tf_mobilenetv2_{_suffix}", _width)
    entry.__name__, entry.__module__ = f"tf_mobilenetv2_{_suffix}", __name__  # type: ignore[attr-defined]
    register_model(entry)
