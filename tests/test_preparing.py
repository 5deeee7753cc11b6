"""What is done to a float network before int8 quantization."""

import copy

import nets
import pytest
import torch
from torch import nn

from edgekit.exporters import rounding
from edgekit.exporters.equalizing import equalize
from edgekit.exporters.folding import SMALLEST, alike, fold_batch_norm
from edgekit.exporters.following import REACH, follow, forget, reach_further
from edgekit.exporters.rounding import as_int8, on_grids, round_weights
from edgekit.exporters.spreading import Spread, spread

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


def test_a_transposed_convolution_takes_its_batch_norm_in_and_a_lone_one_becomes_a_convolution(pictures):
    net = nets.upsampling().eval()
    folded = fold_batch_norm(net, pictures)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert folded.up.bias is not None
    assert (folded.norm[0].groups, folded.norm[0].kernel_size) == (9, (1, 1))
    torch.testing.assert_close(folded(pictures), net(pictures), atol=1e-4, rtol=1e-4)


class Reads(nn.Module):
    """A BatchNorm registered behind a convolution whose answer it does not read as it is."""

    def __init__(self, between):
        super().__init__()
        self.conv, self.norm, self.between = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), between
        self.norm.running_mean.fill_(0.3)

    def forward(self, x):
        return self.norm(self.between(self.conv(x), x))


@pytest.mark.parametrize(
    "between", [lambda y, x: y + x, lambda y, x: y.add_(x), lambda y, x: y.relu_()], ids=["sum", "in place", "relu"]
)
def test_what_a_batch_norm_reads_decides_not_the_order_of_registration(pictures, between):
    net = Reads(between).eval()
    folded = fold_batch_norm(net, pictures)
    assert isinstance(folded.norm[0], nn.Conv2d)
    torch.testing.assert_close(folded(pictures), net(pictures), atol=1e-4, rtol=1e-4)


def test_a_batch_norm_registered_elsewhere_is_folded_and_statistics_of_the_image_are_left(pictures):
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.BatchNorm2d(4, track_running_stats=False)
    )
    net[1].running_mean.fill_(0.3)
    folded = fold_batch_norm(net.eval(), pictures)
    assert len(folded[1]) == 0
    assert isinstance(folded[2], nn.BatchNorm2d)


@pytest.mark.parametrize("groups", [1, 2])
@torch.no_grad()
def test_a_transposed_convolution_lies_on_a_grid_for_each_output(pictures, groups):
    """Its weights are [inputs, outputs of a group, ...]."""
    seen = pictures[:, [0, 0, 1, 1]] + 0.1 * torch.randn(8, 4, 32, 32, generator=torch.Generator().manual_seed(2))
    layer = nn.ConvTranspose2d(4, 6, 3, 2, groups=groups, bias=False)
    before, expected = layer.weight.clone(), layer(seen)
    scale = round_weights(layer, seen, static=False).scales[""]
    along = scale.view(groups, 1, 6 // groups, 1).expand(-1, 4 // groups, -1, -1).reshape(4, -1, 1, 1)
    steps = layer.weight / along
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    by_output = steps.view(groups, 4 // groups, 6 // groups, -1).transpose(1, 2).reshape(6, -1)
    torch.testing.assert_close(by_output.abs().amax(1), torch.full((6,), 127.0))
    error = (layer(seen) - expected).square().sum()
    layer.weight.copy_((before / along).round() * along)
    assert error < (layer(seen) - expected).square().sum()


@torch.no_grad()
def test_a_transposed_convolution_that_is_told_its_size_is_rounded(pictures):
    class Sized(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1)

        def forward(self, x):
            return self.up(x, output_size=[64, 64])

    net = Sized()
    assert net(pictures).shape == (8, 4, 64, 64)
    assert list(round_weights(net, pictures, static=True, pair_safe=True).scales) == ["up"]


def test_answers_are_compared_whatever_holds_them(pictures):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.norm.running_mean.fill_(0.3)

        def forward(self, x):
            y = self.norm(self.conv(x))
            return {"out": y, "more": (y.mean((2, 3)),)}

    folded = fold_batch_norm(Two().eval(), pictures)
    assert len(folded.norm) == 0
    one = torch.ones(2)
    assert alike({"a": one, "b": (one,)}, {"a": one, "b": (one,)})
    assert not alike({"a": one, "b": (one,)}, {"a": one, "b": (one * 2,)})


@torch.no_grad()
def test_channels_before_a_transposed_convolution_and_behind_prelu_are_evened_out(pictures):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False), nn.ConvTranspose2d(4, 4, 2, 2, bias=False), nn.PReLU(4),
        nn.Conv2d(4, 4, 3, groups=4),
    )  # fmt: skip
    for layer in net[:2]:
        layer.weight *= torch.tensor([1.0, 0.1, 0.02, 1.0]).view((1, -1, 1, 1) if layer is net[1] else (-1, 1, 1, 1))
    expected = net(pictures)
    reach = lambda: [net[:n](pictures).abs().amax((0, 2, 3)) for n in (1, 3)]  # noqa: E731
    before = [float(r.max() / r.min()) for r in reach()]
    assert equalize(net, pictures)
    torch.testing.assert_close(net(pictures), expected, atol=1e-3, rtol=1e-3)
    assert all(float(r.max() / r.min()) < b / 1.5 for r, b in zip(reach(), before, strict=True))


