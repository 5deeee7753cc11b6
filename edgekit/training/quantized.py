"""Quantization-aware training: a network learns with its numbers rounded as an int8 file will round them.

In the forward pass alone, weights and inputs of convolutions and linear layers are rounded to 8 bits; gradients pass as if
they were not (straight through). Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877. What it leaves are ordinary
float weights that lie on the grid, so that every target's exporter takes them; each target calibrates activations itself.

Not simulated: the results of additions, pooling, softmax and normalisation, 16-bit overflow, and how a target equalises.

BatchNorm need not be folded for it. It multiplies each output channel by a factor, the grid of each output channel is its own
and symmetric, so rounding before the factor is rounding after it.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgekit.statistics.proportions import Drop, agresti_min
from edgekit.training.batches import Batch
from edgekit.training.world import World

FOLLOW = 0.05  # of a batch's range, by which the range of an input moves
LAYERS = (nn.Conv2d, nn.Linear)


class FakeQuantized(nn.Module):
    """A network seen through its int8 grid.

    ranges  float32 [layers, 2]: the least and the largest input of each layer; they follow the batches in training
    """

    ranges: Tensor
    seen: Tensor

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.names = [name for name, layer in module.named_modules() if isinstance(layer, LAYERS)]
        self.register_buffer("ranges", torch.zeros(len(self.names), 2))
        self.register_buffer("seen", torch.zeros(len(self.names), dtype=torch.bool))

    def forward(self, images: Tensor) -> Tensor:
        return self.look(self.module, images)

    def look(self, module: nn.Module, images: Tensor) -> Tensor:
        """The answers of a network of the same layers, the module itself or its moving average."""
        layers = dict(module.named_modules())
        hooks = [
            layers[name].register_forward_pre_hook(partial(self._round_input, number))
            for number, name in enumerate(self.names)
        ]
        weights = {f"{name}.weight": rounded(layers[name].weight) for name in self.names}
        try:
            answers: Tensor = functional_call(module, weights, (images,))
        finally:
            for hook in hooks:
                hook.remove()
        return answers

    def _round_input(self, number: int, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x: Tensor = inputs[0]
        if self.training:
            with torch.no_grad():
                batch = torch.stack([x.min().clamp(max=0), x.max().clamp(min=0)]).float()
                known = self.ranges[number]
                known.copy_(known.lerp(batch, FOLLOW) if self.seen[number] else batch)
                self.seen[number] = True
        low, high = self.ranges[number].tolist()
        step = max((high - low) / 255, 1e-8)
        zero = min(max(round(-low / step) - 128, -128), 127)
        return (torch.fake_quantize_per_tensor_affine(x, step, zero, -128, 127), *inputs[1:])


class Judged(nn.Module):
    """What is measured: a network through the grid of another."""

    def __init__(self, grid: FakeQuantized, module: nn.Module) -> None:
        super().__init__()
        self.grid, self.module = grid, module

    def forward(self, images: Tensor) -> Tensor:
        return self.grid.look(self.module, images)


def rounded(weight: Tensor) -> Tensor:
    """On a symmetric grid of 255 values for each output channel."""
    step = (weight.detach().abs().amax(tuple(range(1, weight.ndim))) / 127).clamp(min=1e-8).float()
    zero = torch.zeros_like(step, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, step, zero, 0, -127, 127)


def bake(module: nn.Module) -> None:
    """Put the weights where rounding puts them. In place."""
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, LAYERS):
                layer.weight.copy_(rounded(layer.weight))


def lost(whole: nn.Module, through: nn.Module, batches: Iterable[Batch], world: World) -> Drop:
    """Top-1 that is lost by rounding, paired on the same images, with Agresti and Min's 95 % interval."""
    whole.eval(), through.eval()
    counts = torch.zeros(3, dtype=torch.float64, device=world.device)  # lost, won, images
    with torch.inference_mode():
        for batch in batches:
            images = world.place(batch.images)
            first, second = (
                torch.tensor(
                    [best in any_of for best, any_of in zip(net(images).argmax(-1).tolist(), batch.right, strict=True)]
                )
                for net in (whole, through)
            )
            read = batch.weight > 0
            found = [(first & ~second & read).sum(), (second & ~first & read).sum(), read.sum()]
            counts += torch.stack(found).to(counts)
    gone, won, pictures = (round(n) for n in world.sum(counts).tolist())
    return agresti_min(gone, won, pictures)
