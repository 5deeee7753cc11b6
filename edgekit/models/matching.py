"""Which tensors of a checkpoint are a module's: told by their names and shapes, whatever they are wrapped in.

A checkpoint is flat here (`checkpoints.read_state`): a tensor in {"state_dict": {"model.conv.weight": ...}} is called
`state_dict.model.conv.weight`, so that the nests and prefixes of training wrappers are one thing, a prefix. Sought is
the one under which all of the module's own names lie.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from edgekit.errors import WeightsError
from edgekit.models.checkpoints import State, printable

DEEP = 12  # dots in the longest prefix
MANY = 64  # prefixes that are looked at, the likeliest first
HEADS = 4  # a weight and a bias of two heads
COUNTER = "num_batches_tracked"  # of BatchNorm: no matter in use
# put into names by DataParallel, torch.compile, FSDP and activation checkpointing, wherever these were applied
WRAPPED = re.compile(r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
AVERAGED = re.compile(r"(?<![a-z])ema(?![a-z])|averaged|(?<![a-z])swa(?![a-z])")
OTHER = "the model's name, and --input-size of a transformer, must be those that were trained"
Shapes = Mapping[str, torch.Size | None]  # None: no tensor, but what get_extra_state answers


@dataclass(frozen=True)
class Found:
    """state: the module's own tensors, under its own names. note: what a user should be told of the choice, or ""."""

    state: State
    note: str = ""


@dataclass(frozen=True)
class _Place:
    """A prefix, and what is there.

    stored  own name -> name in the file, as far as it is there
    wrong   own names that are missing or have another shape
    under   every name below the prefix
    """

    prefix: str
    stored: dict[str, str]
    wrong: list[str]
    under: frozenset[str]

    @property
    def averaged(self) -> bool:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.prefix).lower()
        return AVERAGED.search(words) is not None

    def __str__(self) -> str:
        return f"'{self.prefix.removesuffix('.')}'" if self.prefix else "the top level"


def shapes(state: Mapping[str, object]) -> dict[str, torch.Size | None]:
    return {name: value.shape if isinstance(value, torch.Tensor) else None for name, value in state.items()}


def find(state: State, own: Shapes, origin: str, *, free: tuple[str, ...] = ()) -> Found:
    """The tensors of a module with these names and shapes. An average of weights (EMA) is preferred.

    free  beginnings of names whose shapes need not fit: a head for other classes
    Raises WeightsError where they are not all there, are more, or lie in several places with other numbers.
    """
    tried: list[_Place] = []
    for clean in (str, _unwrapped):
        for shared in _shared(map(clean, own)):  # of a module in a wrapper, the file may hold what is inside
            names = {name: clean(name).removeprefix(shared) for name in own}
            found = _places({clean(name): name for name in state}, names, state, own, free)
            if whole := [place for place in found if not place.wrong]:
                return _choose(whole, state, origin)
            tried += found
    raise _misfit(min(tried, key=lambda place: len(place.wrong), default=None), state, own, origin)


def _unwrapped(name: str) -> str:
    return WRAPPED.sub("", name)


def _shared(names: Iterable[str]) -> list[str]:
    """What all names begin with, in steps: "", "model.", "model.net."."""
    found = [""]
    for level in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(level)) > 1:
            break
        found.append(f"{found[-1]}{level[0]}.")
    return found


def _places(
    held: Mapping[str, str], names: Mapping[str, str], state: State, own: Shapes, free: tuple[str, ...]
) -> list[_Place]:
    """Where some of the names lie. held: name -> as stored; names: own name -> as it is looked for."""
    ends: dict[str, list[str]] = {}
    for name in held:
        parts = name.split(".", DEEP)
        for i in range(len(parts)):
            ends.setdefault(".".join(parts[i:]), []).append("".join(f"{part}." for part in parts[:i]))
    there, prefixes = shapes(state), Counter(prefix for name in names.values() for prefix in ends.get(name, ()))
    found = []
    for prefix, _ in prefixes.most_common(MANY):
        stored = {name: held[prefix + inner] for name, inner in names.items() if prefix + inner in held}
        wrong = [
            name
            for name in own
            if not name.endswith(COUNTER)
            and not (name in stored and (there[stored[name]] == own[name] or name.startswith(free)))
        ]
        under = frozenset(held[name] for name in held if name.startswith(prefix) and not name.endswith(COUNTER))
        found.append(_Place(prefix, stored, wrong, under))
    return found


def _choose(whole: list[_Place], state: State, origin: str) -> Found:
    """Of places that hold everything: those that hold nothing else, then averages, then what differs."""
    used = frozenset(name for place in whole for name in place.stored.values())
    exact = [place for place in whole if place.under <= used]
    if not exact:
        more = sorted(whole[0].under - used)
        raise WeightsError(
            f"{origin} does not fit the model: {_list([f'{name} is not in the model' for name in more])}", hint=OTHER
        )
    taken = [place for place in exact if place.averaged] or exact
    other = [place for place in taken[1:] if not _same(place, taken[0], state)]
    if other:
        raise WeightsError(
            f"{origin} holds such a model more than once, with other numbers: {_list([str(p) for p in taken])}",
            hint=f"save one of them alone, such as {printable(str(taken[0]))}: safetensors.torch.save_file(its state dict, ...)",
        )
    rest = [place for place in exact if place not in taken]
    note = f"the averaged weights of the file were taken, {taken[0]}, not {_list(list(map(str, rest)))}" if rest else ""
    return Found({name: state[stored] for name, stored in taken[0].stored.items()}, note)


def _same(a: _Place, b: _Place, state: State) -> bool:
    pairs = ((state[a.stored[name]], state[b.stored[name]]) for name in a.stored if name in b.stored)
    try:
        return all(x is y or torch.equal(x, y) for x, y in pairs)
    except (RuntimeError, TypeError):  # of tensors that are refused later, such as sparse ones
        return False


def _misfit(best: _Place | None, state: State, own: Shapes, origin: str) -> WeightsError:
    """Where most of the model lies, and what is wrong there."""
    if best is None:
        return WeightsError(
            f"{origin} does not fit the model: none of the model's {len(own)} tensors ({_list(list(own), 2)}) is in it, "
            f"but {_list(list(state), 2)}",
            hint=OTHER,
        )
    there = shapes(state)
    other = {name: (there[best.stored[name]], own[name]) for name in best.wrong if name in best.stored}
    wrong = [f"{name}: the file has {_size(a)}, the model {_size(b)}" for name, (a, b) in other.items()]
    wrong += [f"{name} is not in the file" for name in best.wrong if name not in other]
    wrong += [f"{name} is not in the model" for name in sorted(best.under - frozenset(best.stored.values()))]
    heads = {a[0] for a, b in other.values() if a and b and a[1:] == b[1:]}
    hint = OTHER
    if len(heads) == 1 and len(wrong) == len(other) <= HEADS:
        hint = f"a model of {heads.pop()} classes, as the file has them"
    if any(isinstance(value, torch.Tensor) and value.is_quantized for value in state.values()):
        hint = "the file of a quantized model: take the weights as they were trained, in float"
    lies = f" under {printable(str(best))}" if best.prefix else ""
    return WeightsError(f"{origin}{lies} does not fit the model: {_list(wrong)}", hint=hint)


def _size(shape: torch.Size | None) -> str:
    return "no tensor" if shape is None else str(list(shape))


def _list(what: list[str], count: int = 3) -> str:
    more = len(what) - count
    return "; ".join(map(printable, what[:count])) + (f"; and {more} more" if more > 0 else "")
