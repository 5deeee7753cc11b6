"""An Exporter turns a loaded model into one file. Each module here is one target; exporters do not know each other."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgekit.calibration import Pictures
from edgekit.layouts import DetectorLayout, layout_of, names, scale_of
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe
from edgekit.tasks import Classification, Detection
from edgekit.tensors import Axes, Tensor

if TYPE_CHECKING:
    from edgekit.models import LoadedModel

Say = Callable[[str], None]  # a step of long work begins


def share_of(say: Say) -> Callable[[float], None]:
    """How much of the step that was said last is done, 0 to 1, for those who show it: `say.share`."""
    return getattr(say, "share", lambda done: None)


@dataclass(frozen=True)
class Exported:
    """What the exporter wrote.

    file                the file, inside the folder that was given
    outputs             as the task has them; layout: how the file has them, if otherwise
    oldest_interpreter  CPU class -> the oldest interpreter known to answer rightly
    versions            the packages that made it
    how_to_load         Markdown for the artifact's README
    """

    file: Path
    input: Tensor
    outputs: tuple[Tensor, ...]
    versions: dict[str, str]
    oldest_interpreter: dict[str, str]
    how_to_load: str = ""
    notes: tuple[str, ...] = ()
    layout: DetectorLayout | None = None


def output_names(model: "LoadedModel", recipe: Recipe) -> Sequence[str]:
    """Of a file whose format has names for them."""
    if isinstance(model.task, Classification):
        return [model.task.scores.replace("-", "_")]
    return names(recipe.layout) if recipe.layout else model.outputs


def answers(
    model: "LoadedModel", recipe: Recipe, file_names: Sequence[str], batch: int
) -> tuple[tuple[Tensor, ...], DetectorLayout | None]:
    """The outputs of a file that answers as the module does, float32, channels first, and how it has them, if otherwise.

    file_names  as the file has them
    """
    roles, named = model.task.roles, model.outputs if recipe.layout else file_names
    outputs = tuple(
        Tensor(name, (batch, *shape[1:]), "float32", _layout(role, len(shape)) if roles else "", role=role)
        for name, role, shape in zip(named, model.outputs, model.answer_shapes, strict=True)
    )
    if not recipe.layout:
        return outputs, None
    scale = scale_of(recipe.layout, recipe.target, model.preprocess.input_size)
    return outputs, layout_of(recipe.layout, outputs, file_names, scale)


def _layout(role: str, axes: int) -> Axes:
    return "NAC" if role in Detection.roles and axes == 3 else LAYOUTS.get(axes, "")


def assigned(outputs: Sequence[Tensor]) -> str:
    """What a listing assigns a list of the answers to: `scores,`"""
    names = [re.sub(r"\W", "_", tensor.role) or f"answer_{i}" for i, tensor in enumerate(outputs)]
    return f"{names[0]}," if len(names) == 1 else ", ".join(names)


def given_as(spec: Preprocess, *, last: bool) -> Axes:
    """The axes of what a file takes: channels last, or first."""
    if spec.is_clip:
        return "NTHWC" if last else "NCTHW"
    return "NHWC" if last else "NCHW"


LAYOUTS: dict[int, Axes] = {2: "NC", 3: "NTC", 4: "NCHW"}  # by the number of axes


class Exporter(Protocol):
    """A plugin's may have `int8: Scheme` too: what `--int8` takes, because edgekit's table (schemes.toml) has no row for it."""

    target: str
    schemes: frozenset[str]

    def export(self, model: "LoadedModel", recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported: ...
