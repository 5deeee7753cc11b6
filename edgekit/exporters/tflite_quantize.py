"""The schemes, in ai-edge-quantizer's terms."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import BuiltinOperator as Builtin
from ai_edge_litert.schema_py_generated import TensorType
from ai_edge_quantizer import algorithm_manager, qtyping, quantizer
from ai_edge_quantizer import recipe as recipes
from ai_edge_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor
from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer
from numpy.typing import NDArray

from edgekit.errors import ExportError
from edgekit.exporters import keeping
from edgekit.exporters import tflite_gates as gates
from edgekit.exporters.ranges import Ranges, batches
from edgekit.exporters.sensitivity import FEW
from edgekit.exporters.tflite_file import pack
from edgekit.inspection.tflite import LAYERS, kind, own_part, short_name
from edgekit.recipe import Recipe

Algorithm = algorithm_manager.AlgorithmName
Op = qtyping.TFLOperationName
Known = dict[str, Any]  # the quantizer's own table of ranges
Feed = Callable[
    [], Iterator[NDArray[np.float32]]
]  # the calibration tensors as the float file takes them, from the start

# what the quantizer says of an operator whose values it knows nothing of
UNKNOWN = re.compile(r"parameters for tensor: (?P<tensor>.*)\. Error: TFLOperationName\.(?P<kind>\w+)\(", re.DOTALL)

CHANNEL, TENSOR = qtyping.QuantGranularity.CHANNELWISE, qtyping.QuantGranularity.TENSORWISE


_uniform = uniform_quantize_tensor.uniform_quantize


def _by_output(values: NDArray[Any], how: Any, is_blockwise_quant: bool = False) -> Any:
    """A convolution's weights as a matrix with a row for each output: where they are large (VGG's first dense layer), the quantizer
    goes through them in parts, for which its scales do not fit other shapes (google-ai-edge/ai-edge-quantizer#512)."""
    if how.quantized_dimension != 0 or values.ndim <= 2 or is_blockwise_quant:
        return _uniform(values, how, is_blockwise_quant)
    rows = {name: getattr(how, name).reshape(-1, 1) for name in ("scale", "zero_point")}
    return _uniform(values.reshape(len(values), -1), dataclasses.replace(how, **rows)).reshape(values.shape)


uniform_quantize_tensor.uniform_quantize = _by_output


def quantize(float_file: Path, recipe: Recipe, feed: Feed, *, decodes: bool = False) -> bytes:
    """A float .tflite as the recipe's scheme.

    decodes  what follows the last layers makes pixels of what they answer, and stays in float
    """
    match recipe.quantize.scheme:
        case "fp16":
            q = _fp16(float_file)
        case "int8-weight-only":
            q = quantizer.Quantizer(str(float_file), recipes.weight_only_wi8_afp32())
        case "int8-dynamic":
            q = quantizer.Quantizer(str(float_file), recipes.dynamic_wi8_afp32())
            # XNNPACK does not take dynamic depthwise convolutions: they would run undelegated, at half fp32's speed
            q.add_weight_only_config(".*", Op.DEPTHWISE_CONV_2D, 8)
            if recipe.quantize.granularity == "tensor":
                q.add_dynamic_config(".*", Op.FULLY_CONNECTED, 8, granularity=TENSOR)
        case _:
            return _static(float_file, recipe, feed, decodes=decodes)
    _keep_float(q, recipe, float_file, decodes=decodes)
    return bytes(q.quantize(None, enable_progress_report=False).quantized_model)


def _fp16(float_file: Path) -> Any:
    q = quantizer.Quantizer(str(float_file))
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    q.update_quantization_recipe(".*", Op.ALL_SUPPORTED, config, algorithm_key=Algorithm.FLOAT_CASTING)
    return q


def _static(float_file: Path, recipe: Recipe, feed: Feed, *, decodes: bool) -> bytes:
    q = quantizer.Quantizer(str(float_file), recipes.static_wi8_ai8())
    if recipe.input_type == "float32":
        q.update_quantization_recipe(".*", Op.INPUT, algorithm_key=Algorithm.NO_QUANTIZE)
    elif recipe.input_type == "uint8":
        q.update_quantization_recipe(".*", Op.INPUT, _uint8_config())
    q.update_quantization_recipe(".*", Op.OUTPUT, algorithm_key=Algorithm.NO_QUANTIZE)
    _keep_float(q, recipe, float_file, decodes=decodes)
    known = _inside(q, float_file, feed) | collect_ranges(float_file, recipe, feed)
    try:
        return bytes(q.quantize(known, enable_progress_report=False).quantized_model)
    except ValueError as error:
        if (unknown := UNKNOWN.search(str(error))) is None:
            raise
        path = keeping.dotted(short_name(unknown["tensor"].encode()))
        hint = f"--keep-float '{re.escape(path)}', or another --target"
        raise ExportError(f"ai-edge-quantizer has no range for {unknown['kind']} in {path}", hint=hint) from error


def _inside(q: Any, float_file: Path, feed: Feed) -> Known:
    """The quantizer's own ranges, of one image, for composite operators, which are graphs themselves: an interpreter does not
    say what happens in there. litert-torch writes out those that it knows (GroupNorm)."""
    if len(flatbuffer.read_model(str(float_file)).subgraphs) == 1:
        return {}
    name = Interpreter(str(float_file)).get_input_details()[0]["name"]
    name = name.removeprefix("serving_default_").partition(":")[0]
    found: Known = q.calibrate({"serving_default": [{name: next(feed())}]}, num_threads=1)
    return found


def _repeated(model: Any) -> list[Any]:
    """Graphs that an operator runs again and again inside, as a sum over windows does: nobody sees the ranges in there."""
    options = [operator.builtinOptions2 for graph in model.subgraphs for operator in graph.operators]
    return [model.subgraphs[o.bodySubgraphIndex] for o in options if hasattr(o, "bodySubgraphIndex")]


def _squashing(model: Any) -> list[Any]:
    """What makes probabilities of the last layer's scores, behind it: 8 bits would give steps of 1/256."""
    graph = model.subgraphs[0]
    makers = {i: operator for operator in graph.operators for i in operator.outputs}
    found = []
    for output in graph.outputs:
        operator, passed = makers.get(output), []
        while operator is not None:
            passed.append(operator)
            given = [i for i in operator.inputs if i >= 0 and model.buffers[graph.tensors[i].buffer].data is None]
            follow = len(given) == 1 and _kind(model, operator) in _SHAPES | _SQUASHES
            operator = makers.get(given[0]) if follow else None
        squashed = [i for i, o in enumerate(passed) if _kind(model, o) in _SQUASHES]
        found += passed[: squashed[-1] + 1] if squashed else []
    return found


def _behind(model: Any) -> list[Any]:
    """What no layer with weights reads, not even by way of others: a box of 400 pixels in 256 steps is off by one."""
    read: set[int] = set()
    found = []
    for operator in reversed(model.subgraphs[0].operators):  # readers come after what they read
        if _weights(model, operator) or read & set(operator.outputs):
            read |= set(operator.inputs)
        else:
            found.append(operator)
    return found


def _of_boxes(model: Any) -> list[Any]:
    """The last layers that a detector's first answer, the boxes, is made of: 256 steps of what they answer move the edges. None
    where they hold more than FEW of all weights, as those of an SSD do."""
    graph = model.subgraphs[0]
    wanted, found = {graph.outputs[0]}, []
    for operator in reversed(graph.operators):
        if wanted & set(operator.outputs):
            if _weights(model, operator):
                found.append(operator)
            else:
                wanted |= set(operator.inputs)
    few = FEW * sum(_weights(model, operator) for operator in graph.operators)
    return found if sum(_weights(model, operator) for operator in found) <= few else []


def _weights(model: Any, operator: Any) -> int:
    """How many a layer has, in bytes; 0 of other operators."""
    if kind(model, operator) not in LAYERS or len(operator.inputs) < 2:
        return 0
    data = model.buffers[model.subgraphs[0].tensors[operator.inputs[1]].buffer].data
    return 0 if data is None else len(data)


def _kind(model: Any, operator: Any) -> int:
    return int(model.operatorCodes[operator.opcodeIndex].builtinCode)


_SQUASHES = {Builtin.SOFTMAX, Builtin.LOG_SOFTMAX, Builtin.LOGISTIC}
_SHAPES = {Builtin.RESHAPE, Builtin.SQUEEZE, Builtin.TRANSPOSE, Builtin.DEQUANTIZE, Builtin.EXP, Builtin.LOG}


def _uint8_config() -> Any:
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=8, symmetric=False, granularity=TENSOR, dtype=qtyping.TensorDataType.UINT
        ),
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=True, granularity=CHANNEL),
        compute_precision=qtyping.ComputePrecision.INTEGER,
        explicit_dequantize=False,
    )


