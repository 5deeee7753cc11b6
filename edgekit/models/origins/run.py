"""A folder that `edgekit train` made: named as the model, or as the weights of the model that it trained."""

from functools import partial
from pathlib import Path

import torch

from edgekit import zoo
from edgekit.errors import RequestError, WeightsError
from edgekit.models import heads, trained
from edgekit.models.family import family
from edgekit.models.origins import Made, Plan, override
from edgekit.models.weights import Choice
from edgekit.recipe import Recipe


def plan(recipe: Recipe) -> Plan:
    """Raises RequestError for weights beside a run's own, WeightsError for a run of another model."""
    if zoo.is_run(recipe.model):
        if recipe.weights != "auto":
            raise RequestError(
                f"{recipe.model} is a run with weights of its own, so --weights {recipe.weights} means nothing",
                hint=f"--weights {recipe.weights} with the name of an architecture",
            )
        return _plan(Path(recipe.model), recipe)
    planned = _plan(Path(recipe.weights), recipe)
    asked = recipe.model if recipe.model.startswith("py:") else zoo.timm_name(recipe.model).partition(".")[0]
    if planned.architecture != asked:
        raise WeightsError(
            f"{recipe.weights} is a run of {planned.architecture}, not of {asked}",
            hint=f"edgekit export {recipe.weights}, or --weights of a run of {asked}",
        )
    return planned


def make(folder: Path, card: trained.Card, recipe: Recipe) -> Made:
    """The best epoch so far, of an embedding without its head. Raises WeightsError for weights that are not the card's."""
    module = trained.bare(card)
    trained.fill(module, folder, card)
    if recipe.asks == "embedding":
        heads.remove(module)
    unfinished = f"the run is not finished: this is its best epoch so far, {card.epoch}"
    return Made(
        module,
        card.trained_for,
        card.labels,
        () if card.finished else (unfinished,),
        card.licence,
        card.pruned,
        card.trained_on,
        None if card.task == "classification" else card.task,
        card.ignored,
    )


def _plan(folder: Path, recipe: Recipe) -> Plan:
    card = trained.read(folder)
    with torch.device("cpu" if card.architecture.startswith("py:") else "meta"):
        kind = family(trained.bare(card), card.preprocess.extent, card.preprocess.channels)
    return Plan(
        folder.absolute().name,
        card.architecture,
        kind,
        Choice("trained", "as asked", folder),
        override(card.preprocess, recipe),
        partial(make, folder, card, recipe),
        folder / trained.PICTURES,
        card.task,
    )
