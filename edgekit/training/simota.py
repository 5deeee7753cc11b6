"""YOLOX's loss: each box chooses the anchors that suit it best, SimOTA (Ge et al. 2021, https://arxiv.org/abs/2107.08430).

An anchor is a cell of a level's grid. Truths are float32 [n, m, 5]: x1 y1 x2 y2 in input pixels and the class; a row of the
class -1 is none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.models.yolox import STRIDES, YoloX, places

RADIUS = 1.5  # strides from a box's middle in which anchors may learn it
CANDIDATES = 10  # anchors whose overlaps say how many learn a box
FAR = 1e6  # the cost of an anchor out of the radius: only where nothing else is left
OVERLAP, LOCATED = 3.0, 5.0  # weights of the overlap, in the choice and in the loss
TINY = 1e-8


@dataclass(frozen=True)
class Raw:
    """What a network says of its anchors, before it is decoded.

    boxes       [n, a, 4]: the middle, in strides from the cell's corner, and the logarithms of width and height in strides
    objectness  [n, a], classes [n, a, c]: logits
    cells       [a, 2]: column and row of each anchor's cell; strides [a]: its width in pixels
    """

    boxes: Tensor
    objectness: Tensor
    classes: Tensor
    cells: Tensor
    strides: Tensor

    def decoded(self) -> Tensor:
        """[n, a, 4]: x1 y1 x2 y2 in input pixels."""
        middle = (self.boxes[..., :2] + self.cells) * self.strides[:, None]
        half = self.boxes[..., 2:].exp() * self.strides[:, None] / 2
        return torch.cat([middle - half, middle + half], -1)


class Taught(nn.Module):
    """A YOLOX that answers what it is taught by: of every anchor, box, objectness and classes, [n, a, 5 + c]."""

    def __init__(self, detector: YoloX) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.cat(level, 1).flatten(2).mT for level in self.detector.core(x)], 1)


class SimOta:
    """The lessons of a YOLOX for images of a size [height, width]."""

    def __init__(self, size: tuple[int, int]) -> None:
        maps = [torch.empty(1, 1, *(side // stride for side in size)) for stride in STRIDES]
        self.cells = torch.cat([places(level)[0] for level in maps])
        self.strides = torch.cat(
            [torch.full((level.numel(),), float(s)) for level, s in zip(maps, STRIDES, strict=True)]
        )

    def taught(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, YoloX)
        return Taught(module)

    def loss(self, answers: Tensor, truths: Tensor) -> Tensor:
        return loss(self.raw(answers), truths)

    def decoded(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.raw(answers)
        return raw.decoded(), raw.classes.sigmoid() * raw.objectness.sigmoid()[..., None]

    def raw(self, answers: Tensor) -> Raw:
        cells, strides = self.cells.to(answers.device), self.strides.to(answers.device)
        return Raw(answers[..., :4], answers[..., 4], answers[..., 5:], cells, strides)


def loss(raw: Raw, truths: Tensor) -> Tensor:
    """Of each image [n]; its mean is the sum over all images by the number of anchors that learn a box, as YOLOX has it."""
    boxes = raw.decoded()
    chosen, which = assign(raw, boxes.detach(), truths)
    own = truths.gather(1, which[..., None].expand(-1, -1, 5))
    shared = overlap(boxes, own[..., :4])
    entropy = functional.binary_cross_entropy_with_logits
    wanted = functional.one_hot(own[..., 4].long().clamp(min=0), raw.classes.shape[-1])
    named = entropy(raw.classes, wanted * shared.detach()[..., None], reduction="none").sum(-1)
    seen = entropy(raw.objectness, chosen.to(boxes.dtype), reduction="none")
    apiece = seen + chosen * (LOCATED * (1 - shared**2) + named)
    return apiece.sum(1) * len(truths) / chosen.sum().clamp(min=1)


@torch.no_grad()
def assign(raw: Raw, boxes: Tensor, truths: Tensor) -> tuple[Tensor, Tensor]:
    """Which anchors learn a box, bool [n, a], and the index of the box that each is nearest to learning, int64 [n, a]."""
    known = truths[..., 4] >= 0
    shared = overlap(boxes[:, None], truths[:, :, None, :4])
    middles, places = (truths[..., :2] + truths[..., 2:4]) / 2, (raw.cells + 0.5) * raw.strides[:, None]
    apart = (places - middles[:, :, None]).abs().amax(-1)
    near = (apart < RADIUS * raw.strides) & known[..., None]
    candidates = near.any(1, keepdim=True)
    shared = shared * candidates
    cost = _unlike(raw, truths) - OVERLAP * (shared + TINY).log() + FAR * ~near
    cost = cost.masked_fill(~(candidates & known[..., None]), torch.inf)
    most = min(CANDIDATES, cost.shape[-1])
    wanted = shared.topk(most).values.sum(-1).int().clamp(min=1)
    lowest = cost.topk(most, largest=False)
    taken = (torch.arange(most, device=cost.device) < wanted[..., None]) & lowest.values.isfinite()
    asked = torch.zeros_like(near).scatter(2, lowest.indices, taken)
    cheapest, count = cost.argmin(1), asked.sum(1)
    which = torch.where(count > 1, cheapest, asked.int().argmax(1))
    return count > 0, which


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes [..., 4] that broadcast against each other."""
    inside = (torch.minimum(boxes[..., 2:], others[..., 2:]) - torch.maximum(boxes[..., :2], others[..., :2])).clamp(0)
    both = inside.prod(-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + (others[..., 2:] - others[..., :2]).prod(-1)
    return both / (areas - both).clamp(min=TINY)


def _unlike(raw: Raw, truths: Tensor) -> Tensor:
    """[n, m, a]: the binary cross-entropy of an anchor's scores, were it to learn the box."""
    scores = (raw.classes.float().sigmoid() * raw.objectness.float().sigmoid()[..., None]).sqrt().clamp(TINY, 1 - 1e-6)
    named = truths[..., 4].long().clamp(min=0)[:, None].expand(-1, scores.shape[1], -1)
    own = scores.gather(2, named).transpose(1, 2)
    rest = (1 - scores).log().sum(-1)[:, None]
    return (1 - own).log() - own.log() - rest