def _keep_float(q: Any, recipe: Recipe, float_file: Path, *, decodes: bool) -> None:
    """Leave operators in float: a decoder, in static files what makes probabilities, and those that the recipe's patterns find.

    Raises RecipeError for a pattern that finds nothing.
    """
    model = flatbuffer.read_model(str(float_file))
    static = recipe.quantize.scheme == "int8-static"
    last = _behind(model) if decodes else _squashing(model) if static else []
    last = last + (_of_boxes(model) if decodes and static else [])
    _leave(q, {flatbuffer.get_op_scope(operator, model.subgraphs[0].tensors) for operator in last})
    for graph in _repeated(model) if static else ():
        inside = (*graph.operators, *flatbuffer.get_subgraph_input_output_operators(graph))
        _leave(q, {flatbuffer.get_op_scope(operator, graph.tensors) for operator in inside})
    operators = (_named(model, graph, operator) for graph in model.subgraphs for operator in graph.operators)
    _leave(q, keeping.kept(recipe.quantize.keep_float, operators))


def _named(model: Any, graph: Any, operator: Any) -> keeping.Operator[str]:
    """By what it makes; where that is an answer, which the file names, by its weights."""
    made = [graph.tensors[i] for i in operator.outputs if i not in graph.outputs]
    reads = [graph.tensors[i] for i in operator.inputs if i >= 0]
    own = made or [t for t in reads if model.buffers[t.buffer].data is not None]
    path = next((short_name(t.name) for t in own), "")
    names = tuple(own_part(t.name) for t in own)
    return keeping.Operator(
        flatbuffer.get_op_scope(operator, graph.tensors), path, names, _weights(model, operator) > 0
    )


