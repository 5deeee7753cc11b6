"""`export`: a model, or a network in hand, becomes a file for a device."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from edgekit import data, publishing, registry, zoo
from edgekit import recipe as recipes
from edgekit.errors import RequestError, as_path
from edgekit.extras import needs
from edgekit.recipe import CropMode, InputType, Kind, LayoutName, Quantize, Recipe, Scheme, TaskName
from edgekit.verbs.artifacts import Artifact, whole
from edgekit.verbs.asked import Place, Say, plain, silent, verb

if TYPE_CHECKING:
    from torch import nn


class Wishes(TypedDict, total=False):
    """Fields of a Recipe, and of its `quantize`."""

    weights: Place
    calibration: Place
    golden: Literal["public", "own"]
    samples: int
    seed: int
    input: InputType
    fold: bool
    softmax: bool
    scores: Literal["auto"] | Kind
    multi_label: bool
    threshold: float
    task: Literal["auto"] | TaskName
    tokens: bool
    l2: bool
    input_size: int | tuple[int, int]
    crop_pct: float
    crop_mode: CropMode
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    channel_order: Literal["rgb", "bgr"]
    channels: Literal[1, 3]
    labels: Place
    frames: int
    frame_rate: float
    layout: LayoutName
    dynamic_batch: bool
    ort: bool
    opset: int
    quantize: Quantize
    ranges: Literal["mse", "minmax"]
    equalize: bool
    rounding: Literal["corrected", "nearest"]
    int8_for: Literal["any", "vnni"]
    granularity: Literal["channel", "tensor"]
    keep_float: tuple[str, ...]


@overload
def export(  # type: ignore[overload-overlap]  # "all" is a text, and the one that gives several
    model: "str | os.PathLike[str] | nn.Module | Recipe",
    out: None = None,
    *,
    target: Literal["all"] | list[str] | tuple[str, ...],
    int8: bool = ...,
    fp16: bool = ...,
    scheme: Scheme | Literal["int8"] | None = ...,
    module: "nn.Module | None" = ...,
    say: Say | None = ...,
    **wishes: Unpack[Wishes],
) -> list[Artifact]: ...
@overload
def export(
    model: "str | os.PathLike[str] | nn.Module | Recipe",
    out: Place | None = None,
    *,
    target: str | None = ...,
    int8: bool = ...,
    fp16: bool = ...,
    scheme: Scheme | Literal["int8"] | None = ...,
    module: "nn.Module | None" = ...,
    say: Say | None = ...,
    **wishes: Unpack[Wishes],
) -> Artifact: ...
@verb
def export(
    model: "str | os.PathLike[str] | nn.Module | Recipe",
    out: Place | None = None,
    *,
    target: str | list[str] | tuple[str, ...] | None = None,
    int8: bool = False,
    fp16: bool = False,
    scheme: Scheme | Literal["int8"] | None = None,
    module: "nn.Module | None" = None,
    say: Say | None = None,
    **wishes: Unpack[Wishes],
) -> Artifact | list[Artifact]:
    """Make a file of a model for a target, prove in its runtime that it answers alike, and put it in place in one step.

    model   a name (`edgekit list models`, timm:NAME, smp:NET/ENCODER, py:package.module:function), a folder of
            `edgekit.train`, a recipe file (.toml), a Recipe, or a network of your own that takes float32 [n, 3, h, w]
    out     the folder that becomes the artifact; None: build/MODEL-TARGET-SCHEME
    target  "tflite", "onnx", "openvino" or "torch"; None: the recipe's, or "tflite". Of a list of these, and of "all",
            which is every one but torch, the answer is a list; of "all" those are left out whose extra is not installed
    int8    the best int8 scheme that is known for the model and the target; fp16: half-precision weights; scheme: exactly
            one of fp32, fp16, int8-static, int8-dynamic, int8-weight-only. None of them: fp32
    module  a network in place of what a Recipe names
    say     takes a line for each step
    wishes  fields of edgekit.Recipe and edgekit.Quantize: input_size=224, calibration="photos", task="embedding", ...
            One number for input_size, mean or std is meant for all sides or channels

    Raises RequestError, WeightsError, ExportError, MissingExtraError; ParityError when the file answers differently, and
    then keeps what was made as `<out>.rejected`.
    """
    base, module = _base(model, module)
    asked, fields = recipes.one_scheme(int8, fp16, scheme), plain(wishes)
    several = target == "all" or isinstance(target, list | tuple)
    names = _targets(target)
    if several and out is not None:
        raise RequestError("one out for several targets", hint="leave out out, or export one target at a time")
    if target == "all":
        lacking = registry.lacking([name for name in names if name])
        for name, missing in lacking.items():
            (say or silent)(f"{name}: {missing}")
        names = [name for name in names if name not in lacking]
    made = [recipes.amended(base, asked, target=name, **fields) for name in names]
    for recipe in made:
        glance(recipe, None if out is None else Path(out), named=module is None)
    with needs():
        from edgekit import pipeline
    artifacts = [whole(pipeline.export(recipe, out, module=module, say=say or silent)) for recipe in made]
    return artifacts if several else artifacts[0]


def _targets(said: str | list[str] | tuple[str, ...] | None) -> Sequence[str | None]:
    """Raises RequestError, UnknownNameError."""
    if said is None:
        return (None,)
    words = said if isinstance(said, list | tuple) else [said]
    if not words or not all(isinstance(word, str) for word in words):
        raise RequestError(f"target is {said!r:.80}", hint='target=["tflite", "onnx"]')
    if isinstance(said, str) and "," in said:
        raise RequestError(f"target is one name, not '{said}'", hint=f"target={said.split(',')}")
    return registry.targets_named(words)


def glance(recipe: Recipe, out: Path | None, *, named: bool = True) -> None:
    """Refuse what a glance tells, before seconds of imports; pipeline.plan looks at everything. named: by its recipe.

    Raises RequestError, DataError; MissingExtraError where the target's extra is not installed.
    """
    if named:
        zoo.check_name(recipe.model)
    folder = Path(recipe.calibration)
    if recipe.calibration != "default" and not folder.is_dir():  # what lies in it is listed once, by plan
        data.picture_files(folder)
    if out:
        publishing.check_destination(out)
    registry.exporter(recipe.target)


def _base(model: object, module: object) -> tuple[Recipe, Any]:
    """What is to be amended, and a network in hand. Raises RequestError."""
    if isinstance(model, Recipe):
        return model, module
    if is_network(model):
        if module is not None:
            raise RequestError("two networks: model and module", hint="export(your_network)")
        return Recipe(type(model).__name__, "tflite"), model
    if not isinstance(model, str | os.PathLike):
        names = '"mobilenetv2", an nn.Module or a Recipe'
        raise RequestError(f"the model is {type(model).__name__} {model!r:.60}", hint=f"export({names})")
    name = os.fspath(model)
    if str(name).endswith(".toml"):
        return recipes.load(as_path(name, "the recipe")), module
    return Recipe(name, "tflite"), module


def is_network(model: object) -> bool:
    """Whether it is one of torch's; who has one has imported torch."""
    return "torch" in sys.modules and isinstance(model, sys.modules["torch"].nn.Module)
