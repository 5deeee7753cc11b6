"""What is done to a float network before int8 quantization."""

import copy

import nets
import pytest
import torch
from torch import nn

from edgekit.exporters import rounding
from edgekit.exporters.equalizing import equalize
from edgekit.exporters.folding import SMALLEST, fold_batch_norm
from edgekit.exporters.rounding import round_weights

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def on_grid(weight):
    steps = weight / (weight.flatten(1).abs().amax(1) / 127).view(-1, *[1] * (weight.ndim - 1))
    return torch.allclose(steps, steps.round(), atol=1e-2)


def test_folding_keeps_the_answers_and_leaves_the_original(pictures):
    net = nets.tiny().eval()
    before = copy.deepcopy(net.state_dict())
    folded = fold_batch_norm(net, pictures)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(pictures), net(pictures), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_layer_that_runs_twice_is_left_and_the_others_are_not(pictures):
    folded = fold_batch_norm(nets.Shared().eval(), pictures)
    before = folded.conv.weight.clone()
    done = round_weights(folded, pictures, static=False)
    assert (done.again, list(done.scales), done.nearest) == (("conv",), ["head"], ())
    assert torch.equal(folded.conv.weight, before)
    assert on_grid(folded.head.weight)


@torch.no_grad()
def test_activations_too_large_for_a_covariance_are_rounded_to_nearest(pictures):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 28 * 28, 5))
    for largest in (1e25, 3e38):  # its square, and then it itself, is beyond float32
        net[0].weight.fill_(largest)
        net[2].weight.normal_()
        done = round_weights(net, pictures, static=True)
        assert done.nearest[0] == "2"
        assert all(m.weight.isfinite().all() for m in (net[0], net[2], net[4]))
        assert on_grid(net[2].weight)


def test_without_a_covariance_the_nearest_is_found_at_once_and_is_the_same():
    layer = nn.Conv2d(12, 6, 3)
    weight, none = rounding._matrix(layer).detach(), torch.eye(108)[None]
    for neighbours in (None, rounding._neighbours(layer)):
        largest = weight.abs().argmax(2) if neighbours is None else None
        step = rounding._scale(layer, neighbours)
        long = rounding._gptq(weight, none, step, largest=largest, neighbours=neighbours)
        assert torch.equal(rounding._gptq(weight, None, step, largest=largest, neighbours=neighbours), long)


def test_a_network_that_takes_one_picture_only_is_not_folded(pictures):
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3 * 32 * 32, 5)

        def forward(self, x):
            return self.head(x.view(1, -1))

    assert fold_batch_norm(Single(), pictures) is None


@torch.no_grad()
def test_windows_of_pictures_are_rounded_and_other_layouts_left(pictures):
    class Windows(nn.Module):
        def __init__(self, tokens_first):
            super().__init__()
            self.inner, self.tokens_first = nn.Linear(3, 5), tokens_first

        def forward(self, x):
            rows = x.flatten(2).mT  # [pictures, tokens, 3]
            rows = rows[:, :7].transpose(0, 1) if self.tokens_first else rows.reshape(-1, 64, 3)
            return self.inner(rows).reshape(len(x), -1, 5).mean(1)

    for tokens_first in (False, True):
        net = Windows(tokens_first)
        round_weights(net, pictures, static=False)
        assert on_grid(net.inner.weight) is not tokens_first


def test_a_silent_channel_keeps_a_scale_that_its_bias_fits(pictures):
    net = nets.tiny().eval()
    with torch.no_grad():
        net[6].weight[3] = 0
    largest = fold_batch_norm(net, pictures)[6].weight.flatten(1).abs().amax(1)
    assert largest.min() >= 0.99 * SMALLEST * largest.max()


def test_equalising_keeps_the_answers_and_evens_out_channels(pictures):
    folded = fold_batch_norm(nets.bottlenecks(), pictures)
    expected, spread = folded(pictures), {}

    def watch(name):
        def hook(layer, given):
            reach = given[0].abs().amax((0, 2, 3))
            spread.setdefault(name, []).append(float(reach.max() / reach.min()))

        return hook

    for name in ("deep", "up", "last"):
        getattr(folded, name).register_forward_pre_hook(watch(name))
    folded(pictures)
    before = {k: v[-1] for k, v in spread.items()}
    assert equalize(folded, pictures)
    torch.testing.assert_close(folded(pictures), expected, atol=1e-3, rtol=1e-3)
    after = {k: v[-1] for k, v in spread.items()}
    assert all(after[k] < before[k] / 1.5 for k in ("deep", "up", "last")), (before, after)


def test_a_network_that_cannot_be_traced_stays_as_it_is(pictures):
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x):
            return self.conv(x).mean((2, 3)) if x.sum() > -1e9 else x

    net = Branches()
    before = net.conv.weight.clone()
    assert not equalize(net, pictures)
    assert torch.equal(net.conv.weight, before)


@torch.no_grad()
def test_rounded_weights_lie_on_the_grid_and_answer_better_than_the_nearest(pictures):
    folded = fold_batch_norm(nets.tiny().eval(), pictures)
    expected = folded(pictures)
    nearest, rounded = copy.deepcopy(folded), copy.deepcopy(folded)
    for layer in nearest.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            scale = (layer.weight.flatten(1).abs().amax(1) / 127).view(-1, *[1] * (layer.weight.ndim - 1))
            layer.weight.copy_((layer.weight / scale).round() * scale)
    round_weights(rounded, pictures, static=False)
    assert all(on_grid(m.weight) for m in rounded.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    error = [float((net(pictures) - expected).square().sum()) for net in (rounded, nearest)]
    assert error[0] < error[1]
