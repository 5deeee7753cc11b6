"""Channels of zeros in int8 ONNX files: where they come, where they do not, and that the answers stay the same to the bit."""

import math
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import fused_by_the_runtime
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgekit.exporters.onnx_widening import widen
from edgekit.inspection.divergence import compare
from edgekit.inspection.onnx_graph import attribute

pytestmark = pytest.mark.full
SIDE = 8
IMAGES = np.random.default_rng(1).normal(0, 1, (4, 1, 3, SIDE, SIDE)).astype(np.float32)

# `w20x3x1x1`: a weight of that shape; `w20`: a bias, `i8x4`: sizes 8 and 4
CHAIN = """
    a = Conv (image, w20x3x1x1, w20)    b = Relu (a)
    c = Conv <group = 20, pads = [1, 1, 1, 1]> (b, w20x1x3x3)    d = HardSigmoid (c)    e = Mul (c, d)
    answer = Conv (e, w4x20x1x1)
"""
GATED = """
    a = Conv (image, w72x3x1x1, w72)
    b = Conv <group = 72> (a, w72x1x1x1, w72)    c = Add (a, b)
    mean = GlobalAveragePool (c)    d = Conv (mean, w8x72x1x1, w8)    e = Relu (d)    f = Conv (e, w72x8x1x1, w72)
    gate = Sigmoid (f)    g = Mul (c, gate)
    h = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (g)
    i = Conv <group = 72> (h, w72x1x1x1, w72)
    answer = Conv (i, w4x72x1x1)
"""
GHOST = """
    a = Conv (image, w12x3x1x1, w12)    b = Relu (a)
    c = Conv <group = 12> (b, w12x1x1x1)    d = Concat <axis = 1> (b, c)
    shortcut = Conv (image, w24x3x1x1, w24)    e = Add (d, shortcut)
    f = Conv <group = 24> (e, w24x1x1x1, w24)
    answer = Conv (f, w4x24x1x1)
"""
MIXED = """
    a = Conv (image, w20x3x1x1, w20)    a2 = Conv (image, w10x3x1x1, w10)    b = Concat <axis = 1> (a, a2)
    c, d = Split <axis = 1> (b, i18x12)
    e = Conv <group = 18> (c, w18x1x1x1, w18)    f = Conv <group = 12> (d, w12x1x1x1, w12)
    g = Concat <axis = 1> (e, f)    h = Relu (g)
    answer = Conv (h, w4x30x1x1)
"""
PADDED = """
    a = Conv (image, w20x3x1x1, w20)    b = Pad (a, i0x0x0x0x0x0x1x1)
    c = Conv <group = 20> (b, w20x1x2x2)
    answer = Conv (c, w4x20x1x1)
"""


@pytest.mark.parametrize(
    ("layers", "groups"),
    [
        (CHAIN, [24]),  # 32 would be too many more
        (GATED, [80, 80]),
        (GHOST, [16, 32]),
        (MIXED, [24, 24]),  # 18, and pieces of 2 and 10
        (PADDED, [24]),
    ],
    ids=["chain", "gated", "ghost", "mixed", "padded"],
)
def test_depthwise_convolutions_get_whole_vectors_and_answer_the_same(layers, groups, tmp_path):
    plain, made = quantized(layers, tmp_path), quantized(layers, tmp_path)
    names = widen(made)
    found = [node for node in made.graph.node if node.name in names]
    assert [attribute(node, "group", 1) for node in found] == groups
    onnx.checker.check_model(made, full_check=True)
    np.testing.assert_array_equal(answers(made), answers(plain))
    assert fused(made, tmp_path) == fused(plain, tmp_path), "ONNX Runtime makes as many integer layers of it"


@pytest.mark.parametrize(
    "layers",
    [
        CHAIN.replace("20", "24"),
        CHAIN.replace("answer = Conv (e, w4x20x1x1)", "answer = Relu (e)"),
        CHAIN.replace("e = Mul", "s = Softmax <axis = 1> (d)    e = Mul").replace("(c, d)", "(c, s)"),
        CHAIN.replace("e = Mul (c, d)", "e = Mul (c, w1x20x1x1)"),
        CHAIN.replace("e = Mul (c, d)", "one = Conv (b, w1x20x1x1)    e = Mul (c, one)"),
        CHAIN.replace("(e, w4x20x1x1)", "(r, w4x20x1x1)").replace(
            "    answer", "    r = DepthToSpace <blocksize = 1> (e)    answer"
        ),
        GHOST.replace(
            "e = Add (d, shortcut)", "flat = DepthToSpace <blocksize = 1> (d)    e = Add (d, shortcut)"
        ).replace("answer = Conv (f", "both = Add (f, flat)    answer = Conv (both"),
    ],
    ids=[
        "whole already",
        "an answer",
        "mixes",
        "a constant each",
        "one for all",
        "a reshaping",
        "shown behind a joint",
    ],
)
def test_what_shows_its_channels_stays_as_it_is(layers, tmp_path):
    plain, made = quantized(layers, tmp_path), quantized(layers, tmp_path)
    assert widen(made) == []
    assert made == plain


def test_a_layer_that_stays_in_float_keeps_its_channels(tmp_path):
    made = quantized(CHAIN, tmp_path, kept=["answer"])
    assert widen(made) == []


def test_an_export_says_so_and_its_layers_are_found_again(exported):
    fp32, int8 = (exported(scheme, target="onnx", model="py:nets:ragged") for scheme in ("fp32", "int8-static"))
    graph = onnx.load(int8.model_file).graph
    assert [attribute(node, "group", 1) for node in graph.node if node.op_type == "Conv"] == [1, 24, 1]
    assert any("channels of zeros" in note for note in int8.manifest.notes)
    found = compare(fp32, int8, np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), np.uint8), below=10)
    assert found.unmatched == ()
    assert min(layer.sqnr_db for layer in found.layers) > 20


class _Images(CalibrationDataReader):
    def __init__(self):
        self.left = list(IMAGES)

    def get_next(self):
        return {"image": self.left.pop()} if self.left else None


def quantized(layers, tmp_path, kept=()):
    """The layers with random weights, in QDQ, as edgekit has ONNX Runtime make it."""
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : 20]> g (float[1, 3, {SIDE}, {SIDE}] image) => (float[1, c, h, w] answer) {{ {layers} }}'
    )
    rng = np.random.default_rng(0)
    for node in model.graph.node:
        node.name = node.output[0]
        for place, name in enumerate(node.input):
            if match := re.fullmatch(r"([wi])(\d+(?:x\d+)*)", name):
                numbers = [int(n) for n in match[2].split("x")]
                made = rng.normal(0, 1, numbers) / math.sqrt(math.prod(numbers[1:])) if match[1] == "w" else numbers
                node.input[place] = f"{node.name}_{place}"
                kind = np.float32 if match[1] == "w" else np.int64
                model.graph.initializer.append(numpy_helper.from_array(np.array(made, kind), node.input[place]))
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(model, source)
    quantize_static(
        source,
        target,
        _Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(kept),
    )
    return onnx.load(target)


def answers(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image})[0] for image in IMAGES])


def fused(model, tmp_path):
    """How many convolutions in integers ONNX Runtime runs."""
    kinds = [node.op_type for node in onnx.load(fused_by_the_runtime(model.SerializeToString(), tmp_path)).graph.node]
    assert "Conv" not in kinds
    return kinds.count("QLinearConv")
