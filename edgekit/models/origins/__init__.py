"""Where models come from, a file each: timm and smp (by name), run (of `edgekit train`), function (`py:`), module (given).

Each has `plan(...)`, which decides without loading anything, and `make(...)`, which the Plan holds and which does it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from torch import nn

from edgekit.errors import RequestError
from edgekit.manifest import TrainedOn
from edgekit.models.family import Family
from edgekit.models.trained import Pruned
from edgekit.models.weights import Choice
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe, TaskName
from edgekit.tasks.iou import UNLABELLED

UNTRAINED = "nothing: its weights are random"


@dataclass(frozen=True)
class Made:
    """A module with its weights, and what its origin knows of them.

    trained_for  what they were trained for, in words
    labels       of its classes, where they are known
    task         that it is made for, where its origin tells
    ignore       value of a mask's pixels that it was not trained on; None: it was on all
    notes        to be said to the user; empty ones are not
    """

    module: nn.Module
    trained_for: str
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    licence: str = ""
    pruned: Pruned | None = None
    trained_on: TrainedOn | None = None
    task: TaskName | None = None
    ignore: int | None = UNLABELLED


@dataclass(frozen=True)
class Plan:
    """What would be loaded, decided without loading it.

    name      as the manifest has it
    make      does it. Raises WeightsError
    pictures  that came with the weights: a contact sheet or a folder; what "default" calibration means for it
    task      where it is known already
    """

    name: str
    architecture: str
    kind: Family
    choice: Choice
    preprocess: Preprocess
    make: Callable[[], Made]
    pictures: Path | None = None
    task: TaskName | None = None

    @property
    def family(self) -> str:
        return self.kind.name


def override(spec: Preprocess, recipe: Recipe) -> Preprocess:
    """A model's own preprocessing with what the recipe says otherwise."""
    names = ("input_size", "crop_pct", "crop_mode", "mean", "std", "frames")
    asked = {k: getattr(recipe, k) for k in names if getattr(recipe, k) is not None}
    if recipe.frame_rate is not None:
        asked["rate"] = recipe.frame_rate
    if (asked.get("frames", spec.frames) > 1) != bool(asked.get("rate", spec.rate)):
        missing = "--frame-rate 15, how many of the frames are a second" if recipe.frames else "--frames 8 as well"
        raise RequestError(
            f"--frames {recipe.frames} says nothing of time" if recipe.frames else "--frame-rate is for clips",
            hint=missing,
        )
    if recipe.crop_mode == "letterbox":
        asked["crop_pct"] = 1.0
    channels = recipe.channels or spec.channels
    for name in ("mean", "std"):
        values = asked.get(name, getattr(spec, name))
        if len(values) != channels:  # grey: as timm has it for networks that were trained on three
            asked[name] = (round(sum(values) / len(values), 6),) * channels
    return msgspec.structs.replace(spec, **asked)
