"""The pipeline and the TFLite exporter, on the real converter, quantizer and runtime."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter
from conftest import GOLDEN, ROOT, run_edgekit

from edgekit import artifact, inspection, parity, pipeline, registry
from edgekit.errors import ExportError, ParityError, RequestError
from edgekit.manifest import GoldenRecord
from edgekit.preprocess import load_pixels
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full
SCHEMES = ("fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_proven_and_verifies(exported, scheme):
    made = exported(scheme)
    proof = made.manifest.proof
    assert proof.passed
    assert not proof.advisory
    assert proof.pictures == 32
    assert proof.runtime.startswith("ai-edge-litert")
    if scheme == "fp32":
        assert proof.sqnr_db is None or proof.sqnr_db >= 100
    assert parity.verify(made, "litert").passed


def test_a_network_that_makes_much_of_rounding_is_held_against_its_own(exported):
    manifest = exported("fp32", model="py:nets:chaotic").manifest
    assert 50 <= manifest.proof.min_sqnr_db <= manifest.proof.sqnr_db < 80
    [note] = [note for note in manifest.notes if "makes much of rounding" in note]
    assert f"{manifest.proof.min_sqnr_db:.0f} dB" in note
    parity.check_claims(exported("fp32", model="py:nets:chaotic"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_file_takes_what_the_manifest_says(exported, scheme):
    made = exported(scheme)
    interpreter = Interpreter(str(made.model_file))
    given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert given["dtype"] == (np.uint8 if scheme == "int8-static" else np.float32)
    assert list(given["shape"]) == [1, 32, 32, 3]
    assert answer["dtype"] == np.float32
    if scheme == "int8-static":
        assert given["quantization"] == (1.0, 0)  # the stored number is the pixel


def test_int8_computes_in_integers(exported):
    seen = {(o.name, o.precision) for o in inspection.inspect(exported("int8-static").model_file).operators}
    assert {("CONV_2D", "int8"), ("DEPTHWISE_CONV_2D", "int8"), ("FULLY_CONNECTED", "int8")} <= seen
    dynamic = {(o.name, o.precision) for o in inspection.inspect(exported("int8-dynamic").model_file).operators}
    assert ("CONV_2D", "int8 (dynamic)") in dynamic
    assert ("DEPTHWISE_CONV_2D", "float32, int8 weights") in dynamic


def test_weights_are_inside_the_flatbuffer(exported):
    for scheme in SCHEMES:
        model = tflite.ModelT.InitFromPackedBuf(exported(scheme).model_file.read_bytes(), 0)
        assert not any(b.offset for b in model.buffers)


def test_tensors_are_named_by_the_paths_of_their_modules_alone(exported):
    for scheme in ("fp32", "int8-dynamic"):
        made = exported(scheme, model="py:nets:tiny_attention")
        [graph] = tflite.ModelT.InitFromPackedBuf(made.model_file.read_bytes(), 0).subgraphs
        names = [tensor.name.decode() for tensor in graph.tensors]
        assert len({*names}) == len(names)
        assert any(name.startswith("model/blocks/0/attn/qkv;") for name in names)
        assert not any("litert_torch" in name or "nets." in name for name in names)


def test_a_padded_pool_has_finite_ranges(exported):
    assert exported("int8-static", model="py:nets:padded_pool").manifest.proof.passed


@pytest.mark.parametrize("scheme", ["int8-static", "int8-dynamic"])
def test_a_transposed_convolution_with_batch_norm_opens(exported, scheme):
    assert exported(scheme, model="py:nets:upsampling").manifest.proof.passed


def test_a_network_with_attention(exported):
    made = exported("int8", model="py:nets:tiny_attention")
    assert made.manifest.scheme == "int8-dynamic"
    assert made.manifest.family == "attention"
    assert made.manifest.oldest_interpreter == {"x86-64": "LiteRT 1.0.1", "arm64": "LiteRT 1.2"}
    model = tflite.ModelT.InitFromPackedBuf(made.model_file.read_bytes(), 0)
    versions = {c.version for c in model.operatorCodes if c.builtinCode == tflite.BuiltinOperator.FULLY_CONNECTED}
    assert 12 in versions


@pytest.mark.parametrize(
    "options",
    [
        {"input": "int8"},
        {"input": "float32"},
        {"fold": False},
        {"softmax": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("scheme", ["fp32", "int8-static"])
def test_other_input_and_output_contracts_answer_alike(exported, pictures, scheme, options):
    plain, other = exported(scheme), exported(scheme, **options)
    assert other.manifest.proof.passed
    expected = options.get("input", "float32" if not options.get("fold", True) or scheme == "fp32" else "uint8")
    assert other.manifest.input.dtype == expected
    pixels = np.stack([load_pixels(p, plain.manifest.preprocess) for p in sorted(pictures.rglob("*.png"))[:8]])
    scores = []
    for made in (plain, other):
        session = registry.runtime("litert").open(made)
        scores.append(np.concatenate([made.decode(session.run(t[None]))[0] for t in made.encode(pixels)]))
        session.close()
    if options.get("softmax"):
        np.testing.assert_allclose(scores[1].sum(-1), 1, atol=1e-5)
        np.testing.assert_array_equal(scores[0].argmax(-1), scores[1].argmax(-1))
    else:
        np.testing.assert_allclose(scores[1], scores[0], atol=0.05 * np.abs(scores[0]).max())


def test_uint8_input_of_a_float_file(exported):
    made = exported("fp32", input="uint8")
    assert made.manifest.input.dtype == "uint8"
    assert made.manifest.proof.sqnr_db is None or made.manifest.proof.sqnr_db >= 100


def test_a_module_keeps_its_name_where_operators_are_fused(exported):
    """litert-torch names the operator of a LayerNorm and a Linear after both."""
    made = exported("int8-dynamic", model="py:nets:tiny_attention", quantize={"keep_float": ("attn.qkv",)})
    seen = inspection.inspect(made.model_file)
    names = [layer.name for layer in seen.layers]
    assert {
        f"model/blocks/{block}/{part}" for block in range(2) for part in ("attn/qkv", "attn/proj", "mlp/fc1")
    } <= set(names)
    kept = {layer.name for layer in seen.layers if layer.operator == "FULLY_CONNECTED" and layer.precision == "float32"}
    assert kept == {"model/blocks/0/attn/qkv", "model/blocks/1/attn/qkv"}


def test_layers_can_stay_float(exported):
    made = exported("int8-static", target="tflite", quantize={"keep_float": (".*Linear.*",)})
    seen = {(o.name, o.precision) for o in inspection.inspect(made.model_file).operators}
    assert ("FULLY_CONNECTED", "float32") in seen
    assert ("CONV_2D", "int8") in seen


def test_a_pattern_that_names_no_layer_is_refused(pictures, tmp_path):
    recipe = Recipe(
        model="py:nets:tiny",
        target="tflite",
        quantize=Quantize(scheme="fp16", keep_float=("Transformer",)),
        calibration=str(pictures),
        input_size=(32, 32),
    )
    with pytest.raises(RequestError, match="no operator is named like 'Transformer'"):
        pipeline.export(recipe, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_fails_leaves_its_log(pictures, tmp_path):
    recipe = Recipe(model="py:nets:spectrum", target="tflite", calibration=str(pictures), input_size=(32, 32))
    with pytest.raises(ExportError, match=r"cannot convert .* stands in the model itself \(Spectrum\)") as caught:
        pipeline.export(recipe, tmp_path / "made")
    assert [p.name for p in tmp_path.iterdir()] == ["made.converter.log"]
    assert "made.converter.log" in caught.value.hint


def test_twice_gives_the_same_bytes(exported, pictures, tmp_path):
    first = exported("int8-static")
    again = run_edgekit(
        "export", "py:nets:tiny", "--scheme", "int8-static", "--calibration", pictures, "--input-size", "32",
        "--mean", "0.5", "--std", "0.25", "-o", tmp_path / "again",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    for name in ("model.tflite", "golden.npz", "manifest.json", "labels.txt", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (first.folder / name).read_bytes(), name


def test_the_reference_is_an_artifact_too(exported):
    reference = exported("fp32", target="torch")
    assert reference.model_file.name == "model.pt2"
    assert reference.manifest.proof.sqnr_db is None or reference.manifest.proof.sqnr_db > 100
    assert parity.verify(reference, "torch").passed


def test_nothing_of_this_machine_lies_in_an_artifact(exported):
    made = (exported("int8-static"), exported("fp32", target="torch"))
    for path in (p for a in made for p in a.folder.iterdir()):
        archive = zipfile.ZipFile(path) if zipfile.is_zipfile(path) else None
        for blob in [archive.read(n) for n in archive.namelist()] if archive else [path.read_bytes()]:
            for said in (str(ROOT), str(Path.home()) + "/", "site-packages"):
                assert said.encode() not in blob, (path, said)


def test_golden_images_are_drawn_where_ones_own_calibrate(exported):
    made = exported("int8-static")
    (answers,) = made.golden().answers
    assert made.manifest.golden == GoldenRecord("images drawn by edgekit", own=False)
    assert np.ptp(answers, axis=0).max() > 2 * made.manifest.outputs[0].tolerance  # images of several answers
    own = exported("fp32", target="torch", golden="own")
    assert own.manifest.golden.own
    assert own.manifest.golden.source == "the calibration images"


def test_images_of_ones_own_must_be_there_to_travel(tmp_path):
    with pytest.raises(RequestError, match="none are named"):
        pipeline.plan(Recipe(model="mobilenetv2", target="tflite", weights="bundled", golden="own"), tmp_path / "out")


def test_labels_lie_inside_the_file_as_an_archive(exported):
    with zipfile.ZipFile(exported("fp32").model_file) as archive:
        assert archive.read("labels.txt").decode().splitlines() == exported("fp32").labels()


def test_a_file_that_answers_differently_is_kept_aside(monkeypatch, pictures, tmp_path):
    import torch

    from edgekit.exporters.export_wrapper import ExportWrapper

    forward = ExportWrapper.forward
    monkeypatch.setattr(ExportWrapper, "forward", lambda self, x: torch.roll(forward(self, x), 1, -1))
    recipe = Recipe(model="py:nets:tiny", target="tflite", calibration=str(pictures), input_size=(32, 32))
    out, said = shutil.copytree(GOLDEN, tmp_path / "made"), list[str]()
    with pytest.raises(ParityError, match="answers differently") as caught:
        pipeline.export(recipe, out, say=said.append)
    assert caught.value.exit_code == 4
    assert not any("is replaced" in line for line in said)
    assert (out / "manifest.json").read_bytes() == (GOLDEN / "manifest.json").read_bytes()
    rejected = artifact.load(tmp_path / "made.rejected")
    assert not rejected.manifest.proof.passed


def test_random_weights_make_the_limits_advisory(exported, pictures):
    made = exported("int8-static", model="mobilenetv2_050", weights="random")
    assert made.manifest.proof.advisory


def test_a_wrong_request_costs_nothing(tmp_path, pictures):
    (tmp_path / "thesis.txt").write_text("years of work")
    recipe = Recipe(model="py:nets:tiny", target="tflite", calibration=str(pictures), input_size=(32, 32))
    with pytest.raises(RequestError, match="not an artifact"):
        pipeline.plan(recipe, tmp_path)


def test_the_manifest_tells_where_everything_came_from(exported):
    m = exported("int8-static").manifest
    text = json.loads((exported("int8-static").folder / "manifest.json").read_text())
    assert m.calibration.pictures == 40
    assert len(m.weights.sha256) == 64
    assert {"edgekit", "torch", "litert-torch", "ai-edge-quantizer"} <= set(m.made_with)
    assert m.made_on["cpu_class"]
    assert text["recipe"]["calibration"] == "folder"


@pytest.mark.parametrize("wrong", [("mobilenetv2",), (None, "out"), (Recipe("m", "tflite"), 3)], ids=str)
def test_export_from_python_says_what_it_wants(wrong):
    with pytest.raises(RequestError) as caught:
        pipeline.export(*wrong)
    assert caught.value.hint


def test_a_module_that_is_none_is_said(tmp_path):
    with pytest.raises(RequestError, match=r"not a torch\.nn\.Module"):
        pipeline.export(Recipe("m", "tflite"), str(tmp_path / "out"), module=lambda x: x)


def test_dead_activations_leave_the_bias_of_the_next_layer(exported):
    proof = exported("int8-static", model="py:nets:dying").manifest.proof
    assert proof.sqnr_db > 15
    assert proof.passed


def test_an_operator_without_a_kernel_is_named_with_its_module(exported):
    with pytest.raises(ExportError, match=r"no kernel for STABLEHLO_SORT \(.*argsort.*\), which stands in 1(?: [(]|$)"):
        exported("fp32", model="py:nets:largest")
