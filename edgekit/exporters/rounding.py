"""Round weights against images instead of to the nearest integer, before any converter sees them.

In an int8 CNN the rounding of weights costs more than the rounding of activations, and most of that is a shift of each
channel's mean. So the layers are visited in the order they run, and each one's weights are put on the int8 grid that the
quantizer will use (symmetric, one scale per output channel, largest weight = 127) such that the layer's *output* stays
close to the float network's:

- GPTQ (Frantar et al. 2022, arXiv:2210.17323; after Hassibi & Stork's Optimal Brain Surgeon): weights are rounded one
  input at a time, and the error made is carried over to the inputs not yet rounded, by the inputs' covariance;
- half of the error that earlier layers left in the inputs is corrected too (the asymmetric target of GPTAQ, Li et al.
  2025, arXiv:2504.02692);
- for a static file the rounded network's inputs are moved as an 8-bit grid moves those of all images alike (a black
  background, for one), so both corrections cover that. What the grid does to each image is mostly noise: weights that
  follow it in a few images are worse on others, so half of it is left out;
- the bias takes the rest of the mean error (Nagel et al. 2019, arXiv:1906.04721, section 4.2).

The quantizer then rounds weights that already lie on its grid, so the file holds the integers chosen here. The result
is an ordinary float module, the same for every target but for one thing: a grid can be *pair-safe*. On x86 CPUs with
AVX2 and without VNNI, ONNX Runtime and OpenVINO multiply unsigned activations with signed weights by `vpmaddubsw`, which
adds two neighbouring products in 16 bits and saturates in silence. 255 * (q1 + q2) stays below 32,768 while neighbours
of one sign add up to 128 at most, so the scale of a channel grows until its largest pair does (by a third on average), and
GPTQ, which moves weights, keeps to that. Smaller scales with the largest pairs cut were tried, and lose 6 dB.
"""

import functools
import itertools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgekit import overflow
from edgekit.exporters.folding import Layer, by_output, put_by_output, run_once, weighted

COLUMNS = 8192  # input patches of a layer that its covariance is taken from, at most
PER_INPUT = 16  # and per input: nine inputs of a depthwise convolution need no thousands
FRAMES = 32  # as often for clips, whose frames show a place nearly alike
DAMPING = 0.01  # of the mean of the covariance's diagonal
CARRIED = 0.5  # share of the earlier layers' error that a layer corrects
OWN = 0.5  # of what an 8-bit grid does to an input in one image and not in all
BLOCK = 64
SLIGHT = 1e-2  # of a step: what floats lose on the way

SingularError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
Forward = Callable[..., torch.Tensor]
Neighbours = tuple[torch.Tensor, torch.Tensor]  # the input before, and the one after, each input


@dataclass(frozen=True)
class Rounded:
    """Layers by their names.

    scales   the step of every output channel's grid, of each layer that was rounded: float32 [outputs]
    nearest  rounded to the nearest, because their inputs are too large or too much alike for a covariance
    again    left as they were, because they run more than once
    """

    scales: dict[str, torch.Tensor]
    nearest: tuple[str, ...]
    again: tuple[str, ...]


