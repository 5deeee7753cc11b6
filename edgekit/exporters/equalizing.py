"""Spread every channel over the 8-bit grid of its tensor, before any converter sees the weights.

A static int8 tensor has one scale for all channels, so a channel that spans a tenth of the largest keeps a tenth of the
steps. Where nothing but a ReLU (also ReLU6, LeakyReLU, PReLU) lies between two layers, a channel can be multiplied in the first
and divided in the second (Nagel et al. 2019, arXiv:1906.04721, section 4.1), here by what activations reach on calibration images:

- before a depthwise convolution this is free, because both layers have a scale of their own for each channel. A ReLU6
  then clips a raised channel earlier, as its range in the file would; MARGIN leaves room above the calibration images;
- on linear bottlenecks, the residual additions around them included, the division makes the next layer's columns
  uneven, so only the square root of the full factor is taken. What lies between may move numbers within their channel, as a TSM
  moves them from frame to frame.
"""

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from edgekit.exporters.folding import Convolution, alike, by_output, divide, put_by_output
from edgekit.exporters.following import REACH, SHAPE, follow, forget, reach_further

MARGIN = 3.0
CAP = 64.0  # a channel that is silent on the calibration images may speak on others

SHARE = 0.75  # of a factor, in decibels, that linear bottlenecks get

ADDITIONS = (operator.add, operator.iadd, torch.add)
RECTIFIERS = (functional.relu, functional.relu6, functional.leaky_relu, torch.relu)


@torch.no_grad()
def equalize(folded: nn.Module, pictures: torch.Tensor, more: Iterable[torch.Tensor] = ()) -> bool:
    """Equalise a network with folded BatchNorms in place, by normalised images [n, 3, h, w] or clips.

    more  batches of other images: what is silent on a few may reach far on others
    Returns False, and leaves the network as it was, where torch.fx cannot follow it or the answers would change.
    """
    try:
        graph = follow(folded, pictures)
    except Exception:  # control flow that depends on values: fx raises many kinds
        forget(folded)
        return False
    before = {name: tensor.clone() for name, tensor in folded.state_dict().items()}
    wanted = folded(pictures[:2])
    network = _Network(folded, graph)
    pairs, groups = network.depthwise_pairs(), network.linear_groups()
    if pairs or groups:
        reach_further(graph, folded, more)
    forget(folded)
    for producer, activation, consumer in pairs:
        reach = activation.meta[REACH]
        top = 6.0 if network.clips(producer, activation) else float(reach.max())
        factor = (top / (MARGIN * reach).clamp_min(1e-9)).clamp(1, CAP)
        _multiply(network.convolution(producer), factor)
        divide(network.convolution(consumer), factor, axis=0)
    for members, consumers in groups:
        span = torch.stack([k.meta[REACH] for k in members]).amax(0)
        factor = (span.max() / span.clamp_min(1e-9)).clamp(1, CAP) ** SHARE
        for producer in members & set(network.convolutions):
            _multiply(network.convolution(producer), factor)
        for consumer in consumers:
            layer = network.convolution(consumer)
            divide(layer, factor, axis=0 if isinstance(layer, nn.ConvTranspose2d) else 1)
    if alike(wanted, folded(pictures[:2])):
        return True
    folded.load_state_dict(before)
    return False


