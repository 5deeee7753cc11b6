"""From a name to a model that is ready to export: module, preprocessing, labels, and what its weights know."""

import copy
import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edgekit import zoo
from edgekit.data.labels import FORM, read_names
from edgekit.errors import DataError, RequestError, UnknownNameError, UnsupportedError, WeightsError, reason
from edgekit.extras import needs
from edgekit.manifest import TrainedOn, Weights
from edgekit.models import answers, checkpoints, functions, hub, matching, networks, trained, weights
from edgekit.models.baking import computed_copies
from edgekit.models.checkpoints import State
from edgekit.models.family import Family, family
from edgekit.models.tracing import Trace, trace
from edgekit.models.weights import Choice
from edgekit.preprocess import FILTERS, Preprocess
from edgekit.recipe import Recipe
from edgekit.tasks import Task
from edgekit.tasks.classification import LOGITS

with needs("models"):
    import timm
    from timm.data import ImageNetInfo, infer_imagenet_subset


UNTRAINED = "nothing: its weights are random"


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
    pruned: trained.Pruned | None = None
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


class Card(msgspec.Struct, frozen=True):
    """What is known of a bundled checkpoint; more stands in its TOML file."""

    architecture: str
    data: str
    licence: str
    preprocess: Preprocess
    labels: tuple[str, ...]

    @property
    def knows(self) -> str:
        return f"{len(self.labels)} kinds of clothes ({self.data})"


@dataclass(frozen=True)
class Plan:
    """What would be loaded, decided without loading it.

    card      what is known of a bundled checkpoint, or of a run of `edgekit train`
    pictures  that came with the weights: a contact sheet or a folder; what "default" calibration means for it
    """

    architecture: str
    kind: Family
    choice: Choice
    preprocess: Preprocess
    card: Card | trained.Card | None = None
    pictures: Path | None = None

    @property
    def family(self) -> str:
        return self.kind.name


def plan(recipe: Recipe) -> Plan:
    """Decide on architecture, preprocessing and weights. Raises the errors that `load` would raise for a wrong request."""
    if recipe.labels:
        read_names(Path(recipe.labels))
    if zoo.is_run(recipe.model):
        if recipe.weights != "auto":
            raise RequestError(
                f"{recipe.model} is a run with weights of its own, so --weights {recipe.weights} means nothing",
                hint=f"--weights {recipe.weights} with the name of an architecture",
            )
        return _plan_run(Path(recipe.model), recipe)
    if zoo.is_run(recipe.weights):
        return _plan_weights_of_run(recipe)
    if recipe.model.startswith("py:"):
        path = None if recipe.weights in weights.SOURCES else Path(recipe.weights)
        if path is None and recipe.weights not in ("auto", "random"):
            raise RequestError(
                f"--weights {recipe.weights} means nothing for {recipe.model}",
                hint="--weights FILE; random, where the function's were never trained; or without it: as it makes them",
            )
        choice = (
            weights.choose(recipe.weights, recipe.model, None, None)
            if path
            else _own(recipe, "as the function made them")
        )
        return _plan_own(recipe, functions.make(recipe.model), choice)
    name = zoo.timm_name(recipe.model)
    config = _timm_config(name)
    architecture = name.partition(".")[0]
    own = _from_timm(config)
    if config.num_classes == 0 and recipe.weights in weights.SOURCES:
        raise UnsupportedError(
            f"{name} has no classes: it answers features",
            hint=f"--weights FILE of a {architecture} trained to classify",
        )
    if recipe.input_size:
        networks.check_size(architecture, recipe.input_size, own.input_size)
    card_file = zoo.BUNDLED / f"{recipe.model}.safetensors"
    bundled = card_file if card_file.is_file() else None
    choice = weights.choose(recipe.weights, architecture, config.hf_hub_id, bundled)
    card = read_card(card_file) if choice.source == "bundled" else None
    spec = card.preprocess if card else own
    with torch.device("meta"):
        kind = family(timm.create_model(architecture, num_classes=1), own.input_size)
    pictures = zoo.BUNDLED / "fashion-mnist.png" if card else None
    return Plan(name, kind, choice, _override(spec, recipe), card, pictures)


def plan_given(recipe: Recipe, module: nn.Module) -> Plan:
    """For a module that is there; of the recipe its weights mean nothing. Raises RequestError, DataError (labels)."""
    if recipe.weights not in ("auto", "random"):
        raise RequestError(
            f"weights {recipe.weights} means nothing for a module that is there",
            hint="leave it out, or weights='random' where they were never trained",
        )
    if recipe.labels:
        read_names(Path(recipe.labels))
    return _plan_own(recipe, module, _own(recipe, "as given"))


