"""A Pad that wraps, which OpenVINO does not read, as operators that it reads."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

END = 2**31 - 1  # of any axis


def write_out_circles(model: onnx.ModelProto) -> None:
    """Circular padding as slices put together, axis by axis. In place."""
    if not any(map(_wraps, model.graph.node)):
        return  # no weights are unpacked for it
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []

    def put(kind: str, inputs: Sequence[str], **attributes: int) -> str:
        name = f"circle_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def part(x: str, *where: int) -> str:
        """From, up to, along which axis."""
        limits = [f"circle_at_{number}" for number in where]
        for name, number in zip(limits, where, strict=True):
            if name not in constants:
                constants[name] = np.array([number])
                model.graph.initializer.append(numpy_helper.from_array(constants[name], name))
        return put("Slice", [x, *limits])

    for node in model.graph.node:
        if not _wraps(node):
            nodes.append(node)
            continue
        x, sides = node.input[0], constants[node.input[1]].reshape(2, -1).T.tolist()
        axes = constants[node.input[3]].tolist() if len(node.input) > 3 else range(len(sides))
        for axis, (before, behind) in zip(axes, sides, strict=True):
            far = [part(x, -before, END, axis)] if before else []
            near = [part(x, 0, behind, axis)] if behind else []
            x = put("Concat", [*far, x, *near], axis=axis) if far or near else x
        nodes.append(helper.make_node("Identity", [x], node.output, node.name))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _wraps(node: onnx.NodeProto) -> bool:
    return any(a.name == "mode" and a.s == b"wrap" for a in node.attribute)
