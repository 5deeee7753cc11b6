"""Small networks of known make, for `py:nets:...`."""

import torch
from torch import nn


def tiny() -> nn.Module:
    """A CNN with BatchNorm, ReLU6 and a depthwise convolution: 32 x 32 pixels, 5 classes."""
    torch.manual_seed(7)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 32, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that a trained network could have
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.2, 1.5)
    return net


def tiny_attention() -> nn.Module:
    """A Vision Transformer: 32 x 32 pixels, 5 classes."""
    from timm.models import VisionTransformer

    torch.manual_seed(7)
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=5)


def not_a_module() -> str:
    return "not a module"


def segmenter() -> nn.Module:
    return nn.Conv2d(3, 2, 1)


def takes_one_channel() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
