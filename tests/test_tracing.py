"""What a network computes, written down while it runs."""

import nets
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.models.tracing import trace

pytestmark = pytest.mark.full


def test_operators_come_with_their_module_and_what_they_read():
    traced = trace(nets.tiny().eval(), (32, 32))
    first = next(n for n in traced.nodes if n.op == "convolution")
    assert (first.where, first.macs, first.inputs[0].op) == ("0 (Conv2d)", 3 * 9 * 16 * 16 * 16, "image")
    assert (traced.last.op, traced.last.place, traced.last.macs) == ("addmm", "10", 32 * 5)
    assert traced.last.inputs[2] is None  # the weight, though it was turned
    assert (traced.answer.shape, traced.random) == ((1, 5), None)


def test_attention_is_products_and_a_softmax_on_any_device():
    for device in ("cpu", "meta"):
        layer = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True)
        net = nn.Sequential(
            nn.Conv2d(3, 24, 8, 8), nn.Flatten(2), nn.Unflatten(1, (4, 6)), nn.Flatten(1, 2), nn.Linear(16, 24)
        )
        traced = trace(nn.Sequential(net, layer).to(device).eval(), (32, 32))
        assert any("softmax" in n.op for n in traced.nodes)
        assert sum(n.op == "bmm" and all(n.inputs) for n in traced.nodes) == 2


def test_what_draws_random_numbers_is_found():
    class Dropping(nn.Module):
        def forward(self, x):
            return functional.dropout(x.mean((2, 3)), 0.5)

    traced = trace(nn.Sequential(nn.Identity(), Dropping()).eval(), (8, 8))
    assert traced.random.where == "1 (Dropping)"


def test_hooks_are_gone_after_a_network_that_fails():
    hooks = lambda: (  # noqa: E731
        len(torch.nn.modules.module._global_forward_hooks) + len(torch.nn.modules.module._global_forward_pre_hooks)
    )
    before = hooks()
    with pytest.raises(RuntimeError):
        trace(nets.takes_one_channel(), (8, 8))
    assert hooks() == before