def test_channels_reach_as_far_as_on_any_image():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            y = self.conv(x) + torch.tensor(0.5)  # a constant of the trace
            return y.view(len(x), 4, -1).mean(2)  # and a shape that becomes one

    net, images = Net().eval(), torch.randn(11, 3, 5, 5)
    graph = follow(net, images[:4])
    reach_further(graph, net, images[4:].split(4))  # the last batch is smaller
    forget(net)
    found = {node.name: node.meta[REACH] for node in graph.nodes if REACH in node.meta}
    assert torch.allclose(found["add"], (net.conv(images) + 0.5).abs().amax((0, 2, 3)))


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


def test_a_network_that_takes_one_image_only_is_not_folded(pictures):
    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3 * 32 * 32, 5)

        def forward(self, x):
            return self.head(x.view(1, -1))

    assert fold_batch_norm(Single(), pictures) is None


@torch.no_grad()
def test_windows_of_images_are_rounded_and_other_layouts_left(pictures):
    class Windows(nn.Module):
        def __init__(self, tokens_first):
            super().__init__()
            self.inner, self.tokens_first = nn.Linear(3, 5), tokens_first

        def forward(self, x):
            rows = x.flatten(2).mT  # [images, tokens, 3]
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


@torch.no_grad()
def test_a_channel_that_speaks_on_later_images_alone_is_not_raised_until_they_are_clipped(pictures):
    grey = pictures[:, :1].expand(-1, 3, -1, -1)
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU6(), nn.Conv2d(2, 2, 3, groups=2))
    net[0].weight.copy_(torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]])[:, :, None, None])  # the second reads colours
    narrow, wide, expected = copy.deepcopy(net), copy.deepcopy(net), net(pictures)
    assert equalize(narrow, grey)
    assert equalize(wide, grey, [pictures[:4], pictures[4:]])
    torch.testing.assert_close(wide(pictures), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(narrow(pictures), expected, atol=0.1)


@torch.no_grad()
def test_code_that_looks_at_shapes_is_followed(pictures):
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.deep = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 3, padding=1, groups=4)
            self.wide.weight *= torch.tensor([1.0, 0.1, 0.02, 1.0]).view(-1, 1, 1, 1)

        def forward(self, x):
            n, _, h, w = x.size()
            halves = self.deep(nn.functional.relu(self.wide(x))).chunk(2, 1) if h % 2 == 0 else (x, x)
            rows = torch.arange(h, dtype=x.dtype, device=x.device).view(1, 1, -1, 1).expand(n, 1, h, w)
            return torch.cat([half + rows for half in halves], 1).mT

    net = Places()
    expected, known = net(pictures), set(vars(net))
    reach = lambda: net.wide(pictures).relu().amax((0, 2, 3))  # noqa: E731
    before = reach()
    assert equalize(net, pictures)
    torch.testing.assert_close(net(pictures), expected, atol=1e-4, rtol=1e-4)
    assert reach().max() / reach().min() < before.max() / before.min() / 10
    assert set(vars(net)) == known


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
def test_spreading_keeps_the_answers_and_evens_out_what_layers_read(pictures):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.PReLU(8), nn.Conv2d(8, 8, 1), nn.PReLU(8), nn.ConvTranspose2d(8, 4, 2, 2),
    )  # fmt: skip
    for layer in (net[0], net[2]):
        layer.weight *= torch.logspace(0, -2, 8).view(-1, 1, 1, 1)
        layer.bias.zero_()
    out = spread(net, pictures)
    torch.testing.assert_close(out(pictures), net(pictures), atol=1e-4, rtol=1e-4)
    assert [type(m).__name__ for m in out] == [
        "Conv2d",
        "PReLU",
        "Spread",
        "PReLU",
        "Spread",
    ]  # an image stays as it is
    for i in (2, 4):
        before, after = (x.abs().amax((0, 2, 3)) for x in (net[:i](pictures), out[:i](pictures) * out[i].factor))
        assert after.max() / after.min() < (before.max() / before.min()) / 4
    assert not isinstance(net[2], Spread)
    assert set(round_weights(out, pictures, static=False).scales) == {"0", "2.layer", "4.layer"}


@torch.no_grad()
def test_the_channels_that_a_linear_layer_reads_are_spread_too():
    tokens = torch.randn(4, 10, 6) * torch.tensor([20.0, 1, 1, 1, 0.1, 1])
    net = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 2))
    out = spread(net, tokens)
    torch.testing.assert_close(out(tokens), net(tokens), atol=1e-4, rtol=1e-4)
    reach = (tokens * out[0].factor).abs().amax((0, 1))
    assert reach.max() / reach.min() < 20


def test_what_asks_a_convolution_for_more_than_answers_is_not_spread(pictures):
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            return self.conv(self.first(x)) * self.conv.out_channels

    assert spread(Asks(), pictures) is None


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


@torch.no_grad()
def test_weights_out_of_an_int8_file_stay_what_they_are(pictures):
    folded = fold_batch_norm(nets.tiny().eval(), pictures)
    assert not on_grids(folded)
    round_weights(folded, pictures, static=False)
    assert on_grids(folded)
    again = copy.deepcopy(folded)
    round_weights(again, pictures, static=False)
    for name, tensor in folded.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_static_file_is_rounded_for_what_its_grid_does_to_all_images_alike_and_for_no_noise(pictures):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3))
    alike = pictures.clone()
    alike[..., 4:] = 0.3  # a background that lies between two steps
    off = {}
    for images in (pictures, alike):
        for static in (False, True):
            made = copy.deepcopy(net)
            round_weights(made, images, static=static)
            error = made(as_int8(images, images)) - net(images)
            off[images is alike, static] = made[0].weight, float(error.mean((0, 2, 3)).abs().mean())
    assert off[True, True][1] < off[True, False][1] / 5
    assert (off[False, True][0] != off[False, False][0]).float().mean() < 0.07
