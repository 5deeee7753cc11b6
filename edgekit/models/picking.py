"""The tensors in what a network answers, wherever they lie: in a dict, a tuple, an object; and a network that answers some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgekit.errors import UnsupportedError

Path = tuple[Any, ...]  # keys of mappings, places in tuples, names of attributes
WRAP = "a function that wraps the model and returns its tensors alone"


@dataclass(frozen=True, eq=False)
class Answer:
    """One tensor, and the way to it."""

    path: Path
    tensor: torch.Tensor

    @property
    def name(self) -> str:
        """`out`, `features_0`; "" of the only tensor there is."""
        return "_".join(map(str, self.path))

    @property
    def shape(self) -> list[int]:
        return list(self.tensor.shape)

    def __str__(self) -> str:
        """`[1, 10]`, `out [1, 21, 28, 28]`"""
        return f"{self.name} {self.shape}".strip()

    @property
    def described(self) -> str:
        """`[1, 5, 15, 15], a map of 5 values for each of 15x15 places`"""
        return f"{self}{_like(self.shape)}"

    @property
    def instead(self) -> str:
        """What the user's function should do where the form is not what was meant."""
        if len(self.shape) == 4 and self.shape[2:] == [1, 1]:
            return "a function that wraps the model and adds .flatten(1)"
        if len(self.shape) <= 1:
            return (
                "a function that wraps the model and keeps the batch: .flatten(1) in place of .squeeze() or .flatten()"
            )
        return "a function that wraps the model and returns its scores alone"


def tensors(answer: Any, known: Sequence[str] = ()) -> tuple[Answer, ...]:
    """Those of a network's answer to one image, float32 [1, ...]. Raises UnsupportedError for anything else.

    known  names; where all of these are there, what lies beside them may have any form
    """
    found = tuple(_walk(answer, ()))
    if not found:
        raise UnsupportedError(f"the model answers {type(answer).__name__}, which is no tensor", hint=WRAP)
    counted = [each for each in found if each.name in known]
    for each in counted if counted and len(counted) == len(known) else found:
        _check(each)
    return found


class Pick(nn.Module):
    """Answers the tensors at `paths` of what `net` answers: one, or a tuple of them; the first of length 1 on request."""

    def __init__(self, net: nn.Module, paths: Sequence[Path], *, unit: bool) -> None:
        super().__init__()
        self.net, self.paths, self.unit = net, list(paths), unit

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        answer = self.net(x)
        picked = [_reach(answer, path) for path in self.paths]
        if self.unit:
            picked[0] = functional.normalize(picked[0], dim=-1)
        return picked[0] if len(picked) == 1 else tuple(picked)


def each(answer: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of a module that answers one, or a tuple of them."""
    return answer if isinstance(answer, tuple) else (answer,)


def joined(answer: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """All numbers of an answer, a row for each image: [n, numbers]."""
    return torch.cat([part.flatten(1) for part in each(answer)], 1)


def _walk(answer: Any, path: Path) -> list[Answer]:
    if isinstance(answer, torch.Tensor):
        return [Answer(path, answer)]
    if answer is None:  # what transformers' models leave out
        return []
    if isinstance(answer, Mapping):
        inside = list(answer.items())
    elif isinstance(answer, tuple | list):
        inside = list(enumerate(answer))
    elif hasattr(answer, "__dict__"):
        inside = list(vars(answer).items())
    else:
        what = f"{type(answer).__name__}{f' in {path[-1]!r}' if path else ''}"
        raise UnsupportedError(f"the model answers {what}, which is no tensor", hint=WRAP)
    return [found for key, value in inside for found in _walk(value, (*path, key))]


def _reach(answer: Any, path: Path) -> Any:
    for step in path:
        answer = answer[step] if isinstance(answer, Mapping | tuple | list) else getattr(answer, step)
    return answer


def _check(answer: Answer) -> None:
    kind, shape = str(answer.tensor.dtype).removeprefix("torch."), answer.shape
    if not shape or shape[0] != 1 or not all(shape):
        raise UnsupportedError(f"the model answers {answer.described}", hint=answer.instead)
    if not answer.tensor.is_floating_point():
        raise UnsupportedError(
            f"the model answers {kind} values {answer}, as an argmax does",
            hint="a function that wraps the model and returns the scores themselves",
        )
    if kind != "float32":
        raise UnsupportedError(
            f"the model answers {kind} scores {answer}, and files answer float32",
            hint="a function that wraps the model and adds .float()",
        )


def _like(shape: Sequence[int]) -> str:
    match len(shape):
        case 4 if shape[2:] == [1, 1]:
            return ", scores that were not flattened"
        case 4:
            return f", a map of {shape[1]} values for each of {shape[2]}x{shape[3]} places"
        case 3:
            return f", {shape[2]} values for each of {shape[1]} tokens or boxes"
        case 1:
            return ", a row without its batch"
        case 0:
            return ", one number"
    return f", {shape[0]} rows for one image" if shape[0] != 1 else ""
