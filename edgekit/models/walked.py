"""Detectors whose layers say where they read (`f`, `i`, `save`), as Ultralytics' YOLOs do: walked layer by layer.

Told by their parts alone. The library is the user's: it is never imported here, and its licence (AGPL-3.0) is his matter.
"""

from typing import Any

import torch
from torch import nn

from edgekit.errors import UnsupportedError
from edgekit.tasks import Nms

LICENCE = "layers as Ultralytics has them: its code and its weights are under the AGPL-3.0, or a licence that it sells"


class Walked(nn.Module):
    """Images [n, 3, h, w] in 0..1 to boxes [n, a, 4], x1 y1 x2 y2 in input pixels, and scores [n, a, c].

    net  `model` is a sequence of layers, the last with `cv2` (sides of boxes, each as shares of `reg_max` lengths) and `cv3`
         (classes) for each level; a head that was trained to need no NMS has `one2one_cv2` and `one2one_cv3`
    """

    task = "detection"

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        head: Any = net.get_submodule("model")[-1]  # type: ignore[index]
        self.alone = bool(getattr(head, "end2end", False)) and hasattr(head, "one2one_cv2")
        self.nms = None if self.alone else Nms(iou=0.7)
        self.bins = int(head.reg_max)
        self.register_buffer("lengths", torch.arange(self.bins).float().view(1, 1, -1, 1), persistent=False)

    def core(self, x: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of each level: sides [n, 4 * bins, h, w] and classes [n, c, h, w] as logits."""
        net: Any = self.net
        *layers, head = net.model
        kept: list[Any] = []
        for layer in layers:
            x = layer(_read(layer, x, kept))
            kept.append(x if layer.i in net.save else None)
        levels = _read(head, x, kept)
        boxes, classes = (head.one2one_cv2, head.one2one_cv3) if self.alone else (head.cv2, head.cv3)
        return [(boxes[i](level), classes[i](level)) for i, level in enumerate(levels)]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, scores = [], []
        for sides, classes in self.core(x):
            stride = x.shape[2] / sides.shape[2]
            before, after = self._lengths(sides).chunk(2, 1)
            middle = _middles(sides)
            boxes.append(torch.cat([middle - before, middle + after], 1) * stride)
            scores.append(classes.flatten(2).sigmoid())
        return torch.cat(boxes, 2).transpose(1, 2), torch.cat(scores, 2).transpose(1, 2)

    def _lengths(self, sides: torch.Tensor) -> torch.Tensor:
        """[n, 4 * bins, h, w] as [n, 4, h * w]: the mean length, weighed with shares."""
        if self.bins == 1:
            return sides.flatten(2)
        shares = sides.reshape(len(sides), 4, self.bins, -1).softmax(2)
        mean: torch.Tensor = (shares * self.get_buffer("lengths")).sum(2)
        return mean


def is_one(net: nn.Module) -> bool:
    """Raises UnsupportedError for heads that answer more than boxes."""
    layers = getattr(net, "model", None)
    if not isinstance(layers, nn.Sequential) or not len(layers) or not hasattr(net, "save"):
        return False
    head = layers[-1]
    if not all(hasattr(head, part) for part in ("cv2", "cv3", "reg_max", "f")):
        return False
    if hasattr(head, "cv4"):
        raise UnsupportedError(
            f"{type(head).__name__} answers masks, joints or turned boxes beside its boxes",
            hint="--task raw, which takes the network's answers as they are",
        )
    return True


def names(net: nn.Module) -> tuple[str, ...]:
    """Of the classes, where the network carries them."""
    said = getattr(net, "names", None)
    return (
        tuple(str(said[i]) for i in range(len(said)))
        if isinstance(said, dict) and set(said) == {*range(len(said))}
        else ()
    )


def _read(layer: Any, x: torch.Tensor, kept: list[Any]) -> Any:
    if isinstance(layer.f, int):
        return x if layer.f == -1 else kept[layer.f]
    return [x if place == -1 else kept[place] for place in layer.f]


def _middles(level: torch.Tensor) -> torch.Tensor:
    """Of every place of a map [n, c, h, w], in places: [1, 2, h * w]."""
    rows, columns = (torch.arange(side, dtype=level.dtype, device=level.device) + 0.5 for side in level.shape[2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y]).flatten(1)[None]
