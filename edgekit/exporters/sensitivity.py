"""Which layers of a detector stay in float: those that boxes are made of, and the few that bear no eight bits.

In YOLOX two layers of 113, the first depthwise convolution and the pointwise one that reads it, make nearly all of the noise that
8-bit activations leave in the answers: both take small differences of large numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edgekit.exporters.folding import Layer, weighted
from edgekit.exporters.rounding import as_int8, channels_as_int8
from edgekit.models.picking import each

FEW = 0.03  # of all weights, or of all multiplications: what stays in float costs no more
LOUD = 0.1  # of all noise in the answers, from one layer
PICTURES = 16


@torch.no_grad()
def last_of_boxes(network: nn.Module, pictures: torch.Tensor) -> list[str]:
    """The last layers that a detector's first answer, the boxes, is made of: 256 steps of what they read move the edges. None
    where they hold more than FEW of all weights, as those of an SSD do.

    pictures  normalised, [n, c, h, w]; boxes change with what a layer answers if a gradient flows between them
    """
    answers: dict[Layer, torch.Tensor] = {}

    def cut(layer: Layer, given: tuple[torch.Tensor, ...], answer: torch.Tensor) -> torch.Tensor:
        answers[layer] = answer.detach().requires_grad_()
        return answers[layer].clone()

    layers = weighted(network)
    with hooked(network, "register_forward_hook", cut), torch.enable_grad():
        boxes = each(network(pictures[:1]))[0]
        reached = torch.autograd.grad(boxes.sum(), list(answers.values()), allow_unused=True)
    last = {layer for layer, gradient in zip(answers, reached, strict=True) if gradient is not None}
    held, whole = (sum(layer.weight.numel() for layer in some) for some in (last, layers))
    return [name for name, m in network.named_modules() if m in last] if held <= FEW * whole else []


@torch.no_grad()
def sensitive(network: nn.Module, pictures: torch.Tensor, *, by_channel: bool) -> list[str]:
    """The layers that make more than LOUD of the noise in a detector's answers, loudest first, as far as they do no more than FEW
    of all multiplications.

    The noise of a layer's 8-bit inputs, to first order and with errors that know nothing of each other: their squares, times
    the squared gradients of a random sum of the answers.

    pictures    normalised, [n, c, h, w]: all of them for ranges, PICTURES of them for gradients, one at a time
    by_channel  see rounding.py
    """
    noise: dict[Layer, float] = defaultdict(float)
    work: Counter[Layer] = Counter()
    reach: dict[Layer, torch.Tensor] = {}
    read: list[tuple[Layer, torch.Tensor]] = []

    def see(layer: Layer, given: tuple[torch.Tensor, ...]) -> None:
        reach[layer] = extremes(layer, given[0], reach.get(layer), by_channel=by_channel)

    def keep(layer: Layer, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = given[0].clone() if given[0].requires_grad else given[0].clone().requires_grad_()
        read.append((layer, x))
        return (x, *given[1:])

    def count(layer: Layer, given: tuple[torch.Tensor, ...], answer: torch.Tensor) -> None:
        work[layer] += macs(layer, given[0], answer)

    with hooked(network, "register_forward_pre_hook", see):
        for picture in pictures:
            network(picture[None])
    generator = torch.Generator().manual_seed(0)
    with hooked(network, "register_forward_pre_hook", keep), hooked(network, "register_forward_hook", count):
        for picture in pictures[:PICTURES]:
            with torch.enable_grad():
                answers = each(network(picture[None]))
                signs = [torch.randint(0, 2, a.shape, generator=generator) * 2 - 1 for a in answers]
                mixed = sum(
                    (s * a).sum() / a.detach().norm().clamp_min(1e-12) for s, a in zip(signs, answers, strict=True)
                )
                gradients = torch.autograd.grad(mixed, [x for _, x in read], allow_unused=True)
            for (layer, x), gradient in zip(read, gradients, strict=True):
                if gradient is not None:
                    rounded = as_read(layer, x, reach[layer], by_channel=by_channel)
                    noise[layer] += float(((rounded - x) * gradient).square().sum())
            read.clear()
    names = {m: name for name, m in network.named_modules()}
    found, left, whole = [], FEW * sum(work.values()), sum(noise.values())
    for layer in sorted(noise, key=noise.__getitem__, reverse=True):
        if noise[layer] >= LOUD * whole and work[layer] <= left:
            found.append(names[layer])
            left -= work[layer]
    return found


@contextmanager
def hooked(network: nn.Module, register: str, hook: Callable[..., object]) -> Iterator[None]:
    """While its layers with weights have a hook."""
    handles = [getattr(layer, register)(hook) for layer in weighted(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def macs(layer: Layer, given: torch.Tensor, answer: torch.Tensor) -> int:
    """Multiply-adds that a layer took for its answer."""
    many = given if isinstance(layer, nn.ConvTranspose2d) else answer
    return many.numel() * layer.weight[0].numel()


def _alone(layer: Layer, *, by_channel: bool) -> bool:
    return by_channel and isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1


def extremes(layer: Layer, x: torch.Tensor, seen: torch.Tensor | None, *, by_channel: bool) -> torch.Tensor:
    """Of what a layer reads, and read before: the least and the largest, [2, c, 1, 1] or [2, 1, 1, 1]."""
    over = (0, 2, 3) if _alone(layer, by_channel=by_channel) else tuple(range(x.ndim))
    ends = torch.stack([x.amin(over), x.amax(over)]).reshape(2, -1, 1, 1)
    return ends if seen is None else torch.stack([torch.minimum(ends[0], seen[0]), torch.maximum(ends[1], seen[1])])


def as_read(layer: Layer, x: torch.Tensor, reach: torch.Tensor, *, by_channel: bool) -> torch.Tensor:
    """On the 8-bit grid that spans `extremes`."""
    return (channels_as_int8 if _alone(layer, by_channel=by_channel) else as_int8)(x, reach)
