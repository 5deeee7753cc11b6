"""Which of attention's own products compute in integers in an OpenVINO file."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit.exporters.onnx_attention import in_integers, products, symmetric

pytestmark = pytest.mark.full
WIDTH = 8


def graph(loud):
    """Two blocks: a layer, and its answer times itself. What the second product reads has a channel of `loud` times the others, which
    nobody looks at."""
    rng = np.random.default_rng(0)
    spread, seen = np.ones(WIDTH, np.float32), np.ones(WIDTH, np.float32)
    spread[0], seen[0] = loud, 0
    constants = {
        "Wa": rng.normal(size=(WIDTH, WIDTH)),
        "Wb": rng.normal(size=(WIDTH, WIDTH)),
        "spread": spread,
        "seen": seen,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "Wa"], ["a"], "model/a/MatMul"),
        helper.make_node("Transpose", ["a"], ["at"], "model/a/Transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["a", "at"], ["aa"], "model/a/attn/MatMul"),
        helper.make_node("MatMul", ["x", "Wb"], ["b"], "model/b/MatMul"),
        helper.make_node("Mul", ["b", "spread"], ["bs"], "model/b/Mul"),
        helper.make_node("Mul", ["b", "seen"], ["bo"], "model/b/Mul_1"),
        helper.make_node("Transpose", ["bo"], ["bt"], "model/b/Transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["bs", "bt"], ["bb"], "model/b/attn/MatMul"),
        helper.make_node("Add", ["aa", "bb"], ["y"], "model/Add"),
    ]
    made = helper.make_graph(
        nodes,
        "edgekit",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4, WIDTH])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4, 4])],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def found(loud, kept=()):
    """The modules of the products that bear integers."""
    pictures = [np.random.default_rng(seed).normal(size=(4, WIDTH)).astype(np.float32) for seed in range(4)]
    ranges = dict.fromkeys(("a", "at", "bt"), (-10.0, 10.0)) | {"x": (-4.0, 4.0), "bs": (-10.0 * loud, 10.0 * loud)}
    made = graph(loud)
    assert [p.name for p in products(made)] == ["model/a/attn/MatMul", "model/b/attn/MatMul"]
    bear = in_integers(made, ["MatMul"], ranges, lambda: iter(pictures), kept)
    return {p.name.split("/")[1] for p in bear}


def test_blocks_whose_products_bear_integers_get_them(monkeypatch):
    monkeypatch.setattr(
        "edgekit.exporters.onnx_attention.SHARE", 4.0
    )  # so small a network has few layers to make noise
    assert found(1.0) == {"a", "b"}
    assert found(1.0, kept=["model/a/attn/MatMul"]) == {"b"}


def test_a_block_with_an_outlier_stays_float(monkeypatch):
    monkeypatch.setattr("edgekit.exporters.onnx_attention.SHARE", 4.0)
    assert found(1000.0) == {"a"}


def test_no_more_than_a_share_of_the_noise_of_layers_is_added(monkeypatch):
    monkeypatch.setattr("edgekit.exporters.onnx_attention.SHARE", 0.0)
    assert found(1.0) == set()


@pytest.mark.parametrize("reach", [(-3.0, 1.0), (-1.0, 3.0)])
def test_a_symmetric_grid_has_its_zero_in_the_middle(reach):
    low, high = symmetric(reach)
    scale = (high - low) / 255
    assert round(-low / scale) == 128
    assert low <= reach[0]
    assert high >= reach[1]


def test_what_a_softmax_answers_keeps_all_steps():
    assert symmetric((0.0, 1.0)) == (0.0, 1.0)
