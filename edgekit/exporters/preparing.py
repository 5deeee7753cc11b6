"""What is done to a float network before int8 quantization, the same for every target: fold, equalise, round."""

import itertools

import numpy as np
import torch
from torch import nn

from edgekit.calibration import Pictures
from edgekit.exporters import Say
from edgekit.exporters.equalizing import equalize
from edgekit.exporters.folding import fold_batch_norm
from edgekit.exporters.rounding import round_weights
from edgekit.models import LoadedModel
from edgekit.preprocess import normalise
from edgekit.recipe import Recipe

PICTURES = 16  # of 224 x 224; fewer of larger ones, more of smaller ones (eight times at most): bounds memory


def prepare(model: LoadedModel, recipe: Recipe, calibration: Pictures, say: Say) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with the weights that the recipe asks for, and notes on what could not be done."""
    if not (recipe.rounds_against_pictures or recipe.equalizes):
        return model.module, ()
    pictures = _first(calibration, model)
    folded = fold_batch_norm(model.module, pictures)
    if folded is None:
        note = "weights are as they were, rounded to nearest: this network's BatchNorms could not be folded"
        say(note)
        return model.module, (note,)
    notes: tuple[str, ...] = ()
    if recipe.equalizes:
        say("equalising channels over the calibration pictures")
        if not equalize(folded, pictures):
            notes = ("channels are not equalised: torch.fx cannot follow this network",)
            say(notes[0])
    if recipe.rounds_against_pictures:
        say("rounding weights against the calibration pictures")
        round_weights(folded, pictures, static=recipe.quantize.scheme == "int8-static")
    return folded, notes


def _first(calibration: Pictures, model: LoadedModel) -> torch.Tensor:
    """The first calibration pictures, normalised: float32 [n, 3, h, w]."""
    height, width = model.preprocess.input_size
    count = min(max(4, PICTURES * 224 * 224 // (height * width)), 8 * PICTURES)
    pixels = np.stack(list(itertools.islice(calibration, count)))
    return torch.from_numpy(normalise(pixels, model.preprocess).transpose(0, 3, 1, 2).copy())
