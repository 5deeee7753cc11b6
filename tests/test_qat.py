"""Quantization-aware training: learned through the int8 grid, saved on it."""

import numpy as np
import pytest
import torch
from conftest import COLOURS, paint
from resumed import check_goes_on
from safetensors.torch import load_file
from torch import nn

from edgekit import models
from edgekit.errors import RequestError
from edgekit.models import trained
from edgekit.recipe import Recipe
from edgekit.training import Settings, quantized, train
from edgekit.training.quantized import FakeQuantized
from edgekit.training.settings import check

pytestmark = pytest.mark.full


def asked(photos, model, **changes):
    basic = {"input_size": (32, 32), "mean": (0.5,) * 3, "std": (0.25,) * 3} if str(model).startswith("py:") else {}
    basic |= {"data": str(photos), "batch": 8, "epochs": 2, "workers": 0, "threads": 1, "lr": 1e-2}
    return Settings(model=str(model), **(basic | changes))


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(asked(photos, "py:nets:dropping", epochs=4), out)
    return out


@pytest.fixture(scope="module")
def aware(photos, whole, tmp_path_factory):
    out, said = tmp_path_factory.mktemp("runs") / "aware", []
    train(asked(photos, whole, qat=True, ema=0.9), out, say=said.append)
    return out, said


def steps(weight):
    """Weights over the step of their channel."""
    flat = weight.flatten(1)
    return flat / (flat.abs().amax(1, keepdim=True) / 127)


def test_what_is_saved_is_an_ordinary_run_on_the_grid(aware, whole, photos):
    out, said = aware
    state, before = load_file(out / trained.WEIGHTS), load_file(whole / trained.WEIGHTS)
    assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in before.items()}
    weights = [v for k, v in state.items() if v.ndim in (2, 4)]
    assert len(weights) == 4
    for weight in weights:
        found = steps(weight)
        torch.testing.assert_close(found, found.round(), atol=1e-3, rtol=0)
    assert any(not torch.allclose(steps(v), steps(v).round(), atol=1e-2) for v in before.values() if v.ndim == 4)
    assert any("rounding to 8 bits without training loses" in line for line in said)
    card = trained.read(out)
    assert card.settings["qat"] is True
    assert card.test.pictures == 15
    recipe = Recipe(str(out), "torch")
    assert models.load(recipe, models.plan(recipe)).labels == tuple(COLOURS)


def test_the_look_through_the_grid_is_what_its_parts_compute():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).eval()
    net[1].running_var.uniform_(0.5, 2)
    seen = FakeQuantized(net)
    x = torch.rand(5, 3, 4, 4) - 0.25
    seen.train(), net.eval()
    seen(x)
    low, high = seen.ranges[0].tolist()
    assert (low, high) == (x.min().item(), x.max().item())
    seen.eval()
    step = (high - low) / 255
    inputs = ((x / step).round() + round(-low / step)).clamp(0, 255) - round(-low / step)
    middle = net[1](nn.functional.conv2d(inputs * step, quantized.rounded(net[0].weight)))
    last = middle.flatten(1)
    low, high = seen.ranges[1].tolist()
    step = (high - low) / 255
    last = (((last / step).round() + round(-low / step)).clamp(0, 255) - round(-low / step)) * step
    wanted = nn.functional.linear(last, quantized.rounded(net[3].weight), net[3].bias)
    torch.testing.assert_close(seen(x), wanted, atol=1e-5, rtol=1e-5)
    plain = net(x)
    assert not torch.equal(plain, seen(x))
    assert torch.equal(plain, net(x))  # nothing stays behind
    before = net[0].weight.grad
    seen(x).sum().backward()
    assert before is None
    assert net[0].weight.grad.abs().sum() > 0


def test_a_killed_run_goes_on_to_the_bit(photos, whole, tmp_path):
    check_goes_on(asked(photos, whole, qat=True), tmp_path, after=7, save_every=3)


def test_an_attention_network_learns_through_the_grid(photos, tmp_path):
    train(asked(photos, "py:nets:tiny_attention", epochs=1), tmp_path / "whole")
    card = train(asked(photos, tmp_path / "whole", epochs=1, qat=True), tmp_path / "aware")
    assert np.isfinite(card.val.loss)


@pytest.mark.parametrize("changes", [{"freeze": True}, {"weights": "random"}])
def test_it_comes_after_training(photos, changes):
    with pytest.raises(RequestError, match="--qat comes after training"):
        check(Settings(model="vit_micro", data=str(photos), qat=True, **changes))


def test_it_wants_a_network_that_knows_the_classes(photos, whole, tmp_path):
    others = paint(tmp_path / "others", 6, {"blue": (0, 0, 200), "yellow": (200, 200, 0)})
    with pytest.raises(RequestError, match="does not know these 2 classes, and --qat comes after training"):
        train(asked(others, whole, qat=True), tmp_path / "aware")
    assert not (tmp_path / "aware").exists()
