"""The schemes, in ONNX Runtime's terms."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from edgekit import overflow
from edgekit.exporters import keeping, onnx_attention, onnx_depthwise, onnx_graph
from edgekit.exporters.export_wrapper import SCOPE
from edgekit.exporters.ranges import Channels, Range, Ranges, batches
from edgekit.exporters.sensitivity import FEW
from edgekit.recipe import Recipe

Feed = Callable[[], Iterator[NDArray[Any]]]  # the calibration tensors as the file takes them, from the start
Grid = NDArray[np.float32]
LAYERS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
FORGOTTEN = LAYERS[:3]  # that ONNX Runtime quantizes by itself
# what may lie between these and a QuantizeLinear; it moves one up through the latter
PASSED = ("Relu", "Clip", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice")
Placement = Literal["every operator", "layers' inputs"]


class Grids:
    """The scale of every output channel of the layers that were rounded, found by their weights.

    Exporters rename and transpose constants; what is in them they keep.
    """

    def __init__(self, layers: list[tuple[NDArray[np.float32], Grid]], *, pair_safe: bool) -> None:
        self.layers = layers
        self.pair_safe = pair_safe

    def find(self, weight: NDArray[np.float32], axis: int, *, depthwise: bool) -> Grid:
        """The scales of a weight with its outputs along an axis, else as torch has it: [out, in, kh, kw], [out, in];
        [in, out, kh, kw] where transposed."""
        rows = np.moveaxis(weight, axis, 0)
        for known, steps in self.layers:
            if any(known.shape == w.shape and np.array_equal(known, w) for w in (weight, rows)):
                return steps
        largest = np.abs(rows).reshape(len(rows), -1).max(1)
        if self.pair_safe and not depthwise:
            path = overflow.convolution_rows(rows)  # of matrices too: they have one tap
            pairs = [np.maximum(sign * path[:, 1:], 0) + np.maximum(sign * path[:, :-1], 0) for sign in (1, -1)]
            largest = np.maximum(largest, np.max(pairs, (0, 2)) * 127 / overflow.LIMIT if path.shape[1] > 1 else 0)
        scale: Grid = np.maximum(largest / 127, 1e-12).astype(np.float32)
        return scale


class _OnePicture(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, tensor: NDArray[Any]) -> None:
        self.left = [{name: tensor}]

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return self.left.pop() if self.left else None


def quantize(
    model: onnx.ModelProto,
    recipe: Recipe,
    pixels: Range | None,
    feed: Feed,
    grids: Grids,
    work: Path,
    placement: Placement = "every operator",
    *,
    decodes: bool = False,
    by_channel: bool = False,
    floats: Collection[NDArray[np.float32]] = (),
    sensitive: Collection[NDArray[np.float32]] = (),
) -> onnx.ModelProto:
    """A float graph as the recipe's scheme.

    pixels     int8-static: the range of what the graph takes, where that is normalised
    work       a folder for the quantizer's files
    placement  int8-static: what gets integers. ONNX Runtime runs an operator in integers where all around it is;
               OpenVINO fuses what follows a layer into it, in float, and wants nothing but the layers' inputs.
    decodes    what follows the last layers makes pixels of what they answer, and stays in float
    by_channel  int8-static: depthwise convolutions read integers with a scale for each channel (see onnx_depthwise.py)
    floats     int8-static: the weights of layers that stay in float
    sensitive  those of them that have to read floats
    """
    kept = kept_float(model, recipe, decodes=decodes)
    if placement == "every operator" and recipe.quantize.scheme in ("int8-static", "int8-weight-only"):
        kept += onnx_depthwise.without_kernel(model, weights_alone=recipe.quantize.scheme == "int8-weight-only")
    match recipe.quantize.scheme:
        case "fp16":
            half = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
            OnnxModel(half).topological_sort()  # its casts come last
            return half
        case "int8-dynamic":
            return _dynamic(model, recipe, grids, work, kept)
        case "int8-weight-only":
            return _weight_only(model, grids, kept)
        case _:
            kept += _holding(model, floats)
            leading = {} if placement == "layers' inputs" else _leading(model, _holding(model, sensitive))
            readers = list(leading)
            kept += [name for makers in leading.values() for name in makers]
            return _static(model, recipe, pixels, feed, grids, work, placement, kept, readers, by_channel=by_channel)


def kept_float(model: onnx.ModelProto, recipe: Recipe, *, decodes: bool) -> list[str]:
    """Nodes that stay in float: what surrounds the network in the file, what makes probabilities of its scores, or boxes
    of its answers, and what the recipe's patterns find.

    Raises RecipeError for a pattern that finds nothing.
    """
    around = [n.name for n in model.graph.node if not n.name.startswith(f"{SCOPE}/") and n.name != SCOPE]
    constants = {i.name for i in model.graph.initializer}
    found = sorted(keeping.kept(recipe.quantize.keep_float, (_named(node, constants) for node in model.graph.node)))
    return around + (_behind(model) if decodes else _squashing(model)) + found


def _named(node: onnx.NodeProto, constants: Collection[str]) -> keeping.Operator[str]:
    """onnx_graph.py names nodes by their modules: `model/blocks/0/attn/qkv/MatMul`."""
    layer = node.op_type in LAYERS and node.input[1] in constants
    return keeping.Operator(node.name, node.name.rpartition("/")[0], (node.name, *node.output), layer)


def _behind(model: onnx.ModelProto) -> list[str]:
    """What no layer with weights reads, not even by way of others: a box of 400 pixels in 256 steps is off by one."""
    constants = {i.name for i in model.graph.initializer}
    read: set[str] = set()
    found = []
    for node in reversed(model.graph.node):  # readers come after what they read
        if (node.op_type in LAYERS and node.input[1] in constants) or read & set(node.output):
            read |= set(node.input)
        else:
            found.append(node.name)
    return found


def _holding(model: onnx.ModelProto, weights: Collection[NDArray[np.float32]]) -> list[str]:
    """The layers that have one of the weights: exporters rename and transpose constants, what is in them they keep."""
    found = []
    constants = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in LAYERS and node.input[1] in constants:
            held = numpy_helper.to_array(constants[node.input[1]])
            if any(np.array_equal(held, w) or np.array_equal(held.T, w) for w in weights):
                found.append(node.name)
    return found


def _leading(model: onnx.ModelProto, layers: Collection[str]) -> dict[str, list[str]]:
    """What makes the tensors that layers read, back to a layer or a sum: answers of these in integers would be rounded. Without
    layers for which that holds more than FEW of all weights: an SSD's heads read the widest layers."""
    makers = {name: node for node in model.graph.node for name in node.output}
    sizes = {i.name: math.prod(i.dims) for i in model.graph.initializer}
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        todo, above = [node.input[0]] if node.name in layers else [], list[onnx.NodeProto]()
        while todo:
            maker = makers.get(todo.pop())
            if maker is not None and maker not in above:
                above.append(maker)
                todo += [] if maker.op_type in (*LAYERS, "Add") else maker.input
        held = sum(sizes.get(name, 0) for maker in above for name in maker.input)
        if above and held <= FEW * sum(sizes.values()):
            found[node.name] = [maker.name for maker in above]
    return found


