"""YOLOX: its form, what its answers mean, and the colours that published weights see."""

import copy
import math

import pytest
import timm
import torch

from edgekit.models.settling import settle
from edgekit.models.yolox import STRIDES, YoloX, decode, take_rgb
from edgekit.tasks.likeness import sqnr_db

pytestmark = pytest.mark.full
SIDE = 64


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """Pixels, RGB 0..255, of another mean in each colour."""
    means = torch.tensor([40.0, 120.0, 200.0]).view(1, 3, 1, 1)
    noise = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 30
    return (means + torch.nn.functional.interpolate(noise, SIDE, mode="bilinear")).clip(0, 255)


@pytest.fixture(scope="module")
def net(pictures: torch.Tensor) -> YoloX:
    """Small, random, made for BGR, and alive: its answers differ from picture to picture."""
    torch.manual_seed(0)
    small = YoloX(3, width=0.0625).eval()
    settle(small, pictures.flip(1))
    for layer in small.head.reg_preds:
        layer.get_parameter("weight").data *= 0.1  # boxes are powers of what it answers
    return small


def test_the_published_networks_have_their_names_and_sizes() -> None:
    nano = timm.create_model("yolox_nano")
    assert sum(p.numel() for p in nano.parameters()) == 912_159
    names = set(nano.state_dict())
    assert {
        "backbone.backbone.stem.conv.bn.running_var", "backbone.backbone.dark5.2.m.0.conv2.pconv.conv.weight",
        "backbone.C3_n4.conv3.conv.weight", "backbone.bu_conv1.dconv.bn.weight", "head.stems.2.conv.weight",
        "head.cls_convs.0.1.dconv.conv.weight", "head.reg_preds.2.bias", "head.obj_preds.1.weight",
    } <= names  # fmt: skip
    assert all(layer.eps == 1e-3 for layer in nano.modules() if isinstance(layer, torch.nn.BatchNorm2d))


@torch.no_grad()
def test_boxes_are_pixels_and_scores_shares(net: YoloX, pictures: torch.Tensor) -> None:
    boxes, scores = net(pictures.flip(1))
    places = sum((SIDE // stride) ** 2 for stride in STRIDES)
    assert (boxes.shape, scores.shape) == ((4, places, 4), (4, places, 3))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (boxes[..., 2:] > boxes[..., :2]).all()


def test_a_place_is_decoded_as_the_paper_says() -> None:
    """The second row's third place of stride 16: half a place to the right, twice as wide as a stride, sure of class 1."""
    box, objectness, classes = torch.zeros(1, 4, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4)
    box[0, :, 1, 2] = torch.tensor([0.5, 0, math.log(2), 0])
    objectness[0, 0, 1, 2], classes[0, 1, 1, 2] = 20, 20
    boxes, scores = decode([(box, objectness, classes)], strides=[16])
    assert boxes[0, 6].tolist() == pytest.approx([40 - 16, 16 - 8, 40 + 16, 16 + 8])
    assert scores[0, 6].tolist() == pytest.approx([0.5, 1.0])
    assert scores[0, 5].tolist() == [0.25, 0.25]


@torch.no_grad()
def test_published_weights_see_rgb_as_they_saw_bgr(net: YoloX, pictures: torch.Tensor) -> None:
    """In float64, where nothing but a wrong channel can differ."""
    rgb, bgr = pictures.double(), pictures.double().flip(1)
    plain, folded = copy.deepcopy(net).double(), copy.deepcopy(net).double()
    take_rgb(folded)
    for own, new, wrong in zip(plain(bgr), folded(rgb), folded(bgr), strict=True):
        assert sqnr_db(own.numpy(), new.numpy()) > 80
        assert sqnr_db(own.numpy(), wrong.numpy()) < 40


def test_other_classes_are_new_last_layers(net: YoloX, pictures: torch.Tensor) -> None:
    other = copy.deepcopy(net)
    other.reset_classifier(7)
    assert other(pictures[:1])[1].shape[2] == other.num_classes == 7