def _own(recipe: Recipe, why: str) -> Choice:
    """A module's own weights, which its author may say were never trained."""
    return Choice("random", f"{why}, never trained") if recipe.weights == "random" else Choice("code", why)


def _plan_own(recipe: Recipe, module: nn.Module, choice: Choice) -> Plan:
    functions.check_module(recipe.model, module)
    spec = _override(Preprocess((224, 224), crop_pct=1.0), recipe)
    return Plan(recipe.model, family(module, spec.input_size), choice, spec)


def _plan_run(folder: Path, recipe: Recipe) -> Plan:
    card = trained.read(folder)
    with torch.device("cpu" if card.architecture.startswith("py:") else "meta"):
        kind = family(trained.bare(card), card.preprocess.input_size)
    choice = Choice("trained", "as asked", folder)
    return Plan(card.architecture, kind, choice, _override(card.preprocess, recipe), card, folder / trained.PICTURES)


def _plan_weights_of_run(recipe: Recipe) -> Plan:
    """`MODEL --weights RUN`: the run, if it is one of that model. Raises WeightsError."""
    planned = _plan_run(Path(recipe.weights), recipe)
    asked = recipe.model if recipe.model.startswith("py:") else zoo.timm_name(recipe.model).partition(".")[0]
    if planned.architecture != asked:
        raise WeightsError(
            f"{recipe.weights} is a run of {planned.architecture}, not of {asked}",
            hint=f"edgekit export {recipe.weights}, or --weights of a run of {asked}",
        )
    return planned


def load(recipe: Recipe, planned: Plan, given: nn.Module | None = None) -> LoadedModel:
    """Make the module and fill it, or take a copy of the one given. Raises WeightsError, DataError (labels)."""
    torch.manual_seed(recipe.seed)
    choice, notes = planned.choice, []
    name, card = recipe.model, planned.card
    authors = UNTRAINED if choice.source == "random" else "what its author trained it for"
    if given is not None:
        module, knows = copy.deepcopy(given, computed_copies(given)).cpu(), authors
    elif isinstance(card, trained.Card) and choice.path:
        module, knows, name = trained.bare(card), card.knows, choice.path.absolute().name
        trained.fill(module, choice.path, card)
        if not card.finished:
            notes.append(f"the run is not finished: this is its best epoch so far, {card.epoch}")
    elif recipe.model.startswith("py:"):
        module = functions.make(recipe.model)
        if choice.path:
            notes += _fill(module, checkpoints.read_state(choice.path), choice.path)
        knows = authors
    else:
        module, knows = _timm_module(recipe, planned, notes)
    module = module.float().eval()
    bad = _not_numbers(module)
    if bad:
        raise WeightsError(
            f"the weights of {recipe.model} hold values that are not numbers (NaN or infinite): {bad}",
            hint="--weights FILE, saved before the training diverged",
        )
    seen = _look(module, planned.preprocess)
    labels = _labels(recipe, planned, answers.classes(seen.answer), knows, notes)
    if labels[0] == "class 0":
        notes.append("no names are known for the classes; --labels FILE names them")
    record = Weights(
        source=choice.source,
        why=choice.why,
        knows=knows,
        sha256=weights.digest(module),
        licence=card.licence if card else "",
    )
    return LoadedModel(
        name,
        planned.architecture,
        planned.family,
        module,
        planned.preprocess,
        labels,
        record,
        seen,
        planned.pictures,
        tuple(notes),
        card.pruned if isinstance(card, trained.Card) else None,
        _trained_on(choice, card),
    )


def _trained_on(choice: Choice, card: Card | trained.Card | None) -> TrainedOn | None:
    """What the weights have learned from, where edgekit knows it: of a run, also where only its file is named; bundled."""
    if isinstance(card, trained.Card):
        return card.trained_on
    if card:
        return msgspec.json.decode((zoo.BUNDLED / "fashion-mnist.json").read_bytes(), type=TrainedOn)
    beside = choice.path.parent if choice.path and choice.path.name == trained.WEIGHTS else None
    return trained.read(beside).trained_on if beside and zoo.is_run(str(beside)) else None


def read_card(checkpoint: Path) -> Card:
    return msgspec.convert(tomllib.loads(checkpoint.with_suffix(".toml").read_text("utf-8")), Card)


