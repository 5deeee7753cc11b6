"""What is done to a float network before int8 quantization, the same for every target: fold, equalise, round."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import nn

from edgekit.calibration import Pictures
from edgekit.exporters import Say, share_of
from edgekit.exporters.equalizing import equalize
from edgekit.exporters.folding import Layer, fold_batch_norm
from edgekit.exporters.functional import as_modules
from edgekit.exporters.keeping import finds
from edgekit.exporters.on_pixels import Edge, as_pixels, read_pixels
from edgekit.exporters.rounding import Rounded, on_grids, round_weights
from edgekit.exporters.sensitivity import last_of_boxes, sensitive
from edgekit.exporters.silu import equalize_silu
from edgekit.exporters.spreading import spread
from edgekit.models import LoadedModel
from edgekit.models.clips import takes_clips
from edgekit.preprocess import Pixels, Preprocess, normalise
from edgekit.recipe import Recipe
from edgekit.tasks import Detection

PICTURES = 16  # of 224 x 224; fewer of larger ones, more of smaller ones (eight times at most): bounds memory
NOT_FOLDED = (
    "weights are as they were, rounded to nearest: this network's BatchNorms cannot be folded, or it takes one image "
    "at a time"
)
AS_THEY_WERE = "channels are not equalised: the weights lie on grids of 8 bits already, as those out of an int8 file do"
NO_GRADIENTS = "no layer stays in float: gradients do not flow through this network, and would tell which should"


@dataclass(frozen=True)
class Prepared:
    """A network whose weights lie on the grid that the quantizer will use.

    notes   what could not be done
    scales  the step of every output channel's grid, by the layer's name; empty where weights are as they were
    floats  layers that stay in float, by their names: those that the recipe's patterns find, and a detector's
    sensitive  those of them that have to read floats
    edge    it takes pixels with this edge, not normalised ones
    """

    module: nn.Module
    notes: tuple[str, ...] = ()
    scales: dict[str, torch.Tensor] = field(default_factory=dict)
    floats: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    edge: Edge | None = None


def prepare(
    model: LoadedModel,
    recipe: Recipe,
    calibration: Pictures,
    say: Say,
    *,
    pair_safe: bool = False,
    floats_between: bool = False,
    by_channel: bool = False,
    keeps_float: bool = False,
    pixels: bool = False,
) -> Prepared:
    """The network with the weights that the recipe asks for.

    pair_safe       see rounding.py
    floats_between  in the file, only what layers read becomes integers: channels are spread in front of them
    by_channel      see rounding.py
    keeps_float     single layers may stay in float: of a detector, those that sensitivity.py finds
    pixels          of networks with layers over time: the first layer may read pixels as they are, see on_pixels.py; a TSM on
                    MobileNetV2 gains nothing by it and takes 1.19 times as long
    """
    prepares = recipe.rounds_against_pictures or recipe.equalizes
    if not (prepares or keeps_float):
        return Prepared(model.module)
    pictures = first(calibration, model.preprocess, crowded=isinstance(model.task, Detection))
    folded = fold_batch_norm(model.module, pictures) if prepares else None
    if folded is None:
        last, _, notes = in_float(model.module, pictures) if keeps_float else ((), (), ())
        floats = (*_asked(model.module, recipe), *last)
        notes = (NOT_FOLDED, *notes) if prepares else notes
        for note in notes:
            say(note)
        return Prepared(model.module, notes, floats=floats)
    known, notes = on_grids(folded), tuple[str, ...]()
    if known:
        say(AS_THEY_WERE)
        notes = (AS_THEY_WERE,)
    else:
        rest = behind(calibration, model.preprocess, len(pictures))
        folded, notes = even(folded, recipe, pictures, rest, say, floats_between=floats_between, by_channel=by_channel)
    spec = model.preprocess
    edge = read_pixels(folded, pictures, spec) if pixels and takes_clips(folded) else None
    if edge:
        pictures = edge(as_pixels(pictures, spec))
    floats = _asked(folded, recipe)
    loud: tuple[str, ...] = ()
    if keeps_float:
        last, loud, told = in_float(folded, pictures, partial(sensitive, by_channel=by_channel))
        floats = (*floats, *last, *loud)
        for note in told:
            say(note)
        notes = (*notes, *told)
    scales: dict[str, torch.Tensor] = {}
    if recipe.rounds_against_pictures:
        say(f"rounding weights against the calibration {_units(pictures)}")
        static = recipe.quantize.scheme == "int8-static" and model.family != "prelu" and not known
        rounded = round_weights(
            folded,
            pictures,
            static=static,
            pair_safe=pair_safe,
            by_channel=by_channel,
            floats=floats,
            share=share_of(say),
        )
        scales = rounded.scales
        for said in _to_nearest(rounded):
            say(said)
            notes = (*notes, said)
    return Prepared(folded, notes, scales, floats, loud, edge)


def even(
    folded: nn.Module,
    recipe: Recipe,
    pictures: torch.Tensor,
    rest: Iterable[torch.Tensor],
    say: Say,
    *,
    floats_between: bool,
    by_channel: bool,
) -> tuple[nn.Module, tuple[str, ...]]:
    """A network with folded BatchNorms whose channels fill their tensors' ranges, where the recipe wants that; and what could not be
    done.

    rest  the calibration images that `pictures` leaves out, in batches
    """
    if recipe.quantize.equalize and floats_between:
        say(f"spreading channels over what the calibration {_units(pictures)} reach")
        spread_out = spread(folded, pictures)
        if spread_out is not None:
            return spread_out, ()
        note = "channels are not spread: this network asks its layers for more than answers"
    elif recipe.equalizes:
        say(f"equalising channels over the calibration {_units(pictures)}")
        through_relu = equalize(folded, pictures, rest)
        folded = folded if by_channel else as_modules(folded, pictures)
        through_silu = not by_channel and equalize_silu(folded, pictures)
        if through_relu or through_silu:
            return folded, ()
        note = "channels are not equalised: torch.fx cannot follow this network"
    else:
        return folded, ()
    say(note)
    return folded, (note,)


def _asked(network: nn.Module, recipe: Recipe) -> tuple[str, ...]:
    """The layers that the recipe keeps in float: on the grid of integers they would lose what float would keep."""
    named = [name for name, m in network.named_modules() if isinstance(m, Layer)]
    return tuple(name for name in named if any(finds(pattern, name) for pattern in recipe.quantize.keep_float))


def in_float(
    network: nn.Module, pictures: torch.Tensor, loudest: Callable[[nn.Module, torch.Tensor], list[str]] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Which layers of a detector stay in float, those that boxes are made of and the loudest, and what is to be said of it."""
    try:
        last, loud = last_of_boxes(network, pictures), loudest(network, pictures) if loudest else []
    except RuntimeError:
        return (), (), (NO_GRADIENTS,)
    why = f"in float, because 8 bits of what they read would move the answers most: {', '.join(loud)}"
    return tuple(last), tuple(loud), (why,) if loud else ()


