"""The model that a run begins with: one that answers the classes of the images, by what the images show of them."""

from contextlib import suppress
from dataclasses import replace
from typing import Literal, NamedTuple

import torch

from edgekit import models
from edgekit.data import DataSet, Splits
from edgekit.data.classes import few
from edgekit.errors import DataError, RequestError, UnreadableError, UnsupportedError
from edgekit.models import LoadedModel, answers, heads
from edgekit.models.picking import Pick
from edgekit.models.segmenting import WithoutInterpolation
from edgekit.models.settling import folded, unfold
from edgekit.preprocess import Preprocess
from edgekit.tasks import Embedding, Segmentation, name_of
from edgekit.tasks.classification import LOGITS
from edgekit.training import lessons
from edgekit.training.batches import plain_view
from edgekit.training.settings import Settings
from edgekit.training.setup import Say

Shown = Literal["classification", "segmentation", "detection"]


class Held(NamedTuple):
    """What data hold for a task, and networks that learn it."""

    data: str
    networks: str


HELD: dict[str, Held] = {
    "classification": Held("a class for each image", "a classifier: mobilenetv2, efficientnet_lite0"),
    "segmentation": Held("masks", "a segmenter: unet_micro, or smp:Unet/tu-mobilenetv2_050"),
    "detection": Held("boxes", "a detector: yolox_nano, yolox_micro or ssdlite"),
}
MEASURED = 16  # images that give folded BatchNorms their statistics


def model(settings: Settings, splits: Splits, say: Say) -> LoadedModel:
    """The model with a head for these classes; its own where it already knows them."""
    shown = _shown(splits)
    _check_shown(settings, shown, moving=splits.train.source.units == "videos")
    recipe = settings.recipe("auto" if shown == "classification" else shown)
    planned = models.plan(recipe)
    _check_task(settings, planned.task, shown)
    say(f"weights: {planned.choice.source} ({planned.choice.why})")
    loaded = models.load(recipe, planned)
    for note in loaded.notes:
        if note != models.UNNAMED:  # the images' folders or table name them
            say(note)
    if isinstance(loaded.module, Pick | WithoutInterpolation):
        raise UnsupportedError(
            f"{settings.model} answers more than train can learn from",
            hint="a function that wraps the model and returns one tensor",
        )
    _check_task(settings, name_of(loaded.task), shown)
    if shown == "detection":
        return _detector(settings, loaded, splits, say)
    fitted = _classifier if shown == "classification" else _segmenter
    return fitted(settings, loaded, splits.labels, say)


def _shown(splits: Splits) -> Shown:
    """What there is to learn from the images, by the task."""
    if splits.train.objects is not None:
        return "detection"
    return "classification" if splits.train.masks is None else "segmentation"


def _check_task(settings: Settings, task: str | None, shown: Shown) -> None:
    """Refuse a network that answers something else than the images show. task: None where it is not known yet."""
    if task not in (None, shown) and not (task == "embedding" and shown == "classification"):
        held = HELD[shown]
        hint = held.networks + (f"; or --data that holds {HELD[task].data}" if task in HELD else "")
        raise RequestError(f"{settings.model} is made for {task}, and --data holds {held.data}", hint=hint)


def _classifier(settings: Settings, model: LoadedModel, labels: tuple[str, ...], say: Say) -> LoadedModel:
    if isinstance(model.task, Embedding):
        width = model.answer_shapes[0][1]
        module = heads.give(model.module, width, len(labels), seed=settings.seed)
        say(f"a head for {len(labels)} classes on {width} features")
        return replace(model, module=module, task=LOGITS)
    answers.check_logits(model.trace, settings.model)
    if not model.has_labels(labels):
        if settings.qat:
            raise RequestError(
                f"{settings.model} does not know these {len(labels)} classes, and --qat comes after training",
                hint="a first run without --qat, then edgekit train RUN --qat",
            )
        heads.set_classes(model.module, len(labels), seed=settings.seed, anew=True)
        say(f"a new head for {len(labels)} classes")
    return model


def _segmenter(settings: Settings, model: LoadedModel, labels: tuple[str, ...], say: Say) -> LoadedModel:
    assert isinstance(model.task, Segmentation)
    if model.task.scores != "logits":
        raise UnsupportedError(
            f"{settings.model} answers probabilities; cross-entropy wants logits",
            hint="a function that returns the network without its last step",
        )
    channels = model.answer_shapes[0][1]
    if (channels == 1 and len(labels) == 2) or model.has_labels(labels):
        return model
    if not hasattr(model.module, "reset_classifier"):
        if channels != len(labels):
            raise RequestError(
                f"{settings.model} answers {channels} classes, and there are {len(labels)} ({few(labels)})",
                hint=f"a function that makes a network of {len(labels)} channels",
            )
        return model
    heads.set_classes(model.module, len(labels), seed=settings.seed, anew=True)
    say(f"a new head for {len(labels)} classes")
    return model


def _detector(settings: Settings, model: LoadedModel, splits: Splits, say: Say) -> LoadedModel:
    lessons.of(model.module, settings.model, model.preprocess.input_size)  # refused before anything runs
    if norms := folded(model.module):
        unfold(model.module, norms, _some(splits.train, model.preprocess, settings.seed))
        say(f"{len(norms)} BatchNorms, which the file has in its convolutions, made again from the images")
    if not model.has_labels(splits.labels):
        heads.set_classes(model.module, len(splits.labels), seed=settings.seed, anew=True)
        say(f"a new head for {len(splits.labels)} classes")
    return model


def _some(data: DataSet, spec: Preprocess, seed: int) -> torch.Tensor:
    """Images of the data as the exported model will see them, normalised: [n, c, h, w]. What cannot be read is left out."""
    view, seen = plain_view(spec), []
    for picture in data.read(data.sample(MEASURED, seed)):
        with suppress(DataError):
            seen.append(view(picture.open()))
    if not seen:
        raise UnreadableError("no image can be read", hint="another --data")
    return torch.stack(seen)


def _check_shown(settings: Settings, shown: Shown, *, moving: bool) -> None:
    """Refuse what train does for classifiers alone, of images. Raises RequestError."""
    for name in ("qat", "distill") if moving else ():
        if getattr(settings, name):
            raise RequestError(f"--{name} is for networks of images, not of clips", hint="leave it out")
    if shown == "classification":
        return
    for name in ("qat", "distill", "freeze"):
        if getattr(settings, name):
            raise RequestError(f"--{name} is for classifiers, and --data holds {HELD[shown].data}", hint="leave it out")