def _leave(q: Any, scopes: set[str]) -> None:
    for scope in sorted(scopes):
        q.update_quantization_recipe(f"^{re.escape(scope)}$", Op.ALL_SUPPORTED, algorithm_key=Algorithm.NO_QUANTIZE)


def collect_ranges(float_file: Path, recipe: Recipe, feed: Feed) -> Known:
    """The range of every activation over the calibration images, read from the float file, as the quantizer takes it.

    Its own are a moving average that depends on the images' order and costs up to 20 points of agreement. An image runs as
    often as it takes to see all activations (ranges.batches), so that memory does not grow with their number.
    """
    made, given, moved = _activations(float_file)
    seen, smooth = Ranges(), gates.Smooth(float_file)
    for names in batches({name: 4 * math.prod(map(abs, shape)) for name, shape in made.items()}):
        interpreter, index = _showing(float_file, names)
        for tensor in feed():
            interpreter.set_tensor(index[given], tensor)
            interpreter.invoke()
            for name in names:
                values = interpreter.get_tensor(index[name])
                seen.see(name, values, pooled=values.ndim < 4 or values.shape[1:3] == (1, 1))
                smooth.see(name, values)
    found = seen.found(recipe.quantize.ranges)
    if recipe.quantize.ranges == "mse":
        found = smooth.found(found)
    if recipe.folds:
        found[given] = 0.0, 255.0 / recipe.unit  # scale 1, zero point 0: the stored number is the pixel
    if len(made[given]) == 5:  # a clip; of images, yolox_micro's own mAP was 0.909 with this and 0.920 without
        found |= {name: found[source] for name, source in moved.items() if source in found}
    floors = bias_floors(float_file)
    ranges: Known = {}
    for name, shape in made.items():
        low, high = found.get(name, (0.0, 0.0))  # nothing but infinities
        high = max(high, low + 255 * floors.get(name, 0.0))
        ranges[name] = {key: np.full([1] * len(shape), v, np.float32) for key, v in (("min", low), ("max", high))}
    return ranges


