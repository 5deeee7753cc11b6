"""What int8 costs layer by layer: the noise in a network's answers when one layer alone computes in integers.

Simulated in PyTorch, as a file of the scheme computes: what the layer reads lies on an 8-bit grid, and its weights are those that
rounding.py chooses for it. TFLite and ONNX Runtime keep a tensor in integers unless both who makes it and who reads it are in
float: there a layer also answers for what its readers read. Noises of different layers know little of each other, and add up.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from edgekit.exporters.folding import Layer, weighted
from edgekit.exporters.rounding import as_int8, round_weights
from edgekit.exporters.sensitivity import as_read, extremes, hooked, macs
from edgekit.models.picking import each
from edgekit.models.tracing import Node, trace

PICTURES = 8  # that the noise is measured on
PASSING = {  # what a fused activation or a change of shape is called: the tensor behind it is the layer's answer
    "relu", "relu_", "hardtanh", "hardtanh_", "clamp", "clamp_min", "view", "_unsafe_view", "reshape", "permute", "transpose",
    "t", "clone", "unsqueeze", "squeeze", "constant_pad_nd", "max_pool2d_with_indices", "detach", "expand",
}  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """layer: its path. noise: in each output, squares of what changes over squares of the answers. macs: for one image."""

    layer: str
    noise: tuple[float, ...]
    macs: int


@torch.no_grad()
def costs(
    network: nn.Module,
    pictures: torch.Tensor,
    scheme: str,
    taking_part: Callable[[Layer], bool] = lambda layer: True,
    *,
    pair_safe: bool = False,
    by_channel: bool = False,
    between: bool = False,
    share: Callable[[float], None] = lambda done: None,
) -> list[Cost]:
    """Of every layer that takes part, in the order of the network, which is left as it was.

    network     with folded BatchNorms
    pictures    normalised, float32 [n, c, h, w] or clips: all of them for ranges and weights, PICTURES of them for the noise
    scheme      int8-static, int8-dynamic or int8-weight-only
    pair_safe, by_channel  see rounding.py
    between     static: what lies between two layers is in integers, too
    share       is told how much is done, 0 to 1
    """
    static = scheme == "int8-static"
    rounded = copy.deepcopy(network)
    round_weights(rounded, pictures, static=static, pair_safe=pair_safe, by_channel=by_channel, alone=True)
    reach, work = _looked(network, pictures, by_channel=by_channel)
    judged = pictures[:PICTURES]
    exact = [each(network(picture[None])) for picture in judged]
    signal = _squares(exact)
    names = {layer: name for name, layer in network.named_modules()}
    readers = _readers(network, pictures) if static and between else {}
    layers = [layer for layer in weighted(network) if layer in reach and taking_part(layer)]
    found = []
    for done, layer in enumerate(layers):
        reading = [layer, *(r for r in readers.get(names[layer], ()) if r in reach)]
        with (
            _reading_integers(reading, scheme, reach, by_channel=by_channel),
            _weights_of(layer, rounded, names[layer]),
        ):
            answers = [each(network(picture[None])) for picture in judged]
        changed = [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(answers, exact, strict=True)]
        noise = tuple(n / s if s else 0.0 for n, s in zip(_squares(changed), signal, strict=True))
        found.append(Cost(names[layer], noise, work[layer] // len(pictures)))
        share((done + 1) / len(layers))
    return found


def _squares(answers: Sequence[Sequence[torch.Tensor]]) -> list[float]:
    """Of every output, summed over images."""
    return [sum(float(a.double().square().sum()) for a in output) for output in zip(*answers, strict=True)]


def _looked(
    network: nn.Module, pictures: torch.Tensor, *, by_channel: bool
) -> tuple[dict[Layer, torch.Tensor], Counter[Layer]]:
    """The extremes of what each layer reads, and its multiply-adds for all images."""
    reach: dict[Layer, torch.Tensor] = {}
    work: Counter[Layer] = Counter()

    def see(layer: Layer, given: tuple[torch.Tensor, ...], answer: torch.Tensor) -> None:
        reach[layer] = extremes(layer, given[0], reach.get(layer), by_channel=by_channel)
        work[layer] += macs(layer, given[0], answer)

    with hooked(network, "register_forward_hook", see):
        for picture in pictures:
            network(picture[None])
    return reach, work


@contextmanager
def _reading_integers(
    layers: Sequence[Layer], scheme: str, reach: Mapping[Layer, torch.Tensor], *, by_channel: bool
) -> Iterator[None]:
    """While these layers read 8-bit numbers: on the grid of all images, or of the one at hand."""

    def read(layer: Layer, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = given[0]
        on_grid = as_read(layer, x, reach[layer], by_channel=by_channel) if scheme == "int8-static" else as_int8(x, x)
        return (on_grid, *given[1:])

    plain = scheme == "int8-weight-only"
    handles = [layer.register_forward_pre_hook(read) for layer in layers if not plain]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _weights_of(layer: Layer, rounded: nn.Module, name: str) -> Iterator[None]:
    """While a layer has the weights and the bias of its namesake in another network."""
    other, own = rounded.get_submodule(name), (layer.weight, layer.bias)
    layer.weight, layer.bias = other.weight, other.bias  # type: ignore[assignment]
    try:
        yield
    finally:
        layer.weight, layer.bias = own


def _readers(network: nn.Module, pictures: torch.Tensor) -> dict[str, list[Layer]]:
    """The layers that read what another answers, with nothing between but what is fused into it or moves numbers about."""
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, Layer)}
    try:
        nodes = trace(network, tuple(pictures.shape[2:]), pictures.shape[1]).nodes
    except Exception:  # code that cannot be watched: each layer answers for itself
        return {}
    found: dict[str, list[Layer]] = defaultdict(list)
    for node in nodes:
        if node.macs and node.place in layers:
            maker = _maker(node)
            if maker is not None and maker.place in layers:
                found[maker.place].append(layers[node.place])
    return found


def _maker(node: Node) -> Node | None:
    """Who made what a layer reads; None where that is made of several."""
    while True:
        made = [given for given in node.inputs if given is not None]
        if len(made) != 1:
            return None
        if made[0].op not in PASSING:
            return made[0]
        node = made[0]
