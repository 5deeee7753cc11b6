"""The ONNX exporter on the real converter, quantizer and runtime."""

import json
import math
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from conftest import ask_edgekit

from edgekit import inspection, parity
from edgekit.cli import main
from edgekit.errors import ExportError, RecipeError
from edgekit.exporters import onnx_graph, onnx_quantize, ranges
from edgekit.exporters.diagnose import diagnose
from edgekit.pipeline import export
from edgekit.preprocess import normalise
from edgekit.recipe import Quantize, Recipe, check
from edgekit.tasks.likeness import sqnr_db

pytestmark = pytest.mark.full
SCHEMES = ("fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only")


def graph_of(made):
    return onnx.load(made.model_file)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_proven_and_verifies(exported, scheme):
    made = exported(scheme, target="onnx")
    proof = made.manifest.proof
    assert proof.passed
    assert proof.runtime == f"onnxruntime {onnxruntime.__version__}"
    if scheme == "fp32":
        assert proof.sqnr_db is None or proof.sqnr_db >= 90
    onnx.checker.check_model(graph_of(made), full_check=True)
    assert parity.verify(made, "onnxruntime").passed


def test_the_file_takes_normalised_floats_in_pytorchs_layout(exported):
    given = onnxruntime.InferenceSession(exported("int8-static", target="onnx").model_file).get_inputs()[0]
    assert (given.name, given.type, given.shape) == ("image", "tensor(float)", [1, 3, 32, 32])


def test_int8_computes_in_integers(exported):
    graph = graph_of(exported("int8-static", target="onnx")).graph
    from_integers = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    layers = [n for n in graph.node if n.op_type in ("Conv", "Gemm", "GlobalAveragePool")]
    assert len(layers) == 5
    assert all(name in from_integers for n in layers for name in n.input)
    assert not [n for n in graph.node if n.op_type in ("Clip", "Relu")]  # the ranges do their work


def test_a_float_graph_is_looked_at_some_activations_at_a_time(exported, monkeypatch):
    graph = graph_of(exported("fp32", target="onnx"))
    fed = np.random.default_rng(0).random((3, 1, 3, 32, 32), np.float32)
    recipe = Recipe(model="x", target="onnx", quantize=Quantize("int8-static", ranges="minmax"))
    parts, looked_into = [], onnx_graph.looked_into
    monkeypatch.setattr(onnx_graph, "looked_into", lambda part: parts.append(part) or looked_into(part))

    def collected():
        parts.clear()
        found = onnx_quantize.collect_ranges(graph, recipe, lambda: iter(fed), ranges.Channels([]))
        return np.array([found[name] for name in sorted(found)])

    whole = collected()
    assert [len(part.graph.node) for part in parts] == [len(graph.graph.node)]
    monkeypatch.setattr(ranges, "FETCHED", 1)
    np.testing.assert_allclose(collected(), whole, rtol=1e-5, atol=1e-6)
    assert [len(part.graph.output) for part in parts] == [1] * len(whole)
    sizes = [len(part.graph.node) for part in parts]
    assert sizes[0] == 1  # no further than what is looked at
    assert sizes[-1] == len(graph.graph.node)


def test_shapes_are_inferred_without_the_weights(exported, monkeypatch):
    monkeypatch.setattr(onnx_graph, "SIZES", 8)
    graph = graph_of(exported("fp32", target="onnx"))
    shown = onnx_graph.with_shapes(graph)
    assert max(math.prod(i.dims) for i in graph.graph.initializer) > 8
    assert all(math.prod(i.dims) <= 8 for i in shown.graph.initializer)
    computed = {name for node in graph.graph.node for name in node.output}
    whole = onnx.shape_inference.infer_shapes(graph).graph
    for one in (shown.graph, whole):
        assert {v.name for v in (*one.value_info, *one.output)} >= computed
    known = {v.name: v for v in shown.graph.value_info}
    assert all(known[v.name] == v for v in whole.value_info if v.name in computed)
    assert list(shown.graph.input) == list(graph.graph.input)