@torch.no_grad()
def round_weights(
    folded: nn.Module,
    pictures: torch.Tensor,
    *,
    static: bool,
    pair_safe: bool = False,
    by_channel: bool = False,
    floats: Collection[str] = (),
    alone: bool = False,
    share: Callable[[float], None] = lambda done: None,
) -> Rounded:
    """Put the weights of a network with folded BatchNorms on the int8 grid, in place, and correct its biases.

    pictures    normalised calibration images, float32 [n, 3, h, w], or clips [n, 3, t, h, w]
    static      what an 8-bit grid does to a layer's inputs is corrected too, in all images alike or by half
    pair_safe   no two neighbouring weights overflow 16 bits with unsigned activations
    by_channel  the grid of what a depthwise convolution reads has a step for each channel
    floats      layers that stay as they are
    alone       each layer as if it alone were rounded: the next ones see what the float network answers
    share       is told how many of the layers are done, 0 to 1
    """
    scales: dict[str, torch.Tensor] = {}
    nearest: list[str] = []
    names = {layer: name for name, layer in folded.named_modules()}
    generator = torch.Generator().manual_seed(0)
    sampled = PER_INPUT * (FRAMES if pictures.ndim == 5 else 1)

    def visit(layer: Layer, runs: Forward, both: torch.Tensor, *size: object, **named: object) -> torch.Tensor:
        """In place of a layer's forward. The batch holds the images twice: as the float network and as the rounded one see them."""

        def forward(x: torch.Tensor) -> torch.Tensor:
            return runs(x, *size, **named)  # a transposed convolution may be told the size of its answer

        if len(both) % (2 * len(pictures)):  # the first axis is not the images': the nearest will do
            return forward(both)
        exact, rounded = both.chunk(2)  # windows of an attention layer are laid out image by image
        wanted = forward(exact)
        if static:
            depthwise = not isinstance(layer, nn.Linear) and layer.groups == layer.in_channels > 1
            gridded = channels_as_int8(rounded, exact) if by_channel and depthwise else as_int8(rounded, exact)
            moved = gridded - rounded
            rounded = rounded + OWN * moved + (1 - OWN) * moved.mean(0, keepdim=True)
        neighbours = _neighbours(layer) if pair_safe and _in_pairs(layer) else None
        scale = _scale(layer, neighbours)
        scales[names[layer]] = scale[:, :: _rows(layer)].flatten()
        try:
            matrix = _rounded(layer, exact, rounded, scale, neighbours, generator, sampled)
        except SingularError:
            matrix = _gptq(_matrix(layer), None, scale, neighbours=neighbours)
            nearest.append(names[layer])
        _put_matrix(layer, matrix)
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros_like(scales[names[layer]]))
        got = forward(rounded)
        channel = got.ndim - 1 if isinstance(layer, nn.Linear) else 1
        over = [d for d in range(got.ndim) if d != channel]
        error = (wanted - got).mean(over, keepdim=True).nan_to_num(0, 0, 0)
        layer.bias += error.flatten()
        share(len(scales) / len(layers))
        return torch.cat([wanted, wanted if alone else got + error])

    once, again = run_once(folded, pictures[:2])
    layers = [layer for layer in once if names[layer] not in floats]
    for layer in layers:
        layer.forward = partial(visit, layer, layer.forward)  # type: ignore[method-assign]
    try:
        folded(torch.cat([pictures, pictures]))
    finally:
        for layer in layers:
            del layer.forward
    return Rounded(scales, tuple(nearest), tuple(names[layer] for layer in again))


@torch.no_grad()
def on_grids(network: nn.Module) -> bool:
    """Whether all weights are what 8 bits hold already, with a step for each output channel: those out of an int8 file."""

    def off(layer: Layer) -> float:
        steps = _matrix(layer) / _scale(layer, None)
        return float((steps - steps.round()).abs().max())

    layers = weighted(network)
    return bool(layers) and all(off(layer) < SLIGHT for layer in layers)


