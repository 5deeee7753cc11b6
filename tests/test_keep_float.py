"""`keep_float`: a pattern finds the same layers in every target."""

import numpy as np
import onnx
import pytest
from conftest import fused_by_the_runtime
from onnx import numpy_helper
from test_export_onnx import graph_of

from edgekit import inspection, recipe
from edgekit.errors import RecipeError
from edgekit.exporters.keeping import Operator, kept

pytestmark = pytest.mark.full
BLOCK = r"^blocks\.1\."


@pytest.mark.parametrize("target", ["tflite", "onnx", "openvino"])
def test_layers_in_lists_stay_float_and_no_others(exported, target):
    """The zero that ReLUs share carries the name of the first block's in TFLite."""
    made = exported("int8-static", model="py:nets:listed", target=target, quantize={"keep_float": (BLOCK, "heads.one")})
    layers = inspection.inspect(made.model_file).layers
    assert len(layers) == 9
    paths = {layer.name.removesuffix("/WithoutBiases"): layer.precision for layer in layers}
    floats = {path.rpartition("/")[0] if target != "tflite" else path for path, p in paths.items() if p == "float32"}
    assert floats == {"model/blocks/1/0", "model/blocks/1/1", "model/heads/one"}


def test_weights_of_layers_in_float_are_not_rounded(exported):
    made = exported("int8-static", model="py:nets:listed", target="onnx", quantize={"keep_float": (BLOCK, "heads.one")})
    graph = graph_of(made).graph
    weights = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    (conv,) = [node for node in graph.node if node.name == "model/blocks/1/0/Conv"]
    weight = weights[conv.input[1]]
    steps = 127 * weight / np.abs(weight).max((1, 2, 3), keepdims=True)
    assert np.abs(steps - np.rint(steps)).max() > 0.2


def test_onnx_runtime_leaves_them_in_float(exported, tmp_path):
    """It quantizes the weights of a layer between integers by itself, where it sees them."""
    made = exported("int8-static", model="py:nets:listed", target="onnx", quantize={"keep_float": (BLOCK, "heads.one")})
    graph = onnx.load(fused_by_the_runtime(made.model_file, tmp_path)).graph
    weights = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    floats = [node for node in graph.node if node.op_type in ("Conv", "FusedConv", "Gemm", "FusedGemm")]
    assert sorted(weights[node.input[1]].shape for node in floats) == [(5, 8), (8, 8, 1, 1), (8, 8, 3, 3)]
    assert all(weights[node.input[1]].dtype == np.float32 for node in floats)


LAYERS = [Operator(i, f"model/blocks/{i}/attn/qkv", (f"model/blocks/{i}/attn/qkv/MatMul",), True) for i in range(4)]
OPERATORS = [*LAYERS, Operator("sum", "model", ("model/Add",), False), Operator("head", "model/head", ("val_7",), True)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"blocks\.[01]\.attn", {0, 1}),
        ("blocks/2/attn/qkv", {2}),
        ("attn.qkv", {0, 1, 2, 3}),
        ("^head$", {"head"}),
        ("MatMul$", {0, 1, 2, 3}),
        ("val_7", {"head"}),
        ("Add", {"sum"}),
    ],
)
def test_a_pattern_finds_paths_of_modules_and_names_of_the_graph(pattern, found):
    assert kept([pattern], OPERATORS) == found


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("attn.qvk", r"\(did you mean attn\.qkv\?\)"),
        (r"^blocks\.1\.attn\.qvk$", r"\(did you mean blocks\.1\.attn\.qkv or "),
        ("haed", r"\(did you mean head\?\)"),
        ("stem", r"\(layers: blocks\.0\.attn\.qkv, .*\(5 in all\); edgekit inspect --layers lists them\)"),
    ],
)
def test_a_pattern_that_finds_nothing_is_refused_with_what_is_called_alike(pattern, hint):
    with pytest.raises(RecipeError, match=f"no operator is named like .*{hint}"):
        kept(["head", pattern], OPERATORS)


def test_patterns_that_find_every_layer_are_refused():
    with pytest.raises(RecipeError, match=r"keep_float finds every layer: .* \(--scheme fp32\)"):
        kept(["head", "attn"], OPERATORS)


def test_an_empty_pattern_is_refused():
    with pytest.raises(RecipeError, match="an empty pattern finds everything"):
        recipe.amended(recipe.Recipe("mobilenetv2", "tflite"), "int8", keep_float=("",))
