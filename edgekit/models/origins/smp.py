"""`smp:ARCHITECTURE/ENCODER`: segmenters of segmentation-models-pytorch, random or with weights of a file."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.data.labels import read_names
from edgekit.errors import RequestError, UnknownNameError, UnsupportedError, WeightsError, reason
from edgekit.extras import needs
from edgekit.models import checkpoints, matching, weights
from edgekit.models.family import family
from edgekit.models.origins import UNTRAINED, Made, Plan, override
from edgekit.models.weights import Choice
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe

with needs("smp"):
    import segmentation_models_pytorch as smp

EXAMPLE = "smp:Unet/tu-mobilenetv2_050"
HEAD = "segmentation_head.0.weight"
SIZE = (256, 256)


def plan(recipe: Recipe) -> Plan:
    """Raises RequestError, UnknownNameError, WeightsError."""
    architecture, encoder = _names(recipe.model)
    if recipe.weights in weights.SOURCES and recipe.weights != "random":
        raise WeightsError(
            f"no weights of {recipe.model} are known, whole: segmentation-models-pytorch has those of encoders",
            hint="--weights FILE, or --weights random: numbers that were never trained",
        )
    choice = weights.choose(recipe.weights, recipe.model, None, None)
    spec = override(_preprocess(encoder), recipe)
    with torch.device("meta"):
        kind = family(create(architecture, encoder, 2), spec.input_size)
    classes = None if choice.path else _classes(recipe)
    filled = partial(make, architecture, encoder, choice, classes)
    return Plan(recipe.model, recipe.model, kind, choice, spec, filled, task="segmentation")


def make(architecture: str, encoder: str, choice: Choice, classes: int | None) -> Made:
    """With as many classes as the file has. Raises WeightsError."""
    if choice.path is None:
        assert classes
        return Made(create(architecture, encoder, classes), UNTRAINED, task="segmentation")
    state = checkpoints.read_state(choice.path)
    with torch.device("meta"):
        own = matching.shapes(create(architecture, encoder, 2).state_dict())
    found = matching.find(state, own, choice.path.name, free=("segmentation_head.",)).state
    module = create(architecture, encoder, len(found[HEAD]))
    note = weights.load_into(module, state, choice.path.name)
    return Made(module, "what it was trained for", notes=(note,), task="segmentation")


def create(architecture: str, encoder: str, classes: int) -> nn.Module:
    """Raises UnsupportedError for an encoder that the architecture does not take."""
    try:
        made: nn.Module = smp.create_model(architecture, encoder, encoder_weights=None, classes=classes)
    except Exception as error:  # assertions, missing keys
        raise UnsupportedError(f"smp:{architecture}/{encoder} cannot be made: {reason(error)}", hint=EXAMPLE) from error
    return made.eval()


def _names(model: str) -> tuple[str, str]:
    architecture, _, encoder = model.removeprefix("smp:").partition("/")
    known: Mapping[str, Any] = smp.MODEL_ARCHITECTURES_MAPPING
    if not encoder:
        raise RequestError(f"{model} does not name an architecture and an encoder", hint=EXAMPLE)
    if architecture.lower() not in known:
        raise UnknownNameError("architecture of smp", architecture, [kind.__name__ for kind in known.values()])
    if not encoder.startswith("tu-") and encoder not in smp.encoders.get_encoder_names():
        raise UnknownNameError("encoder of smp", encoder, smp.encoders.get_encoder_names(), hint="tu-NAME of timm")
    return architecture, encoder


def _preprocess(encoder: str) -> Preprocess:
    """Of timm's encoders (tu-) what timm says; of smp's own, ImageNet's, as nearly all have it."""
    whole = Preprocess(SIZE, crop_pct=1.0, crop_mode="squash")
    try:
        said = smp.encoders.get_preprocessing_params(encoder) if encoder.startswith("tu-") else None
    except ValueError:  # it has no weights that were trained with any
        said = None
    return Preprocess(SIZE, 1.0, "squash", mean=tuple(said["mean"]), std=tuple(said["std"])) if said else whole


def _classes(recipe: Recipe) -> int:
    """As many as there are labels. Raises RequestError."""
    if not recipe.labels:
        raise RequestError(
            f"{recipe.model} has as many classes as there are labels, and there are none",
            hint="--labels FILE; one label: a mask of one kind, yes or no",
        )
    return len(read_names(Path(recipe.labels)).names)
