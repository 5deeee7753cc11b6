"""Channels of zeros in int8 ONNX files, with which depthwise convolutions get ONNX Runtime's quick kernel.

That kernel takes numbers of channels that can be divided by 16 on x86 and by 8 on ARM, and no others (`MlasConvSymPackWSize` in
onnxruntime/core/mlas/lib/convsym.cpp). MobileNetV3-Large has 72, 120, 184 and 200, which cost it 14 % of its time on x86.

Convolutions in front make such channels, what computes channel by channel keeps them apart, and the convolutions behind read
them with weights of zero. So the answers stay the same to the bit.
"""

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekit.exporters import onnx_graph
from edgekit.inspection.onnx_graph import WIDENED, attribute

Layout = NDArray[np.intp]  # for each channel the one that it was before, -1 for one of zeros

X86, ARM = 16, 8  # channels at a time
# For x86's sake at most so many channels more: GhostNet with its 24 as 32 takes 0.93 of the time on x86, but 1.05 of the instructions
# of a Cortex-A72.
MOST = 1 / 8
BY_CHANNEL = {
    "QuantizeLinear", "DequantizeLinear", "Add", "Mul", "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish",
    "GlobalAveragePool", "AveragePool", "MaxPool",
}  # fmt: skip


def widen(model: onnx.ModelProto) -> list[str]:
    """Widen the depthwise convolutions of a QDQ graph, in place, where that helps and nothing shows it. Their names.

    Nothing shows it where all channels come from and go to convolutions with integer weights: what a float layer, a reshaping or
    an output of the file has a part in stays as it is.
    """
    graph = _Graph(model)
    if not any(map(graph.is_depthwise, graph.convolutions)):
        return []
    layouts = graph.layouts()
    widened = []
    for node in graph.convolutions:
        read, made = (layouts[graph.zone(name)] for name in (node.input[0], node.output[0]))
        if graph.is_depthwise(node) and _has_zeros(made):
            next(a for a in node.attribute if a.name == "group").i = len(made)
            graph.widen_constants(node, np.arange(1), made)
            widened.append(node.name)
        elif _has_zeros(read) or _has_zeros(made):
            graph.widen_constants(node, read, made)
    if widened:
        graph.cut_anew(layouts)
        graph.tidy()
    return widened


