"""What a task means to training: which truth an image carries, what is made small, and what is counted."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from edgekit import models, zoo
from edgekit.data import Picture
from edgekit.data.classes import unlike
from edgekit.errors import DataError, RequestError
from edgekit.models import answers
from edgekit.models.trained import Score
from edgekit.preprocess import Preprocess, normalise
from edgekit.recipe import Recipe
from edgekit.training import randomness
from edgekit.training.batches import Batch, plain_view, random_view
from edgekit.training.settings import Settings

GREY = (0.299, 0.587, 0.114)  # of red, green and blue, as preprocess.py has it


@dataclass(frozen=True)
class Teacher:
    """A trained model that sees what the student sees, in its own size, colours and scale."""

    module: nn.Module
    own: Preprocess
    student: Preprocess

    def __call__(self, images: Tensor) -> Tensor:
        """Images normalised for the student [n, c, h, w] -> the teacher's logits [n, classes]."""
        if (self.own.mean, self.own.std) != (self.student.mean, self.student.std):
            mean, std, own_mean, own_std = (
                torch.tensor(v, device=images.device).view(1, -1, 1, 1)
                for v in (self.student.mean, self.student.std, self.own.mean, self.own.std)
            )
            images = (_in_channels(images * std + mean, self.own.channels) - own_mean) / own_std
        if self.own.input_size != self.student.input_size:
            images = functional.interpolate(images, self.own.input_size, mode="bicubic", antialias=True)
        with torch.inference_mode():
            scores: Tensor = self.module(images)
        return scores.clone()  # an inference tensor could not meet gradients


def _in_channels(images: Tensor, channels: int) -> Tensor:
    """Images [n, c, h, w] on the 0..1 scale as a model of so many channels takes them."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    return (images * torch.tensor(GREY, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


def teacher(run: str, labels: tuple[str, ...], student: Preprocess, device: torch.device) -> Teacher:
    """Raises RequestError for what is not a run, UnsupportedError for one without logits, DataError for one of other classes."""
    if not zoo.is_run(run):
        raise RequestError(f"{run} is not a run of edgekit train", hint="--distill with the folder of one")
    recipe = Recipe(model=str(Path(run)), target="torch")
    model = models.load(recipe, models.plan(recipe))
    answers.check_logits(model.trace, run)
    if model.labels != labels:
        raise DataError(
            f"{run} knows {len(model.labels)} classes, the images show {len(labels)}, not the same ones"
            f" ({unlike(model.labels, labels)})",
            hint="a teacher that was trained on the same classes",
        )
    return Teacher(model.module.to(device), model.preprocess, student)


class Objective(Protocol):
    """Of one task.

    nothing  stands for the views of an image that cannot be read
    """

    nothing: tuple[Tensor, Tensor]

    def taught(self, module: nn.Module) -> nn.Module:
        """The network as it is trained and measured: it answers the one tensor that `loss` takes."""

    def plain(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """As the exported model will see it, and its truth. Raises DataError."""

    def random(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """The same, augmented; seeded by the caller."""

    def loss(self, answers: Tensor, images: Tensor, truth: Tensor) -> Tensor:
        """Of each image [n]."""

    def count(self, answers: Tensor, batch: Batch) -> Any:
        """What `score` wants to know of a batch."""

    def score(self, counted: Sequence[Any]) -> Score:
        """Of the batches of all processes."""


class Classes:
    """One class for each image."""

    def __init__(self, settings: Settings, spec: Preprocess, teacher: Teacher | None = None) -> None:
        self.settings, self.teacher = settings, teacher
        self.nothing = torch.zeros(spec.channels, *spec.input_size), torch.tensor(0)
        self.look, self.glance = plain_view(spec), random_view(spec, settings)

    def taught(self, module: nn.Module) -> nn.Module:
        return module

    def plain(self, picture: Picture) -> tuple[Tensor, Tensor]:
        return self.look(picture.open()), torch.tensor(picture.truth[0])

    def random(self, picture: Picture) -> tuple[Tensor, Tensor]:
        return self.glance(picture.open()), torch.tensor(picture.truth[0])

    def loss(self, answers: Tensor, images: Tensor, truth: Tensor) -> Tensor:
        """Of each image [n]. Distillation as Hinton, Vinyals and Dean (2015), https://arxiv.org/abs/1503.02531:

        (1 - w) * cross-entropy + w * T^2 * KL(teacher's softmax(x / T) || student's)
        """
        asked = self.settings
        loss = functional.cross_entropy(answers, truth, label_smoothing=asked.smoothing, reduction="none")
        if self.teacher is None:
            return loss
        t = asked.temperature
        target = (self.teacher(images).float() / t).log_softmax(-1)
        apart = functional.kl_div((answers / t).log_softmax(-1), target, log_target=True, reduction="none").sum(-1)
        return (1 - asked.distill_weight) * loss + asked.distill_weight * t * t * apart

    def count(self, answers: Tensor, batch: Batch) -> Tensor:
        """float64 [4]: right, loss, read, unreadable."""
        device = answers.device
        weight = batch.weight.to(device)
        loss = functional.cross_entropy(answers, batch.truth.to(device), reduction="none")
        best = answers.argmax(-1).tolist()
        right = torch.tensor([b in any_of for b, any_of in zip(best, batch.right, strict=True)], device=device)
        counted = [(right * weight).sum(), (loss * weight).sum(), weight.sum(), (1 - weight).sum()]
        return torch.stack(counted).double().cpu()

    def score(self, counted: Sequence[Tensor]) -> Score:
        right, loss, read, unreadable = torch.stack(tuple(counted)).sum(0).tolist()
        return Score(loss / max(read, 1), round(read), round(unreadable), top1=right / max(read, 1))


class Clips(Classes):
    """One class for each video. A step sees one window of it, drawn; it is judged by the mean over its windows."""

    def __init__(self, settings: Settings, spec: Preprocess) -> None:
        super().__init__(settings, spec)
        self.spec = spec
        self.nothing = torch.zeros(1, *spec.shape), torch.tensor(0)

    def plain(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """Every window that the exported model will see: [windows, c, t, h, w]."""
        seen = normalise(picture.open().windows(self.spec).pixels, self.spec)
        return torch.from_numpy(np.moveaxis(seen, -1, 1).copy()), torch.tensor(picture.truth[0])

    def random(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """One of them, [1, c, t, h, w]. The same is drawn for each of its frames: the crop moves as the camera did."""
        key = random.getrandbits(32)

        def look(frame: Image.Image) -> Tensor:
            randomness.reseed(key)
            return self.glance(frame)

        frames = picture.open().drawn_window(self.spec, look, randomness.draw(key))
        return torch.stack(frames, 1)[None], torch.tensor(picture.truth[0])

    def count(self, answers: Tensor, batch: Batch) -> Tensor:
        shares = [
            part.log_softmax(-1).logsumexp(0) - math.log(len(part))
            for part in torch.split(answers, list(batch.windows))
        ]
        return super().count(torch.stack(shares), batch)