def _to_nearest(rounded: Rounded) -> Iterator[str]:
    """Which layers got no weights chosen for what they see, and why."""
    reasons = {
        "they run more than once": rounded.again,
        "what they see is too large, or too much alike, for a covariance": rounded.nearest,
    }
    for why, names in reasons.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"weights are rounded to nearest in {', '.join(names[:3])}{more}: {why}"


def first(calibration: Pictures, spec: Preprocess, *, crowded: bool = False, least: int = 4) -> torch.Tensor:
    """The first calibration images, normalised: float32 [n, c, h, w], clips [n, c, t, h, w].

    crowded  of a detector, which looks at large images for what fills few of their places: up to four times as many
    least    however large they are
    """
    fit = PICTURES * 224 * 224 / math.prod(spec.extent)
    if crowded:
        fit = max(fit, min(4 * fit, PICTURES))
    count = min(max(least, int(fit)), 8 * PICTURES)
    pixels = np.stack(list(itertools.islice(calibration, count)))
    return tensor(pixels, spec)


def behind(calibration: Pictures, spec: Preprocess, size: int) -> Iterator[torch.Tensor]:
    """The calibration images behind the first ones, in batches of as many, normalised."""
    stream = itertools.islice(calibration, size, None)
    while batch := list(itertools.islice(stream, size)):
        yield tensor(np.stack(batch), spec)


def _units(pictures: torch.Tensor) -> str:
    return "clips" if pictures.ndim == 5 else "images"


def tensor(pixels: Pixels, spec: Preprocess) -> torch.Tensor:
    """Fitted images [n, h, w, c] or clips [n, t, h, w, c] as networks take them: float32 [n, c, ...]."""
    return torch.from_numpy(np.moveaxis(normalise(pixels, spec), -1, 1).copy())