def as_int8(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values on the 8-bit grid that spans other values and zero."""
    low, high = min(float(like.min()), 0.0), max(float(like.max()), 0.0)
    if not math.isfinite(high - low):
        return x
    scale = max((high - low) / 255, 1e-12)
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)


def channels_as_int8(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The same of [n, c, h, w] or [n, c, t, h, w], with a step for each channel."""
    others = [0, *range(2, like.ndim)]
    low, high = like.amin(others).clamp_max(0), like.amax(others).clamp_min(0)
    scale = ((high - low) / 255).clamp_min(1e-12)
    return torch.fake_quantize_per_channel_affine(x, scale, (-low / scale).round().int(), 1, 0, 255)


def _rounded(
    layer: Layer,
    exact: torch.Tensor,
    rounded: torch.Tensor,
    scale: torch.Tensor,
    neighbours: Neighbours | None,
    generator: torch.Generator,
    sampled: int,
) -> torch.Tensor:
    """The layer's weights on the int8 grid, chosen for the inputs of the rounded network."""
    weight = _matrix(layer)
    state = generator.get_state()
    seen = _patches(layer, rounded, generator, sampled)  # [groups, inputs, columns]
    if seen.shape[2] < 4 * seen.shape[1]:  # too few patches for a covariance (a classifier, a squeeze)
        target, covariance = weight, None
    else:
        generator.set_state(state)
        true = _patches(layer, exact, generator, sampled)
        seen, true = seen - seen.mean(2, keepdim=True), true - true.mean(2, keepdim=True)
        covariance = seen @ seen.mT / seen.shape[2]
        diagonal = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
        covariance = covariance + torch.eye(covariance.shape[1]) * (DAMPING * diagonal)[:, None, None]
        left = weight @ ((true - seen) @ seen.mT / seen.shape[2])
        if not (covariance.isfinite().all() and left.isfinite().all()):
            raise SingularError("activations too large for a covariance")
        target = weight + CARRIED * torch.linalg.solve(covariance, left.mT).mT
    largest = _largest(layer) if neighbours is None else None
    return _gptq(target, covariance, scale, largest=largest, neighbours=neighbours)


def _rows(layer: Layer) -> int:
    """The rows of the weight matrix that an output channel has: a transposed convolution answers each tap elsewhere."""
    return math.prod(layer.kernel_size) if isinstance(layer, nn.ConvTranspose2d) else 1


def _matrix(layer: Layer) -> torch.Tensor:
    """The weights as [groups, outputs, inputs]; of a transposed convolution, [groups, outputs x taps, inputs]."""
    weights = by_output(layer)
    if isinstance(layer, nn.ConvTranspose2d):
        return weights.transpose(2, 3).flatten(1, 2)
    return weights.flatten(2)


def _put_matrix(layer: Layer, matrix: torch.Tensor) -> None:
    weights = by_output(layer)
    groups, outputs, inputs, taps = weights.shape
    if isinstance(layer, nn.ConvTranspose2d):
        matrix = matrix.reshape(groups, outputs, taps, inputs).transpose(2, 3)
    put_by_output(layer, matrix.reshape(weights.shape))


def _by_channel(layer: Layer, rows: torch.Tensor) -> torch.Tensor:
    """The largest of the rows of every output channel, for each of its rows: [groups, rows, 1] both."""
    groups, count, _ = rows.shape
    largest = rows.reshape(groups, -1, _rows(layer)).amax(2, keepdim=True)
    return largest.expand(-1, -1, _rows(layer)).reshape(groups, count, 1)


def _scale(layer: Layer, neighbours: Neighbours | None) -> torch.Tensor:
    """The step of every output channel's grid, for each of its rows: [groups, rows, 1]."""
    weight = _matrix(layer)
    largest = weight.abs().amax(2, keepdim=True)
    if neighbours is not None:
        before, _ = neighbours
        padded = functional.pad(weight, (0, 1))
        pair = torch.maximum(*((sign * weight).relu() + (sign * padded[:, :, before]).relu() for sign in (1, -1)))
        largest = torch.maximum(largest, pair.amax(2, keepdim=True) * 127 / overflow.LIMIT)
    return (_by_channel(layer, largest) / 127).clamp_min(1e-12)


def _largest(layer: Layer) -> torch.Tensor:
    """The input of the largest weight of every output channel, in its row; -1 in its other rows: [groups, rows]."""
    most, where = _matrix(layer).abs().max(2)
    return torch.where(most == _by_channel(layer, most[:, :, None])[:, :, 0], where, -1)


def _in_pairs(layer: Layer) -> bool:
    """Whether kernels add this layer's products in pairs: not those of depthwise convolutions."""
    return isinstance(layer, nn.Linear) or layer.in_channels != layer.groups


def _neighbours(layer: Layer) -> Neighbours:
    """The inputs that kernels add before and after each input; the number of inputs itself where there is none.

    Kernels go through the channels of a tap before the next tap; those of all frames before the next place (see frames.py).
    """
    inputs = _matrix(layer).shape[2]
    *times, down, right = layer.kernel_size if isinstance(layer, nn.Conv2d | nn.Conv3d) else (1, 1)
    # the inputs, in the order in which kernels visit them
    path = torch.arange(inputs).view(-1, *(times or [1]), down, right).permute(2, 3, 1, 0).flatten()
    before, after = torch.full((inputs,), inputs), torch.full((inputs,), inputs)
    before[path[1:]], after[path[:-1]] = path[:-1], path[1:]
    return before, after


def _gptq(
    weight: torch.Tensor,
    covariance: torch.Tensor | None,
    scale: torch.Tensor,
    *,
    largest: torch.Tensor | None = None,
    neighbours: Neighbours | None = None,
) -> torch.Tensor:
    """Round [groups, outputs, inputs] to the grid, carrying each error over to the inputs still to come.

    covariance  [groups, inputs, inputs] of the inputs; None: they know nothing of each other, so nothing is carried over
    largest     the input of each output that is put on +-127, so that whoever looks at the weights finds their scale; or -1
    neighbours  inputs before and after each, whose sum stays within overflow.LIMIT
    """
    inputs = weight.shape[2]
    if covariance is None and neighbours is None:  # all at once: a classifier of 25,088 inputs would take minutes
        grid = (weight / scale).round().clamp(-127, 127)
        if largest is not None:
            grid = torch.where(largest[:, :, None] == torch.arange(inputs), weight.sign() * 127, grid)
        return grid * scale
    power = torch.ones(inputs) if covariance is None else covariance.diagonal(dim1=1, dim2=2).mean(0)
    order = power.argsort(descending=True)  # the strongest inputs first
    w = weight[:, :, order].clone()
    u = None
    if covariance is not None:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance[:, order][:, :, order]))
        u = torch.linalg.cholesky(inverse, upper=True)
    grid = torch.zeros(*weight.shape[:2], inputs + 1)  # integers, where they belong; the last stands for no neighbour
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = torch.empty_like(w[:, :, start:stop])
        for i in range(start, stop):
            at, x = int(order[i]), w[:, :, i : i + 1]
            q = (x / scale).round().clamp(-127, 127)
            if neighbours is not None:
                beside = grid[:, :, [int(neighbours[0][at]), int(neighbours[1][at])]]
                low, high = beside.amin(2, keepdim=True).clamp_max(0), beside.amax(2, keepdim=True).clamp_min(0)
                q = torch.clamp(q, -overflow.LIMIT - low, overflow.LIMIT - high)
            if largest is not None:
                q = torch.where(largest[:, :, None] == at, x.sign() * 127, q)
            grid[:, :, at : at + 1] = q
            if u is not None:
                error = (x - q * scale) / u[:, i : i + 1, i : i + 1]
                w[:, :, i + 1 : stop] -= error * u[:, i : i + 1, i + 1 : stop]
                errors[:, :, i - start : i - start + 1] = error
        if u is not None:
            w[:, :, stop:] -= errors @ u[:, start:stop, stop:]
    return grid[:, :, :inputs] * scale


