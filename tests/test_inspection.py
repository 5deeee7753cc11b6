"""ONNX files are read as the runtime runs them: its own fused graphs are the judge."""

import json
import shutil
from collections import Counter

import msgspec
import numpy as np
import onnx
import pytest
from conftest import ask_edgekit, fused_by_the_runtime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from edgekit import inspection
from edgekit.errors import ArtifactError
from edgekit.manifest import file_record, read_manifest, save_manifest

CHANNELS, HIDDEN, CLASSES = 8, 16, 5
# multiply-adds of the network below, on images of 8 x 8
STEM, DEPTHWISE, POINTWISE, HEAD = 64 * 8 * 3 * 9, 64 * 8 * 9, 64 * 16 * 8, 5 * 16


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).normal(0, 0.2, shape).astype(np.float32)


def network(weights=None):
    """A stem, a depthwise and a pointwise convolution and a linear layer, in float."""
    weights = {
        "stem": random(CHANNELS, 3, 3, 3),
        "depthwise": random(CHANNELS, 1, 3, 3),
        "pointwise": random(HIDDEN, CHANNELS, 1, 1),
        "head": random(CLASSES, HIDDEN),
    } | (weights or {})
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["a"], "/stem", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "/relu"),
        helper.make_node("Conv", ["b", "depthwise"], ["c"], "/depthwise", pads=[1] * 4, group=CHANNELS),
        helper.make_node("Conv", ["c", "pointwise"], ["d"], "/pointwise"),
        helper.make_node("HardSwish", ["d"], ["e"], "/hardswish"),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], "/pool"),
        helper.make_node("Flatten", ["f"], ["g"], "/flatten"),
        helper.make_node("Gemm", ["g", "head"], ["scores"], "/head", transB=1),
    ]
    return model(nodes, weights, {"image": ["batch", 3, 8, 8]}, {"scores": ["batch", CLASSES]})


def model(nodes, constants, inputs, outputs, opset=17):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


class Pictures(quantization.CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"image": random(1, 3, 8, 8, seed=i)} for i in range(4)])

    def get_next(self):
        return next(self.left, None)


@pytest.fixture
def quantized(tmp_path):
    """`quantized(per_channel=True)`: the network as another tool makes it, int8 weights and uint8 activations."""

    def make(made=None, **options):
        source, target = tmp_path / "float.onnx", tmp_path / "quantized.onnx"
        onnx.save(made or network(), source)
        options = {
            "activation_type": quantization.QuantType.QUInt8,
            "weight_type": quantization.QuantType.QInt8,
        } | options
        quantization.quantize_static(source, target, Pictures(), **options)
        return target

    return make


def operators(seen):
    return {(o.name, o.precision): o.count for o in seen.operators}


def saved(made, tmp_path, name="model.onnx"):
    onnx.save(made, tmp_path / name)
    return tmp_path / name


def test_a_float_file(tmp_path):
    seen = inspection.inspect(saved(network(), tmp_path))
    assert operators(seen) == {
        (name, "float32"): n
        for name, n in Counter(
            {"Conv": 3, "Relu": 1, "HardSwish": 1, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1}
        ).items()
    }
    assert {o.name: o.weight_bytes for o in seen.operators if o.weight_bytes} == {
        "Conv": 4 * (CHANNELS * 27 + CHANNELS * 9 + HIDDEN * CHANNELS),
        "Gemm": 4 * CLASSES * HIDDEN,
    }
    assert (seen.int8_macs, seen.stays_float, seen.overflow) == (0, (), None)


def test_weights_that_two_layers_share_are_stored_once(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("MatMul", ["p", "w"], ["y"])]
    seen = inspection.inspect(saved(model(nodes, {"w": random(6, 6)}, {"x": [1, 6]}, {"y": [1, 6]}), tmp_path))
    assert [(o.count, o.weight_bytes) for o in seen.operators] == [(2, 4 * 36)]


def test_what_a_qdq_file_runs_in_int8_is_what_the_runtime_fuses(quantized, tmp_path):
    file = quantized(per_channel=True)
    seen = inspection.inspect(file)
    counts = operators(seen)
    fused = Counter(n.op_type for n in onnx.load(fused_by_the_runtime(file, tmp_path)).graph.node)
    assert counts["Conv", "int8"] == fused["QLinearConv"] == 3
    assert counts["Gemm", "int8"] == fused["QGemm"] == 1
    assert counts["GlobalAveragePool", "int8"] == fused["QLinearGlobalAveragePool"] == 1
    assert counts["HardSwish", "float32"] == 1, "it has no integer kernel"
    assert {name for name, precision in counts if precision == "conversion"} == {"QuantizeLinear", "DequantizeLinear"}
    assert (seen.int8_macs, seen.stays_float) == (1, ())
    by_type = {(o.name, o.precision): o.weight_bytes for o in seen.operators}
    assert by_type["Conv", "int8"] == CHANNELS * 27 + CHANNELS * 9 + HIDDEN * CHANNELS