def _squashing(model: onnx.ModelProto) -> list[str]:
    """What lies between the last layer and the answers, if it makes probabilities: 256 steps are too few for them."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {i.name for i in model.graph.initializer}
    found = []
    for output in model.graph.output:
        node, passed = makers.get(output.name), []
        while node is not None and node.op_type not in LAYERS:
            passed.append(node)
            given = [name for name in node.input if name not in constants]
            node = makers.get(given[0]) if len(given) == 1 else None
        if {"Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid"} & {n.op_type for n in passed}:
            found += [n.name for n in passed]
    return found


def _static(
    model: onnx.ModelProto,
    recipe: Recipe,
    pixels: Range | None,
    feed: Feed,
    grids: Grids,
    work: Path,
    placement: Placement,
    kept: list[str],
    readers: list[str],
    *,
    by_channel: bool,
) -> onnx.ModelProto:
    """QDQ, unsigned activations and signed weights per channel: the pair of types that every x86 kernel is made for.

    kept  nodes that stay in float; readers: layers among them that read floats though others read integers
    """
    _name_apart(model)
    depthwise = onnx_depthwise.inputs(model) if by_channel else {}
    channels = Channels(depthwise.values())
    ranges = collect_ranges(model, recipe, feed, channels)
    if pixels:
        ranges[model.graph.input[0].name] = pixels
    if placement == "layers' inputs":
        bear = onnx_attention.in_integers(model, LAYERS, ranges, feed, kept)
        ranges |= {x: onnx_attention.symmetric(ranges[x]) for product in bear for x in product.input}
        floats = {product.name for product in onnx_attention.products(model)} - {product.name for product in bear}
        kept = readers = kept + sorted(floats) + _norms(model)
    overrides: dict[str, list[dict[str, Any]]] = {
        name: [{"rmin": np.float32(min(low, 0)), "rmax": np.float32(max(high, 0))}]
        for name, (low, high) in ranges.items()
    }
    overrides |= {
        name: [{"axis": axis, "scale": s, "zero_point": np.int8(0)} for s in scales]
        for name, (axis, scales) in _weight_scales(model, grids).items()
    }
    options: dict[str, Any] = {"TensorQuantOverrides": overrides}
    if placement == "layers' inputs":
        options["OpTypesToExcludeOutputQuantization"] = LAYERS
        options["QuantizeBias"] = False  # OpenVINO adds it in float: as integers it would be one more list of scales
    source, target = work / "float.onnx", work / "int8.onnx"
    onnx.save(model, source)
    quantize_static(
        source,
        target,
        _OnePicture(model.graph.input[0].name, next(feed())),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=LAYERS if placement == "layers' inputs" else None,
        nodes_to_exclude=kept,
        extra_options=options,
    )
    made = _loaded(source, target)
    _read_floats(made, readers)
    if placement == "every operator":
        _hide_floats(made)
    onnx_depthwise.by_channel(made, depthwise, channels)
    return made


def _read_floats(made: onnx.ModelProto, kept: Collection[str]) -> None:
    """Layers that stay in float read floats, in place, though others read integers of the same tensor."""
    makers = {name: node for node in made.graph.node for name in node.output}
    for node in made.graph.node:
        maker = makers.get(node.input[0]) if node.op_type in LAYERS and node.name in kept else None
        if maker is not None and maker.op_type == "DequantizeLinear":
            node.input[0] = makers[maker.input[0]].input[0]


def _hide_floats(made: onnx.ModelProto) -> None:
    """What stays in float stays so in the runtime, too. ONNX Runtime takes a layer that reads a DequantizeLinear and whose answers are
    quantized for one that was forgotten, and puts its weights into eight bits, one scale for all (WeightBiasQuantization). A Clip to the
    range that the integers have anyway stands in between."""
    constants = {i.name: i for i in made.graph.initializer}
    makers = {name: node for node in made.graph.node for name in node.output}
    readers = OnnxModel(made).input_name_to_nodes()
    nodes = []
    for node in made.graph.node:
        maker = makers.get(node.input[0]) if node.op_type in FORGOTTEN and node.input[1] in constants else None
        if maker is not None and maker.op_type == "DequantizeLinear" and _is_quantized(node, readers):
            scale, zero = (numpy_helper.to_array(constants[name]) for name in maker.input[1:3])
            kind, read = np.iinfo(zero.dtype), f"{node.name}/read"
            ends = {
                f"{read}/{end}": (of - zero.astype(np.float32)) * scale
                for end, of in (("low", kind.min), ("high", kind.max))
            }
            made.graph.initializer.extend(
                numpy_helper.from_array(value.astype(np.float32), name) for name, value in ends.items()
            )
            nodes.append(onnx.helper.make_node("Clip", [node.input[0], *ends], [read], read))
            node.input[0] = read
        nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)


def _is_quantized(node: onnx.NodeProto, readers: Mapping[str, Sequence[onnx.NodeProto]]) -> bool:
    """Whether nothing but a QuantizeLinear reads what a node answers, also after operators that ONNX Runtime looks through."""
    while len(read := readers.get(node.output[0], ())) == 1:
        (node,) = read
        if node.op_type not in PASSED:
            return str(node.op_type) == "QuantizeLinear"
    return False


def _name_apart(model: onnx.ModelProto) -> None:
    """No constant's name with a number behind it is a tensor's: the quantizer names copies of a bias that several
    operators share so, and asks nobody whether the name is taken (`val_11`, `val_116`)."""
    made = [name for node in model.graph.node for name in node.output]
    taken = {name[:end] for name in made for end in range(len(name)) if name[end:].isdigit()}
    renamed = {i.name: f"{i.name}_constant" for i in model.graph.initializer if i.name in taken}
    for tensor in model.graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)


def _norms(model: onnx.ModelProto) -> list[str]:
    """BatchNorms of their own, which are depthwise 1x1 convolutions: integers would gain nothing there."""
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    return [n.name for n in model.graph.node if n.op_type == "Conv" and shapes.get(n.input[1], [])[1:] == [1, 1, 1]]


def _dynamic(model: onnx.ModelProto, recipe: Recipe, grids: Grids, work: Path, kept: list[str]) -> onnx.ModelProto:
    """Linear layers with integer weights; their inputs are quantized as they come. Convolutions stay float."""
    source, target = work / "float.onnx", work / "int8.onnx"
    onnx.save(model, source)
    scales = _weight_scales(model, grids)
    quantize_dynamic(
        source,
        target,
        weight_type=QuantType.QInt8,
        per_channel=recipe.quantize.granularity == "channel",
        op_types_to_quantize=["MatMul", "Gemm"],
        nodes_to_exclude=kept,
        extra_options={"MatMulConstBOnly": True},
    )
    made = _loaded(source, target)
    if recipe.quantize.granularity == "channel":
        _put_on_grids(made, model, scales)
    return made


def _weight_only(model: onnx.ModelProto, grids: Grids, kept: list[str]) -> onnx.ModelProto:
    """Weights as integers with a scale per output channel, unpacked in front of the layers, which stay float."""
    scales = _weight_scales(model, grids)
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    unpacking = []
    for constant in list(made.graph.initializer):
        name = constant.name
        if name not in scales or any(node.name in kept for node in users[name]):
            continue
        axis, scale = scales[name]
        weight = numpy_helper.to_array(constant)
        along = scale.reshape([-1 if d == axis else 1 for d in range(weight.ndim)])
        integers = _integers(weight, along)
        constant.CopyFrom(numpy_helper.from_array(integers, f"{name}_quantized"))
        made.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        inputs = [f"{name}_quantized", f"{name}_scale"]
        unpacking.append(onnx.helper.make_node("DequantizeLinear", inputs, [name], f"{name}/unpack", axis=axis))
    nodes = [*unpacking, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def _loaded(source: Path, target: Path) -> onnx.ModelProto:
    made = onnx.load(target)
    source.unlink()
    target.unlink()
    return made


def _put_on_grids(made: onnx.ModelProto, model: onnx.ModelProto, scales: dict[str, tuple[int, Grid]]) -> None:
    """Replace the integers and scales of dynamic weights, which the quantizer takes no wishes for."""
    floats = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer if i.name in scales}
    stored = {i.name: i for i in made.graph.initializer}
    for name, weight in floats.items():
        axis, scale = scales[name]
        # a Gemm has become a MatMul, and its weight has been turned
        stem, columns = (f"{name}_Transposed", weight.T) if axis == 0 else (name, weight)
        if f"{stem}_quantized" not in stored:  # a convolution, or a layer that stays float
            continue
        for suffix, value in (
            ("quantized", _integers(columns, scale)),
            ("scale", scale.astype(np.float32)),
            ("zero_point", np.zeros(len(scale), np.int8)),
        ):
            tensor = stored[f"{stem}_{suffix}"]
            assert tuple(tensor.dims) == value.shape, tensor.name
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _integers(weight: NDArray[np.float32], scale: Grid) -> NDArray[np.int8]:
    integers: NDArray[np.int8] = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return integers


def _weight_scales(model: onnx.ModelProto, grids: Grids) -> dict[str, tuple[int, Grid]]:
    """The name of every constant weight -> the axis of its outputs and their scales."""
    constants = {i.name: i for i in model.graph.initializer}
    scales = {}
    for node in model.graph.node:
        if node.op_type not in LAYERS or node.input[1] not in constants:
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        attributes = {a.name: a.i for a in node.attribute}
        if weight.ndim < 2 or (
            node.op_type == "ConvTranspose" and attributes.get("group", 1) > 1
        ):  # groups share axis 1
            continue
        by_column = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes.get("transB", 0))
        axis = weight.ndim - 1 if by_column else 1 if node.op_type == "ConvTranspose" else 0
        depthwise = node.op_type == "Conv" and attributes.get("group", 1) > 1 and weight.shape[1] == 1
        scales[node.input[1]] = axis, grids.find(weight, axis, depthwise=depthwise)
    return scales


def collect_ranges(model: onnx.ModelProto, recipe: Recipe, feed: Feed, channels: Channels) -> dict[str, Range]:
    """The range of every float activation over the calibration images, read from the float graph; `channels` sees them too.

    An image runs as often as it takes to see all of them (ranges.batches), each time as far as the last of a batch, so that memory
    does not grow with their number: ONNX Runtime keeps whatever may be fetched.
    """
    shown = onnx_graph.with_shapes(model)
    computed = {name for node in shown.graph.node for name in node.output}  # value_info lists constants too
    floats = {
        v.name: v
        for v in (*shown.graph.value_info, *shown.graph.output)
        if v.name in computed and v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    pooled = {name for name, v in floats.items() if _pooled(v)}
    given = model.graph.input[0].name
    seen = Ranges()
    for names in batches({name: _bytes(v) for name, v in floats.items()}):
        session = onnx_graph.looked_into(_up_to(model, [floats[name] for name in names]))
        for tensor in feed():
            for name, values in zip(names, session.run(names, {given: tensor}), strict=True):
                seen.see(name, values, pooled=name in pooled)
                channels.see(name, values)
    return seen.found(recipe.quantize.ranges)


def _up_to(model: onnx.ModelProto, tensors: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """The part of a graph that makes the tensors, which it answers."""
    part = onnx_graph.bare(model)
    del part.graph.output[:]
    part.graph.output.extend(tensors)
    onnx_graph.put(part, list(part.graph.node))
    read = {name for node in part.graph.node for name in node.input}
    part.graph.initializer.extend(constant for constant in model.graph.initializer if constant.name in read)
    return part


def _bytes(value: onnx.ValueInfoProto) -> int:
    elements: int = math.prod(max(d.dim_value, 1) for d in value.type.tensor_type.shape.dim)
    return 4 * elements


def _pooled(value: onnx.ValueInfoProto) -> bool:
    sides = [d.dim_value for d in value.type.tensor_type.shape.dim][2:]
    return not sides or sides == [1, 1]