def _activations(float_file: Path) -> tuple[dict[str, list[int]], str, dict[str, str]]:
    """The shapes of what goes in and of every float tensor that an operator makes, by name; the name of what goes in; what is _moved."""
    model = flatbuffer.read_model(str(float_file))
    graph = model.subgraphs[0]
    computed = [i for operator in graph.operators for i in operator.outputs]
    floats = [graph.tensors[i] for i in (*graph.inputs, *computed) if graph.tensors[i].type == TensorType.FLOAT32]
    return {t.name.decode(): list(t.shape) for t in floats}, graph.tensors[graph.inputs[0]].name.decode(), _moved(model)


def _moved(model: Any) -> dict[str, str]:
    """Of every tensor whose numbers are all another's, or zero, in other places: the name of that. With ranges of their own, the
    parts that a TSM joins again would be rounded a second time."""
    graph = model.subgraphs[0]
    source: dict[int, int] = {}
    for operator in graph.operators:
        what = kind(model, operator)
        given = operator.inputs if what == "CONCATENATION" else operator.inputs[:1]
        sources = {source.get(i, i) for i in given}
        constants = [i for i in operator.inputs if i >= 0 and model.buffers[graph.tensors[i].buffer].data is not None]
        edged = what == "ADD" and len(constants) == 1 and sources == {graph.inputs[0]}  # pixels get their edge
        if (what in MOVES and len(sources) == 1) or edged:
            source |= dict.fromkeys(operator.outputs, *sources)
    return {graph.tensors[i].name.decode(): graph.tensors[s].name.decode() for i, s in source.items()}


def _showing(float_file: Path, names: Sequence[str]) -> tuple[Interpreter, dict[str, int]]:
    """An interpreter of the file that keeps some tensors besides what goes in; and the place of each tensor by its name."""
    model = flatbuffer.read_model(str(float_file))
    graph, index = model.subgraphs[0], {t.name.decode(): i for i, t in enumerate(model.subgraphs[0].tensors)}
    graph.outputs = [i for i in map(index.__getitem__, names) if i not in graph.inputs]
    content = pack(model, b"TFL3")
    del model, graph  # half a gigabyte of a VGG
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter, index


MOVES = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "SLICE", "STRIDED_SLICE", "CONCATENATION")
BIASED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
SAME_SCALE = (  # an operator whose output keeps the scale of its input
    "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "PADV2", "SLICE", "STRIDED_SLICE", "SPLIT", "MAX_POOL_2D",
    "AVERAGE_POOL_2D", "CONCATENATION", "GATHER",
)  # fmt: skip
LARGEST = 2.0**30  # half of what an int32 holds


def bias_floors(float_file: Path) -> dict[str, float]:
    """The least scale of the tensors that layers with a bias read, by their names.

    A bias is an integer in steps of its input's scale times its weights'. Where activations are as good as dead, that step
    is so small that the integer saturates, and what the bias alone would answer is lost.
    """
    model = flatbuffer.read_model(str(float_file))
    floors: dict[str, float] = {}
    for graph in model.subgraphs:
        named = [t.name.decode() for t in graph.tensors]

        def constant(index: int, tensors: Any = graph.tensors) -> NDArray[np.float32] | None:
            tensor = tensors[index]
            data = model.buffers[tensor.buffer].data
            return None if data is None else np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)

        for operator in reversed(graph.operators):
            what = kind(model, operator)
            if what in SAME_SCALE:
                floor = max((floors.get(named[i], 0.0) for i in operator.outputs), default=0.0)
                given = operator.inputs if what == "CONCATENATION" else operator.inputs[:1]
                needed = {named[i]: floor for i in given if floor}
            elif what in BIASED and len(operator.inputs) > 2 and operator.inputs[2] >= 0:
                weight, bias = constant(operator.inputs[1]), constant(operator.inputs[2])
                if weight is None or bias is None:
                    continue
                axes = tuple(range(weight.ndim - 1)) if what == "DEPTHWISE_CONV_2D" else tuple(range(1, weight.ndim))
                steps = np.maximum(np.abs(weight).max(axes) / 127, 1e-12)
                needed = {named[operator.inputs[0]]: float((np.abs(bias) / steps).max() / LARGEST)}
            else:
                continue
            for name, floor in needed.items():
                floors[name] = max(floors.get(name, 0.0), floor)
    return floors