def test_the_fused_graph_of_the_runtime_reads_the_same(quantized, tmp_path):
    file = quantized(per_channel=True)
    seen, fused = inspection.inspect(file), inspection.inspect(fused_by_the_runtime(file, tmp_path))
    assert operators(fused)["QLinearConv", "int8"] == 3
    assert [(o.channels, o.of, o.worst) for o in fused.overflow] == [(o.channels, o.of, o.worst) for o in seen.overflow]


def test_what_stays_float_is_named_and_weighed(quantized):
    seen = inspection.inspect(quantized(nodes_to_exclude=["/depthwise"]))
    assert seen.stays_float == ("/depthwise",)
    assert seen.int8_macs == pytest.approx(1 - DEPTHWISE / (STEM + DEPTHWISE + POINTWISE + HEAD))


def test_a_size_that_is_not_known_gives_no_share(quantized):
    file = quantized()
    made = onnx.load(file)
    made.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    del made.graph.value_info[:]
    onnx.save(made, file)
    assert inspection.inspect(file).int8_macs is None


@pytest.mark.parametrize(("zero_point", "kind"), [(0, "int8"), (-128, "int8"), (0, "uint8"), (7, "uint8")])
@pytest.mark.parametrize("clip", [None, 6, 3])
def test_a_relu_before_quantizing_is_left_out_where_the_runtime_does(tmp_path, zero_point, kind, clip):
    file = saved(qdq_convolution(np.ones((4, 4, 1, 1), np.int8), zero_point, kind, clip=clip), tmp_path)
    fused = Counter(n.op_type for n in onnx.load(fused_by_the_runtime(file, tmp_path)).graph.node)
    counts = operators(inspection.inspect(file))
    expected = "int8" if fused["QLinearConv"] else "float32, int8 weights"
    assert counts["Conv", expected] == 1
    assert counts["Clip" if clip else "Relu", expected.partition(",")[0]] == 1


def qdq_convolution(weights, zero_point=0, kind="uint8", *, clip=None, **attributes):
    """Quantize, a convolution with a Relu or Clip behind it, quantize: a file as others write it."""
    bounds = ["low", "high"] if clip else []
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"], "/conv", **attributes),
        helper.make_node("Clip" if clip else "Relu", ["c", *bounds], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "s", "z"], ["y"]),
    ]
    constants = {
        "w": weights,
        "s": np.float32(1 / 64),
        "z": np.array(zero_point, kind),
        "zw": np.int8(0),
        "low": np.float32(0),
        "high": np.float32(clip or 0),
    }
    return model(nodes, constants, {"x": [1, 4, 8, 8]}, {"y": [1, len(weights), 8, 8]})


def test_an_answer_that_is_also_read_in_float_is_not_fused(tmp_path):
    made = qdq_convolution(np.ones((4, 4, 1, 1), np.int8), clip=6)
    made.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 4, 8, 8]))
    file = saved(made, tmp_path)
    assert not Counter(n.op_type for n in onnx.load(fused_by_the_runtime(file, tmp_path)).graph.node)["QLinearConv"]
    assert operators(inspection.inspect(file))["Conv", "float32, int8 weights"] == 1


def overflow_of(made, tmp_path):
    found = inspection.inspect(saved(made, tmp_path)).overflow
    return None if found is None else [(o.layer, o.channels, o.of, o.worst) for o in found]


def test_channels_that_can_overflow_are_counted(tmp_path):
    weights = np.zeros((4, 4, 1, 3), np.int8)
    weights[0, 1:3, 0, 1] = 127, 100  # neighbours among the input channels
    weights[1, 0, 0, :] = 127  # neighbours in the image: four input channels apart
    weights[2, 3, 0, 0] = weights[2, 0, 0, 1] = -127  # the last channel of one pixel, the first of the next
    weights[3] = 64
    expected = [("/conv", 2, 4, -254)]
    assert overflow_of(qdq_convolution(weights, pads=[0, 1, 0, 1]), tmp_path) == expected
    # runtimes make uint8 of int8 activations
    assert overflow_of(qdq_convolution(weights, -128, "int8", pads=[0, 1, 0, 1]), tmp_path) == expected


