"""From a name to a model that is ready to export: module, preprocessing, labels, and what its weights know."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edgekit import zoo
from edgekit.data.labels import FORM, read_names
from edgekit.errors import DataError, UnsupportedError, WeightsError, reason
from edgekit.manifest import TrainedOn, Weights
from edgekit.models import answers, weights
from edgekit.models.origins import Plan as Plan
from edgekit.models.origins import function, run, timm
from edgekit.models.origins import module as given
from edgekit.models.tracing import Trace, trace
from edgekit.models.trained import Pruned
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe
from edgekit.tasks import Task
from edgekit.tasks.classification import LOGITS

UNNAMED = "no names are known for the classes; --labels FILE names them"


@dataclass(frozen=True)
class LoadedModel:
    """
    module   float32, eval mode, takes normalised RGB [n, 3, h, w], answers scores [n, classes]
    trace    what it computes, seen on an empty picture
    task     what the answers of the exported file mean, once it is known from the answers to pictures
    outputs  names of the module's answers: it answers one tensor, or a tuple of them
    """

    name: str
    architecture: str
    family: str
    module: nn.Module
    preprocess: Preprocess
    labels: tuple[str, ...]
    weights: Weights
    trace: Trace
    pictures: Path | None = None
    notes: tuple[str, ...] = ()
    pruned: Pruned | None = None
    trained_on: TrainedOn | None = None
    task: Task = LOGITS
    outputs: tuple[str, ...] = ("scores",)

    @property
    def answer_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of what the module answers to one picture."""
        answer = self.trace.answer
        return tuple(tuple(a.shape) for a in (answer if isinstance(answer, tuple) else (answer,)))

    @property
    def has_names(self) -> bool:
        """Whether its classes have names of their own."""
        return self.labels[0] != "class 0"

    def knows(self, labels: tuple[str, ...]) -> bool:
        """Whether its classes are these, or as many without names."""
        return labels == self.labels or (not self.has_names and len(self.labels) == len(labels))


def plan(recipe: Recipe, module: nn.Module | None = None) -> Plan:
    """Decide on architecture, preprocessing and weights. Raises the errors that `load` would raise for a wrong request.

    module  takes the place of what recipe.model names, which is then merely a name
    """
    if recipe.labels:
        read_names(Path(recipe.labels))
    if module is not None:
        return given.plan(recipe, module)
    if zoo.is_run(recipe.model) or zoo.is_run(recipe.weights):
        return run.plan(recipe)
    if recipe.model.startswith("py:"):
        return function.plan(recipe)
    return timm.plan(recipe)


def load(recipe: Recipe, planned: Plan) -> LoadedModel:
    """Make the module and see what it does. Raises WeightsError, UnsupportedError, DataError (labels)."""
    torch.manual_seed(recipe.seed)
    made = planned.make()
    module = made.module.float().eval()
    _check_numbers(recipe.model, module)
    seen = _look(module, planned.preprocess)
    labels, said = _labels(recipe, made.labels, answers.classes(seen.answer))
    return LoadedModel(
        name=planned.name,
        architecture=planned.architecture,
        family=planned.family,
        module=module,
        preprocess=planned.preprocess,
        labels=labels,
        weights=Weights(
            source=planned.choice.source,
            why=planned.choice.why,
            knows=made.knows,
            sha256=weights.digest(module),
            licence=made.licence,
        ),
        trace=seen,
        pictures=planned.pictures,
        notes=tuple(filter(None, (*made.notes, said))),
        pruned=made.pruned,
        trained_on=made.trained_on,
    )


def _check_numbers(model: str, module: nn.Module) -> None:
    """Refuse a NaN or infinite parameter or running statistic. Other buffers, such as masks, may have them."""
    statistics = ((name, b) for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
    tensors = (*module.named_parameters(), *statistics)
    bad = next((name for name, tensor in tensors if not torch.isfinite(tensor).all()), None)
    if bad:
        raise WeightsError(
            f"the weights of {model} hold values that are not numbers (NaN or infinite): {bad}",
            hint="--weights FILE, saved before the training diverged",
        )


def _look(module: nn.Module, spec: Preprocess) -> Trace:
    """What the model does with an empty picture; nothing but its answer, where it runs and cannot be watched."""
    try:
        with suppress(Exception):
            return trace(module, spec.input_size)
        with torch.no_grad():
            return Trace((), module(torch.zeros(1, 3, *spec.input_size)), None)
    except Exception as error:  # whatever the model's code raises
        channels = re.search(r"to have (\d+) channels, but got 3 channels", str(error))
        if channels:
            raise UnsupportedError(
                f"edgekit feeds RGB pictures, 3 channels; the model takes {channels[1]}",
                hint=f"a function that wraps the model and makes {channels[1]} of the 3 channels, or trains it on RGB",
            ) from error
        size = "x".join(map(str, spec.input_size))
        raise UnsupportedError(
            f"the model does not take a {size} picture: {reason(error)}",
            hint="--input-size N or HxW, as the model was trained; --debug shows the whole traceback",
        ) from error


def _labels(recipe: Recipe, known: tuple[str, ...], classes: int) -> tuple[tuple[str, ...], str]:
    """The names of the classes, from the user's file or from where the weights are; and what to say of them."""
    if recipe.labels:
        found = read_names(Path(recipe.labels))
        if len(found.names) != classes:
            form = "the one name of what its score is the probability of" if classes == 1 else FORM
            raise DataError(
                f"{recipe.labels} has {len(found.names)} labels, {found.span}, the model {classes} class{'' if classes == 1 else 'es'}",
                hint=f"--labels FILE: {form}",
            )
        return found.names, found.said(Path(recipe.labels).name)
    if len(known) == classes:
        return known, ""
    unnamed = tuple(f"class {i}" for i in range(classes))
    return unnamed, UNNAMED
