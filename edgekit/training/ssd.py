"""torchvision's own loss of an SSD (Liu et al. 2016, https://arxiv.org/abs/1512.02325): anchors learn the boxes they overlap."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from edgekit.models.anchored import SsdLite


class Taught(nn.Module):
    """An SSD that answers what it is taught by: of every anchor the box and the classes' logits, [n, a, 4 + 1 + c]."""

    def __init__(self, detector: SsdLite) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        heads = self.detector.core(x)
        return torch.cat([heads["bbox_regression"], heads["cls_logits"]], 2)


class Ssd:
    """The lessons of torchvision's SSDs."""

    def __init__(self, detector: SsdLite) -> None:
        self.detector = detector  # of its parts those alone serve that learn nothing: anchors, matcher, coder

    def taught(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, SsdLite)
        return Taught(module)

    def loss(self, answers: Tensor, truths: Tensor) -> Tensor:
        """Of each image the mean over all [n]: it is divided by the number of anchors that learn a box."""
        net: Any = self.detector.net
        anchors = self.detector.get_buffer("anchors").to(answers.device)
        known = [rows[rows[:, 4] >= 0] for rows in truths]
        targets = [{"boxes": rows[:, :4], "labels": rows[:, 4].long() + SsdLite.background} for rows in known]
        matched = [_matched(net.proposal_matcher, target["boxes"], anchors) for target in targets]
        parts = net.compute_loss(targets, _heads(answers), [anchors] * len(targets), matched)
        mean: Tensor = sum(parts.values())
        return mean.expand(len(truths))

    def decoded(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.detector.to(answers.device).decoded(_heads(answers))
        return boxes, scores


def _heads(answers: Tensor) -> dict[str, Tensor]:
    return {"bbox_regression": answers[..., :4], "cls_logits": answers[..., 4:]}


def _matched(matcher: Any, boxes: Tensor, anchors: Tensor) -> Tensor:
    """For each anchor the index of the box that it learns; -1 for none."""
    if not len(boxes):
        return torch.full((len(anchors),), -1, device=anchors.device)
    found: Tensor = matcher(box_iou(boxes, anchors))
    return found
