"""Weights out of a .tflite file: float and int8, MobileNetV2 as TensorFlow pads it."""

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import models
from edgekit.errors import WeightsError
from edgekit.exporters import tflite_convert, tflite_quantize
from edgekit.models import networks
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full
SIZE, CLASSES, NAME = 32, 7, "timm:tf_mobilenetv2_035"


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = networks.create(NAME.removeprefix("timm:"), None, num_classes=CLASSES)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        net.train()(torch.randn(16, 3, SIZE, SIZE))
    return net.eval()


@pytest.fixture(scope="module")
def files(net, tmp_path_factory):
    """The float file, and the int8 one."""
    folder = tmp_path_factory.mktemp("files")
    whole, rounded = folder / "float.tflite", folder / "int8.tflite"
    whole.write_bytes(tflite_convert.convert(net, torch.float32, (3, SIZE, SIZE), folder / "log"))
    recipe = Recipe(model=NAME, target="tflite", fold=False, quantize=Quantize(scheme="int8-static"))
    pictures = np.random.default_rng(0).normal(0, 1, (4, 1, SIZE, SIZE, 3)).astype(np.float32)
    rounded.write_bytes(tflite_quantize.quantize(whole, recipe, lambda: iter(pictures)))
    return whole, rounded


def load(file, name=NAME):
    recipe = Recipe(model=name, target="tflite", weights=str(file), input_size=(SIZE, SIZE))
    return models.load(recipe, models.plan(recipe))


@torch.no_grad()
def test_a_file_gives_its_network_back(net, files):
    picture = torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    expected = net(picture)
    whole, rounded = (load(file) for file in files)
    assert torch.allclose(whole.module(picture), expected, atol=1e-3 * float(expected.abs().max()))
    assert not any("rounding" in note for note in whole.notes)
    pairs = zip(whole.module.state_dict().items(), rounded.module.state_dict().values(), strict=True)
    for name, own, eight in ((name, own.flatten(1), eight.flatten(1)) for (name, own), eight in pairs if own.ndim > 1):
        step = own.abs().amax(1, keepdim=True) / 127
        assert 0 < ((own - eight).abs() / step).max() < 0.51, name
    assert any("were int8, and what that rounding lost stays lost" in note for note in rounded.notes)
    assert rounded.preprocess.mean == rounded.preprocess.std == (0.5, 0.5, 0.5)


def test_what_does_not_fit_is_refused(files, tmp_path):
    whole, _ = files
    with pytest.raises(WeightsError, match="layer 1 pads right and below alone") as refused:
        load(whole, "timm:mobilenetv2_035")
    assert "tf_mobilenetv2" in refused.value.hint
    with pytest.raises(WeightsError, match=r"layer 1 has weights of .*the model's conv_stem"):
        load(whole, "tf_mobilenetv2")
    with pytest.raises(WeightsError, match="53 layers with weights, the model 21"):
        load(whole, "timm:resnet18")
    (tmp_path / "cut.tflite").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(WeightsError, match="not a whole TFLite file"):
        load(tmp_path / "cut.tflite")
    (tmp_path / "text.tflite").write_text("no file of this kind")
    with pytest.raises(WeightsError, match="is not a TFLite file"):
        load(tmp_path / "text.tflite")


def test_layers_whose_order_is_the_converters_are_refused(tmp_path):
    torch.manual_seed(0)
    net = networks.create("resnet10t", None, num_classes=2, zero_init_last=False).eval()
    file = tmp_path / "branches.tflite"
    file.write_bytes(tflite_convert.convert(net, torch.float32, (3, SIZE, SIZE), tmp_path / "log"))
    with pytest.raises(WeightsError, match="which is whose cannot be told"):
        load(file, "timm:resnet10t")
