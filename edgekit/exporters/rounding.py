"""Round weights against pictures instead of to the nearest integer, before any converter sees them.

In an int8 CNN the rounding of weights costs more than the rounding of activations, and most of that is a shift of each
channel's mean. So the layers are visited in the order they run, and each one's weights are put on the int8 grid that the
quantizer will use (symmetric, one scale per output channel, largest weight = 127) such that the layer's *output* stays
close to the float network's:

- GPTQ (Frantar et al. 2022, arXiv:2210.17323; after Hassibi & Stork's Optimal Brain Surgeon): weights are rounded one
  input at a time, and the error made is carried over to the inputs not yet rounded, by the inputs' covariance;
- half of the error that earlier layers left in the inputs is corrected too (the asymmetric target of GPTAQ, Li et al.
  2025, arXiv:2504.02692);
- for a static file the rounded network sees its inputs on an 8-bit grid as well, so both corrections cover activations;
- the bias takes the rest of the mean error (Nagel et al. 2019, arXiv:1906.04721, section 4.2).

The quantizer then rounds weights that already lie on its grid, so the file holds the integers chosen here. The result
is an ordinary float module, the same for every target.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from edgekit.exporters.folding import weighted

COLUMNS = 8192  # input patches of a layer that its covariance is taken from, at most
PER_INPUT = 16  # and per input: nine inputs of a depthwise convolution need no thousands
DAMPING = 0.01  # of the mean of the covariance's diagonal
CARRIED = 0.5  # share of the earlier layers' error that a layer corrects
BLOCK = 64

Forward = Callable[[torch.Tensor], torch.Tensor]


@torch.no_grad()
def round_weights(folded: nn.Module, pictures: torch.Tensor, *, static: bool) -> None:
    """Put the weights of a network with folded BatchNorms on the int8 grid, in place, and correct its biases.

    pictures  normalised calibration pictures, float32 [n, 3, h, w]
    static    layers get their inputs on an 8-bit grid too, as in a static int8 file
    """
    generator = torch.Generator().manual_seed(0)

    def visit(layer: nn.Conv2d | nn.Linear, forward: Forward, both: torch.Tensor) -> torch.Tensor:
        """In place of a layer's forward. The batch holds the pictures twice: as the float network and as the rounded one see them."""
        if len(both) % (2 * len(pictures)):  # the first axis is not the pictures': the nearest will do
            return forward(both)
        exact, rounded = both.chunk(2)  # windows of an attention layer are laid out picture by picture
        wanted = forward(exact)
        if static:
            rounded = _as_int8(rounded, exact)
        layer.weight.copy_(_rounded(layer, exact, rounded, generator))
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(len(layer.weight)))
        got = forward(rounded)
        channel = 1 if isinstance(layer, nn.Conv2d) else got.ndim - 1
        over = [d for d in range(got.ndim) if d != channel]
        error = (wanted - got).mean(over, keepdim=True)
        layer.bias += error.flatten()
        return torch.cat([wanted, got + error])

    layers = weighted(folded)
    for layer in layers:
        layer.forward = partial(visit, layer, layer.forward)  # type: ignore[method-assign]
    try:
        folded(torch.cat([pictures, pictures]))
    finally:
        for layer in layers:
            del layer.forward


