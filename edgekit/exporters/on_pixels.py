"""The first convolution reads pixels: mean and std become a part of its weights, exactly.

Normalised in integers, a frame is rounded twice, by the multiplication and by the addition, and networks over time multiply what
that leaves: in an R(2+1)D-18 it is as much as all weights make. Pixels are 8-bit numbers already. But a convolution pads with zeros, which
are the mean of normalised pixels; so the frames get their edge beforehand, of the mean pixel.
"""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn
from torch.nn import functional

from edgekit.exporters.folding import alike
from edgekit.preprocess import Preprocess


@dataclass(frozen=True)
class Edge:
    """What is put round pixels [n, (t,) h, w, c]: `beyond` at both ends of (frames,) height and width, of the mean pixel.

    filled  what is added behind zeros: [(t,) h, w, c] with their edge, the mean there, elsewhere zero
    """

    beyond: tuple[int, ...]
    filled: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Pixels [n, c, (t,) h, w] with their edge. Added over whole frames, because runtimes are slow at spreading numbers."""
        if not any(self.beyond):
            return x
        pads = chain.from_iterable((side, side) for side in reversed(self.beyond))
        x = functional.pad(x.movedim(1, -1), (0, 0, *pads))
        whole = self.filled.ndim
        return (x.flatten(-whole) + self.filled.flatten()).reshape(x.shape).movedim(-1, 1)


@torch.no_grad()
def read_pixels(network: nn.Module, pictures: torch.Tensor, spec: Preprocess) -> Edge | None:
    """Change the layer of a network that reads its normalised input, in place, such that the network takes what `Edge` makes
    of pixels. None, and the network as it was, where that is not one plain convolution.

    pictures  normalised, float32 [n, c, h, w] or clips [n, c, t, h, w]
    """
    layer = _first(network, pictures[:1])
    if layer is None:
        return None
    mean, std = (255 * torch.tensor(values) for values in (spec.mean, spec.std))
    over = (1, -1, *[1] * len(layer.kernel_size))
    before, padding = (layer.weight, layer.bias), layer.padding
    wanted = network(pictures[:2])
    weight = layer.weight / std.view(over)
    moved = (weight * mean.view(over)).flatten(1).sum(1)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(-moved if layer.bias is None else layer.bias - moved)
    layer.padding = tuple(0 for _ in layer.padding)
    edge = _edge(tuple(map(int, padding)), mean, spec)
    try:
        same = alike(wanted, network(edge(as_pixels(pictures[:2], spec))))
    except RuntimeError:  # something else reads the input too, and wants its size
        same = False
    if same:
        return edge
    (layer.weight, layer.bias), layer.padding = before, padding
    return None


def as_pixels(pictures: torch.Tensor, spec: Preprocess) -> torch.Tensor:
    """Normalised pictures or clips as the pixels 0..255 that they were, float32."""
    over = (-1, *[1] * (pictures.ndim - 2))
    mean, std = (torch.tensor(values).view(over) for values in (spec.mean, spec.std))
    return (255 * (pictures * std + mean)).round()


def _edge(beyond: tuple[int, ...], mean: torch.Tensor, spec: Preprocess) -> Edge:
    sides = spec.extent[-len(beyond) :]
    filled = mean.expand(*(side + 2 * more for side, more in zip(sides, beyond, strict=True)), -1).clone()
    filled[tuple(slice(more, more + side) for side, more in zip(sides, beyond, strict=True))] = 0
    return Edge((0,) * (len(spec.extent) - len(beyond)) + beyond, filled)


def _first(network: nn.Module, picture: torch.Tensor) -> nn.Conv2d | nn.Conv3d | None:
    """The convolution that alone reads all numbers of the input, in whichever order."""
    numbers = picture.flatten().sort().values
    readers = []

    def look(layer: nn.Conv2d | nn.Conv3d, given: tuple[torch.Tensor, ...]) -> None:
        x = given[0]
        if (
            x.shape[1] == picture.shape[1]
            and x.numel() == picture.numel()
            and torch.equal(x.flatten().sort().values, numbers)
        ):
            readers.append(layer)

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        network(picture)
    finally:
        for handle in handles:
            handle.remove()
    plain = [
        layer
        for layer in readers
        if type(layer) in (nn.Conv2d, nn.Conv3d) and layer.groups == 1 and layer.padding_mode == "zeros"
    ]
    return plain[0] if len(readers) == len(plain) == 1 and not isinstance(plain[0].padding, str) else None