def _patches(layer: Layer, x: torch.Tensor, generator: torch.Generator, sampled: int) -> torch.Tensor:
    """What the rows of the weight matrix are multiplied with: a sample of [groups, inputs, columns]."""
    wanted = min(COLUMNS, sampled * _matrix(layer).shape[2])
    if not isinstance(layer, nn.Conv2d | nn.Conv3d):
        columns = x.reshape(-1, x.shape[-1]) if isinstance(layer, nn.Linear) else x.transpose(0, 1).flatten(1).T
        chosen = columns[torch.randperm(len(columns), generator=generator)[:wanted]].T
        return chosen.reshape(1 if isinstance(layer, nn.Linear) else layer.groups, -1, chosen.shape[1])
    x = _padded(layer, x)
    (n, channels), sides = x.shape[:2], x.shape[2:]
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    places = [
        (side - d * (k - 1) - 1) // s + 1 for side, k, s, d in zip(sides, kernel, stride, dilation, strict=True)
    ]  # along each side
    chosen = torch.randperm(math.prod(places), generator=generator)[: math.ceil(wanted / n)]  # the same in every image
    flat = x.flatten(2)
    corner = _flat([at * s for at, s in zip(torch.unravel_index(chosen, places), stride, strict=True)], sides)
    taps = [
        flat[:, :, corner + int(_flat([i * d for i, d in zip(tap, dilation, strict=True)], sides))]
        for tap in itertools.product(*map(range, kernel))
    ]
    stacked = torch.stack(taps, 2).permute(1, 2, 0, 3)  # [channels, taps, images, places]
    return stacked.reshape(layer.groups, channels // layer.groups * len(taps), n * len(chosen))


def _flat(at: Sequence[Any], sides: Sequence[int]) -> Any:
    """Where a place, given along each side, lies when all sides are one."""
    return functools.reduce(lambda before, pair: before * pair[1] + pair[0], zip(at, sides, strict=True), 0)


def _padded(layer: nn.Conv2d | nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    if isinstance(layer.padding, str) or type(layer).__name__ == "Conv2dSame":  # as TensorFlow pads
        sides = zip(x.shape[2:], layer.kernel_size, layer.stride, layer.dilation, strict=True)
        whole = [max((math.ceil(side / s) - 1) * s + d * (k - 1) + 1 - side, 0) for side, k, s, d in sides]
        ends = [(left // 2, left - left // 2) for left in whole]
    else:
        ends = [(left, left) for left in layer.padding]
    pad = [beyond for pair in reversed(ends) for beyond in pair]
    return functional.pad(x, pad) if any(pad) else x
