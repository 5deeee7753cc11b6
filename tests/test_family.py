"""The int8 scheme follows what a network computes, not what its classes are called."""

import nets
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit import models, pipeline, schemes
from edgekit.models.family import family
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full


class Activated(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.conv, self.activation, self.head = nn.Conv2d(3, 8, 3), activation, nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.activation(self.conv(x)).mean((2, 3)))


HARD_SWISHES = (
    functional.hardswish,
    nn.Hardswish(inplace=True),
    lambda x: x * functional.hardsigmoid(x),
    lambda x: x * functional.relu6(x + 3) / 6,
    lambda x: x * (functional.relu6(x + 3.0, inplace=True) / 6),
    lambda x: functional.relu6(x + 3).mul(1 / 6).mul(x),
    lambda x: x.mul(torch.clamp(x + 3, 0, 6) / 6),
    lambda x: x * nn.Hardtanh(0, 6)(x + 3) / 6,
    lambda x: x / 6 * torch.clamp(x.add(3), min=0, max=6),
)


@pytest.mark.parametrize("activation", HARD_SWISHES)
def test_hard_swish_is_found_however_it_is_written(activation):
    found = family(Activated(activation), (8, 8))
    assert (found.name, found.activations) == ("hardswish", ("hard-swish",))


def test_prelu_is_a_family_of_its_own():
    found = family(Activated(nn.PReLU()), (8, 8))
    assert (found.name, found.activations) == ("prelu", ("PReLU",))


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (functional.relu6, "ReLU6"),
        (nn.ReLU(), "ReLU"),
        (lambda x: x * torch.sigmoid(x), "SiLU"),
        (lambda x: x * functional.relu6(x.mean((2, 3), keepdim=True) + 3) / 6, None),  # a hard sigmoid as a gate
        (lambda x: x * functional.hardsigmoid(x.mean((2, 3), keepdim=True)), None),
    ],
)
def test_activations_by_their_usual_names(activation, name):
    found = family(Activated(activation), (8, 8))
    assert (found.name, found.activations) == ("cnn", (name,) if name else ())


@pytest.mark.parametrize("depthwise", [True, False])
def test_depthwise_convolutions_that_read_silu_are_a_family_of_their_own(depthwise):
    second = nn.Conv2d(8, 8, 3, groups=8 if depthwise else 1)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.ZeroPad2d(1), second, nn.SiLU())
    assert family(net, (8, 8)).name == ("silu" if depthwise else "cnn")


@pytest.mark.parametrize("gelu", [functional.gelu, lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5))])
def test_gelu_is_served_badly_by_integers(gelu):
    found = family(Activated(gelu), (8, 8))
    assert (found.name, found.activations) == ("mixed", ("GELU",))


@pytest.mark.parametrize(
    ("smooth", "name"),
    [(functional.elu, "ELU"), (functional.selu, "ELU"), (functional.mish, "Mish"), (functional.softplus, "Softplus")],
)
def test_smooth_activations_are_served_badly_by_integers(smooth, name):
    found = family(Activated(smooth), (8, 8))
    assert (found.name, found.activations) == ("mixed", (name,))


class Mix(nn.Module):
    """A transformer, in classes that do not say so."""

    def __init__(self, width=24):
        super().__init__()
        self.cut, self.qkv, self.head = nn.Conv2d(3, width, 8, 8), nn.Linear(width, 3 * width), nn.Linear(width, 5)

    def mixed(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v)

    def forward(self, x):
        x = self.cut(x).flatten(2).mT
        for _ in range(6):
            x = x + self.mixed(*self.qkv(x).chunk(3, -1))
        return self.head(x.mean(1))


class ByHand(Mix):
    def mixed(self, q, k, v):
        return (q @ k.mT / 5).softmax(-1) @ v


class ChannelAttention(nn.Module):
    """CBAM's first half: no transformer, in a class that says so."""

    def __init__(self):
        super().__init__()
        self.conv, self.mlp = nn.Conv2d(3, 16, 3), nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.conv(x)
        x = x * (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))).sigmoid()[..., None, None]
        return self.head(x.mean((2, 3)))


class Hybrid(nn.Module):
    """Convolutions with a little attention at the end."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 24, 3, 2, 1), nn.ReLU())
        self.tail = nn.TransformerEncoderLayer(24, 2, 24, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        return self.head(self.tail(functional.avg_pool2d(self.body(x), 4).flatten(2).mT).mean(1))


@pytest.mark.parametrize(
    ("net", "name", "tflite", "onnx"),
    [
        (Mix(), "attention", "int8-dynamic", "int8-dynamic"),
        (ByHand(), "attention", "int8-dynamic", "int8-dynamic"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.GELU(), nn.Linear(8, 5)),
            "mlp",
            "int8-dynamic",
            "int8-dynamic",
        ),
        (ChannelAttention(), "cnn", "int8-static", "int8-static"),
        (Hybrid(), "mixed", "int8-dynamic", "int8-static"),
        (Activated(nn.GroupNorm(2, 8)), "mixed", "int8-dynamic", "int8-static"),
        (nets.tiny(), "cnn", "int8-static", "int8-static"),
    ],
)
def test_the_scheme_follows_the_multiply_adds(net, name, tflite, onnx):
    training = net.training
    assert family(net, (32, 32)).name == name
    assert net.training is training
    assert [schemes.recommended(name, "", t).scheme for t in ("tflite", "onnx")] == [tflite, onnx]


def reason(name, target="tflite"):
    recipe = Recipe(model=name, target=target, weights="random", quantize=Quantize("int8"))
    plan = models.plan(recipe)
    return plan.family, schemes.resolve(recipe, plan.family, plan.architecture, plan.kind.because)[1]


def test_the_reason_is_true_of_the_network():
    assert reason("mobilenetv2") == ("cnn", "convolutions with ReLU6 run in integers from end to end")
    assert reason("timm:efficientnet_b0", "onnx")[1] == (
        "convolutions with SiLU run in integers from end to end (slower than fp32 on x86)"
    )
    assert reason("timm:convnext_atto") == (
        "mixed",
        "convolutions and linear layers in integers, their ranges taken from each image; GELU and LayerNorm in float",
    )
    assert reason("timm:efficientvit_b0", "onnx")[0] == "mixed"  # it attends, beside its hard-swish
    assert reason("timm:mixer_s32_224", "onnx") == ("mlp", "linear layers in integers; GELU and LayerNorm in float")
    assert reason("vit_tiny")[1].startswith("linear layers in integers; softmax, GELU and LayerNorm in float")
    assert "softmax and ReLU in float" in reason("timm:nextvit_small")[1]


def test_an_embedding_may_take_another_scheme_than_a_classifier(tmp_path):
    asked = Recipe(
        model="timm:vit_small_patch14_dinov2", target="openvino", weights="random", quantize=Quantize("int8")
    )
    intent = pipeline.plan(asked, tmp_path / "out")
    assert intent.recipe.quantize.scheme == "int8-weight-only"
    assert intent.reason.startswith("weights in integers")
    assert intent.decided("classification")[0].quantize.scheme == "int8-static"


def test_every_reason_can_be_filled_in():
    for row in schemes.table():
        for net in (nets.tiny(), Mix()):
            said = family(net, (32, 32)).because(row.why, row.otherwise)
            assert "{" not in said
            assert said


def test_what_cannot_be_run_is_judged_by_names_and_says_so():
    class MyAttention(nn.Module):
        def forward(self, x):
            raise ValueError("not today")

    found = family(MyAttention(), (8, 8))
    assert found.name == "attention"
    assert "by the names of its layers" in found.because("x", "")
    assert "not today" in found.because("x", "")
