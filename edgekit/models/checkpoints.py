"""Reading a file of weights without running any code that is in it."""

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from edgekit.errors import WeightsError, reason

State = dict[str, torch.Tensor]

# Where training scripts put the state dict; an EMA's is preferred.
NESTED = (
    "state_dict_ema", "model_ema", "ema", "params_ema",
    "state_dict", "model_state_dict", "model", "module", "net", "network", "params",
)  # fmt: skip
PREFIXES = ("model.", "net.")
# Names of these modules are what tensors themselves are pickled with.
TENSORS = ("torch", "torch._utils", "torch.storage", "collections")
AGAIN = "copy it again, or save it again"
STATE_ALONE = "save the state dict alone: safetensors.torch.save_file(model.state_dict(), ...)"


def read_state(path: Path) -> State:
    """Read a checkpoint: safetensors, or a state dict that torch reads without running code.

    Training wrappers are understood: dictionaries that hold the state dict (see NESTED), the prefixes `module.`,
    `_orig_mod.` and `model.`, and the counter of an averaged model. Raises WeightsError.
    """
    from timm.models import clean_state_dict

    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", hint="--weights FILE") from None
    if not head:
        raise WeightsError(f"{path}: not a checkpoint, the file is empty", hint=AGAIN)
    state = _safetensors(path) if head[8:] == b"{" else _torch_file(path)
    for key in NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not _is_state(state):
        raise WeightsError(f"{path}: no state dict in it, but {_contents(state)}", hint=STATE_ALONE)
    state = clean_state_dict(dict(state))
    state.pop("n_averaged", None)  # torch.optim.swa_utils.AveragedModel counts in its state dict
    for prefix in PREFIXES:
        if all(k.startswith(prefix) for k in state):
            state = {k.removeprefix(prefix): v for k, v in state.items()}
    return dict(state)


def _is_state(found: Any) -> bool:
    return (
        isinstance(found, Mapping)
        and len(found) > 0
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in found.items())
    )


def _contents(found: Any) -> str:
    """`a dictionary of epoch, optimizer`"""
    if not isinstance(found, Mapping):
        return f"one {type(found).__name__}"
    names = [str(k) for k in found]
    return f"a dictionary of {', '.join(names[:5])}{', ...' * (len(names) > 5)}" if names else "an empty dictionary"


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # safetensors' own kind, and torch's
        cut = re.search("not fully covered|invalid header length", str(error))
        why = "the file is cut short" if cut else reason(error)
        raise WeightsError(f"{path}: not a whole checkpoint, {why}", hint=AGAIN) from None


def _torch_file(path: Path) -> Any:
    try:
        # an open file: of a path, torch would look at the name
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # of pickle protocols and TorchScript, which are said below
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has its own kinds of damage
        raise _refusal(path, error) from None


def _refusal(path: Path, error: Exception) -> WeightsError:
    """Why torch did not read a file, in plain words. Nothing in the file is run."""
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"PK\3\4":
        if not zipfile.is_zipfile(path):
            return WeightsError(f"{path}: not a whole checkpoint, the file is cut short", hint=AGAIN)
        members = {Path(name).name for name in zipfile.ZipFile(path).namelist()}
        if "constants.pkl" in members:
            return WeightsError(f"{path} is a TorchScript program, not a state dict", hint=STATE_ALONE)
        if "data.pkl" not in members:
            return WeightsError(f"{path}: not a checkpoint, but another zip archive", hint="--weights FILE")
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    names = [named[1]] if named else [n for n in _imports(path) if n.rpartition(".")[0] not in TENSORS]
    if names:
        return WeightsError(f"{path}: this pickle wants to run code ({names[0]}) and was not opened", hint=STATE_ALONE)
    if head[:1] != b"\x80" and head != b"PK\3\4":  # neither a pickle nor what torch.save writes
        return WeightsError(f"{path}: not a checkpoint", hint="a safetensors file, or a state dict by torch.save")
    if isinstance(error, EOFError) or "unexpected EOF" in str(error):
        return WeightsError(f"{path}: not a whole checkpoint, the file is cut short", hint=AGAIN)
    if isinstance(error, pickle.UnpicklingError):  # names nothing foreign: a protocol that torch does not read safely
        return WeightsError(f"{path}: a pickle of a kind that cannot be read without running it", hint=STATE_ALONE)
    return WeightsError(f"{path}: not a whole checkpoint, {reason(error)}", hint=AGAIN)


def _imports(path: Path) -> list[str]:
    """The names that the pickles in a file would import. Reads opcodes; never unpickles."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            data = next(name for name in archive.namelist() if Path(name).name == "data.pkl")
            with archive.open(data) as file:
                return list(_globals(file))
    with path.open("rb") as file:
        return list(_globals(file))


def _globals(file: IO[bytes]) -> Iterator[str]:
    """`posix.system`, for every name in the pickles that follow one another in a file, up to what is no pickle."""
    while True:
        texts: list[str] = []
        memo: dict[int, str] = {}
        try:
            code: pickletools.OpcodeInfo
            value: Any
            for code, value, _ in pickletools.genops(file):
                if code.name in ("GLOBAL", "INST"):
                    yield value.replace(" ", ".")
                elif code.name == "STACK_GLOBAL":  # from protocol 4: its module and its name are the last two texts
                    yield ".".join(texts[-2:])
                elif code.name == "MEMOIZE":
                    memo[len(memo)] = texts[-1] if texts else ""
                elif code.name.endswith("PUT"):
                    memo[value] = texts[-1] if texts else ""
                elif code.name.endswith("GET"):
                    texts.append(memo.get(value, ""))
                elif isinstance(value, str):
                    texts.append(value)
        except Exception:  # the end, or what is no pickle: pickletools raises many kinds
            return