@pytest.mark.parametrize(
    ("scheme", "in_float"), [("int8-static", [False, True, False]), ("int8-weight-only", [False, True, True])]
)
def test_convolutions_that_integers_would_slow_stay_in_float(exported, scheme, in_float):
    graph = graph_of(exported(scheme, target="onnx", model="py:nets:multiplied")).graph
    constants = {i.name: i for i in graph.initializer}
    convolutions = [n for n in graph.node if n.op_type == "Conv"]
    assert [n.input[1] in constants for n in convolutions] == in_float


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("model", "scheme", "options"),
    [
        ("tiny", "fp32", {}),
        ("tiny", "int8-static", {"input": "uint8", "softmax": True}),
        ("tiny_attention", "int8-dynamic", {"input": "uint8"}),
    ],
    ids=str,
)
def test_a_dynamic_batch_answers_as_one_by_one(exported, model, scheme, options, batch):
    made = exported(scheme, target="onnx", model=f"py:nets:{model}", dynamic_batch=True, **options)
    assert made.manifest.input.shape == (-1, 3, 32, 32)
    session = onnxruntime.InferenceSession(made.model_file)
    pictures = made.encode(np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8))
    together = session.run(None, {"image": pictures})[0]
    alone = np.concatenate([session.run(None, {"image": pictures[i : i + 1]})[0] for i in range(batch)])
    if scheme == "int8-dynamic":  # a batch has one range
        assert sqnr_db(alone, together) > 20
        return
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("kind", ["float32", "uint8", "int8"])
def test_pixels_are_normalised_inside_on_request(exported, kind):
    plain = exported("fp32", target="onnx")
    folded = exported("fp32", target="onnx", fold=True, input=kind, softmax=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    logits = onnxruntime.InferenceSession(plain.model_file).run(
        None, {"image": np.moveaxis(normalise(pixels, plain.manifest.preprocess), -1, 1)}
    )[0]
    scores = onnxruntime.InferenceSession(folded.model_file).run(None, {"image": folded.encode(pixels)})[0]
    assert folded.encode(pixels).dtype == kind
    np.testing.assert_allclose(scores, np.exp(logits) / np.exp(logits).sum(), atol=1e-5)


def test_what_surrounds_the_network_stays_float(exported):
    made = exported("int8-static", target="onnx", fold=True, softmax=True)
    assert made.manifest.input.dtype == "uint8"
    kinds = {n.op_type: n for n in graph_of(made).graph.node}
    assert kinds["Softmax"].output[0] == "probabilities"
    assert made.manifest.proof.passed


def test_an_opset_is_kept(exported):
    made = exported("fp32", target="onnx", opset=18)
    graph = graph_of(made)
    assert [(known.domain, known.version) for known in graph.opset_import] == [("", 18)]
    assert graph.ir_version == 8  # the smallest that has it, or an older runtime would refuse the file for its format
    assert made.manifest.oldest_interpreter == {"any CPU": "ONNX Runtime 1.15 (opset 18)"}


def test_the_file_says_what_it_is_and_not_where_it_was_made(exported, tmp_path):
    made = exported("int8-static", target="onnx")
    model = graph_of(made)
    told = {p.key: p.value for p in model.metadata_props}
    assert json.loads(told["labels"]) == made.labels()
    assert told["model_info mean_values"] == "127.5 127.5 127.5"
    assert told["model_info scale_values"] == "63.75 63.75 63.75"
    blob = made.model_file.read_bytes()
    for trace in (b"/home", b"/tmp", b"/work", b".py", b"pkg.torch"):
        assert trace not in blob
    assert "model/0/Conv" in {n.name for n in model.graph.node}


def test_twice_the_same_bytes(exported, pictures, tmp_path):
    from edgekit.pipeline import export

    made = exported("int8-static", target="onnx")
    recipe = Recipe(
        model="py:nets:tiny",
        target="onnx",
        quantize=Quantize(scheme="int8-static"),
        calibration=str(pictures),
        input_size=(32, 32),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    again = export(recipe, tmp_path / "again")
    assert again.model_file.read_bytes() == made.model_file.read_bytes()
    assert again.manifest == made.manifest


def test_attention_is_dynamic_and_lies_on_the_grids_that_were_chosen(exported):
    made = exported("int8", target="onnx", model="py:nets:tiny_attention")
    assert made.manifest.scheme == "int8-dynamic"
    kinds = [n.op_type for n in graph_of(made).graph.node]
    assert kinds.count("MatMulInteger") == 9  # qkv, projection and two of the MLP, twice; the head
    assert made.manifest.proof.sqnr_db > 18


def test_what_layers_of_an_embedding_read_is_spread_first(exported):
    made = exported("int8", target="onnx", model="py:nets:attention_features")
    assert made.manifest.scheme == "int8-dynamic"
    graph = graph_of(made).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    read = [makers[n.input[0]] for n in graph.node if n.op_type == "DynamicQuantizeLinear"]
    assert read == ["Mul"] * 8  # all that are no products of two activations
    assert made.manifest.proof.passed


@pytest.mark.parametrize(("model", "scheme"), [("tiny", "int8-static"), ("tiny_attention", "int8-dynamic")])
def test_no_two_neighbouring_weights_overflow_16_bits(exported, model, scheme):
    safe = exported(scheme, target="onnx", model=f"py:nets:{model}")
    assert inspection.inspect(safe.model_file).overflow == ()
    free = exported(scheme, target="onnx", model=f"py:nets:{model}", quantize={"int8_for": "vnni"})
    assert len(inspection.inspect(free.model_file).overflow) > 1
    assert list(safe.manifest.oldest_interpreter) == ["any CPU"]
    assert list(free.manifest.oldest_interpreter) == ["ARM, and x86-64 with VNNI"]


def test_a_copy_of_a_shared_bias_takes_no_other_tensors_name(tmp_path):
    """As GroupNorms of one size have it: the quantizer calls its copy of `b` `b0`."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]>
        g (float[1,3,4,4] image) => (float[1,3,4,4] scores)
        <float[3] one = {1, 1, 1}, float[3] b = {0, 0, 0}, int64[4] same = {1, 3, 4, 4}>
        { first = InstanceNormalization(image, one, b)  b0 = Reshape(first, same)
          second = InstanceNormalization(b0, one, b)  scores = Relu(second) }"""
    )
    for node in model.graph.node:
        node.name = f"model/{node.op_type}_{node.output[0]}"
    pictures = [np.random.default_rng(i).random((1, 3, 4, 4), np.float32) for i in range(4)]
    recipe = Recipe("m", "onnx", quantize=Quantize("int8-static"))
    grids = onnx_quantize.Grids([], pair_safe=True)
    float_file = model.SerializeToString()
    int8 = onnx_quantize.quantize(model, recipe, (0.0, 1.0), lambda: iter(pictures), grids, tmp_path)
    answers = [
        onnxruntime.InferenceSession(file).run(None, {"image": pictures[0]})[0]
        for file in (float_file, int8.SerializeToString())
    ]
    np.testing.assert_allclose(*answers, atol=0.1)


def test_a_layer_can_stay_float(exported):
    made = exported("int8-static", target="onnx", quantize={"keep_float": ("model/10/",)})
    nodes = {n.name: n for n in graph_of(made).graph.node}
    assert not nodes["model/10/Gemm"].input[1].endswith("DequantizeLinear_Output")
    with pytest.raises(RecipeError, match="no operator is named like 'head'"):
        exported("int8-static", target="onnx", quantize={"keep_float": ("head",)})


def test_what_onnx_cannot_express_is_named(exported):
    depends = r"cannot export this model: .* depends on the numbers in an image \(nets.py:\d+: return "
    with pytest.raises(ExportError, match=depends):
        exported("fp32", target="onnx", model="py:nets:deciding")


def test_an_operator_is_found_in_its_module():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Sequential(torch.nn.GELU()))

        def forward(self, x):
            return self.model(x)

    def found(text):
        return diagnose(RuntimeError(text), Network(), torch.zeros(1, 3, 4, 4))

    assert found("no aten.gelu.default here\nmore") == "no aten.gelu.default here; gelu stands in 1.0 (GELU)"
    assert found("no aten.celu.default") == "no aten.celu.default"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Recipe(model="a", target="tflite", dynamic_batch=True), "dynamic_batch means nothing for tflite"),
        (Recipe(model="a", target="tflite", opset=18), "opset means nothing for tflite"),
        (Recipe(model="a", target="openvino", ort=True), "ort means nothing for openvino"),
        (Recipe(model="a", target="onnx", opset=5), "opset 5 cannot be written"),
        (Recipe(model="a", target="torch", quantize=Quantize(int8_for="vnni")), "int8_for means nothing for torch"),
        (Recipe(model="a", target="onnx", quantize=Quantize(int8_for="vnni")), "int8_for means nothing for fp32"),
    ],
)
def test_requests_that_mean_nothing(wrong, message):
    with pytest.raises(RecipeError, match=message):
        check(wrong)


