"""Layers of a detector that stay in float."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit import calibration, models
from edgekit.exporters import preparing
from edgekit.exporters.folding import fold_batch_norm
from edgekit.exporters.rounding import round_weights
from edgekit.exporters.sensitivity import last_of_boxes, sensitive
from edgekit.recipe import Recipe

pytestmark = pytest.mark.full


class Boxes(nn.Module):
    """Boxes and scores of an image. What finds them is the difference of two large numbers, which a small layer takes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lift, self.difference = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 8, 1)
        self.body = nn.Sequential(nn.Conv2d(8, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 32, 3, 2, 1), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 2, 1)
        self.eval()
        with torch.no_grad():
            self.lift.weight[0].fill_(0.1)
            self.lift.weight[1].zero_()
            self.lift.bias.fill_(10)
            self.difference.weight[:, 0] = 10
            self.difference.weight[:, 1] = -10

    def forward(self, x):
        x = self.body(self.difference(self.lift(x)).relu())
        boxes, scores = (layer(x).flatten(2).mT for layer in (self.boxes, self.scores))
        return boxes.exp() * 8, scores.sigmoid()


@pytest.fixture
def net():
    return Boxes()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_layer_that_takes_a_small_difference_of_large_numbers_is_sensitive(net, pictures):
    assert sensitive(net, pictures, by_channel=False) == ["difference"]
    with torch.no_grad():
        weight = nn.functional.pad(net.difference.weight, (3, 3, 3, 3))  # the same answer, at 49 times the work
    net.difference = nn.Conv2d(2, 8, 7, padding=3)
    net.difference.weight.data = weight
    assert "difference" not in sensitive(net, pictures, by_channel=False)


def test_the_last_layers_of_boxes_are_those_that_nothing_with_weights_follows(net, pictures):
    assert last_of_boxes(net, pictures) == ["boxes"]
    net.boxes = nn.Sequential(nn.Conv2d(32, 64, 1), nn.ReLU(inplace=True), nn.Conv2d(64, 4, 1))
    assert last_of_boxes(net, pictures) == ["boxes.2"]
    net.boxes = nn.Conv2d(32, 4, 3, padding=1)  # 1,152 of 24,500 weights: too many
    assert last_of_boxes(net, pictures) == []


def test_layers_that_stay_in_float_are_not_rounded(net, pictures):
    before = net.difference.weight.clone()
    scales = round_weights(net, pictures, static=True, floats=["difference"]).scales
    assert "difference" not in scales
    assert {"lift", "body.0", "boxes"} <= set(scales)
    assert torch.equal(net.difference.weight, before)


class WithoutGradients(Boxes):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def test_a_network_through_which_no_gradients_flow_says_that_nothing_stays_in_float(pictures):
    last, loud, said = preparing.in_float(WithoutGradients(), pictures)
    assert last == loud == ()
    assert "gradients do not flow" in said[0]


def test_two_layers_of_yolox_micro_make_most_of_the_noise_and_are_named_in_the_manifest(tmp_path: Path):
    recipe = Recipe("yolox_micro", "openvino", weights="bundled")
    model = models.load(recipe, models.plan(recipe, None))
    chosen = calibration.choose("default", 128, 0, model.preprocess, model.pictures, tmp_path, crowded=True)
    seen = preparing.first(chosen.calibration, model.preprocess, crowded=True)
    folded = fold_batch_norm(model.module, seen)
    first = "backbone.backbone.dark2.0"
    assert sensitive(folded, seen, by_channel=True) == [f"{first}.pconv.conv", f"{first}.dconv.conv"]
    assert last_of_boxes(folded, seen) == [f"head.reg_preds.{level}" for level in range(3)]
    assert all(p.grad is None for p in folded.parameters())