def test_weights_that_fit_and_uint8_weights_are_safe(tmp_path):
    assert overflow_of(qdq_convolution(np.full((4, 4, 1, 1), 64, np.int8)), tmp_path) == []
    unsigned = qdq_convolution(np.full((4, 4, 1, 1), 255, np.uint8))
    unsigned.graph.initializer[3].CopyFrom(numpy_helper.from_array(np.uint8(0), "zw"))
    assert overflow_of(unsigned, tmp_path) == []


def test_depthwise_convolutions_do_not_overflow_but_grouped_ones_do(tmp_path):
    depthwise = np.full((4, 1, 1, 2), 127, np.int8)
    assert overflow_of(qdq_convolution(depthwise, group=4, pads=[0, 0, 0, 1]), tmp_path) == []
    grouped = np.full((4, 2, 1, 1), 127, np.int8)
    assert overflow_of(qdq_convolution(grouped, group=2), tmp_path) == [("/conv", 4, 4, 254)]


@pytest.mark.parametrize("operator", ["Gemm", "Gemm transB", "MatMul"])
def test_matrices_are_added_along_k(tmp_path, operator):
    weights = np.zeros((6, 3), np.int8)  # [K, N]
    weights[2:4, 0] = 100, 29  # 129 along K
    weights[0] = 127  # neighbours along N do not meet
    transposed = {"transB": 1} if operator == "Gemm transB" else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wd"]),
        helper.make_node(operator.split()[0], ["xd", "wd"], ["y"], "/product", **transposed),
    ]
    constants = {
        "w": weights.T.copy() if transposed else weights,
        "s": np.float32(1),
        "z": np.uint8(0),
        "zw": np.int8(0),
    }
    made = model(nodes, constants, {"x": [1, 6]}, {"y": [1, 3]})
    assert overflow_of(made, tmp_path) == [("/product", 1, 3, 129)]
    assert inspection.inspect(tmp_path / "model.onnx").int8_macs == 1, "the runtime lets the answer be float"


def test_dynamic_quantization(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "/product")]
    weights = np.zeros((6, 3), np.float32)
    weights[0:2, 0] = weights[0, 1] = 1
    source = saved(model(nodes, {"w": weights}, {"x": [1, 6]}, {"y": [1, 3]}), tmp_path)
    quantization.quantize_dynamic(source, tmp_path / "dynamic.onnx", weight_type=quantization.QuantType.QInt8)
    seen = inspection.inspect(tmp_path / "dynamic.onnx")
    assert operators(seen)["MatMulInteger", "int8 (dynamic)"] == 1
    assert operators(seen)["DynamicQuantizeLinear", "conversion"] == 1
    assert seen.int8_macs == 1
    assert [(o.channels, o.of, o.worst) for o in seen.overflow] == [(1, 3, 254)]


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_integer_operators_are_checked_too(tmp_path, kind):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("MatMulInteger", ["xq", "w", "z"], ["p"], "/product"),
        helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = {"w": np.full((6, 3), 127, np.int8), "s": np.float32(1), "z": np.array(0, kind)}
    made = model(nodes, constants, {"x": [1, 6]}, {"y": [1, 3]})
    assert overflow_of(made, tmp_path) == [("/product", 3, 3, 254)]
    assert operators(inspection.inspect(tmp_path / "model.onnx"))["MatMulInteger", "int8"] == 1


def test_weights_only_and_half_precision(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wd"]),
        helper.make_node("MatMul", ["x", "wd"], ["y"], "/product"),
    ]
    constants = {"w": np.full((6, 3), 127, np.int8), "s": np.float32(1), "zw": np.int8(0)}
    seen = inspection.inspect(saved(model(nodes, constants, {"x": [1, 6]}, {"y": [1, 3]}), tmp_path))
    assert operators(seen) == {("MatMul", "float32, int8 weights"): 1, ("DequantizeLinear", "conversion"): 1}
    assert (seen.int8_macs, seen.overflow) == (0, None)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w"], ["p"]),
        helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
    ]
    made = model(nodes, {"w": np.ones((6, 3), np.float16)}, {"x": [1, 6]}, {"y": [1, 3]})
    assert operators(inspection.inspect(saved(made, tmp_path)))["MatMul", "float16"] == 1


def test_float_weights_that_the_file_quantizes_itself(quantized):
    """AddQDQPairToWeight: the weights are stored in float, with a QuantizeLinear behind them."""
    plain = inspection.inspect(quantized(per_channel=True)).overflow
    pairs = inspection.inspect(quantized(per_channel=True, extra_options={"AddQDQPairToWeight": True}))
    assert operators(pairs)["Conv", "int8"] == 3
    assert [(o.layer, o.worst) for o in pairs.overflow] == [(o.layer, o.worst) for o in plain]


