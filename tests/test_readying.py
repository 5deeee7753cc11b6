"""What is done to a model before it is exported: untrained weights made to compute, computed weights and branches made plain."""

import copy

import nets
import pytest
import torch
from timm.models.byobnet import MobileOneBlock, RepVggBlock
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from edgekit.errors import UnsupportedError, WeightsError
from edgekit.exporters.rounding import round_weights
from edgekit.models.baking import bake, computed_copies
from edgekit.models.merging import FOCUSED, LEFT, MERGED, merge
from edgekit.models.settling import settle
from edgekit.models.steady import check_steady
from edgekit.models.tracing import trace
from edgekit.models.yolox import Focus

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore:.*weight_norm.*")]


@pytest.fixture(scope="module")
def tensors():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def halved(layer):
    """A hook of one's own: equalised learning rates, say."""
    layer.weight_raw = nn.Parameter(layer.weight.detach())
    del layer.weight
    layer.register_forward_pre_hook(lambda layer, given: setattr(layer, "weight", layer.weight_raw * 0.5))
    layer.register_forward_pre_hook(lambda layer, given: (given[0] + 1,))
    return layer


def mirrored(layer):
    class Mirrored(nn.Module):
        def forward(self, weight):
            return weight + weight.flip(0)

    return parametrize.register_parametrization(layer, "weight", Mirrored())


COMPUTED = (
    weight_norm, parametrizations.weight_norm, spectral_norm, parametrizations.spectral_norm, parametrizations.orthogonal,
    lambda m: prune.l1_unstructured(prune.random_unstructured(m, "bias", 0.5), "weight", 0.3), halved, mirrored,
)  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("compute", COMPUTED)
def test_computed_weights_become_parameters(tensors, compute):
    net = nets.padded_pool().eval()
    for name in ("0", "3", "7"):
        net[int(name)] = compute(net[int(name)])
    expected = net(tensors)
    net = copy.deepcopy(net, computed_copies(net))
    bake(net)
    torch.testing.assert_close(net(tensors), expected)
    assert all(list(dict(net[i].named_parameters())) in (["weight", "bias"], ["bias", "weight"]) for i in (0, 3, 7))
    assert set(round_weights(net, tensors, static=True).scales) == {"0", "3", "7"}


def test_a_module_whose_hooks_have_left_tensors_behind_can_be_copied(tensors):
    net = nn.Sequential(weight_norm(nn.Conv2d(3, 2, 1)))
    net(tensors)  # with gradients: the weight now knows where it is from
    with pytest.raises(RuntimeError):
        copy.deepcopy(net)
    copied = copy.deepcopy(net, computed_copies(net))
    torch.testing.assert_close(copied(tensors), net(tensors))


class Residual(nn.Module):
    """As timm makes them: the last gain of the branch begins at zero."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        nn.init.zeros_(self.bn.weight)
        self.scale = nn.Parameter(1e-6 * torch.ones(3, 1, 1))
        self.skip_gain = nn.Parameter(torch.tensor(0.0))
        self.bias, self.pos_embed = nn.Parameter(torch.zeros(3, 1, 1)), nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.head = nn.Linear(3, 5)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        x = x + self.skip_gain * self.scale * (self.bn(self.conv(x)) + self.bias) + self.pos_embed
        return self.head(x.mean((2, 3)))


@torch.no_grad()
def test_untrained_weights_are_made_to_compute(tensors):
    net = Residual().eval()
    said = settle(net, tensors)
    assert (
        "3 gains near zero set to one, 1 layer of zeros drawn anew, the statistics of 1 BatchNorm taken from 4" in said
    )
    assert all(float(gain.min()) == 1 for gain in (net.bn.weight, net.scale, net.skip_gain))
    assert not net.bias.any()
    assert not net.pos_embed.any()
    assert net.head.weight.any()
    seen = net.bn(net.conv(tensors))
    assert float(seen.mean()) == pytest.approx(0, abs=1e-4)
    assert float(seen.var()) == pytest.approx(1, abs=0.01)
    assert not net.bn.training
    assert net.bn.momentum == 0.1


@torch.no_grad()
@pytest.mark.parametrize("block", [RepVggBlock, MobileOneBlock])
def test_training_branches_are_merged_where_the_answers_stay(tensors, block):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), block(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    ).eval()
    settle(net, tensors)
    merged, said = merge(net, tensors)
    assert said == MERGED
    assert (
        sum(isinstance(m, nn.Conv2d) for m in merged.modules())
        == 2
        < sum(isinstance(m, nn.Conv2d) for m in net.modules())
    )
    torch.testing.assert_close(merged(tensors), net(tensors), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("kernel", "bias"), [(3, False), (1, True)])
def test_focus_becomes_one_convolution(tensors, kernel, bias):
    focus = Focus(3, 8)
    focus.conv.conv = nn.Conv2d(12, 8, kernel, padding=kernel // 2, bias=bias)
    net = nn.Sequential(focus, RepVggBlock(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    settle(net, tensors)
    merged, said = merge(net, tensors)
    assert said == f"{FOCUSED}; {MERGED}"
    assert merged[0].conv.conv.kernel_size == (2 * kernel, 2 * kernel)
    torch.testing.assert_close(merged(tensors), net(tensors), atol=1e-4, rtol=1e-4)


class Moved(Focus):
    """Other neighbours first."""

    def forward(self, x):
        return super().forward(x.transpose(2, 3))


@torch.no_grad()
def test_a_focus_that_moves_pixels_otherwise_is_left(tensors):
    net = type("Focus", (Moved,), {})(3, 8).eval()
    assert merge(net, tensors) == (net, LEFT)


class Branched(nn.Module):
    """An author's own names; `change`: a method that does something else."""

    def __init__(self, change=0.0):
        super().__init__()
        self.a, self.b, self.change = nn.Conv2d(3, 5, 1), nn.Conv2d(3, 5, 1), change

    def forward(self, x):
        return (self.a(x) + (self.b(x) if self.b else 0)).mean((2, 3))

    def switch_to_deploy(self):
        self.a.weight += self.b.weight + self.change
        self.a.bias += self.b.bias
        self.b = None


