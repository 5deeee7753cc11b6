"""The ONNX graph of a recipe: the ONNX target writes it down, the OpenVINO target converts it."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edgekit.calibration import Pictures
from edgekit.exporters import Say, given_as, onnx_graph, onnx_quantize, onnx_widening, output_names
from edgekit.exporters.export_wrapper import ExportWrapper
from edgekit.exporters.folding import weighted
from edgekit.exporters.frames import as_pictures
from edgekit.exporters.preparing import first, prepare
from edgekit.exporters.ranges import pixel_range
from edgekit.models import LoadedModel
from edgekit.quiet import silenced
from edgekit.recipe import Recipe
from edgekit.tasks import Detection, Embedding
from edgekit.tensors import Tensor, encode

# Networks whose channels equalising does not even out, because the activations between depthwise convolutions let no factor
# through. Through ReLU it does, and leaves room above what calibration images reach: MobileNetV2 keeps 24 dB so, and
# 22 dB with ranges by channel that end there.
UNEVEN = ("silu", "hardswish", "mixed")


@dataclass(frozen=True)
class Made:
    """A graph in the recipe's scheme, the tensor it takes, and what could not be done."""

    graph: onnx.ModelProto
    input: Tensor
    notes: tuple[str, ...]


def make(
    model: LoadedModel,
    recipe: Recipe,
    calibration: Pictures,
    log: Path,
    say: Say,
    placement: onnx_quantize.Placement = "every operator",
) -> Made:
    """Prepare, convert, quantize. log: is left behind where torch.onnx fails. Raises ExportError, RecipeError."""
    dtype = getattr(torch, recipe.input_type)
    inputs = placement == "layers' inputs"
    pair_safe, floats_between, by_channel = ways(model, recipe, placement)
    prepared = prepare(
        model,
        recipe,
        calibration,
        say,
        pair_safe=pair_safe,
        floats_between=floats_between,
        by_channel=by_channel,
        keeps_float=recipe.quantize.scheme == "int8-static" and isinstance(model.task, Detection),
    )
    module = prepared.module
    if not inputs:  # OpenVINO's three-dimensional layers have fast kernels
        module = as_pictures(module, first(calibration, model.preprocess)[:1])
    wrapper = ExportWrapper(module, model.preprocess, recipe, traced_type=dtype).eval()
    say("converting with torch.onnx")
    names = output_names(model, recipe)
    graph = onnx_graph.build(wrapper, dtype, recipe, model.preprocess.shape, names, log)
    log.unlink()
    shape = (-1 if recipe.dynamic_batch else 1, *model.preprocess.shape)
    shifted = recipe.input_type == "int8"
    scale = recipe.unit if shifted or (recipe.folds and recipe.unit != 1) else None
    axes = given_as(model.preprocess, last=False)
    given = Tensor("image", shape, recipe.input_type, axes, scale, -128 if shifted else None)
    notes = prepared.notes
    if recipe.quantize.scheme != "fp32":
        say(f"quantizing: {recipe.quantize.scheme}")
        feed = lambda: _feed(calibration, model, recipe, given)  # noqa: E731
        pixels, said = None, ""
        if recipe.quantize.scheme == "int8-static" and not recipe.folds:
            pixels, said = pixel_range(calibration, model.preprocess)
        if said:
            say(said)
            notes = (*notes, said)
        grids = onnx_quantize.Grids(_layers(module, prepared.scales), pair_safe=pair_safe)
        with silenced(), tempfile.TemporaryDirectory(prefix="edgekit-") as work:
            graph = onnx_quantize.quantize(
                graph,
                recipe,
                pixels,
                feed,
                grids,
                Path(work),
                placement,
                decodes=isinstance(model.task, Detection),
                by_channel=by_channel,
                floats=[weight for name in prepared.floats for weight in _weights(module, name)],
                sensitive=[weight for name in prepared.sensitive for weight in _weights(module, name)],
            )
        if recipe.quantize.scheme == "int8-static" and not inputs and (widened := onnx_widening.widen(graph)):
            said = f"{len(widened)} of its depthwise convolutions have channels of zeros, for quicker kernels; its answers are the same"
            say(said)
            notes = (*notes, said)
    return Made(graph, given, notes)


class Ways(NamedTuple):
    """As `prepare` has them."""

    pair_safe: bool = False
    floats_between: bool = False
    by_channel: bool = False


def ways(model: LoadedModel, recipe: Recipe, placement: onnx_quantize.Placement) -> Ways:
    """How a network is prepared for its graph."""
    # weight-only layers compute in float, or in pairs that cannot overflow
    pair_safe = recipe.quantize.int8_for == "any" and recipe.quantize.scheme != "int8-weight-only"
    by_channel = placement == "layers' inputs" and model.family in UNEVEN
    return Ways(pair_safe, _floats_between(model, recipe.quantize.scheme, placement), by_channel)


def _floats_between(model: LoadedModel, scheme: str, placement: onnx_quantize.Placement) -> bool:
    """Whether only what layers read becomes integers, and little enough else is done for it to matter: of other networks,
    what follows a layer is fused into it; a classifier bears what an embedding does not."""
    embeds = model.family == "attention" and isinstance(model.task, Embedding)
    if scheme == "int8-static":
        return placement == "layers' inputs" and (model.family == "prelu" or embeds)
    return scheme == "int8-dynamic" and embeds


def _layers(
    module: torch.nn.Module, scales: Mapping[str, torch.Tensor]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The weight of every rounded layer and the steps of its grid."""
    return [(weight, steps.numpy()) for name, steps in scales.items() for weight in _weights(module, name)]


def _weights(module: torch.nn.Module, name: str) -> list[NDArray[np.float32]]:
    """Of a layer, or of those that it became."""
    return [layer.weight.detach().numpy() for layer in weighted(module.get_submodule(name))]


def _feed(pictures: Pictures, model: LoadedModel, recipe: Recipe, given: Tensor) -> Iterator[NDArray[Any]]:
    """The calibration images as the graph takes them: [1, channels, h, w]."""
    for pixels in pictures:
        yield encode(np.asarray(pixels)[None], given, model.preprocess, folded=recipe.folds)
