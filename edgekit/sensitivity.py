"""Which layers int8 costs most in a target, against what it saves there: who should stay in float.

A layer's noise is that of the answers when it alone is in integers (exporters/layer_noise.py); what it saves are its
multiply-adds. Layers are ordered by noise over cost, where an island in float costs two conversions besides: as much again as
an average layer. What stays in float first gives most for least.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec
import torch

from edgekit import calibration, models, pipeline
from edgekit.errors import RequestError, UnsupportedError
from edgekit.exporters import Say, onnx_source, preparing, share_of
from edgekit.exporters.folding import Layer, fold_batch_norm
from edgekit.exporters.layer_noise import PICTURES, Cost, costs
from edgekit.exporters.onnx_source import Ways
from edgekit.exporters.sensitivity import sensitive
from edgekit.models import LoadedModel, readying
from edgekit.recipe import Recipe
from edgekit.tasks import Detection, name_of

HALF = 0.5  # of the noise: what `keep` takes away
AT_MOST = "the last column is the most that can be gained: what a float layer reads stays in integers where an integer operator makes it"


class Sensitive(msgspec.Struct, frozen=True):
    """A layer. noise and macs: its shares of all.

    alone_db  SQNR of the answers when it alone is in integers; None: they stay as they are
    left_db   when it and those before it in the order are in float, and all others in integers; None: no noise is left
    """

    layer: str
    alone_db: float | None
    noise: float
    macs: float
    left_db: float | None

    @property
    def pattern(self) -> str:
        """For `keep_float`."""
        return f"^{self.layer.replace('.', chr(92) + '.')}$"


class Sensitivity(msgspec.Struct, frozen=True):
    """layers: in the order in which they should stay in float. int8_db: of all in integers, their noises added up. keep: how many
    of the first make half of the noise."""

    model: str
    target: str
    scheme: str
    pictures: int
    int8_db: float | None
    keep: int
    layers: tuple[Sensitive, ...]
    notes: tuple[str, ...] = ()

    @property
    def kept_macs(self) -> float:
        """The share of the first `keep`."""
        return sum(layer.macs for layer in self.layers[: self.keep])


def measure(recipe: Recipe, say: Say = lambda line: None) -> Sensitivity:
    """Of the int8 scheme that a recipe asks for, or that is best known for its model. Raises RequestError, UnsupportedError, and what
    loading a model raises."""
    if not recipe.quantize.scheme.startswith("int8"):
        raise RequestError(f"{recipe.quantize.scheme} has nothing in integers", hint="--scheme int8-static")
    if recipe.target not in ("tflite", "onnx", "openvino"):
        raise UnsupportedError(f"what int8 costs in {recipe.target} is not known", hint="--target tflite|onnx|openvino")
    with calibration.scratch_folder() as scratch:
        intent = pipeline.plan(recipe, Path(scratch, "out"))
        model = models.load(intent.recipe, intent.plan)
        recipe, why = intent.decided(name_of(model.task))
        say(f"scheme: {recipe.quantize.scheme} ({why})")
        crowded = isinstance(model.task, Detection)
        chosen = calibration.choose(
            recipe.calibration,
            recipe.samples,
            recipe.seed,
            model.preprocess,
            model.pictures,
            Path(scratch),
            crowded=crowded,
        )
        pictures = preparing.first(chosen.calibration, model.preprocess, crowded=crowded)
        model = readying.ready(readying.settled(model, pictures), pictures[:2])
        rest = preparing.behind(chosen.calibration, model.preprocess, len(pictures))
        found, notes = _costs(model, recipe, pictures, rest, say)
    if model.weights.source == "random":
        notes = (*notes, "the weights are random: trained ones have other sensitive layers")
    if recipe.quantize.scheme == "int8-static" and recipe.target != "openvino":
        notes = (*notes, AT_MOST)
    layers = ordered(found)
    taken = accumulate(layer.noise for layer in layers)
    keep = next((count for count, share in enumerate(taken, 1) if share >= HALF), len(layers))
    judged = min(len(pictures), PICTURES)
    return Sensitivity(
        model.name, recipe.target, recipe.quantize.scheme, judged, _db(_summed(found)), keep, layers, notes
    )


def _costs(
    model: LoadedModel, recipe: Recipe, pictures: torch.Tensor, rest: Iterable[torch.Tensor], say: Say
) -> tuple[list[Cost], tuple[str, ...]]:
    """Raises UnsupportedError where it cannot be told."""
    scheme, openvino, graph = recipe.quantize.scheme, recipe.target == "openvino", recipe.target != "tflite"
    ways = Ways()
    if graph:
        ways = onnx_source.ways(model, recipe, "layers' inputs" if openvino else "every operator")
    folded = fold_batch_norm(model.module, pictures)
    if folded is None:
        raise UnsupportedError(
            f"what int8 costs in layers of {model.name} cannot be told: {preparing.NOT_FOLDED.partition(': ')[2]}",
            hint="edgekit inspect --compare FP32 INT8, two files",
        )
    network, notes = preparing.even(
        folded, recipe, pictures, rest, say, floats_between=ways.floats_between, by_channel=ways.by_channel
    )
    floats: tuple[str, ...] = ()
    if isinstance(model.task, Detection) and scheme == "int8-static":
        loudest = (lambda net, seen: sensitive(net, seen, by_channel=ways.by_channel)) if graph else None
        last, loud, told = preparing.in_float(network, pictures, loudest)
        floats = (*last, *loud)
        notes = (*notes, *told)
    names = {m: name for name, m in network.named_modules()}
    say("one layer after the other in int8")
    found = costs(
        network,
        pictures,
        scheme,
        lambda layer: names[layer] not in floats and _in_integers(layer, recipe),
        pair_safe=ways.pair_safe,
        by_channel=ways.by_channel,
        between=not openvino,
        share=share_of(say),
    )
    if not found:
        raise UnsupportedError(
            f"{scheme} puts no layer of {model.name} in integers in {recipe.target}", hint="--scheme"
        )
    return found, notes


def _in_integers(layer: Layer, recipe: Recipe) -> bool:
    """Whether a scheme reaches it: dynamic ONNX files have linear layers alone in integers."""
    dynamic = recipe.quantize.scheme == "int8-dynamic" and recipe.target == "onnx"
    return isinstance(layer, torch.nn.Linear) or not dynamic


def ordered(found: Sequence[Cost]) -> tuple[Sensitive, ...]:
    """Who should stay in float first comes first. Noises of several outputs count by the output that they reach most."""
    outputs = range(len(found[0].noise))
    whole, work = _summed(found), sum(cost.macs for cost in found) or 1
    noise = {cost.layer: max((cost.noise[o] / whole[o] for o in outputs if whole[o]), default=0.0) for cost in found}
    order = sorted(found, key=lambda cost: -noise[cost.layer] / (cost.macs / work + 1 / len(found)))
    return tuple(
        Sensitive(cost.layer, _db(cost.noise), noise[cost.layer], cost.macs / work, _db(_summed(order[place:])))
        for place, cost in enumerate(order, 1)
    )


def _summed(costs: Sequence[Cost]) -> list[float]:
    """The noise of every output."""
    return [sum(noise) for noise in zip(*(cost.noise for cost in costs), strict=True)]


def _db(noise: Sequence[float]) -> float | None:
    """Of the noisiest output, whose noise is told over its signal."""
    worst = max(noise, default=0.0)
    if not math.isfinite(worst):
        return -999.0
    return round(-10 * math.log10(worst), 1) if worst > 0 else None