@torch.no_grad()
def test_a_network_of_ones_own_is_merged_only_with_the_same_answers(tensors):
    net = Branched()
    merged, said = merge(net, tensors)
    assert (said, merged.b) == (MERGED, None)
    assert net.b is not None
    net = Branched(change=0.1)
    assert merge(net, tensors) == (net, LEFT)

    class Fusing(Branched):
        switch_to_deploy = None

        def fuse(self, a, b):
            return a + b

    net = Fusing()
    assert merge(net, tensors) == (net, "")


class Drawing(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.draw, self.head = draw, nn.Linear(3, 5)

    def forward(self, x):
        return self.head(self.draw(x).mean((2, 3)))


class Counting(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


def steady(net, tensors):
    check_steady(net, tensors[:1], trace(net, tuple(tensors.shape[2:])).random)


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (
            lambda x: functional.dropout(x, 0.5),
            r"bernoulli_ draws random numbers in 1 \(Drawing\), test_readying.py:\d+(?: [(]|$)",
        ),
        (lambda x: functional.dropout2d(x, 0.2), r"bernoulli_ draws random numbers in 1 \(Drawing\)"),
        (lambda x: x + torch.rand_like(x), r"rand_like draws random numbers in 1 \(Drawing\)"),
        (lambda x: x + torch.randn(3, 1, 1), r"randn draws random numbers in 1 \(Drawing\)"),
        (Counting(), "each time it sees the same image(?: [(]|$)"),
    ],
)
def test_a_model_that_answers_differently_each_time_is_found_out(tensors, draw, says):
    with pytest.raises(UnsupportedError, match=says):
        steady(nn.Sequential(nn.Identity(), Drawing(draw)).eval(), tensors)


class InPlace(nn.Module):
    def forward(self, x):
        return x.sub_(0.5).mean((2, 3))


def test_a_model_that_writes_into_its_image_is_told_apart_from_one_that_draws(tensors):
    before = tensors.clone()
    with pytest.raises(UnsupportedError, match="writes into the image"):
        check_steady(InPlace(), tensors[:1], None)
    assert torch.equal(tensors, before)


def test_what_is_drawn_for_nothing_does_no_harm(tensors):
    steady(Drawing(lambda x: x + 0 * torch.rand_like(x)), tensors)
    steady(nets.dropping().eval(), tensors)


def test_weights_that_compute_nothing_are_refused_and_random_ones_are_filled(exported):
    with pytest.raises(WeightsError, match="gives 32 images the same answer"):
        exported("int8-dynamic", model="py:nets:untrained")
    made = exported("int8-dynamic", model="py:nets:untrained", weights="random").manifest
    assert (made.weights.source, made.proof.advisory) == ("random", True)
    assert made.weights.knows == "nothing: its weights are random"
    assert "1 layer of zeros drawn anew" in made.notes[-1]


def test_int8_of_computed_weights(exported):
    made = exported("int8-static", model="py:nets:weight_normed", target="onnx").manifest
    assert made.proof.passed
    assert not any("BatchNorm" in note for note in made.notes)
