"""A module that is there: given in Python, or made by a function."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from edgekit.data.labels import read_names
from edgekit.errors import RequestError
from edgekit.models import adapting, clips, detecting
from edgekit.models.baking import computed_copies
from edgekit.models.family import family
from edgekit.models.origins import UNTRAINED, Made, Plan, override
from edgekit.models.weights import Choice
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe

QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized", "torchao.")


def plan(recipe: Recipe, module: nn.Module) -> Plan:
    """Of the recipe its weights mean nothing, and its model is merely a name. Raises RequestError."""
    if recipe.weights not in ("auto", "random"):
        raise RequestError(
            f"weights {recipe.weights} means nothing for a module that is there",
            hint="leave it out, or weights='random' where they were never trained",
        )
    choice = own(recipe, "as given")
    return plan_own(recipe, module, choice, partial(make, module, choice))


def make(module: nn.Module, choice: Choice) -> Made:
    """A copy on the CPU: the module itself stays as it is."""
    return Made(copy.deepcopy(module, computed_copies(module)).cpu(), trained_for(choice))


def own(recipe: Recipe, why: str) -> Choice:
    """A module's own weights, which its author may say were never trained."""
    return Choice("random", f"{why}, never trained") if recipe.weights == "random" else Choice("code", why)


def trained_for(choice: Choice) -> str:
    return UNTRAINED if choice.source == "random" else "what its author trained it for"


def plan_own(recipe: Recipe, module: nn.Module, choice: Choice, make: Callable[[], Made]) -> Plan:
    """For a module of the user's own, of which only the recipe says what it wants to see. Raises RequestError."""
    check(recipe.model, module)
    spec = override(
        detecting.usual(module, recipe) or clips.usual(module) or Preprocess((224, 224), crop_pct=1.0), recipe
    )
    taken = detecting.take(module, spec.input_size, recipe)
    clips.check(recipe.model, taken.module, spec)
    kind = family(taken.module, spec.extent, spec.channels)
    task = taken.task or adapting.foreseen(taken.module, spec.extent, recipe, _labels(recipe), spec.channels)
    return Plan(recipe.model, recipe.model, kind, choice, spec, make, task=task)


def _labels(recipe: Recipe) -> tuple[str, ...]:
    return read_names(Path(recipe.labels)).names if recipe.labels else ()


def check(model: str, module: nn.Module) -> None:
    """Refuse a module that is no PyTorch network in floating point any more. Raises RequestError, which names the part."""
    for name, part in module.named_modules():
        where = f"{model}, in {name}," if name else model
        if isinstance(part, torch.jit.ScriptModule):
            raise RequestError(
                f"{where} is a TorchScript program, which cannot be traced again",
                hint="a function that returns the module that the program was made from",
            )
        tensors = (*part.parameters(recurse=False), *part.buffers(recurse=False))
        if type(part).__module__.startswith(QUANTIZED) or any(map(_is_quantized, tensors)):
            raise RequestError(
                f"{where} is quantized already ({type(part).__module__}.{type(part).__name__})",
                hint="a function that returns the float model; edgekit export --int8 quantizes it",
            )


def _is_quantized(tensor: torch.Tensor) -> bool:
    """By torch itself, or by a class of tensors as torchao has them."""
    kinds = {type(tensor), type(tensor.data)} if isinstance(tensor, nn.Parameter) else {type(tensor)}
    return tensor.is_quantized or any(kind.__module__.startswith("torchao.") for kind in kinds)
