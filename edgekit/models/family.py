"""What kind of network it is, read from what it computes: it decides the int8 scheme, and the reason that is printed.

The multiply-adds decide: a network that spends most of them in convolutions is a CNN, whatever gates it has (a squeeze, a
CBAM); another is a transformer where two activations are multiplied with each other, an MLP where none are. A CNN with
something between its convolutions that integers serve badly is "mixed": attention, GELU, ELU, Mish, Softplus, or a norm that is
computed from the image. Class names say nothing: two people call two things alike.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from edgekit.errors import reason
from edgekit.models.tracing import Node, trace

HALF = 0.5  # of the multiply-adds
MOST = 0.75  # of them, where there is attention: MobileViT-XXS (55 %) falls to 5 dB in static TFLite, and keeps 23 in dynamic
COUNTED = 0.05  # of the activations: a rarer one does not describe a network
NAMES = {
    "relu": "ReLU", "silu": "SiLU", "gelu": "GELU", "erf": "GELU", "hardswish": "hard-swish", "leaky_relu": "LeakyReLU",
    "elu": "ELU", "mish": "Mish", "_prelu_kernel": "PReLU", "tanh": "tanh", "softplus": "Softplus",
}  # fmt: skip
# ranges of all images serve these badly: static TFLite falls to 0.5 to 6 dB, and is slower
SMOOTH = {"GELU", "ELU", "Mish", "Softplus"}
OWN = {"hardswish": "hard-swish", "prelu": "PReLU"}  # CNNs by what lies between their convolutions
NORMS = {"native_layer_norm": "LayerNorm", "native_group_norm": "GroupNorm"}
ARITHMETIC = ("add", "sub", "mul", "div")
CLAMPS = ("hardtanh", "clamp", "hardsigmoid")


@dataclass(frozen=True)
class Family:
    """name: attention, mlp, mixed, hardswish, prelu, silu (it has depthwise convolutions that read SiLU) or cnn.

    convolved    share of the multiply-adds that convolutions have
    activations  that ran, the commonest first, by their usual names
    floats       softmax, these and norms: what integers serve badly
    trouble      why it was judged by the names of its layers' classes alone, where it was
    """

    name: str
    convolved: float = 0.0
    activations: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    trouble: str = ""

    def because(self, why: str, otherwise: str) -> str:
        """A reason that is true of this network, from a row of schemes.toml: `otherwise` where more than ReLU, ReLU6 and
        SiLU lies between its convolutions."""
        if self.trouble:
            return f"by the names of its layers, {self.name}, because it could not be run on paper: {self.trouble}"
        smooth = set(self.floats) <= {"ReLU", "ReLU6", "SiLU"}
        said = why if (smooth and self.activations) or not otherwise else otherwise
        return said.format(
            activations=_listed(self.activations or ("no activation",)),
            floats=_listed(self.floats or ("what else there is",)),
            convolved="all" if self.convolved > 0.995 else f"{self.convolved:.0%} of the",
        )


def family(module: nn.Module, size: tuple[int, ...], channels: int = 3) -> Family:
    """Of a module, for images of this size [height, width] (of clips [frames, height, width]), on the device of its weights."""
    training = [m for m in module.modules() if m.training]
    try:
        nodes = trace(module.eval(), size, channels).nodes
    except Exception as error:  # whatever the network's own code raises
        return _by_classes(module, reason(error))
    finally:
        for m in training:
            m.training = True
    counted = Counter(name for name in map(_activation, nodes) if name)
    activations = tuple(name for name, count in counted.most_common() if count >= COUNTED * counted.total())
    softmax = ("softmax",) if any("softmax" in n.op for n in nodes[:-1]) else ()
    norms = tuple(dict.fromkeys(NORMS[n.op] for n in nodes if n.op in NORMS))
    total, convolved = sum(n.macs for n in nodes), sum(n.macs for n in nodes if n.op == "convolution")
    share = convolved / total if total else 0.0
    attends = any(_multiplies_activations(n) for n in nodes)
    if share < (MOST if attends else HALF):
        name = "attention" if attends else "mlp"
    elif attends or norms or SMOOTH & {*activations}:
        name = "mixed"
    else:
        plain = "silu" if any(_reads_silu(n) for n in nodes) else "cnn"
        name = next((name for name, activation in OWN.items() if activation in activations), plain)
    return Family(name, share, activations, (*softmax, *activations, *norms))


def _by_classes(module: nn.Module, trouble: str) -> Family:
    kinds = {type(m).__name__.lower() for m in module.modules()}
    own = (name for name in OWN if name in kinds)
    name = "attention" if any("attention" in k for k in kinds) else next(own, "cnn")
    return Family(name, trouble=trouble)


def _multiplies_activations(node: Node) -> bool:
    return node.op in ("mm", "bmm", "baddbmm") and len(node.inputs) > 1 and all(node.inputs[-2:])


def _reads_silu(node: Node) -> bool:
    """Whether it is a depthwise convolution of what SiLU answers: channels differ there by more than eight bits hold."""
    if node.op != "convolution" or node.shapes[0][1] == 1 or node.shapes[1][1] != 1:
        return False
    given = node.inputs[0]
    if given is not None and given.op == "constant_pad_nd":
        given = given.inputs[0]
    return given is not None and _activation(given) == "SiLU"


def _activation(node: Node) -> str | None:
    """The name of the activation that a node is, or ends, however it is written."""
    name = node.op.rstrip("_")
    if name == "hardtanh":  # relu6(x + 3) is the greater part of a hard sigmoid
        gate = node.inputs[0] is not None and node.inputs[0].op.rstrip("_") == "add" and 3 in node.inputs[0].numbers
        return None if gate else "ReLU6" if 6 in node.numbers else "hard tanh"
    return _own_gate(node) if name == "mul" else NAMES.get(name)


def _own_gate(node: Node) -> str | None:
    """x * sigmoid(x) is SiLU; x * hardsigmoid(x), x * relu6(x + 3) / 6 and clamp(x + 3, 0, 6) * x / 6 are hard-swish."""
    if len(node.inputs) != 2:
        return None
    for x, gate in (node.inputs, node.inputs[::-1]):
        for inner in _scaled(gate):
            given = {id(n) for n in _scaled(inner.inputs[0] if inner.inputs else None)}
            if given & {id(n) for n in _scaled(x)}:
                if inner.op.rstrip("_") in CLAMPS:
                    return "hard-swish"
                if inner.op.rstrip("_") == "sigmoid":
                    return "SiLU"
    return None


def _scaled(node: Node | None) -> Iterator[Node]:
    """A node, and what it is a constant's sum or multiple of."""
    while node is not None:
        yield node
        if node.op.rstrip("_") not in ARITHMETIC or sum(n is not None for n in node.inputs) != 1:
            return
        node = next(n for n in node.inputs if n is not None)


def _listed(words: tuple[str, ...]) -> str:
    """`softmax, GELU and LayerNorm`"""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