class _Network:
    """A traced network, asked about the neighbourhood of its convolutions."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        self.module, self.graph = module, graph
        self.modules = dict(module.named_modules())
        runs = Counter(n.target for n in graph.nodes if n.op == "call_module")
        # one that runs more than once has one set of weights for several places
        self.convolutions = [n for n in graph.nodes if isinstance(self._called(n), Convolution) and runs[n.target] == 1]
        # by the node that they begin with: nodes that move its numbers, and the convolution that reads what they make
        self.moves: dict[fx.Node, list[tuple[set[fx.Node], fx.Node]]] = {}
        for reader in self.convolutions:
            if found := self._moves(reader.all_input_nodes[0]):
                self.moves.setdefault(found[1], []).append((found[0], reader))

    def _called(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def convolution(self, node: fx.Node) -> Convolution:
        layer = self._called(node)
        assert isinstance(layer, Convolution)
        return layer

    def _passes(self, node: fx.Node) -> bool:
        return isinstance(self._called(node), nn.Identity | nn.Dropout)

    def _rectifies(self, node: fx.Node) -> bool:
        called = isinstance(self._called(node), nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.PReLU)
        return called or (node.op == "call_function" and node.target in RECTIFIERS)

    def _joins(self, node: fx.Node) -> bool:
        addition = node.op == "call_function" and node.target in ADDITIONS
        return self._passes(node) or (addition and len(node.all_input_nodes) == len(node.args))

    def clips(self, producer: fx.Node, activation: fx.Node) -> bool:
        """Whether a ReLU6 lies on the way from a convolution to its activation."""
        node = activation
        while node is not producer:
            if isinstance(self._called(node), nn.ReLU6) or node.target is functional.relu6:
                return True
            node = node.all_input_nodes[0]
        return False

    def depthwise_pairs(self) -> list[tuple[fx.Node, fx.Node, fx.Node]]:
        """(convolution, its activation, the depthwise convolution that alone reads it)."""
        pairs = []
        for producer in self.convolutions:
            node, rectified = producer, False
            while len(node.users) == 1:
                reader = next(iter(node.users))
                if self._passes(reader) or self._rectifies(reader):
                    node, rectified = reader, rectified or self._rectifies(reader)
                    continue
                layer = self._called(reader)
                if (
                    rectified
                    and reader in self.convolutions
                    and isinstance(layer, Convolution)
                    and layer.groups == layer.in_channels == layer.out_channels
                ):
                    pairs.append((producer, node, reader))
                break
        return pairs

    def _moves(self, end: fx.Node) -> tuple[set[fx.Node], fx.Node] | None:
        """The nodes that lead to one, and the only node that they begin with, if all that they do is to move numbers within their
        channel: what each channel is multiplied with goes through them."""
        nodes, todo = [], [end]
        starts: set[fx.Node] = set()
        while todo:
            node = todo.pop()
            if node.op not in ("call_function", "call_method") or self._joins(node) or self._rectifies(node):
                starts.add(node)
            elif node not in nodes:
                nodes.append(node)
                todo += node.all_input_nodes
        if not nodes or len(starts) != 1 or any(set(n.users) - set(nodes) for n in nodes if n is not end):
            return None
        (start,) = starts
        shape = start.meta.get(SHAPE, ())
        if len(shape) != len(end.meta.get(SHAPE, ())) or len(shape) not in (4, 5) or shape[1] != end.meta[SHAPE][1]:
            return None
        order = sorted(nodes, key=list(self.graph.nodes).index)
        generator = torch.Generator().manual_seed(0)
        x, factor = torch.rand(shape, generator=generator), torch.rand(shape[1], generator=generator) + 0.5
        factor = factor.view(-1, *[1] * (len(shape) - 2))
        try:
            same = torch.equal(_computed(order, start, x) * factor, _computed(order, start, x * factor))
        except (RuntimeError, TypeError, KeyError):  # something that reads more than its numbers
            return None
        return (set(nodes), start) if same else None

    def linear_groups(self) -> list[tuple[set[fx.Node], set[fx.Node]]]:
        """Sets of nodes that must share their factors (convolutions and the additions of their answers), with readers.

        Only groups that dense convolutions alone read, with nothing nonlinear in between.
        """
        groups = []
        seen: set[fx.Node] = set()
        for start in self.convolutions:
            if start in seen:
                continue
            members, readers, todo = {start}, set(), [start]
            while todo:
                node = todo.pop()
                joined = {u for u in node.users if self._joins(u)}
                moved = [(nodes, reader) for nodes, reader in self.moves.get(node, ()) if nodes & set(node.users)]
                readers |= set(node.users) - joined - {n for nodes, _ in moved for n in nodes}
                readers |= {reader for _, reader in moved}
                near = joined | (set() if node in self.convolutions else set(node.all_input_nodes))
                todo += near - members
                members |= near
            seen |= members
            known = all(m in self.convolutions or self._joins(m) for m in members)
            dense = all(r in self.convolutions and self.convolution(r).groups == 1 for r in readers)
            if known and dense and readers:
                groups.append((members, readers))
        return groups


def _computed(nodes: Sequence[fx.Node], start: fx.Node, value: torch.Tensor) -> torch.Tensor:
    """What the last of some nodes makes of a value for the one that they begin with."""
    known: dict[fx.Node, Any] = {start: value}
    for node in nodes:
        args: Any = fx.node.map_arg(node.args, known.__getitem__)
        kwargs: Any = fx.node.map_arg(node.kwargs, known.__getitem__)
        target: Any = node.target
        known[node] = (
            getattr(args[0], target)(*args[1:], **kwargs) if node.op == "call_method" else target(*args, **kwargs)
        )
    made: torch.Tensor = known[nodes[-1]]
    return made


def _multiply(layer: Convolution, factor: torch.Tensor) -> None:
    weights = by_output(layer)
    put_by_output(layer, weights * factor.view(*weights.shape[:2], 1, 1))
    if layer.bias is not None:
        layer.bias *= factor
