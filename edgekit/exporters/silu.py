"""Equalise channels through SiLU, which lets no factor through by itself.

Cross-layer equalisation (equalizing.py) was made for ReLU. Behind SiLU the channels of a network with depthwise
convolutions differ by more than eight bits hold, before the activation and after it: YOLOX-Nano lost half of its mAP so.
But s * silu(y / s) is y * sigmoid(y / s): a convolution's outputs are multiplied by s, the sigmoid reads them divided by
it, and so do the weights of whatever reads the answer. Exact in float, at the price of one multiplication by constants.

The factors of an activation are chosen against calibration images, among what a few rules give, by the noise that 8 bits
before and after it would leave in what its readers answer; where none takes away MORE of it, the activation stays as it is.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from edgekit.exporters.folding import Layer, alike, put
from edgekit.models.tracing import Node, trace

MORE = 2.0  # of the noise, that equalising has to take away
SAMPLED = 512  # values of a channel
DEEP = (0.5, 1.0, 2.0, 4.0, 8.0)  # how far below zero a channel is taken to reach, at most: silu(-4) is -0.07
STEPS = 255  # what one is divided by becomes 8 bits too: factors are STEPS over whole numbers, so that it loses nothing
CAPS = (8.0, 32.0, 128.0)  # of the factors: a channel that is silent on the calibration images may speak on others
LEFT = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)  # shares of a range below zero that are kept
KEEPS = (  # operators that answer each channel by itself, and twice as much for twice as much
    "max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "mean", "upsample_nearest2d",
    "upsample_bilinear2d", "clone", "detach", "alias", "contiguous",
)  # fmt: skip
JOINTS = ("cat", "mul", "mul_")  # what they answer is multiplied if one input is
SHAPES = ("view", "_unsafe_view", "reshape", "flatten", "squeeze")


class ScaledSiLU(nn.Module):
    """s * silu(y / s) of y [n, c, h, w], with s for each channel."""

    inverse: torch.Tensor

    def __init__(self, factor: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("inverse", (1 / factor).view(1, -1, 1, 1))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return y * torch.sigmoid(y * self.inverse)


@dataclass
class Group:
    """Activations that share their factors, because they are added up.

    carriers  nodes whose channels from a place on would be multiplied; of the activations themselves it is 0
    readers   layers that divide again, and the first of their inputs that they would have to divide
    """

    carriers: dict[Node, int] = field(default_factory=dict)
    activations: list[Node] = field(default_factory=list)
    readers: list[tuple[Layer, int]] = field(default_factory=list)

    @property
    def makers(self) -> list[str]:
        """The paths of the convolutions that the activations read."""
        return [given.place for activation in self.activations for given in activation.inputs if given]


@torch.no_grad()
def equalize_silu(folded: nn.Module, pictures: torch.Tensor) -> bool:
    """Equalise a network with folded BatchNorms in place, by normalised images [n, c, h, w].

    Returns whether anything was to be equalised. The network is left as it was where its answers would change.
    """
    graph = _Graph(folded, pictures)
    groups = graph.groups()
    if not groups:
        return False
    before = {name: tensor.clone() for name, tensor in folded.state_dict().items()}
    swapped: dict[str, nn.Module] = {}
    expected = folded(pictures[:2])
    samples = _samples(folded, [p for group in groups for p in group.makers], pictures)
    for group in groups:
        values = torch.cat([samples[place] for place in group.makers], 1)
        factor = _factor(values, _importance(group, values))
        if factor is None:
            continue
        for activation in group.activations:
            layer = graph.layer(activation.inputs[0])
            assert layer is not None
            layer.weight *= factor.view(-1, 1, 1, 1)
            if layer.bias is not None:
                layer.bias *= factor
            swapped[activation.place] = graph.modules[activation.place]
            put(folded, activation.place, ScaledSiLU(factor))
        for reader, start in group.readers:
            _divide(reader, start, factor)
    if alike(expected, folded(pictures[:2])):
        return bool(swapped)
    for place, module in swapped.items():
        put(folded, place, module)
    folded.load_state_dict(before)
    return False


class _Graph:
    """A traced network, asked about what its activations feed."""

    def __init__(self, module: nn.Module, pictures: torch.Tensor) -> None:
        self.modules = dict(module.named_modules())
        self.nodes = trace(module, tuple(pictures.shape[2:]), pictures.shape[1]).nodes
        self.users: dict[Node, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for given in dict.fromkeys(node.inputs):
                if given is not None:
                    self.users[given].append(node)
        self.runs = Counter(n.place for n in self.nodes if n.op in ("convolution", "silu", "silu_", "addmm"))

    def groups(self) -> list[Group]:
        """Of all activations that can be equalised."""
        taken: set[Node] = set()
        found = []
        for node in self.nodes:
            if self._is_activation(node) and node not in taken:
                group = self._group(node)
                if group is not None and group.readers:
                    taken |= set(group.activations)
                    found.append(group)
        return found

    def _is_activation(self, node: Node) -> bool:
        """A SiLU of its own module, of a convolution's answer that nobody else reads."""
        if node.op not in ("silu", "silu_") or type(self.modules[node.place]) is not nn.SiLU:
            return False
        maker = node.inputs[0]
        if maker is None or len(self.users[maker]) > 1 or not isinstance(self.layer(maker), nn.Conv2d):
            return False
        return self.runs[node.place] == self.runs[maker.place] == 1

    def layer(self, node: Node | None) -> Layer | None:
        """The module that a node is the only operator of."""
        module = self.modules[node.place] if node is not None and node.op in ("convolution", "addmm") else None
        return module if isinstance(module, Layer) else None

    def _group(self, first: Node) -> Group | None:
        """None where something on the way does not pass factors on, or activations of other widths would share them."""
        group = Group()
        todo, joints = [(first, 0)], []
        while todo:
            node, start = todo.pop()
            if node in group.carriers:
                if group.carriers[node] != start:
                    return None
                continue
            group.carriers[node] = start
            above = self._above(node, start)
            if above is None:
                return None
            if self._is_activation(node):
                group.activations.append(node)
            for user in self.users[node]:
                places = self._places(node, start, user)
                if places is None:
                    return None
                reader = self.layer(user)
                if reader is not None:
                    group.readers += [(reader, place) for place in places]
                else:
                    todo += [(user, place) for place in places]
            joints += [given for given in above if given.op in JOINTS]
            todo += [(given, 0) for given in above if given.op not in JOINTS]
        widths = {activation.shape[1] for activation in group.activations}
        return group if len(widths) == 1 and all(group.carriers.get(joint) == 0 for joint in joints) else None

    def _above(self, node: Node, start: int) -> list[Node] | None:
        """What has to have the same factors, so that a carrier has them; None where that cannot be."""
        if node.op in ("add", "add_"):
            whole = all(g is not None and g.shape == node.shape for g in node.inputs) and len(node.inputs) == 2
            return [g for g in node.inputs if g] if whole and start == 0 else None
        if self._is_activation(node) or node.op in JOINTS:
            return []
        given = node.inputs[0] if node.inputs else None
        return [given] if given is not None and node.op in (*KEEPS, *SHAPES) and start == 0 else [] if start else None

    def _places(self, node: Node, start: int, user: Node) -> list[int] | None:
        """Where in a reader's channels those of a carrier are; None where the reader does not bear a factor."""
        layer = self.layer(user)
        if layer is not None:
            alone = self.runs[user.place] == 1 and user.inputs.count(node) == 1
            whole = isinstance(layer, nn.Linear) or (
                type(layer) is nn.Conv2d
                and (layer.groups == 1 or layer.groups == layer.in_channels == layer.out_channels)
            )
            return [start] if alone and whole else None
        if user.op == "cat":
            widths = [shape[1] for shape in user.shapes]
            if len(user.shape) != 4 or user.shape[1] != sum(widths):
                return None
            return [start + sum(widths[:i]) for i, given in enumerate(user.inputs) if given is node]
        pooled = user.op in KEEPS and user.shape[:2] == node.shape[:2]
        flat = user.op in SHAPES and user.shape == node.shape[:2] and node.shape[2:] in ((1, 1), ())
        gated = user.op in ("mul", "mul_") and user.inputs.count(node) == 1 and user.shape[1:2] == node.shape[1:2]
        added = user.op in ("add", "add_") and len(user.inputs) == 2
        return [start] if pooled or flat or gated or added else None


