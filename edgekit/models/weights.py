"""Where a model's numbers come from, in the order `auto` tries them, and how they are put into the model."""

import difflib
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.errors import MissingError, RequestError, UnknownNameError, WeightsError, reason
from edgekit.models import hub, matching
from edgekit.models.checkpoints import State
from edgekit.zoo import BUNDLED, PACKAGES, file_of
from edgekit_vision import install

SOURCES = ("auto", "imagenet", "package", "bundled", "random")
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
FILES = ("*.safetensors", "*.pth", "*.pt", "*.bin")


@dataclass(frozen=True)
class Choice:
    """One place to take weights from: its kind, the file where there is one, and why it was taken.

    instead  what else could be typed, where this source can still fail
    """

    source: str
    why: str
    path: Path | None = None
    instead: str = ""


def choose(weights: str, architecture: str, hub_id: str | None, bundled: Path | None) -> Choice:
    """Decide on a source, without loading it. Only `auto` looks further when one is not there.

    hub_id   the repository on the Hugging Face hub, where timm knows one
    bundled  the checkpoint shipped with edgekit for this model, where there is one
    Raises WeightsError when what was asked for is not there.
    """
    if weights == "random":
        return Choice("random", "as asked")
    if weights == "package":
        found = package_file(architecture)
        if found is None:
            names = ", ".join(sorted(PACKAGES))
            hint = install("weights") if architecture in PACKAGES else f"packages exist for {names}"
            raise WeightsError(f"no installed package carries weights for {architecture}", hint=hint)
        return Choice("package", "as asked", found)
    if weights == "bundled":
        if bundled is None:
            names = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.safetensors")))
            raise WeightsError("no checkpoint of this model is bundled with edgekit", hint=f"bundled: {names}")
        return Choice("bundled", "as asked", bundled)
    if weights not in SOURCES:
        path = Path(weights)
        if path.is_dir():
            if (path / "training.pt").is_file():
                raise WeightsError(f"{path} is a run without an epoch yet", hint="edgekit train ... --resume")
            inside = [file for pattern in FILES for file in sorted(path.glob(pattern))]
            hint = f"--weights {inside[0]}" if inside else "--weights FILE"
            raise RequestError(f"'{weights}' is a folder, not a file of weights", hint=hint)
        if not path.is_file():
            if difflib.get_close_matches(weights, SOURCES):
                raise UnknownNameError("weights", weights, SOURCES)
            raise MissingError(f"there is no weights file {weights}", hint=f"a file, or one of {', '.join(SOURCES)}")
        return Choice("file", "as asked", path)

    instead = _other(architecture, bundled)
    cached = hub.cached(hub_id)
    if cached is not None:
        return Choice("imagenet", "found in the hub's cache", cached, instead)
    trouble = hub.trouble(hub_id)
    if trouble is None:
        return Choice("imagenet", "the hub answers", None, instead)
    if weights == "imagenet":
        raise WeightsError(f"ImageNet weights of {architecture} cannot be had: {trouble}", hint=instead)
    package = package_file(architecture)
    if package is not None:
        return Choice("package", f"not in the hub's cache, {trouble}; an installed package carries them", package)
    if bundled is not None:
        return Choice("bundled", f"not in the hub's cache, {trouble}, no package carries them", bundled)
    place = file_of(architecture)
    raise WeightsError(
        f"no weights for {architecture}: not in the hub's cache, {trouble}, in no installed package, not bundled",
        hint=f"--weights FILE{place and f' ({place})'}, or --weights random: numbers that were never trained",
    )


def _other(architecture: str, bundled: Path | None) -> str:
    here = [n for n, there in (("package", package_file(architecture)), ("bundled", bundled)) if there]
    return " or ".join(f"--weights {name}" for name in [*here, "FILE", "random"])


def package_file(architecture: str) -> Path | None:
    """The checkpoint inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(PACKAGES[architecture]) if architecture in PACKAGES else None
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def lite_to_timm(source: Mapping[str, torch.Tensor], model: nn.Module) -> State:
    """Keys of `efficientnet-lite-pytorch` as timm's `tf_efficientnet_lite*`; blocks are numbered through the stages."""
    kinds = [
        (stage, index, type(block).__name__)
        for stage, blocks in enumerate(model.get_submodule("blocks").children())
        for index, block in enumerate(blocks.children())
    ]
    separable = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    inverted = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
        "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    renamed = {}
    for key, value in source.items():
        if key.startswith("_blocks."):
            _, number, head, tail = key.split(".", 3)
            stage, index, kind = kinds[int(number)]
            names = separable if kind == "DepthwiseSeparableConv" else inverted
            renamed[f"blocks.{stage}.{index}.{names[head]}.{tail}"] = value
        else:
            head, tail = key.split(".", 1)
            renamed[f"{outer[head]}.{tail}"] = value
    return renamed


def load_into(module: nn.Module, state: State, origin: str) -> str:
    """Put the module's own tensors of a checkpoint into it; what the user should be told, or "". Raises WeightsError."""
    own = module.state_dict()
    found = matching.find(state, matching.shapes(own), origin)
    fitting = {
        name: _as(value, own[name], f"{name} of {origin}")
        for name, value in found.state.items()
        if not name.endswith(matching.COUNTER)
    }
    try:
        module.load_state_dict(own | fitting)
    except Exception as error:  # what a module does with its extra state is its own matter
        raise WeightsError(f"{origin} does not fit the model: {reason(error)}", hint=matching.OTHER) from error
    return found.note


def _as(value: Any, own: Any, name: str) -> Any:
    """A tensor of the file in the type of the module's own. Raises WeightsError for one that is of another kind."""
    if not isinstance(own, torch.Tensor):
        return value
    strange = {
        "quantized": value.is_quantized,
        "sparse": value.layout != torch.strided,
        "without numbers (device meta)": value.is_meta,
    }
    kind = next((kind for kind, so in strange.items() if so), "")
    numbers = FLOATS if own.is_floating_point() else INTEGERS if own.dtype in INTEGERS else (own.dtype,)
    if not kind and value.dtype in numbers:
        return value.to(own.dtype)
    raise WeightsError(
        f"{name} is {kind or _word(value)}, the model's {_word(own)}",
        hint="the weights as they were trained, in float: model.float().state_dict()",
    )


def _word(tensor: torch.Tensor) -> str:
    """`int32`"""
    return str(tensor.dtype).removeprefix("torch.")


def digest(module: nn.Module) -> str:
    """sha256 over names, shapes and bytes of every parameter and buffer: the same weights, the same digest."""
    h = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        # what get_extra_state answers may be anything
        if isinstance(tensor, torch.Tensor) and not name.endswith(matching.COUNTER):
            h.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
            h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()