def _timm_config(name: str) -> Any:
    """What timm knows of a network and its pretrained tag."""
    try:
        config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # a network that timm has, with a tag that it has not
        config = None
    if config is None:
        bare = name.partition(".")[0]
        tags = timm.list_models(f"{bare}.*", pretrained=True) if timm.is_model(bare) else []
        known = tags or timm.list_models(pretrained=False) + timm.list_models(pretrained=True)
        raise UnknownNameError("timm model", name, known, hint="timm:resnet18, or edgekit list models")
    return config


def _timm_module(recipe: Recipe, planned: Plan, notes: list[str]) -> tuple[nn.Module, str]:
    """The module with its weights, and what they know; adds to the notes."""
    choice, name, size = planned.choice, planned.architecture, recipe.input_size
    config = _timm_config(name)
    bare = name.partition(".")[0]
    match choice.source:
        case "random":
            return networks.create(bare, size), UNTRAINED
        case "imagenet":
            path = choice.path or hub.download(str(config.hf_hub_id), choice.instead)
            _check_cached(path, choice.instead)
            model = networks.create(name, size, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
            return model, f"{config.num_classes:,} ImageNet classes"
        case "package":
            model = networks.create(bare, size)
            assert choice.path is not None
            state = weights.lite_to_timm(checkpoints.read_state(choice.path), model)
            weights.load_into(model, state, choice.path.name)
            return model, "1,000 ImageNet classes"
    assert choice.path is not None
    state = checkpoints.read_state(choice.path)
    model = networks.create(bare, size, **_classes_of(state, config.classifier, bare, size, choice.path.name))
    notes += _fill(model, state, choice.path)
    if planned.card:
        return model, planned.card.knows
    return model, "what it was trained for"


def _classes_of(state: State, classifier: Any, bare: str, size: networks.Size | None, origin: str) -> dict[str, int]:
    """The options of a network that has as many classes as the head in a checkpoint, or both its heads. Raises WeightsError."""
    heads = [classifier] if isinstance(classifier, str) else classifier or []
    if not heads:
        return {}
    with torch.device("meta"):
        own = matching.shapes(networks.create(bare, size, num_classes=1).state_dict())
    found = matching.find(state, own, origin, free=tuple(f"{head}." for head in heads)).state
    return {"num_classes": len(found[f"{heads[0]}.weight"])}


def _fill(module: nn.Module, state: State, path: Path) -> list[str]:
    """Load a file's weights; what should be said of them. Raises WeightsError."""
    note = weights.load_into(module, state, path.name)
    return [note] if note else []


def _check_cached(path: Path, instead: str) -> None:
    """A damaged file in the hub's cache is said in plain words; timm would say it in a traceback."""
    try:
        checkpoints.read_state(path)
    except WeightsError as error:
        error.hint = f"delete it and type the same again: it is fetched anew; or {instead}"
        raise


def _not_numbers(module: nn.Module) -> str | None:
    """The first parameter or running statistic with a NaN or infinite value. Other buffers, such as masks, may have them."""
    statistics = ((name, b) for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
    tensors = (*module.named_parameters(), *statistics)
    return next((name for name, tensor in tensors if not torch.isfinite(tensor).all()), None)


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


def _from_timm(config: Any) -> Preprocess:
    """timm's own configuration. `border` crops and random interpolation have no definition here: the usual ones serve."""
    return Preprocess(
        tuple(config.input_size[1:]),
        config.crop_pct,
        "squash" if config.crop_mode == "squash" else "center",
        config.interpolation if config.interpolation in FILTERS else "bicubic",
        config.mean,
        config.std,
    )


def _override(spec: Preprocess, recipe: Recipe) -> Preprocess:
    asked = {k: getattr(recipe, k) for k in ("input_size", "crop_pct", "mean", "std") if getattr(recipe, k) is not None}
    return msgspec.structs.replace(spec, **asked)


def _labels(recipe: Recipe, planned: Plan, classes: int, knows: str, notes: list[str]) -> tuple[str, ...]:
    if recipe.labels:
        found = read_names(Path(recipe.labels))
        if len(found.names) != classes:
            form = "the one name of what its score is the probability of" if classes == 1 else FORM
            raise DataError(
                f"{recipe.labels} has {len(found.names)} labels, {found.span}, the model {classes} class{'' if classes == 1 else 'es'}",
                hint=f"--labels FILE: {form}",
            )
        notes.append(found.said(Path(recipe.labels).name))
        return found.names
    if planned.card and len(planned.card.labels) == classes:
        return planned.card.labels
    subset = None if "ImageNet" not in knows else infer_imagenet_subset({"num_classes": classes})
    if subset:
        info = ImageNetInfo(subset)
        return tuple(info.index_to_description(i) for i in range(classes))
    return tuple(f"class {i}" for i in range(classes))
