"""A class for every pixel: cross-entropy and Dice, half and half. Crops and flips move the mask with the image."""

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import ColorJitter, RandomResizedCrop

from edgekit.data import Picture
from edgekit.models.trained import Score
from edgekit.preprocess import Preprocess, fit, in_channels, normalise, resize
from edgekit.tasks import Segmentation, iou
from edgekit.tasks.iou import UNLABELLED
from edgekit.training.batches import Batch
from edgekit.training.settings import Settings

SCALE = {"light": (0.5, 1.0), "strong": (0.2, 1.0)}  # shares of an image that a crop shows
RATIO = (0.8, 1.25)
JITTER = 0.4  # brightness, contrast and saturation of "strong"


class Masks:
    """A segmenter's objective. Scores are compared at the input's size, upsampled as the file's reader will do it."""

    def __init__(self, settings: Settings, spec: Preprocess, task: Segmentation, labels: int) -> None:
        self.settings, self.spec, self.task, self.labels = settings, spec, task, labels
        self.nothing = torch.zeros(spec.shape), torch.full(spec.input_size, UNLABELLED)
        self.jitter = ColorJitter(JITTER, JITTER, JITTER) if settings.augment == "strong" else _unchanged

    def taught(self, module: nn.Module) -> nn.Module:
        return module

    def plain(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """The whole image."""
        image, nearest = picture.open(), msgspec.structs.replace(self.spec, interpolation="nearest", pad=UNLABELLED)
        mask = fit(_mask(picture, image.size).convert("RGB"), nearest)[..., 0]
        return self._image(fit(image, self.spec)), _truth(mask)

    def random(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """A part of it, squashed, mirrored half of the time."""
        if self.settings.augment == "none":
            return self.plain(picture)
        image = picture.open()
        mask = _mask(picture, image.size)
        top, left, height, width = RandomResizedCrop.get_params(image, list(SCALE[self.settings.augment]), list(RATIO))
        box, (rows, columns) = (left, top, left + width, top + height), self.spec.input_size
        image = self.jitter(resize(image.crop(box), (columns, rows), self.spec.interpolation))
        mask = resize(mask.crop(box), (columns, rows), "nearest")
        mirror = -1 if self.settings.flip and random.random() < 0.5 else 1
        pixels = in_channels(np.asarray(image), self.spec.channels)
        return self._image(pixels[:, ::mirror]), _truth(np.asarray(mask)[:, ::mirror])

    def loss(self, answers: Tensor, images: Tensor, truth: Tensor) -> Tensor:
        """Of each image [n]. Dice: Milletari et al. 2016 (V-Net), https://arxiv.org/abs/1606.04797, over the classes."""
        scores, known = self._scores(answers, truth), truth != UNLABELLED
        entropy = functional.cross_entropy(
            scores, truth, ignore_index=UNLABELLED, label_smoothing=self.settings.smoothing, reduction="none"
        )
        pixels = known.sum((1, 2)).clamp(min=1)
        hot = functional.one_hot(truth.where(known, 0), self.labels).movedim(-1, 1) * known[:, None]
        shares = scores.softmax(1) * known[:, None]
        both, either = (shares * hot).sum((2, 3)), (shares + hot).sum((2, 3))
        dice = (2 * both + 1) / (either + 1)
        return entropy.sum((1, 2)) / pixels + 1 - dice.mean(1)

    def count(self, answers: Tensor, batch: Batch) -> Tensor:
        """float64 [labels * labels + 3]: the confusion matrix (rows: truth), the loss, images that could be read, and not."""
        truth, weight = batch.truth.to(answers.device), batch.weight.to(answers.device)
        best, known = self._scores(answers, truth).argmax(1), truth != UNLABELLED
        pairs = torch.bincount((truth * self.labels + best)[known], minlength=self.labels**2)
        loss = (self.loss(answers, batch.images, truth) * weight).sum()
        return torch.cat([pairs, torch.stack([loss, weight.sum(), (1 - weight).sum()])]).double().cpu()

    def score(self, counted: Sequence[Tensor]) -> Score:
        """mIoU over the classes that the masks show."""
        total = torch.stack(tuple(counted)).sum(0)
        matrix = total[:-3].view(self.labels, self.labels)
        loss, read, unreadable = total[-3:].tolist()
        pixels = torch.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)]).long().numpy()
        miou = float(np.nan_to_num(iou.mean_iou(pixels)))
        return Score(loss / max(read, 1), round(read), round(unreadable), miou=miou)

    def _scores(self, answers: Tensor, truth: Tensor) -> Tensor:
        """[n, labels, h, w] at the truth's size; of one channel, a sigmoid's logit, the background's is 0."""
        if answers.shape[1] == 1:
            answers = torch.cat([torch.zeros_like(answers), answers], 1)
        rule = self.task.upsample
        corners = rule.align_corners if rule.mode == "bilinear" else None
        return functional.interpolate(answers, truth.shape[1:], mode=rule.mode, align_corners=corners)

    def _image(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(normalise(pixels, self.spec).transpose(2, 0, 1).copy())


def _mask(picture: Picture, size: tuple[int, int]) -> Image.Image:
    assert picture.mask
    return Image.fromarray(picture.mask(size))


def _truth(mask: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(mask.astype(np.int64))


def _unchanged(image: Image.Image) -> Image.Image:
    return image
