"""`py:package.module:function`: a model that a function of the user's own makes."""

from functools import partial

from edgekit.errors import RequestError
from edgekit.models import checkpoints, functions, trained, weights
from edgekit.models.origins import Made, Plan, module
from edgekit.models.weights import Choice
from edgekit.recipe import Recipe


def plan(recipe: Recipe) -> Plan:
    """Calls the function once, to see what it makes. Raises RequestError, WeightsError."""
    choice = _choose(recipe)
    made = functions.make(recipe.model, empty=choice.source != "code")
    return module.plan_own(recipe, made, choice, partial(make, recipe.model, choice))


def make(model: str, choice: Choice) -> Made:
    """Calls the function again, after the seed is set. Raises WeightsError for a file that does not fit."""
    made = functions.make(model, empty=choice.source != "code")
    if choice.path is None:
        return Made(made, module.trained_for(choice))
    note = weights.load_into(made, checkpoints.read_state(choice.path), choice.path.name)
    return Made(made, module.trained_for(choice), notes=(note,), trained_on=trained.beside(choice.path))


def _choose(recipe: Recipe) -> Choice:
    if recipe.weights in ("auto", "random"):
        return module.own(recipe, "as the function made them")
    if recipe.weights in weights.SOURCES:
        raise RequestError(
            f"--weights {recipe.weights} means nothing for {recipe.model}",
            hint="--weights FILE; random, where the function's were never trained; or without it: as it makes them",
        )
    return weights.choose(recipe.weights, recipe.model, None, None)