def _wider(channels: int) -> int:
    for_x86, for_arm = (-(-channels // vector) * vector for vector in (X86, ARM))
    return for_x86 if for_x86 - channels <= MOST * channels else for_arm


def _has_zeros(layout: Layout) -> bool:
    return bool((layout < 0).any())


def _laid(values: NDArray[Any], layout: Layout, axis: int) -> NDArray[Any]:
    """Along an axis the channels of a layout."""
    found = np.moveaxis(values.take(layout, axis), axis, 0)
    found[layout < 0] = 0
    return np.moveaxis(found, 0, axis)


Member = TypeVar("Member", bound=Hashable)


class _Sets(Generic[Member]):
    """Sets that grow together; one member stands for each (union-find)."""

    def __init__(self) -> None:
        self.above: dict[Member, Member] = {}

    def find(self, member: Member) -> Member:
        while (above := self.above.setdefault(member, member)) != member:
            self.above[member] = member = self.above[above]
        return member

    def join(self, first: Member, *others: Member) -> None:
        for other in others:
            self.above[self.find(other)] = self.find(first)


class _Graph:
    """Its convolutions with integer weights, and its zones: tensors with the same channels, which are widened together."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model, self.graph = model, model.graph
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.unpacked = {
            node.output[0]: node
            for node in self.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants
        }
        self.unpacking: list[onnx.NodeProto] = []  # of new constants
        self.convolutions: list[onnx.NodeProto] = []
        self.joints: list[tuple[onnx.NodeProto, str, Sequence[str]]] = []  # a Concat or Split, the whole and its parts
        self.zones = _Sets[str]()
        self.shown = {value.name for value in (*self.graph.input, *self.graph.output)}
        for node in self.graph.node:
            if node.output[0] not in self.unpacked:
                self._place(node)

    def _place(self, node: onnx.NodeProto) -> None:
        tensors = [name for name in node.input if name and name not in self.constants and name not in self.unpacked]
        by_parts = attribute(node, "axis", 0) == 1
        if node.op_type == "Conv" and node.input[1] in self.unpacked and self.is_depthwise(node):
            self.convolutions.append(node)
            self.zones.join(node.input[0], node.output[0])
        elif node.op_type == "Conv" and node.input[1] in self.unpacked and attribute(node, "group", 1) == 1:
            self.convolutions.append(node)
        elif node.op_type == "Concat" and by_parts and len(tensors) == len(node.input):
            self.joints.append((node, node.output[0], node.input))
        elif node.op_type == "Split" and by_parts and len(node.input) == 2:
            self.joints.append((node, node.input[0], node.output))
        elif self._computes_by_channel(node):
            self.zones.join(*tensors, *node.output)
        else:
            self.shown |= {*tensors, *node.output}

    def is_depthwise(self, node: onnx.NodeProto) -> bool:
        """[channels, 1, ...]"""
        outputs, inputs = self.constants[self.unpacked[node.input[1]].input[0]].dims[:2]
        return bool(inputs == 1 and outputs == attribute(node, "group", 1) > 1)

    def _computes_by_channel(self, node: onnx.NodeProto) -> bool:
        """And without a constant for each channel."""
        stored = [self.unpacked[name].input[0] if name in self.unpacked else name for name in node.input]
        constants = [self.constants[name] for name in stored if name in self.constants]
        if node.op_type == "Pad" and constants and list(constants[0].dims) == [8]:
            pads, *constants = constants
            before, after = numpy_helper.to_array(pads).reshape(2, 4)  # of each axis of an image
            padded = [*before[:2], *after[:2]]
        elif node.op_type in BY_CHANNEL:
            padded = []
        else:
            return False
        return not any(padded) and all(math.prod(constant.dims) == 1 for constant in constants)

    def _widths(self) -> dict[str, int]:
        """How many channels the tensors of a zone have; 0 where they are no images, or of several numbers."""
        graph = onnx_graph.with_shapes(self.model).graph
        shapes = {
            value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        found: dict[str, set[int]] = {}
        for name in {name for node in self.graph.node for name in (*node.input, *node.output)}:
            shape = shapes.get(name, [])
            found.setdefault(self.zone(name), set()).add(shape[1] if len(shape) == 4 else 0)
        return {zone: widths.pop() if len(widths) == 1 else 0 for zone, widths in found.items()}

    def zone(self, tensor: str) -> str:
        return self.zones.find(tensor)

    def layouts(self) -> dict[str, Layout]:
        """Of every zone: as it is, but for zeros at the end of every piece of it that depthwise convolutions see and nothing shows."""
        widths = self._widths()
        shown = {self.zone(tensor) for tensor in self.shown}
        same = _Sets[tuple[str, int]]()  # channels, by their zones and places
        for _, whole, parts in self.joints:
            zones = [self.zone(part) for part in parts]
            places = [(zone, channel) for zone in zones for channel in range(widths[zone])]
            if len(places) != widths[self.zone(whole)]:
                shown |= {self.zone(whole), *zones}
                continue
            for place, channel in enumerate(places):
                same.join((self.zone(whole), place), channel)
        seen = {self.zone(node.input[0]) for node in self.convolutions if self.is_depthwise(node)}
        kept, wanted = ({same.find((zone, c)) for zone in of for c in range(widths[zone])} for of in (shown, seen))
        starts = {same.find((zone, 0)) for zone in widths}
        found = {}
        for zone, width in widths.items():
            channels = [same.find((zone, channel)) for channel in range(width)]
            cuts = [place for place, channel in enumerate(channels) if channel in starts]
            laid = [np.arange(0)]
            for first, last in pairwise([*cuts, width]):
                zeros = _wider(last - first) - (last - first) if channels[first] in wanted - kept else 0
                laid += [np.arange(first, last), np.full(zeros, -1)]
            found[zone] = np.concatenate(laid)
        return found

    def widen_constants(self, node: onnx.NodeProto, read: Layout, made: Layout) -> None:
        """Give a convolution a weight and a bias of its own, with zeros for new channels. These have the scale of the first
        channel: ONNX Runtime makes no integer layer of one with a bias in other steps than the image's times the weight's."""
        for place, role in ((1, "weight"), (2, "bias"))[: len(node.input) - 1]:
            packed = self.unpacked[node.input[place]]
            integers, *grid = (numpy_helper.to_array(self.constants[name]) for name in packed.input)
            integers = _laid(integers, made, 0)
            if role == "weight":
                integers = _laid(integers, read, 1)
            grid = [numbers.take(np.maximum(made, 0)) if numbers.ndim else numbers for numbers in grid]
            stem = f"{node.name}/{role}"
            names = [stem + WIDENED, f"{stem}/scales", f"{stem}/zeros"][: len(packed.input)]
            for name, values in zip(names, (integers, *grid), strict=True):
                self._store(name, values)
            self.unpacking.append(onnx.helper.make_node("DequantizeLinear", names, [stem], f"{stem}/unpack", axis=0))
            node.input[place] = stem

    def cut_anew(self, layouts: dict[str, Layout]) -> None:
        """Every Split, where its parts end now."""
        for node, _, parts in self.joints:
            if node.op_type == "Split":
                node.input[1] = f"{node.name}/sizes"
                self._store(node.input[1], np.array([len(layouts[self.zone(part)]) for part in parts]))

    def _store(self, name: str, values: NDArray[Any]) -> None:
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def tidy(self) -> None:
        """Without the constants that nobody reads any more, and with the shapes as they are now."""
        onnx_graph.put(self.model, [*self.unpacking, *self.graph.node])
        onnx_graph.drop_unread(self.model)
        del self.graph.value_info[:]
        self.graph.value_info.extend(onnx_graph.with_shapes(self.model).graph.value_info)