def test_the_branches_of_an_if_are_looked_into(tmp_path):
    def branch(name):
        node = helper.make_node("MatMul", ["x", f"w_{name}"], [name])
        weights = numpy_helper.from_array(np.ones((6, 3), np.float32), f"w_{name}")
        return helper.make_graph(
            [node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3])], [weights]
        )

    nodes = [helper.make_node("If", ["which"], ["y"], then_branch=branch("a"), else_branch=branch("b"))]
    made = model(nodes, {"which": np.array(True)}, {"x": [1, 6]}, {"y": [1, 3]})
    seen = inspection.inspect(saved(made, tmp_path))
    assert operators(seen)["MatMul", "float32"] == 2


def test_the_command_says_it_in_words_and_in_json(quantized):
    file = quantized(per_channel=True)
    done = ask_edgekit("inspect", file)
    assert done.returncode == 0, done.stderr
    assert "100.0% of the multiply-adds in int8" in done.stdout
    assert "can overflow on CPUs with AVX2 and without VNNI, where answers are wrong then: 3 layers" in done.stdout
    assert " of 8 channels of /stem" in done.stdout
    assert "/depthwise" not in done.stdout
    document = json.loads(ask_edgekit("inspect", file, "--json").stdout)["file"]
    assert document["int8_macs"] == 1
    assert document["overflow"][0].keys() == {"layer", "channels", "of", "worst"}

    (given,), (answer,) = document["inputs"], document["outputs"]
    assert f"takes    {given['name']}" in done.stdout
    assert given["dtype"] == answer["dtype"] == "float32"

    half = quantized(nodes_to_exclude=["/pointwise"])
    assert "stays float: /pointwise" in ask_edgekit("inspect", half, "-v").stderr


def test_the_command_says_when_a_file_is_safe(quantized):
    sparse = network()
    for tensor in sparse.graph.initializer:  # every other input channel is 0: no pair has two weights
        weights = numpy_helper.to_array(tensor).copy()
        if tensor.name != "stem":
            weights[:, 1::2] = 0
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    done = ask_edgekit("inspect", quantized(sparse, nodes_to_exclude=["/stem"]))
    assert "safe on every CPU" in done.stdout
    assert "can overflow" not in done.stdout


def test_an_artifact_is_opened_at_its_model(quantized, copied):
    """A folder whose manifest names model.onnx."""
    (copied / "model.tflite").unlink()
    shutil.copy(quantized(), copied / "model.onnx")
    manifest = read_manifest(copied)
    files = {k: v for k, v in manifest.files.items() if k != "model.tflite"}
    files["model.onnx"] = file_record(copied / "model.onnx")
    save_manifest(
        copied,
        msgspec.structs.replace(manifest, target="onnx", files=files, recipe=manifest.recipe | {"target": "onnx"}),
    )
    done = ask_edgekit("inspect", copied)
    assert done.returncode == 0, done.stderr
    assert "for onnx" in done.stdout
    assert "can overflow on CPUs" in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda whole: whole[: len(whole) // 2], "is damaged"),
        (lambda whole: b"hello world", "is not an ONNX file"),
        (lambda whole: b"", "is not an ONNX file"),
        (lambda whole: b"\x08\x09", "is damaged"),
        (lambda whole: b"\x08\x09" + b"\xff" * 50, "is damaged"),
    ],
)
def test_what_is_no_model_gets_one_line(tmp_path, content, says):
    file = saved(network(), tmp_path)
    file.write_bytes(content(file.read_bytes()))
    done = ask_edgekit("inspect", file)
    assert (done.returncode, says in done.stderr) == (4, True), done.stderr
    assert "Traceback" not in done.stderr


def test_weights_beside_the_file(tmp_path):
    file = tmp_path / "model.onnx"
    onnx.save(network(), file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    seen = inspection.inspect(file)
    assert sum(o.weight_bytes for o in seen.operators) == 4 * (CHANNELS * 36 + HIDDEN * CHANNELS + CLASSES * HIDDEN)
    assert seen.bytes == file.stat().st_size + (tmp_path / "weights.bin").stat().st_size
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(ArtifactError, match="cannot be read"):
        inspection.inspect(file)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ArtifactError, match=r"weights\.bin, which is not there") as caught:
        inspection.inspect(file)
    assert "copy weights.bin beside model.onnx" in caught.value.hint
