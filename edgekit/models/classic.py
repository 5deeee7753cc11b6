"""Networks that timm does not have, as those who publish weights for them name their layers.

lenet5     LeCun et al. 1998 with ReLU and max-pooling, for grey images of 28 x 28 or 32 x 32 pixels: 0.06 M parameters
alexnet    torchvision's (Krizhevsky 2014, https://arxiv.org/abs/1404.5997)
googlenet  torchvision's, without the two heads that only training uses. Its published weights learned pixels from -1 to 1
"""

from collections import OrderedDict
from typing import Any

import torch
import torchvision
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from torch.nn.functional import pad

from edgekit.errors import UnsupportedError

HALF = (0.5, 0.5, 0.5)
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
_IMAGENET = {"input_size": (3, 224, 224), "crop_pct": 0.875, "interpolation": "bilinear"}

default_cfgs = generate_default_cfgs(
    {
        "lenet5": {
            "input_size": (1, 28, 28), "num_classes": 10, "crop_pct": 1.0, "interpolation": "bilinear",
            "mean": (MNIST_MEAN,), "std": (MNIST_STD,), "first_conv": "convnet.c1", "classifier": "fc.f7",
        },
        "alexnet": {
            "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, "first_conv": "features.0",
            "classifier": "classifier.6", **_IMAGENET,
        },
        "googlenet": {"mean": HALF, "std": HALF, "first_conv": "conv1.conv", "classifier": "fc", **_IMAGENET},
    }
)  # fmt: skip


class LeNet5(nn.Module):
    """[n, 1, 28, 28] or [n, 1, 32, 32], normalised as for MNIST, to scores [n, classes].

    MNIST's 28 x 28 pixels are padded with black to the 32 x 32 that the network was made for.
    """

    head_hidden_size = 84

    def __init__(self, num_classes: int = 10, in_chans: int = 1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.convnet = nn.Sequential(
            OrderedDict(
                c1=nn.Conv2d(in_chans, 6, 5), relu1=nn.ReLU(), s2=nn.MaxPool2d(2),
                c3=nn.Conv2d(6, 16, 5), relu3=nn.ReLU(), s4=nn.MaxPool2d(2),
                c5=nn.Conv2d(16, 120, 5), relu5=nn.ReLU(),
            )
        )  # fmt: skip
        self.fc = nn.Sequential(OrderedDict(f6=nn.Linear(120, 84), relu6=nn.ReLU(), f7=nn.Linear(84, num_classes)))

    def get_classifier(self) -> nn.Module:
        return self.fc.get_submodule("f7")

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc.f7 = nn.Linear(84, num_classes) if num_classes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] == 28:
            x = pad(x, (2, 2, 2, 2), value=-MNIST_MEAN / MNIST_STD)
        scores: torch.Tensor = self.fc(self.convnet(x).flatten(1))
        return scores


def _check(name: str, channels: int) -> None:
    if channels != 3:
        raise UnsupportedError(f"{name} takes 3 channels, not {channels}", hint="drop --channels")


class AlexNet(torchvision.models.AlexNet):  # type: ignore[misc]
    head_hidden_size = 4096

    def __init__(self, num_classes: int = 1000, in_chans: int = 3) -> None:
        _check("alexnet", in_chans)
        super().__init__(max(num_classes, 1))
        self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        last: nn.Module = self.classifier[6]
        return last

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classifier[6] = nn.Linear(4096, num_classes) if num_classes else nn.Identity()


class GoogLeNet(torchvision.models.GoogLeNet):  # type: ignore[misc]
    head_hidden_size = 1024
    heads_of_training = ("aux1", "aux2")  # that files of weights have too

    def __init__(self, num_classes: int = 1000, in_chans: int = 3) -> None:
        _check("googlenet", in_chans)
        super().__init__(max(num_classes, 1), aux_logits=False, init_weights=False)
        self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        last: nn.Module = self.fc
        return last

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc = nn.Linear(1024, num_classes) if num_classes else nn.Identity()


def lenet5(pretrained: bool = False, **options: Any) -> nn.Module:
    network: nn.Module = build_model_with_cfg(LeNet5, "lenet5", pretrained, **options)
    return network


def alexnet(pretrained: bool = False, **options: Any) -> nn.Module:
    network: nn.Module = build_model_with_cfg(AlexNet, "alexnet", pretrained, **options)
    return network


def googlenet(pretrained: bool = False, **options: Any) -> nn.Module:
    network: nn.Module = build_model_with_cfg(GoogLeNet, "googlenet", pretrained, **options)
    return network


for entry in (lenet5, alexnet, googlenet):
    register_model(entry)