def test_files_for_several_targets_lie_together(exported, pictures):
    files = [exported(scheme, target=t).folder for t in ("onnx", "tflite") for scheme in ("fp32", "int8-static")]
    against = [word for folder in files[1:] for word in ("--against", folder)]
    done = ask_edgekit("verify", files[0], *against, "--data", pictures, "--json")
    assert done.returncode == 0, done.stderr
    matches = json.loads(done.stdout)
    assert len(matches) == 6
    assert matches[1]["sqnr_db"] > 100  # fp32 for ONNX against fp32 for TFLite
    assert all(m["pictures"] == 40 and m["sqnr_db"] > 18 for m in matches)
    assert "warning" not in done.stderr


def test_files_of_two_models_are_said_to_be(exported):
    a, b = (exported("fp32", target="onnx", model=f"py:nets:{name}").folder for name in ("tiny", "tiny_attention"))
    for command in (["verify", a, "--against", b], ["inspect", "--compare", a, b]):
        done = CliRunner().invoke(main, [str(word) for word in command])
        assert done.exit_code == 0, done.output
        assert f"{a} is py:nets:tiny, {b} is py:nets:tiny_attention: these are not files of one model" in done.stderr


def test_an_interpreter_of_other_files_is_refused(exported):
    folder = exported("fp32", target="onnx").folder
    for command in ("verify", "bench"):
        done = CliRunner().invoke(main, [command, str(folder), "--interpreter", "tensorflow"])
        assert (done.exit_code, "--interpreter runs .tflite files, and this is for onnx" in done.stderr) == (2, True)


