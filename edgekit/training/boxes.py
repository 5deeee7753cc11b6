"""Boxes around things. Crops and flips move the boxes with the image; the figure is the average precision of COCO."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms import ColorJitter, RandomResizedCrop

from edgekit.data import Picture
from edgekit.models.trained import Score
from edgekit.preprocess import Preprocess, fit, normalise, placement
from edgekit.tasks import Detection
from edgekit.tasks.average_precision import Matched, Objects, average_precision, match, mean
from edgekit.tasks.boxes import areas
from edgekit.tasks.detection import FLOOR
from edgekit.training.batches import NONE, Batch
from edgekit.training.masks import JITTER, RATIO, SCALE
from edgekit.training.settings import Settings

VISIBLE = 0.3  # of a box that a crop must show, to be learned


class Lessons(Protocol):
    """How a kind of detector is taught. Its answers are one tensor, [n, a, any], of a network in training or not."""

    def taught(self, module: nn.Module) -> nn.Module:
        """The network that answers so, with the same parameters."""

    def loss(self, answers: Tensor, truths: Tensor) -> Tensor:
        """Of each image [n]; truths: float32 [n, m, 5], x1 y1 x2 y2 in input pixels and the class, NONE for no box."""

    def decoded(self, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [n, a, 4] and scores [n, a, c], as the exported file answers them."""


@dataclass(frozen=True)
class Counted:
    """Of a batch: what was found on the images that could be read, the sum of their losses, and how many could not."""

    pictures: tuple[Matched, ...]
    loss: float
    unreadable: int


class Boxes:
    """A detector's objective. A truth is float32 [m, 6]: x1 y1 x2 y2 in input pixels, the class, and 1 for a crowd."""

    def __init__(self, settings: Settings, spec: Preprocess, task: Detection, lessons: Lessons, labels: int) -> None:
        self.settings, self.spec, self.task, self.lessons, self.labels = settings, spec, task, lessons, labels
        self.nothing = torch.zeros(spec.shape), _rows(Objects.of(np.empty((0, 4)), np.empty(0, np.int64)))
        self.jitter = ColorJitter(JITTER, JITTER, JITTER) if settings.augment == "strong" else None

    def taught(self, module: nn.Module) -> nn.Module:
        return self.lessons.taught(module)

    def plain(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """As the exported model will see it."""
        image = picture.open()
        there = self._placed(_objects(picture, image.size), image.size)
        return self._image(fit(image, self.spec)), _rows(there)

    def random(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """A part of it, seen as the exported model would see that, mirrored half of the time."""
        if self.settings.augment == "none":
            return self.plain(picture)
        image = picture.open()
        there = _objects(picture, image.size)
        top, left, height, width = RandomResizedCrop.get_params(image, list(SCALE[self.settings.augment]), list(RATIO))
        image = image.crop((left, top, left + width, top + height))
        there = _moved(there, (1, 1), (-left, -top), image.size, VISIBLE)
        there = self._placed(there, image.size)
        pixels = fit(self.jitter(image) if self.jitter else image, self.spec)
        if self.settings.flip and random.random() < 0.5:
            pixels, there = pixels[:, ::-1], _mirrored(there, self.spec.input_size[1])
        return self._image(pixels), _rows(there)

    def loss(self, answers: Tensor, images: Tensor, truth: Tensor) -> Tensor:
        """Of each image [n]. Crowds are not learned."""
        named = torch.where(truth[..., 5:] > 0, NONE, truth[..., 4:5])
        return self.lessons.loss(answers, torch.cat([truth[..., :4], named], -1))

    def count(self, answers: Tensor, batch: Batch) -> Counted:
        truth, weight = batch.truth.to(answers.device), batch.weight.to(answers.device)
        loss = (self.loss(answers, batch.images, truth) * weight).sum().item()
        boxes, scores = (part.cpu().numpy() for part in self.lessons.decoded(answers))
        read = [i for i, counts in enumerate(batch.weight.tolist()) if counts]
        pictures = tuple(self._matched(boxes[i], scores[i], batch.truth[i]) for i in read)
        return Counted(pictures, loss, len(batch.weight) - len(read))

    def score(self, counted: Sequence[Counted]) -> Score:
        """COCO's mAP and AP50 over the classes that the images show, in pixels of the input."""
        pictures = [picture for some in counted for picture in some.pictures]
        precision = average_precision(pictures, self.labels) if pictures else np.zeros((1, 1, 10))
        overall, at_half = (float(np.nan_to_num(mean(precision, iou)[0])) for iou in (None, 0))
        loss, unreadable = (sum(getattr(some, name) for some in counted) for name in ("loss", "unreadable"))
        return Score(loss / max(len(pictures), 1), len(pictures), unreadable, map=overall, ap50=at_half)

    def _matched(self, boxes: NDArray[np.float32], scores: NDArray[np.float32], truth: Tensor) -> Matched:
        found, rows = self.task.found((boxes, scores), FLOOR), truth[truth[:, 4] >= 0].numpy()
        there = rows[:, :4].astype(np.float64)
        objects = Objects(there, rows[:, 4].astype(np.int64), rows[:, 5] > 0, areas(there))
        return match(found.boxes.astype(np.float64), found.scores, found.labels, objects)

    def _placed(self, there: Objects, size: tuple[int, int]) -> Objects:
        """In pixels of the input, of boxes on an image of `size` (width, height)."""
        lies, (height, width) = placement(size, self.spec), self.spec.input_size
        return _moved(there, lies.scale, lies.offset, (width, height))

    def _image(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(normalise(pixels, self.spec).transpose(2, 0, 1).copy())


def _objects(picture: Picture, size: tuple[int, int]) -> Objects:
    assert picture.objects
    return picture.objects(size)


def _moved(
    there: Objects, scale: tuple[float, float], offset: tuple[float, float], size: tuple[int, int], visible: float = 0.0
) -> Objects:
    """Boxes times `scale` plus `offset`, cut off at the edges of an image of `size` (width, height), without those of which
    less than the share `visible`, or nothing, is seen."""
    whole = there.boxes * np.tile(scale, 2) + np.tile(offset, 2)
    boxes = whole.clip(0, np.tile(size, 2))
    seen = (areas(boxes) > visible * areas(whole)) & (areas(boxes) > 0)
    return Objects(boxes[seen], there.labels[seen], there.crowd[seen], areas(boxes[seen]))


def _mirrored(there: Objects, width: int) -> Objects:
    boxes = there.boxes.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return replace(there, boxes=boxes)


def _rows(there: Objects) -> Tensor:
    """float32 [m, 6]; where nothing is there, one row of no box."""
    if not len(there.labels):
        return torch.full((1, 6), NONE)
    return torch.from_numpy(np.column_stack([there.boxes, there.labels, there.crowd]).astype(np.float32))
