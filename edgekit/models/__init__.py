"""From a name to a model that is ready to export: module, preprocessing, labels, and what its weights know."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from edgekit import zoo
from edgekit.data.labels import FORM, Names, read_names
from edgekit.errors import DataError, RequestError, UnsupportedError, WeightsError
from edgekit.manifest import TrainedOn, Weights
from edgekit.models import adapting, detecting, functions, picking, weights
from edgekit.models.adapting import Adapted
from edgekit.models.chance import seeded
from edgekit.models.origins import Plan as Plan
from edgekit.models.origins import function, run, timm
from edgekit.models.origins import module as given
from edgekit.models.tracing import Trace, look
from edgekit.models.trained import Pruned
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe
from edgekit.tasks import Segmentation, Task
from edgekit.tasks.classification import LOGITS

UNNAMED = "no names are known for the classes; --labels FILE names them"


@dataclass(frozen=True)
class LoadedModel:
    """
    module   float32, eval mode, takes normalised RGB [n, 3, h, w], or clips [n, 3, t, h, w], answers one tensor, or a tuple of them
    labels   of classes; () for a task without
    trace    what it computes, seen on an empty image
    task     what the answers of the exported file mean; a classifier's scores once it has answered images
    why      it was taken for one of this task
    outputs  names of the module's answers
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
    why: str = ""
    outputs: tuple[str, ...] = ("scores",)

    @property
    def answer_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of what the module answers to one image."""
        return tuple(tuple(a.shape) for a in picking.each(self.trace.answer))

    @property
    def has_names(self) -> bool:
        """Whether its classes have names of their own."""
        return self.labels[:1] != ("class 0",)

    def has_labels(self, labels: tuple[str, ...]) -> bool:
        """Whether its classes are these, or as many without names."""
        return labels == self.labels or (not self.has_names and len(self.labels) == len(labels))


def plan(recipe: Recipe, module: nn.Module | None = None) -> Plan:
    """Decide on architecture, preprocessing and weights. Raises the errors that `load` would raise for a wrong request.

    module  takes the place of what recipe.model names, which is then merely a name
    """
    with seeded(recipe.seed):  # a function of the user's draws weights
        return _plan(recipe, module)


def load(recipe: Recipe, planned: Plan) -> LoadedModel:
    """Make the module and see what it does. Raises WeightsError, UnsupportedError, DataError (labels)."""
    with seeded(recipe.seed):
        return _load(recipe, planned)


def _plan(recipe: Recipe, module: nn.Module | None) -> Plan:
    if recipe.labels:
        read_names(Path(recipe.labels))
    if recipe.channel_order and (module is not None or not zoo.is_of_timm(recipe.model, recipe.weights)):
        raise RequestError(
            f"--channel-order is of a YOLOX with a file of weights, and this is {recipe.model}",
            hint="drop it; a module that learned BGR: a function that wraps it and flips, net(x.flip(1))",
        )
    if module is not None:
        return given.plan(recipe, module)
    if recipe.model.startswith("py:"):
        recipe = msgspec.structs.replace(recipe, model=functions.by_module(recipe.model))
    if zoo.is_run(recipe.model) or zoo.is_run(recipe.weights):
        return run.plan(recipe)
    if recipe.model.startswith("py:"):
        return function.plan(recipe)
    if recipe.model.startswith("smp:"):
        from edgekit.models.origins import smp  # of an extra that the others do without

        return smp.plan(recipe)
    return timm.plan(recipe)


def _load(recipe: Recipe, planned: Plan) -> LoadedModel:
    made = planned.make()
    module = made.module.float().eval()
    _check_numbers(recipe.model, module)
    sha256 = weights.digest(module)
    size, channels = planned.preprocess.extent, planned.preprocess.channels
    names = read_names(Path(recipe.labels)) if recipe.labels else None
    taken = detecting.take(module, planned.preprocess.input_size, recipe)
    known = names.names if names else made.labels or taken.labels
    seen = look(taken.module, size, channels)
    adapted = adapting.adapt(taken.module, seen, size, recipe, known, made.task or taken.task, channels)
    labels = _labels(recipe, names, known or adapted.labels, adapted)
    unnamed = UNNAMED if labels[:1] == ("class 0",) else ""
    said = names.said(Path(str(recipe.labels)).name) if names else unnamed
    return LoadedModel(
        name=planned.name,
        architecture=planned.architecture,
        family=planned.family,
        module=adapted.module,
        preprocess=adapted.preprocess(planned.preprocess),
        labels=labels,
        weights=Weights(
            source=planned.choice.source,
            why=planned.choice.why,
            knows=made.trained_for,
            sha256=sha256,
            licence=made.licence,
        ),
        trace=adapted.trace,
        pictures=planned.pictures,
        notes=tuple(filter(None, (*made.notes, *taken.notes, said, *adapted.notes))),
        pruned=made.pruned,
        trained_on=made.trained_on,
        task=_ignoring(adapted.task, made.ignore),
        why=adapted.why,
        outputs=adapted.outputs,
    )


def _ignoring(task: Task, value: int | None) -> Task:
    """A segmentation says what its training masks left open."""
    return msgspec.structs.replace(task, ignore=value) if isinstance(task, Segmentation) else task


def _check_numbers(model: str, module: nn.Module) -> None:
    """Refuse a NaN or infinite parameter or running statistic. Other buffers, such as masks, may have them."""
    lazy = next((name for name, tensor in module.named_parameters() if is_lazy(tensor)), None)
    if lazy:
        raise UnsupportedError(
            f"{lazy} of {model} has no size yet: a lazy layer gets it from the first image",
            hint="net(torch.zeros(1, 3, 224, 224)) before the function returns net",
        )
    statistics = ((name, b) for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
    tensors = (*module.named_parameters(), *statistics)
    bad = next((name for name, tensor in tensors if not torch.isfinite(tensor).all()), None)
    if bad:
        raise WeightsError(
            f"the weights of {model} hold values that are not numbers (NaN or infinite): {bad}",
            hint="--weights FILE, saved before the training diverged",
        )


def _labels(recipe: Recipe, said: Names | None, known: tuple[str, ...], adapted: Adapted) -> tuple[str, ...]:
    """The names of the classes: of a map with one channel, of what is there and what is not. Raises DataError."""
    if not adapted.channels:
        return ()
    binary = adapted.channels == 1 and isinstance(adapted.task, Segmentation)
    if len(known) == adapted.channels:
        return ("background", *known) if binary else known
    if binary and len(known) in (0, 2):
        return known or ("background", "foreground")
    if said:
        form = "the one name of what its score is the probability of" if adapted.channels == 1 else FORM
        raise DataError(
            f"{recipe.labels} has {len(said.names)} labels, {said.span}, the model {adapted.channels} "
            f"class{'' if adapted.channels == 1 else 'es'}",
            hint=f"--labels FILE: {form}",
        )
    return tuple(f"class {i}" for i in range(adapted.channels))