def test_what_was_made_otherwise_is_replaced_aloud(exported, pictures, tmp_path):
    made = exported("fp32", target="onnx")
    there = shutil.copytree(made.folder, tmp_path / "there")
    asked = {"model": "py:nets:tiny", "target": "onnx", "input_size": (32, 32), "calibration": str(pictures)}
    asked |= {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    said: list[str] = []
    export(Recipe(**asked), there, say=said.append)
    assert not any("is replaced" in line for line in said)
    export(Recipe(**asked, softmax=True), there, say=said.append)
    assert any(line.startswith(f"{there} was made from another recipe, and is replaced") for line in said)


def test_behind_the_runtimes_own_operators_types_are_known(exported):
    made = exported("int8-dynamic", target="onnx", model="py:nets:tiny_attention", ort=True)
    seen = inspection.inspect(made.model_file)
    found = {(o.name, o.precision): o.count for o in seen.operators}
    assert found["DynamicQuantizeMatMul", "int8 (dynamic)"] == 9
    assert not any(precision in ("unknown", "int64") for _, precision in found)
    assert seen.overflow == ()


@pytest.fixture(scope="module")
def mobile(exported):
    return exported("int8-static", target="onnx", ort=True)


def test_an_ort_file_is_fused_once_and_for_all_and_proven_as_it_ships(mobile):
    from edgekit import inspection

    assert sorted(mobile.manifest.files) == ["README.md", "golden.npz", "labels.txt", "model.ort"]
    assert mobile.manifest.proof.passed
    seen = {(o.name, o.precision): o.count for o in inspection.inspect(mobile.model_file).operators}
    assert (seen["QLinearConv", "int8"], seen["QGemm", "int8"]) == (3, 1)
    assert "ReorderInput" not in {name for name, _ in seen}, "a layout of this CPU alone"
    assert 'InferenceSession("model.ort")' in (mobile.folder / "README.md").read_text("utf-8")


def test_an_ort_file_is_verified_but_not_against_exact_arithmetic(mobile):
    verified = parity.verify(mobile, "onnxruntime")
    assert verified.passed
    assert verified.kernels_db is None


def test_openvino_says_that_it_cannot_open_ort_files(mobile):
    from edgekit import registry
    from edgekit.errors import UnsupportedError

    with pytest.raises(UnsupportedError, match=r"ONNX Runtime's own format"):
        registry.runtime("openvino").open(mobile)


def test_a_damaged_ort_file_is_said_to_be_one(mobile, tmp_path):
    from edgekit import inspection
    from edgekit.errors import ArtifactError

    damaged = tmp_path / "model.ort"
    damaged.write_bytes(mobile.model_file.read_bytes()[:500])
    with pytest.raises(ArtifactError, match=r"damaged, or not an \.ort file"):
        inspection.inspect(damaged)
