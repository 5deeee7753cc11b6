"""Where two files of one model part: the layer that was damaged must be the layer that is named."""

import json
from importlib import import_module

import numpy as np
import onnx
import pytest
from conftest import ask_edgekit
from onnx import TensorProto, helper, numpy_helper

from edgekit import artifact
from edgekit.errors import RequestError, UnsupportedError
from edgekit.inspection import divergence

pytestmark = pytest.mark.full
LAYERS = 4  # of the tiny network
CHANNELS = 6


def compare(a, b, below=8.0):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    return divergence.compare(a, b, pixels, below=below)


def net(weights):
    """Four convolutions with ReLU between them and a linear layer, in float."""
    nodes, last = [], "image"
    for i in range(4):
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], f"/conv{i}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"/relu{i}"))
        last = f"r{i}"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"], "/pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "/flat"),
        helper.make_node("MatMul", ["flat", "head"], ["scores"], "/head"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def weights():
    rng = np.random.default_rng(1)
    return {f"w{i}": rng.normal(0, 0.3, (CHANNELS, CHANNELS if i else 3, 3, 3)) for i in range(4)} | {
        "head": rng.normal(0, 0.3, (CHANNELS, 5))
    }


def saved(model, file):
    onnx.save(model, file)
    return artifact.LooseFile(file)


@pytest.mark.parametrize("damaged", range(4))
def test_the_damaged_layer_is_named(weights, tmp_path, damaged):
    whole = saved(net(weights), tmp_path / "whole.onnx")
    weights[f"w{damaged}"] = weights[f"w{damaged}"].copy()
    weights[f"w{damaged}"][: CHANNELS // 2, :, :, 0] = 0
    found = compare(whole, saved(net(weights), tmp_path / "damaged.onnx"))
    assert (len(found.layers), found.unmatched) == (5, ())
    assert found.layers[found.steepest].second == f"/conv{damaged}"
    assert [layer.sqnr_db for layer in found.layers[:damaged]] == [None] * damaged, "equal so far"


def test_channels_that_were_equalised_do_not_part(weights, tmp_path):
    whole = saved(net(weights), tmp_path / "whole.onnx")
    factor = np.geomspace(0.1, 10, CHANNELS)
    weights["w1"] = weights["w1"] * factor[:, None, None, None]
    weights["w2"] = weights["w2"] / factor[None, :, None, None]
    found = compare(whole, saved(net(weights), tmp_path / "equalised.onnx"))
    assert found.steepest is None
    assert all(layer.sqnr_db is None or layer.sqnr_db > 90 for layer in found.layers)


def test_a_layer_that_one_file_lacks_has_no_partner():
    a, b, c = (np.random.default_rng(i).normal(size=(50, 4)).astype(np.float32) for i in range(3))
    assert divergence.match([a, b, c], [a, c]) == [(0, 0), (2, 1)]
    assert divergence.match([a, b[:9]], [b[:9], a]) == [(0, 1)], "never crosswise"


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_across_targets_every_layer_finds_its_partner(exported, target):
    found = compare(exported("fp32"), exported("fp32", target=target))
    assert (len(found.layers), found.unmatched, found.steepest) == (LAYERS, (), None)
    assert all(layer.sqnr_db is None or layer.sqnr_db > 80 for layer in found.layers)


@pytest.mark.parametrize("target", ["tflite", "onnx", "openvino"])
def test_int8_is_compared_in_the_runtime_of_its_target(exported, target):
    found = compare(exported("fp32"), exported("int8-static", target=target))
    assert (len(found.layers), found.unmatched) == (LAYERS, ())
    assert all(12 < layer.sqnr_db < 80 for layer in found.layers)


def test_dynamic_int8_keeps_its_layers(exported):
    net = "py:nets:tiny_attention"
    found = compare(exported("fp32", model=net, target="onnx"), exported("int8-dynamic", model=net, target="onnx"))
    assert (len(found.layers), found.unmatched) == (10, ())  # patches, two blocks of four, the head
    assert all(layer.sqnr_db > 20 for layer in found.layers[1:])


def test_looking_changes_no_answer(exported):
    """Inner tensors are asked for so that the kernels stay the ones that run anyway."""
    from edgekit import registry
    from edgekit.inspection.activations import open_layers
    from edgekit.runtimes import Options

    for target in ("onnx", "openvino"):
        made = exported("int8-static", target=target)
        golden = made.golden()
        session = registry.runtime_for(target).open(made, Options())
        layers = open_layers(made.model_file)
        for tensor in golden.tensors:
            (plain,) = session.run(tensor[None])
            assert np.array_equal(layers.run(tensor[None]).answers[0], plain)


def test_what_cannot_be_compared_is_refused(exported, weights, golden_artifact, tmp_path):
    made = exported("fp32", target="onnx")
    (tmp_path / "names").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(RequestError, match="knows other classes"):
        compare(made, exported("fp32", target="onnx", labels=str(tmp_path / "names")))
    with pytest.raises(RequestError, match=r"float32 \[1, 3, 32, 32\], the other float32 \[1, 3, 8, 8\]"):
        compare(made, saved(net(weights), tmp_path / "other.onnx"))
    other = {name: value[:4, :4] if name.startswith("w") and name != "w0" else value for name, value in weights.items()}
    other |= {"w0": weights["w0"][:4], "head": weights["head"][:4, :3]}
    small = net(other)
    small.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    with pytest.raises(RequestError, match=r"answers \[1, 5\], .* answers \[1, 3\]"):
        compare(saved(net(weights), tmp_path / "a.onnx"), saved(small, tmp_path / "small.onnx"))
    torch = artifact.LooseFile(tmp_path / "model.pt2")
    with pytest.raises(UnsupportedError, match=r"inside \.pt2 files cannot be seen"):
        compare(torch, torch)
    for arguments, says in (
        (["--compare", made.folder], "--compare takes two files, not 1"),
        ([made.folder, golden_artifact], "one file at a time, not 2"),
        ([made.folder, "--below", "9"], "--below is for --compare"),
        ([made.folder, "--data", "."], "--data is for --compare and --sensitivity"),
        (["--compare", made.model_file, made.model_file, "--data", "."], "files alone do not say"),
    ):
        done = ask_edgekit("inspect", *arguments)
        assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_the_command_says_it_in_words_and_in_json(weights, tmp_path):
    whole = saved(net(weights), tmp_path / "whole.onnx")
    weights["w2"] = np.zeros_like(weights["w2"])
    damaged = saved(net(weights), tmp_path / "damaged.onnx")
    done = ask_edgekit("inspect", "--compare", whole.model_file, damaged.model_file)
    assert done.returncode == 0, done.stderr
    assert "the outputs first diverge at /conv2 (0 dB), below 8 dB, which is also the largest drop" in done.stdout
    assert "seeded noise" in done.stdout
    found = json.loads(ask_edgekit("inspect", "--compare", whole.model_file, damaged.model_file, "--json").stdout)
    assert (found["first_below"], found["steepest"]) == (2, 2)
    assert found["layers"][0] == {"first": "/conv0", "second": "/conv0", "sqnr_db": None}
    done = ask_edgekit("inspect", "--compare", whole.model_file, whole.model_file)
    assert "the files do not diverge" in done.stdout


def test_weights_may_be_nodes(weights, tmp_path):
    model = net(weights)
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in model.graph.initializer]
    nodes += model.graph.node
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    found = compare(saved(net(weights), tmp_path / "a.onnx"), saved(model, tmp_path / "b.onnx"))
    assert [layer.sqnr_db for layer in found.layers] == [None] * 5


def test_of_many_layers_those_that_part_are_listed(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("edgekit.cli.inspect"), "LISTED", 1)  # the package has the command of that name
    whole = saved(net(weights), tmp_path / "whole.onnx")
    weights["w2"] = np.zeros_like(weights["w2"])
    damaged = saved(net(weights), tmp_path / "damaged.onnx")
    done = ask_edgekit("inspect", "--compare", whole.model_file, damaged.model_file)
    assert "of 5 layers those that diverge most, and the answers; -v lists all" in done.stdout
    assert [f"  /conv{i} " in done.stdout for i in range(4)] == [False, False, True, False]
    assert "the answer" in done.stdout
    done = ask_edgekit("inspect", "--compare", whole.model_file, damaged.model_file, "-v")
    assert all(f"  /conv{i} " in done.stdout for i in range(4))
    assert "-v lists all" not in done.stdout


def test_an_artifact_shows_a_plain_file_what_it_takes(exported, tmp_path):
    made = exported("fp32", target="onnx")
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(made.model_file.read_bytes())
    done = ask_edgekit("inspect", "--compare", made.folder, plain)
    assert done.returncode == 0, done.stderr
    assert "on 4 images" in done.stdout
    assert artifact.load(made.folder).golden().tensors.shape[0] == 4
