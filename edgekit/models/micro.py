"""Two transformers of edgekit's own, made of timm's parts for images of 28 x 28 pixels. They can be trained on a laptop.

Not smaller versions that anyone published: their names are their own, and so are their weights.

    vit_micro   patches of 4 x 4, width 128, 6 blocks of 4 heads: 1.2 M parameters, 63 M multiplications
    swin_micro  patches of 2 x 2, windows of 7 x 7, width 64 then 128, 2 and 4 blocks: 0.9 M parameters
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

SIZE = 28
HALF = (0.5, 0.5, 0.5)
_SHARED = {"input_size": (3, SIZE, SIZE), "crop_pct": 1.0, "interpolation": "bicubic", "mean": HALF, "std": HALF}

default_cfgs = generate_default_cfgs(
    {
        "vit_micro": {"first_conv": "patch_embed.proj", "classifier": "head", **_SHARED},
        "swin_micro": {"first_conv": "patch_embed.proj", "classifier": "head.fc", **_SHARED},
    }
)


def vit_micro(pretrained: bool = False, **options: Any) -> nn.Module:
    shape = {"img_size": SIZE, "patch_size": 4, "embed_dim": 128, "depth": 6, "num_heads": 4}
    network: nn.Module = build_model_with_cfg(VisionTransformer, "vit_micro", pretrained, **(shape | options))
    return network


def swin_micro(pretrained: bool = False, **options: Any) -> nn.Module:
    shape = {
        "img_size": SIZE, "patch_size": 2, "window_size": 7, "embed_dim": 48, "depths": (2, 4), "num_heads": (2, 4),
    }  # fmt: skip
    network: nn.Module = build_model_with_cfg(SwinTransformer, "swin_micro", pretrained, **(shape | options))
    return network


for entry in (vit_micro, swin_micro):
    register_model(entry)
