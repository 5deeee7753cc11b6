"""Depthwise convolutions: a scale for each channel in front of them, for runtimes that multiply such integers (OpenVINO), and which of
them ONNX Runtime has no quick integer kernel for.

Each channel of a depthwise convolution is added up by itself, so that integers of different scales need not meet. Behind
SiLU channels differ by more than eight bits hold: YOLOX-Nano's boxes come at 7 dB with one scale for all.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekit.exporters import onnx_graph
from edgekit.exporters.ranges import Channels
from edgekit.inspection.onnx_graph import attribute


def inputs(model: onnx.ModelProto) -> dict[str, str]:
    """The name of every depthwise convolution of a float graph -> the tensor that it reads."""
    return {node.name: node.input[0] for node, outputs in _one_channel_a_group(model) if outputs == 1}


def without_kernel(model: onnx.ModelProto, *, weights_alone: bool) -> list[str]:
    """Convolutions that read one channel a group, and take ONNX Runtime 1.32 longer with integers than in float by far.

    In integers those with more than one output a group: three of FastViT-T8's took 10.5 of its 15.5 ms, 1.1 ms in float. weights_alone:
    depthwise ones, which behind weights that are unpacked first miss the blocked layout: TinyNet-A took 16.4 ms, 7.0 with theirs in
    float, fp32 6.0 (an AMD EPYC).
    """
    return [node.name for node, outputs in _one_channel_a_group(model) if weights_alone or outputs > 1]


def _one_channel_a_group(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, int]]:
    """The convolutions that read one channel a group, and how many outputs each group has."""
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    for node in model.graph.node:
        groups = attribute(node, "group", 1)
        if node.op_type == "Conv" and groups > 1 and shapes.get(node.input[1], [])[1:2] == [1]:
            yield node, shapes[node.input[1]][0] // groups


def by_channel(made: onnx.ModelProto, depthwise: dict[str, str], seen: Channels) -> None:
    """Give depthwise convolutions of a QDQ graph, in place, integers of their own, with a scale and a zero for each channel.

    depthwise: what `inputs` found. One that stays in float does so.
    """
    makers = {name: node for node in made.graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in made.graph.node:
        maker = makers.get(node.input[0]) if node.name in depthwise else None
        if maker is not None and maker.op_type == "DequantizeLinear":
            source = depthwise[node.name]
            node.input[0] = f"{source}/by_channel"
            if source not in done:
                nodes += _pair(made, source, *seen.found(source))
                done.add(source)
        nodes.append(node)
    onnx_graph.put(made, nodes)


def _pair(
    made: onnx.ModelProto, source: str, steps: NDArray[np.float32], zeros: NDArray[np.uint8]
) -> Iterator[onnx.NodeProto]:
    """The nodes that make integers of a tensor and floats of these, with constants of theirs."""
    names = [f"{source}/steps", f"{source}/zeros"]
    made.graph.initializer.extend(
        numpy_helper.from_array(values, name) for values, name in zip((steps, zeros), names, strict=True)
    )
    integers, floats = f"{source}/by_channel_integers", f"{source}/by_channel"
    yield onnx.helper.make_node("QuantizeLinear", [source, *names], [integers], integers, axis=1)
    yield onnx.helper.make_node("DequantizeLinear", [integers, *names], [floats], floats, axis=1)
