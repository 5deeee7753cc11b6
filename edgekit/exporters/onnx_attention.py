"""Which blocks' own products of attention bear integers: measured on the float graph, block by block.

The products of two activations, queries with keys and their softmax with values, have no weights to be rounded; what 8 bits of their
inputs cost differs by network, and by block. Each block's noise in the answers is set beside that of all layers' 8-bit inputs, which
the file has anyway, and the quietest blocks compute in integers as far as all of them together add no more than SHARE of it.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.exporters import onnx_graph
from edgekit.exporters.ranges import Range

PICTURES = 4
SHARE = 0.25  # of the layers' noise: a decibel
LAYERS = "layers"  # the switch of their inputs


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The matrix products of two activations."""
    constants = {i.name for i in model.graph.initializer}
    return [n for n in model.graph.node if n.op_type == "MatMul" and n.input[1] not in constants]


def symmetric(found: Range) -> Range:
    """A range whose 8-bit grid has its zero at 128 where it has negative numbers: OpenVINO multiplies two tensors of integers only
    where neither needs its zero taken off."""
    low, high = found
    if low >= 0:
        return 0.0, high
    most = max(-low, high)
    return -most * 128 / 127, most


def in_integers(
    model: onnx.ModelProto,
    layers: Collection[str],
    ranges: Mapping[str, Range],
    feed: Callable[[], Iterator[NDArray[Any]]],
    kept: Collection[str] = (),
) -> list[onnx.NodeProto]:
    """The products of the blocks that bear it.

    layers  the kinds of nodes that read integers anyway, where they have weights
    ranges  of what layers and products read
    feed    the calibration tensors as the graph takes them
    kept    nodes that stay in float
    """
    own = products(model)
    several = {node.name for node in own}
    readers = [n for n in model.graph.node if n.op_type in layers and n.name not in several and n.name not in kept]
    blocks: dict[str, list[onnx.NodeProto]] = {}
    for product in own:
        if product.name not in kept and all(name in ranges for name in product.input):
            blocks.setdefault(product.name.rpartition("/")[0], []).append(product)
    if not blocks:
        return []
    session = _switched(model, {LAYERS: readers} | blocks, ranges)
    noise = dict.fromkeys((LAYERS, *blocks), 0.0)
    for tensor in islice(feed(), PICTURES):
        given = {model.graph.input[0].name: tensor} | {_switch(name): np.zeros((), np.float32) for name in noise}
        exact = session.run(None, given)
        for name in noise:
            answers = session.run(None, given | {_switch(name): np.ones((), np.float32)})
            noise[name] += sum(float(np.square(a - b).sum()) for a, b in zip(answers, exact, strict=True))
    left, found = SHARE * noise[LAYERS], list[onnx.NodeProto]()
    for name in sorted(blocks, key=noise.__getitem__):
        left -= noise[name]
        if left < 0:
            break
        found += blocks[name]
    return found


def _switch(name: str) -> str:
    return f"{name}/as_integers"


def _switched(
    model: onnx.ModelProto, groups: Mapping[str, Sequence[onnx.NodeProto]], ranges: Mapping[str, Range]
) -> onnxruntime.InferenceSession:
    """The graph with what the nodes of each group read on an 8-bit grid as far as the group's switch says, 0 or 1: one more input."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    group_of = {node.name: group for group, members in groups.items() for node in members}
    constants = {i.name for i in made.graph.initializer}
    ordered: list[onnx.NodeProto] = []
    for node in made.graph.node:
        group = group_of.get(node.name, "")
        for place, name in enumerate(node.input[:2]):
            if group and name in ranges and name not in constants:
                found = ranges[name] if group == LAYERS else symmetric(ranges[name])
                ordered += _onto_grid(made, node, place, _switch(group), found)
        ordered.append(node)
    nodes = [copy.deepcopy(node) for node in ordered]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    for group in groups:
        made.graph.input.append(helper.make_tensor_value_info(_switch(group), onnx.TensorProto.FLOAT, []))
    return onnx_graph.looked_into(made)


def _onto_grid(
    made: onnx.ModelProto, node: onnx.NodeProto, place: int, switch: str, found: Range
) -> Iterator[onnx.NodeProto]:
    """What lies between a node and one of its inputs, `x + switch * (rounded x - x)`; the node reads it."""
    x, stem = node.input[place], f"{node.name}/{place}"
    low, high = min(found[0], 0.0), max(found[1], 0.0)
    scale = max((high - low) / 255, 1e-12)
    for name, value in (("scale", np.float32(scale)), ("zero", np.uint8(round(-low / scale)))):
        made.graph.initializer.append(numpy_helper.from_array(np.array(value), f"{stem}/{name}"))
    given = x
    for operator, inputs, answer in (
        ("QuantizeLinear", [x, f"{stem}/scale", f"{stem}/zero"], "integers"),
        ("DequantizeLinear", [f"{stem}/integers", f"{stem}/scale", f"{stem}/zero"], "rounded"),
        ("Sub", [f"{stem}/rounded", x], "noise"),
        ("Mul", [f"{stem}/noise", switch], "switched"),
        ("Add", [x, f"{stem}/switched"], "read"),
    ):
        given = f"{stem}/{answer}"
        yield helper.make_node(operator, inputs, [given], f"{stem}/{operator}")
    node.input[place] = given
