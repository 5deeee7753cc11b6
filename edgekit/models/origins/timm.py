"""timm's networks by name, with weights of the hub, of an installed package, bundled with edgekit, or of a file."""

import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edgekit import zoo
from edgekit.errors import RequestError, UnknownNameError, UnsupportedError, WeightsError
from edgekit.extras import needs
from edgekit.manifest import TrainedOn
from edgekit.models import checkpoints, detecting, heads, hub, matching, networks, trained, weights
from edgekit.models.checkpoints import State
from edgekit.models.family import family
from edgekit.models.matching import Shapes
from edgekit.models.origins import UNTRAINED, Made, Plan, override
from edgekit.models.weights import Choice
from edgekit.preprocess import FILTERS, Preprocess
from edgekit.recipe import Recipe, TaskName

with needs("models"):
    import timm
    from timm.data import ImageNetInfo, infer_imagenet_subset


class BundledCard(msgspec.Struct, frozen=True):
    """What is known of a bundled checkpoint; more stands in its TOML file."""

    architecture: str
    data: str
    licence: str
    preprocess: Preprocess
    labels: tuple[str, ...]

    @property
    def trained_for(self) -> str:
        return f"{len(set(self.labels) - {'background'})} kinds of clothes ({self.data})"


def plan(recipe: Recipe) -> Plan:
    """Raises UnknownNameError, UnsupportedError for no classes to score or a size that it does not take, WeightsError."""
    name = zoo.timm_name(recipe.model)
    config = _config(name)
    architecture = name.partition(".")[0]
    spec = _preprocess(config)
    if config.num_classes == 0 and recipe.asks == "classification" and recipe.weights in weights.SOURCES:
        raise UnsupportedError(
            f"{name} has no classes: it answers features",
            hint=f"--task embedding, or --weights FILE of a {architecture} trained to classify",
        )
    if recipe.frames:
        raise RequestError(f"{recipe.model} takes images, not clips", hint="leave out --frames and --frame-rate")
    spec = msgspec.structs.replace(spec, input_size=_usual(architecture) or spec.input_size)
    if recipe.input_size:
        networks.check_size(architecture, recipe.input_size, spec.input_size)
    bundled = zoo.BUNDLED / f"{recipe.model}.safetensors"
    choice = weights.choose(recipe.weights, architecture, config.hf_hub_id, bundled if bundled.is_file() else None)
    with torch.device("meta"):
        network = networks.create(architecture, _usual(architecture), num_classes=1)
        if getattr(network, "task", None) == "detection":
            detecting.check_asked(recipe, name)
        if recipe.channel_order and not (choice.source == "file" and isinstance(network, networks.yolox.YoloX)):
            raise RequestError(
                f"--channel-order is of a YOLOX with a file of weights, and this is {recipe.model} with {choice.source} ones",
                hint="drop it, or --weights FILE",
            )
        kind = family(network, spec.input_size, networks.channels(network))
    pictures = None
    if choice.source == "bundled":
        own = bundled.with_suffix(".webp")
        spec, pictures = read_card(bundled).preprocess, own if own.is_file() else zoo.BUNDLED / "fashion-mnist.png"
    task: TaskName | None = getattr(network, "task", None)  # of edgekit's own
    if task is None and (config.num_classes or recipe.weights in weights.SOURCES):  # a file of features may have a head
        task = "classification" if config.num_classes else "embedding"
    return Plan(recipe.model, name, kind, choice, override(spec, recipe), partial(make, recipe, choice), pictures, task)


def make(recipe: Recipe, choice: Choice) -> Made:
    """An embedding comes without the head that scores classes. Raises WeightsError."""
    made = _filled(recipe, choice)
    made = replace(made, task=getattr(made.module, "task", None))  # of edgekit's own
    if recipe.asks != "embedding":
        return made
    if made.module.num_classes:  # else it has none
        heads.remove(made.module)
    return replace(made, trained_for=f"features, from {made.trained_for}", labels=())