def _as_int8(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values on the 8-bit grid that spans other values and zero."""
    low, high = min(float(like.min()), 0.0), max(float(like.max()), 0.0)
    scale = max((high - low) / 255, 1e-12)
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)


def _rounded(
    layer: nn.Conv2d | nn.Linear, exact: torch.Tensor, rounded: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """The layer's weights on the int8 grid, chosen for the inputs of the rounded network."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    weight = layer.weight.reshape(groups, len(layer.weight) // groups, -1)  # [groups, outputs, inputs]
    state = generator.get_state()
    seen = _patches(layer, rounded, generator)  # [groups, inputs, columns]
    if seen.shape[2] < 4 * seen.shape[1]:  # too few patches for a covariance (a classifier, a squeeze)
        return _nearest(weight).reshape(layer.weight.shape)
    generator.set_state(state)
    true = _patches(layer, exact, generator)
    seen, true = seen - seen.mean(2, keepdim=True), true - true.mean(2, keepdim=True)
    covariance = seen @ seen.mT / seen.shape[2]
    diagonal = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    covariance = covariance + torch.eye(covariance.shape[1]) * (DAMPING * diagonal)[:, None, None]
    left = weight @ ((true - seen) @ seen.mT / seen.shape[2])
    target = weight + CARRIED * torch.linalg.solve(covariance, left.mT).mT
    return _gptq(target, covariance).reshape(layer.weight.shape)


def _scale(weight: torch.Tensor) -> torch.Tensor:
    return (weight.abs().amax(2, keepdim=True) / 127).clamp_min(1e-12)


def _nearest(weight: torch.Tensor) -> torch.Tensor:
    scale = _scale(weight)
    return (weight / scale).round() * scale


def _gptq(weight: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Round [groups, outputs, inputs] to the grid, carrying each error over to the inputs still to come."""
    inputs = weight.shape[2]
    order = covariance.diagonal(dim1=1, dim2=2).mean(0).argsort(descending=True)  # the strongest inputs first
    w = weight[:, :, order].clone()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance[:, order][:, :, order]))
    u = torch.linalg.cholesky(inverse, upper=True)
    scale, largest = _scale(weight), w.abs().argmax(2, keepdim=True)
    out = torch.empty_like(w)
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = torch.empty_like(w[:, :, start:stop])
        for i in range(start, stop):
            x = w[:, :, i : i + 1]
            q = (x / scale).round().clamp(-127, 127)
            q = torch.where(largest == i, x.sign() * 127, q) * scale  # keeps the scale what it is
            out[:, :, i : i + 1] = q
            error = (x - q) / u[:, i : i + 1, i : i + 1]
            w[:, :, i + 1 : stop] -= error * u[:, i : i + 1, i + 1 : stop]
            errors[:, :, i - start : i - start + 1] = error
        w[:, :, stop:] -= errors @ u[:, start:stop, stop:]
    restored = torch.empty_like(out)
    restored[:, :, order] = out
    return restored


def _patches(layer: nn.Conv2d | nn.Linear, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What the rows of the weight matrix are multiplied with: a sample of [groups, inputs, columns]."""
    wanted = min(COLUMNS, PER_INPUT * layer.weight[0].numel())
    if isinstance(layer, nn.Linear):
        columns = x.reshape(-1, x.shape[-1])
        return columns[torch.randperm(len(columns), generator=generator)[:wanted]].T[None]
    x = _padded(layer, x)
    n, channels, height, width = x.shape
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    down, right = (
        (side - d * (k - 1) - 1) // s + 1
        for side, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
    )
    places = torch.randperm(down * right, generator=generator)[: math.ceil(wanted / n)]  # the same in every picture
    corner = places // right * stride[0] * width + places % right * stride[1]
    flat = x.flatten(2)
    taps = [
        flat[:, :, corner + i * dilation[0] * width + j * dilation[1]]
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
    stacked = torch.stack(taps, 2).permute(1, 2, 0, 3)  # [channels, taps, pictures, places]
    return stacked.reshape(layer.groups, channels // layer.groups * len(taps), n * len(places))


def _padded(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    if isinstance(layer.padding, str) or type(layer).__name__ == "Conv2dSame":  # as TensorFlow pads
        down, right = (
            max((math.ceil(side / s) - 1) * s + d * (k - 1) + 1 - side, 0)
            for side, k, s, d in zip(x.shape[2:], layer.kernel_size, layer.stride, layer.dilation, strict=True)
        )
        pad = [right // 2, right - right // 2, down // 2, down - down // 2]
    else:
        pad = [layer.padding[1], layer.padding[1], layer.padding[0], layer.padding[0]]
    return functional.pad(x, pad) if any(pad) else x
