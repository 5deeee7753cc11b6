"""torchvision's detectors as files can hold them: backbone and heads, boxes decoded from anchors, nothing after that.

torchvision's own `forward` resizes, and chooses boxes by their scores (NMS), so its answers have a size that depends on the
image. That is done outside of files here (edgekit/tasks/detection.py).

    ssdlite320_mobilenet_v3_large  320 x 320 pixels (Howard et al. 2019, https://arxiv.org/abs/1905.02244), also by name
"""

from typing import Any

import torch
import torchvision
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssdlite import SSDLiteClassificationHead

from edgekit.errors import UnsupportedError
from edgekit.tasks import Nms

SSDLITE = "ssdlite320_mobilenet_v3_large"
_HALF = (0.5, 0.5, 0.5)
_HEADS = "net.head.classification_head.module_list"

default_cfgs = generate_default_cfgs(
    {
        SSDLITE: {
            "input_size": (3, 320, 320), "num_classes": 90, "first_conv": "net.backbone.features.0.0.0",
            "classifier": tuple(f"{_HEADS}.{i}.1" for i in range(6)), "crop_pct": 1.0, "crop_mode": "squash",
            "interpolation": "bilinear", "mean": _HALF, "std": _HALF,
        }
    }
)  # fmt: skip


class Anchored(nn.Module):
    """Images [n, 3, *size] to boxes [n, a, 4], x1 y1 x2 y2 in input pixels, and scores [n, a, c].

    net   an SSD, a RetinaNet or an FCOS of torchvision: `backbone`, `head`, `anchor_generator`, `box_coder`
    size  height and width; the anchors lie for them

    An SSD's class 0, which is background, is left out. The others keep all of theirs, which are scored by themselves.
    """

    task = "detection"

    def __init__(self, net: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = net, size
        self.nms = Nms(iou=float(net.nms_thresh))  # type: ignore[arg-type]
        anchors = _anchors(net, size)
        coder: Any = net.box_coder
        self.is_linear = not hasattr(coder, "weights")  # an FCOS: how far the four sides are, in sizes of the anchor
        scales = torch.tensor((1.0,) * 4 if self.is_linear else coder.weights, device=anchors.device)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("scales", scales, persistent=False)

    def core(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """torchvision's heads: `bbox_regression` [n, a, 4], `cls_logits` [n, a, c], of an FCOS `bbox_ctrness` [n, a, 1]."""
        net: Any = self.net
        heads: dict[str, torch.Tensor] = net.head(_maps(net, x))
        return heads

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.decoded(self.core(x))

    def decoded(self, heads: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes and scores of what `core` answers."""
        boxes = self._boxes(heads["bbox_regression"])
        logits = heads["cls_logits"]
        if "bbox_ctrness" in heads:
            return boxes, (logits.sigmoid() * heads["bbox_ctrness"].sigmoid()).sqrt()
        return boxes, logits.softmax(2)[..., 1:] if _has_background(self.net) else logits.sigmoid()

    @property
    def classes(self) -> int:
        """How many are scored."""
        head: Any = self.net.get_submodule("head.classification_head")
        return int(head.num_columns - 1 if _has_background(self.net) else head.num_classes)

    def _boxes(self, found: torch.Tensor) -> torch.Tensor:
        low, high = self.get_buffer("anchors").chunk(2, 1)
        middle, size = (low + high) / 2, high - low
        first, second = (found / self.get_buffer("scales")).chunk(2, 2)
        if self.is_linear:
            return torch.cat([middle - first * size, middle + second * size], 2)
        coder: Any = self.net.box_coder
        middle, half = middle + first * size, second.clamp(max=coder.bbox_xform_clip).exp() * (size / 2)
        return torch.cat([middle - half, middle + half], 2)


class SsdLite(Anchored):
    """torchvision's SSDlite for classes without the background, which its `net` has too."""

    background = 1  # among what its last layers score

    def __init__(self, num_classes: int = 90, in_chans: int = 3, img_size: tuple[int, int] = (320, 320)) -> None:
        if in_chans != 3:
            raise UnsupportedError(f"{SSDLITE} takes 3 channels, not {in_chans}", hint="drop --channels")
        made = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=num_classes + self.background
        )
        super().__init__(made, img_size)
        self.num_classes = num_classes

    def get_classifier(self) -> nn.Module:
        return self.net.get_submodule("head.classification_head")

    def reset_classifier(self, num_classes: int) -> None:
        old: Any = self.get_classifier().get_submodule("module_list")
        widths = [tower[1].in_channels for tower in old]
        anchors = [tower[1].out_channels // (self.num_classes + self.background) for tower in old]
        norm = type(old[0][0][1])
        head: Any = self.net.head
        made = SSDLiteClassificationHead(widths, anchors, num_classes + self.background, norm)
        head.classification_head = made.train(self.training)
        self.num_classes = num_classes


def is_one(net: nn.Module) -> bool:
    """Whether a module is a detector of torchvision with one stage: told by its parts, so that subclasses are too."""
    return all(hasattr(net, part) for part in ("backbone", "head", "anchor_generator", "box_coder", "nms_thresh"))


def has_stages(net: nn.Module) -> bool:
    """Whether it is a Faster R-CNN or one of its kind, which looks again at boxes that depend on the image."""
    return hasattr(net, "rpn") and hasattr(net, "roi_heads")


def _has_background(net: nn.Module) -> bool:
    """An SSD learns with cross-entropy over classes and background."""
    return hasattr(net, "neg_to_pos_ratio")


def _maps(net: Any, x: torch.Tensor) -> list[torch.Tensor]:
    maps = net.backbone(x)
    return [maps] if isinstance(maps, torch.Tensor) else list(maps.values())


@torch.no_grad()
def _anchors(net: Any, size: tuple[int, int]) -> torch.Tensor:
    """Of an image of `size`: [a, 4], x1 y1 x2 y2 in pixels. The backbone runs without its numbers."""
    training = net.training
    net.eval()
    with torch.device(next(net.parameters()).device), FakeTensorMode(allow_non_fake_inputs=True):
        shapes = [tuple(level.shape) for level in _maps(net, torch.zeros(1, 3, *size))]
    net.train(training)
    with torch.device("cpu"):  # also where the network is made without numbers
        maps = [torch.zeros(1, 1, *shape[2:]) for shape in shapes]
        anchors: torch.Tensor = net.anchor_generator(ImageList(torch.zeros(1, 3, *size), [size]), maps)[0]
    return anchors.to(next(net.parameters()).device)


def ssdlite320_mobilenet_v3_large(pretrained: bool = False, **options: Any) -> nn.Module:
    network: nn.Module = build_model_with_cfg(SsdLite, SSDLITE, pretrained, **options)
    return network


register_model(ssdlite320_mobilenet_v3_large)