def _filled(recipe: Recipe, choice: Choice) -> Made:
    name = zoo.timm_name(recipe.model)
    config, bare = _config(name), name.partition(".")[0]
    size = recipe.input_size or _usual(bare)
    smaller = (
        "images of 224x224; its own 518x518 cost ten times as much: --input-size 518"
        if not recipe.input_size and size
        else ""
    )
    match choice.source:
        case "random":
            none = {"num_classes": 0} if config.num_classes == 0 else {}  # also where only the tag has none
            return Made(networks.create(bare, size, **none), UNTRAINED, notes=(smaller,))
        case "imagenet":
            path = choice.path or hub.download(str(config.hf_hub_id), choice.instead)
            _check_cached(path, choice.instead)
            model = networks.create(name, size, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
            known = f"{config.num_classes:,} ImageNet classes" if config.num_classes else "images without classes"
            return Made(model, known, _imagenet(config.num_classes), (smaller,))
        case "package":
            model = networks.create(bare, size)
            assert choice.path is not None
            state = weights.lite_to_timm(checkpoints.read_state(choice.path), model)
            weights.load_into(model, state, choice.path.name)
            return Made(model, "1,000 ImageNet classes", _imagenet(1000))
    assert choice.path is not None
    with torch.device("meta"):
        empty = networks.create(bare, size, num_classes=1)
    stored, rounded = _read(choice.path, empty, tuple(config.input_size[1:]))
    heads_of_training = getattr(empty, "heads_of_training", ())
    stored = {
        key: value for key, value in stored.items() if not any(f".{head}." in f".{key}" for head in heads_of_training)
    }
    state, moved = networks.with_positions(stored, empty)
    optional = config.num_classes == 0 or recipe.asks == "embedding"
    shapes, background = matching.shapes(empty.state_dict()), getattr(empty, "background", 0)
    classes = _classes_of(state, config.classifier, shapes, choice.path.name, optional, background)
    model = networks.create(bare, size, **classes)
    notes = (smaller, moved, rounded, weights.load_into(model, state, choice.path.name))
    own = trained.beside(choice.path)
    if choice.source == "bundled":
        card = read_card(choice.path)
        return Made(model, card.trained_for, card.labels, notes, card.licence, trained_on=_fashion())
    taken = detecting.Taken(model) if own else _published(model, recipe)
    return Made(model, "what it was trained for", taken.labels, (*notes, *taken.notes), trained_on=own)


def _read(path: Path, empty: nn.Module, size: networks.Size) -> tuple[State, str]:
    """What a file holds, and what is to be said of it, or "". Raises WeightsError."""
    match path.suffix:  # those of files for devices need an extra that the others do without
        case ".onnx":
            from edgekit.models import onnx_weights

            return onnx_weights.read_state(path, empty, size), ""
        case ".tflite":
            from edgekit.models import tflite_weights

            return tflite_weights.read_state(path, empty, size)
    return checkpoints.read_state(path), ""


def _published(model: nn.Module, recipe: Recipe) -> detecting.Taken:
    """A detector with weights that others trained, and what is known of these."""
    if isinstance(model, networks.yolox.YoloX):
        known = detecting.named_as_coco(model, model.num_classes)
        return detecting.Taken(model, known.labels, (_order(model, recipe), *known.notes))
    if isinstance(model, networks.anchored.SsdLite):
        return detecting.named_as_coco(model, model.num_classes)
    return detecting.Taken(model)


def _order(model: networks.yolox.YoloX, recipe: Recipe) -> str:
    """Let weights of a file see RGB, whatever they learned; says what that was."""
    order = recipe.channel_order or networks.yolox.learned(zoo.timm_name(recipe.model))
    other = "rgb" if order == "bgr" else "bgr"
    why = "as asked" if recipe.channel_order else f"--channel-order {other} if they learned {other.upper()}"
    if order == "rgb":
        return f"the weights learned RGB ({why})"
    networks.yolox.take_rgb(model)
    return f"the weights learned BGR, as the published ones ({why}): the first convolution's channels changed places"


def read_card(checkpoint: Path) -> BundledCard:
    return msgspec.convert(tomllib.loads(checkpoint.with_suffix(".toml").read_text("utf-8")), BundledCard)


def _fashion() -> TrainedOn:
    """What the bundled checkpoints have learned from."""
    return msgspec.json.decode((zoo.BUNDLED / "fashion-mnist.json").read_bytes(), type=TrainedOn)


def _config(name: str) -> Any:
    """What timm knows of a network and its pretrained tag. Raises UnknownNameError."""
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


def _usual(architecture: str) -> networks.Size | None:
    """The size that a network is used at, where that is not its own: DINOv2's 518 x 518 costs ten times as much."""
    return (224, 224) if "dinov2" in architecture else None


def _preprocess(config: Any) -> Preprocess:
    """timm's own configuration. `border` crops and random interpolation have no definition here: the usual ones serve."""
    return Preprocess(
        tuple(config.input_size[1:]),
        config.crop_pct,
        config.crop_mode if config.crop_mode in ("squash", "letterbox") else "center",
        config.interpolation if config.interpolation in FILTERS else "bicubic",
        config.mean,
        config.std,
        detecting.PAD if config.crop_mode == "letterbox" else 0,
    )


def _classes_of(
    state: State, classifier: Any, own: Shapes, origin: str, optional: bool, background: int = 0
) -> dict[str, int]:
    """The options of a network that has as many classes as the head in a checkpoint, or both its heads. Raises WeightsError.

    own         names and shapes of the network with one class
    optional    a file without a head is one of features
    background  1 where its last layers score that too
    """
    names = [classifier] if isinstance(classifier, str) else classifier or []
    if not names:
        return {}
    first = f"{names[0]}.weight"
    if optional and not any(f".{name}".endswith(f".{first}") for name in state):
        return {"num_classes": 0}
    found = matching.find(state, own, origin, free=tuple(f"{name}." for name in names)).state
    rows = own[first]
    assert rows
    return {"num_classes": len(found[first]) * (1 + background) // rows[0] - background}


def _check_cached(path: Path, instead: str) -> None:
    """A damaged file in the hub's cache is said in plain words; timm would say it in a traceback."""
    try:
        checkpoints.read_state(path)
    except WeightsError as error:
        error.hint = f"delete it and type the same again: it is fetched anew; or {instead}"
        raise


def _imagenet(classes: int) -> tuple[str, ...]:
    """The names of ImageNet's classes, in words; () for another number of classes."""
    subset = infer_imagenet_subset({"num_classes": classes})
    if not subset:
        return ()
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(i) for i in range(classes))
