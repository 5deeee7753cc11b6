"""SiLUs that a forward() computes itself become modules, so that what is done to a module can be done to them.

`F.silu(x)` and `x * x.sigmoid()` stand in the code of the module around them. Of such a module, and of no other, torch.fx
makes a graph in which they are modules; its children are not looked into.
"""

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from edgekit.exporters.folding import alike, put
from edgekit.models.tracing import Node, trace

PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
SIGMOIDS = (torch.sigmoid, functional.sigmoid, "sigmoid", "sigmoid_")


@torch.no_grad()
def as_modules(network: nn.Module, pictures: torch.Tensor) -> nn.Module:
    """The network with its SiLUs as modules: itself, in place, or a graph of its own code where that computes one.

    As it was where torch.fx cannot follow, or the answers to normalised images [n, c, h, w] would change.
    """
    places = _places(network, pictures)
    if not places:
        return network
    expected = network(pictures[:2])
    before = {place: network.get_submodule(place) for place in places}
    changed = network
    for place, module in before.items():
        made = _with_modules(module)
        if made is not None:
            changed = put(changed, place, made)
    try:
        same = alike(expected, changed(pictures[:2]))
    except Exception:  # whatever code raises that asks a module for more than its answer
        same = False
    if same:
        return changed
    for place, module in reversed(before.items()):
        put(network, place, module)
    return network


def _places(network: nn.Module, pictures: torch.Tensor) -> list[str]:
    """Paths of the modules whose own code computes a SiLU, the innermost first."""
    modules = dict(network.named_modules())
    nodes = trace(network, tuple(pictures.shape[2:]), pictures.shape[1]).nodes
    found = {node.place for node in nodes if _is_silu(node) and type(modules[node.place]) is not nn.SiLU}
    return sorted(found, key=lambda place: -len(place.split(".")) if place else 0)


def _is_silu(node: Node) -> bool:
    gates = [given for given in node.inputs if given is not None and given.op in ("sigmoid", "sigmoid_")]
    gated = node.op in ("mul", "mul_") and any(gate.inputs[0] in node.inputs for gate in gates)
    return gated or node.op in ("silu", "silu_")


class _Own(fx.Tracer):
    """Follows the code of one module, and none of its children's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _with_modules(module: nn.Module) -> nn.Module | None:
    """The graph of a module's own code with SiLUs as modules of it; None where torch.fx cannot follow that code."""
    try:
        graph = _Own().trace(module)
    except Exception:  # control flow that depends on values: fx raises many kinds
        return None
    made = fx.GraphModule(module, graph)
    for number, node in enumerate(list(graph.nodes)):
        given = _silu_of(node)
        if given is None:
            continue
        name = f"silu_{number}"
        made.add_submodule(name, nn.SiLU())
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.call_module(name, (given,)))
        gates = [n for n in node.all_input_nodes if n is not given]
        for unused in (node, *(gate for gate in gates if list(gate.users) == [node])):
            graph.erase_node(unused)
    made.recompile()
    return made.eval()


def _silu_of(node: fx.Node) -> fx.Node | None:
    """What a node is the SiLU of."""
    if node.target is functional.silu:
        return node.all_input_nodes[0]
    if node.target not in PRODUCTS or len(node.args) != 2:
        return None
    for value, gate in (node.args, node.args[::-1]):
        if (
            isinstance(value, fx.Node)
            and isinstance(gate, fx.Node)
            and gate.target in SIGMOIDS
            and gate.args[0] is value
        ):
            return value
    return None