def _samples(network: nn.Module, places: Sequence[str], pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of what each layer answers: its extremes and a sample of every channel's values, [c, values]."""
    seen: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(0)

    def watch(place: str, answer: torch.Tensor) -> None:
        values = answer.transpose(0, 1).flatten(1)
        some = torch.randperm(values.shape[1], generator=generator)[:SAMPLED]
        seen[place] = torch.cat([values.amin(1, keepdim=True), values.amax(1, keepdim=True), values[:, some]], 1)

    handles = [
        network.get_submodule(place).register_forward_hook(lambda m, given, answer, place=place: watch(place, answer))
        for place in places
    ]
    try:
        network(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _importance(group: Group, values: torch.Tensor) -> torch.Tensor:
    """How much of every reader's answer a channel's noise makes, [c]: per squared number of the noise."""
    power = nn.functional.silu(values).var(1)
    power = power.clamp_min(float(1e-4 * power.max()) + 1e-12)
    total = torch.zeros_like(power)
    for reader, start in group.readers:
        if not isinstance(reader, nn.Linear) and reader.groups > 1:  # each channel is an answer of its own
            total += 1 / power / len(power)
        else:
            columns = reader.weight[:, start : start + len(power)].square().transpose(0, 1).flatten(1).sum(1)
            total += columns / (columns * power).sum().clamp_min(1e-12)
    return total


def _factor(values: torch.Tensor, importance: torch.Tensor) -> torch.Tensor | None:
    """The factors of the channels that leave the least noise; None where they do not pay."""
    low, high = values.amin(1), values.amax(1)
    best, least = None, _noise(values, torch.ones_like(high), importance) / MORE
    for deep in DEEP:
        reach = torch.maximum(high, (-low).clamp_max(deep)).clamp_min(1e-6)
        for cap in CAPS:
            factor = STEPS / (STEPS * reach / reach.max()).clamp_min(STEPS / cap).round()
            noise = _noise(values, factor, importance)
            if noise < least:
                best, least = factor, noise
    return best


def _noise(values: torch.Tensor, factor: torch.Tensor, importance: torch.Tensor) -> float:
    """What 8 bits before and after the activation leave, in the readers' answers."""
    along = factor.view(-1, 1)
    scaled, wanted = values * along, nn.functional.silu(values) * along
    high, low = float(scaled.max()), float(scaled.min())
    after = (float(wanted.min()), float(wanted.max()))
    errors = []
    for left in LEFT:
        before = _grid(scaled, low * left, high)
        got = _grid(before * torch.sigmoid(before / along), *after)
        errors.append(float((((got - wanted) / along).square().mean(1) * importance).sum()))
    return min(errors)


def _grid(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    scale = max((max(high, 0) - min(low, 0)) / 255, 1e-12)
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-min(low, 0) / scale), 0, 255)


def _divide(reader: Layer, start: int, factor: torch.Tensor) -> None:
    end = start + len(factor)
    if not isinstance(reader, nn.Linear) and reader.groups > 1:
        reader.weight[start:end] /= factor.view(-1, *[1] * (reader.weight.ndim - 1))
    else:
        reader.weight[:, start:end] /= factor.view(-1, *[1] * (reader.weight.ndim - 2))
