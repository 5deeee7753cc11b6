"""YOLOX: its form, what its answers mean, and the colours that published weights see."""

import copy
import math
from pathlib import Path
from typing import Literal

import onnx
import pytest
import timm
import torch
import torchvision
from torch.nn.utils import fuse_conv_bn_eval

from edgekit import models
from edgekit.errors import RequestError, WeightsError
from edgekit.models import LoadedModel, detecting, settling
from edgekit.models.settling import settle
from edgekit.models.yolox import STRIDES, YoloX, decode, take_rgb
from edgekit.recipe import Recipe
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
    """Small, random, made for BGR, and alive: its answers differ from image to image."""
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


def asked(weights: Path, model: str = "yolox_nano", order: Literal["rgb", "bgr"] | None = None) -> LoadedModel:
    recipe = Recipe(model, "onnx", weights=str(weights), input_size=(SIDE, SIDE), channel_order=order)
    return models.load(recipe, models.plan(recipe))


@pytest.fixture(scope="module")
def nano() -> YoloX:
    """As published ones are: of BGR; its BatchNorms have seen something."""
    torch.manual_seed(0)
    made: YoloX = timm.create_model("yolox_nano", num_classes=4).eval()
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return made


@torch.no_grad()
def test_the_published_file_is_read_as_it_is(nano: YoloX, pictures: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"start_epoch": 300, "model": nano.state_dict()}, tmp_path / "nano.pth")
    model = asked(tmp_path / "nano.pth")
    assert (model.labels, model.preprocess.pad) == (("class 0", "class 1", "class 2", "class 3"), 114)
    assert any("BGR" in note for note in model.notes)
    for own, theirs in zip(model.module(pictures), nano(pictures.flip(1)), strict=True):
        assert torch.allclose(own, theirs, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_weights_that_learned_rgb_stay_as_they_are(nano: YoloX, pictures: torch.Tensor, tmp_path: Path) -> None:
    """Where it is said; and always those of the network that edgekit itself trained."""
    torch.save(nano.state_dict(), tmp_path / "own.pth")
    for model in (asked(tmp_path / "own.pth", order="rgb"), asked(tmp_path / "own.pth", "yolox_micro")):
        assert model.module(pictures)[1].equal(nano(pictures)[1])
        assert any(note.startswith("the weights learned RGB") for note in model.notes)
    with pytest.raises(RequestError, match="--channel-order is of a YOLOX with a file of weights"):
        asked(Path("bundled"), "yolox_micro", "rgb")
    with pytest.raises(RequestError, match="and this is py:nets:tiny"):
        asked(Path("random"), "py:nets:tiny", "bgr")


def convolutions(net: YoloX) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """Name, weight and bias, BatchNorm folded, in the order in which they run."""
    order: list[str] = []
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda *_, name=name: order.append(name))
    net(torch.zeros(1, 3, SIDE, SIDE))
    found: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    for name in order:
        layer = net.get_submodule(name)
        if name.endswith(".conv"):
            norm = net.get_submodule(f"{name.removesuffix('conv')}bn")
            layer = fuse_conv_bn_eval(layer, norm)  # type: ignore[type-var,arg-type]
        found.append((name, layer.get_parameter("weight"), layer.get_parameter("bias")))
    return found


def written(layers: list[tuple[str, torch.Tensor, torch.Tensor]], file: Path) -> Path:
    """As the authors' exporter names them: those of the heads as the module, the others by numbers."""
    nodes, held = [], []
    for i, (name, *numbers) in enumerate(layers):
        names = [f"{name if name.startswith('head.') else i}.{part}" for part in ("weight", "bias")]
        nodes.append(onnx.helper.make_node("Conv", ["x", *names], [f"y{i}"]))
        held += [onnx.numpy_helper.from_array(n.detach().numpy(), k) for n, k in zip(numbers, names, strict=True)]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [], [], held)), file)
    return file


@torch.no_grad()
def test_a_published_onnx_file_is_read_in_the_order_of_its_convolutions(
    nano: YoloX, pictures: torch.Tensor, tmp_path: Path
) -> None:
    layers = convolutions(copy.deepcopy(nano))
    model = asked(written(layers, tmp_path / "nano.onnx"))
    for own, theirs in zip(model.module(pictures), nano(pictures.flip(1)), strict=True):
        assert torch.allclose(own, theirs, rtol=1e-3, atol=1e-3)
    with pytest.raises(WeightsError, match="has 112 convolutions, the model 113"):
        asked(written(layers[:-1], tmp_path / "short.onnx"))
    with pytest.raises(WeightsError, match="is not the model's"):
        asked(written(layers[::-1], tmp_path / "turned.onnx"))
    with pytest.raises(WeightsError, match="only those of YOLOX"):
        asked(tmp_path / "nano.onnx", "mobilenetv3_small")
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x99" * 9)
    with pytest.raises(WeightsError, match="not a whole ONNX file"):
        asked(tmp_path / "broken.onnx")


@torch.no_grad()
def test_a_published_onnx_file_can_be_trained_on(net: YoloX, pictures: torch.Tensor) -> None:
    """Its BatchNorms are folded: in training they would answer at another scale, until they are given statistics."""
    made, own = copy.deepcopy(net), dict(net.named_modules())
    for name, layer in made.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            beside = made.get_submodule(name.removesuffix("bn") + "conv")
            merged = fuse_conv_bn_eval(own[name.removesuffix("bn") + "conv"], own[name])  # type: ignore[type-var,arg-type]
            beside.weight.copy_(merged.weight)
            layer.weight.fill_(1), layer.running_mean.zero_(), layer.running_var.fill_(1).sub_(layer.eps)  # type: ignore[union-attr,operator]
            layer.bias.copy_(merged.bias)
    assert (settling.folded(net), len(settling.folded(made))) == ([], sum("bn.weight" in k for k in made.state_dict()))
    plain = made(pictures)[1].numpy()
    assert sqnr_db(plain, copy.deepcopy(made).train()(pictures)[1].numpy()) < 10
    settling.unfold(made, settling.folded(made), pictures)
    assert sqnr_db(plain, made(pictures)[1].numpy()) > 60
    assert sqnr_db(plain, made.train()(pictures)[1].numpy()) > 40


def test_an_ssdlite_of_torchvision_has_as_many_classes_as_its_file(tmp_path: Path) -> None:
    """Its last layers score the background too, and the file's names are those of torchvision's own module."""
    made = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=1 + 2
    )
    torch.save(made.state_dict(), tmp_path / "own.pth")
    recipe = Recipe("ssdlite", "onnx", weights=str(tmp_path / "own.pth"))
    model = models.load(recipe, models.plan(recipe))
    assert model.answer_shapes == ((1, 3234, 4), (1, 3234, 2))
    assert (model.preprocess.crop_mode, model.preprocess.input_size) == ("squash", (320, 320))
    model.module.reset_classifier(5)  # type: ignore[operator]
    assert model.module(torch.zeros(1, 3, 320, 320))[1].shape == (1, 3234, 5)


def test_eighty_classes_are_cocos() -> None:
    assert (len(detecting.coco(80)), detecting.coco(80)[79], detecting.coco(90)[11]) == (80, "toothbrush", "unused 12")
    assert detecting.coco(5) == ()
