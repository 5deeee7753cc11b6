"""A loaded model on its way into a file: untrained weights are made to compute, then its layers become plain ones."""

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import torch

from edgekit.models.baking import bake
from edgekit.models.merging import merge
from edgekit.models.settling import settle
from edgekit.models.weights import digest

if TYPE_CHECKING:
    from edgekit.models import LoadedModel


def settled(model: "LoadedModel", pictures: torch.Tensor) -> "LoadedModel":
    """With random weights: the model after settling.settle; else as it is. pictures: normalised, [n, c, h, w]"""
    if model.weights.source != "random":
        return model
    done = settle(model.module, pictures)
    record = msgspec.structs.replace(model.weights, sha256=digest(model.module))
    return dataclasses.replace(model, weights=record, notes=(*model.notes, *filter(None, [done])))


def ready(model: "LoadedModel", pictures: torch.Tensor) -> "LoadedModel":
    """With plain weights (baking.bake) and its training branches merged (merging.merge). The answers stay."""
    bake(model.module)
    module, said = merge(model.module, pictures)
    return dataclasses.replace(model, module=module, notes=(*model.notes, *filter(None, [said])))
