"""The OpenVINO exporter and runtime, on the real converter and runtime."""

import re
import shutil
import socket
import subprocess
import sys

import numpy as np
import openvino
import pytest
from conftest import run_edgekit

from edgekit import artifact, parity, registry
from edgekit.errors import ArtifactError, RequestError, WorkerError
from edgekit.preprocess import load_pixels
from edgekit.recipe import Quantize, Recipe, check
from edgekit.runtimes import Options
from edgekit.runtimes.openvino import core
from edgekit.tensors import Tensor

pytestmark = pytest.mark.full
SCHEMES = ("fp32", "fp16", "int8-static", "int8-weight-only")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("model", ["py:nets:tiny", "py:nets:tiny_attention"])
def test_every_scheme_is_proven_and_a_copy_verifies(exported, tmp_path, model, scheme):
    made = exported(scheme, model=model, target="openvino")
    assert made.manifest.proof.passed
    assert not made.manifest.proof.advisory
    assert made.manifest.proof.runtime.startswith("openvino")
    copy = artifact.load(shutil.copytree(made.folder, tmp_path / "copy"))
    assert parity.verify(copy, "openvino").passed


TWO_SESSIONS = """
import os, signal, sys
from pathlib import Path
from edgekit import artifact
from edgekit.runtimes.openvino import OpenvinoRuntime
first, second = (OpenvinoRuntime().open(artifact.load(Path(sys.argv[1]))) for _ in range(2))
first.close(), second.close()
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_after_two_sessions_is_heard(exported):
    """OpenVINO's own Cores, one closed after the other, leave a freed stack for signals behind: SIGSEGV."""
    made = exported("fp32", target="openvino")
    done = subprocess.run([sys.executable, "-c", TWO_SESSIONS, made.folder], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_file_takes_pixels_as_decoders_give_them(exported, scheme):
    made = exported(scheme, target="openvino")
    model = openvino.Core().read_model(made.model_file)
    assert made.manifest.input == Tensor("image", (1, 32, 32, 3), "uint8", "NHWC")
    assert model.input("image").element_type == openvino.Type.u8
    assert list(model.input("image").shape) == [1, 32, 32, 3]
    assert list(model.output(made.manifest.outputs[0].name).shape) == [1, 5]


def test_model_and_weights_are_two_files(exported, tmp_path):
    made = exported("fp32", target="openvino")
    assert made.model_file.name == "model.xml"
    assert {"model.xml", "model.bin"} <= set(made.manifest.files)
    both = sum((made.folder / name).stat().st_size for name in ("model.xml", "model.bin"))
    assert made.model_bytes == both
    copy = shutil.copytree(made.folder, tmp_path / "copy")
    (copy / "model.bin").unlink()
    with pytest.raises(ArtifactError, match=r"model\.bin is missing"):
        artifact.load(copy)


def test_int8_computes_in_integers(exported):
    for model, layer in (("py:nets:tiny", "Convolution"), ("py:nets:tiny_attention", "FullyConnected")):
        made = exported("int8-static", model=model, target="openvino")
        seen = [precision for kind, precision in _run_as(made) if kind == layer]
        assert seen
        assert set(seen) <= {"u8", "i8"}


def test_a_file_holds_each_constant_once_and_biases_as_they_are_added(exported):
    made = exported("int8-static", target="openvino")
    operators = openvino.Core().read_model(made.model_file).get_ops()
    constants = [o for o in operators if o.get_type_name() == "Constant"]
    kinds = [(o.get_element_type().get_type_name(), tuple(o.shape), o.data.tobytes()) for o in constants]
    assert len(set(kinds)) == len(kinds)
    assert "i32" not in {kind for kind, _, _ in kinds}
    reshaped = [o.input_value(0).get_node().get_type_name() for o in operators if o.get_type_name() == "Reshape"]
    assert "Constant" not in reshaped


def test_attention_itself_computes_in_integers_where_the_answers_bear_it(exported):
    """Both products of each block, or none: OpenVINO makes one kernel of them."""
    made = exported("int8-static", model="py:nets:tiny_attention", target="openvino")
    softmaxes = [o for o in openvino.Core().read_model(made.model_file).get_ops() if o.get_type_name() == "Softmax"]
    users = {i.get_node().get_type_name() for o in softmaxes for i in o.output(0).get_target_inputs()}
    assert users == {"FakeQuantize"}
    assert ("Subgraph", "i8") in _run_as(made)
    assert any("minmax" in note for note in made.manifest.notes)


@pytest.mark.parametrize("scheme", ["fp32", "int8-static"])
def test_a_graph_with_attention_is_tidied_and_says_what_attention_computes(exported, scheme):
    """OpenVINO's own passes would put one operator in the place of its products and softmax."""
    made = exported(scheme, model="py:nets:tiny_attention", target="openvino")
    kinds = {o.get_type_name() for o in openvino.Core().read_model(made.model_file).get_ops()}
    assert "Softmax" in kinds
    assert not kinds & {"ScaledDotProductAttention", "ShapeOf", "_Wall"}


def test_int8_of_attention_means_static(exported):
    assert exported("int8", model="py:nets:tiny_attention", target="openvino").manifest.scheme == "int8-static"


@pytest.mark.parametrize(
    "options", [{"input": "float32"}, {"fold": False}, {"softmax": True}, {"dynamic_batch": True}], ids=str
)
@pytest.mark.parametrize("scheme", ["fp32", "int8-static"])
def test_other_contracts_answer_alike(exported, pictures, scheme, options):
    plain, other = exported(scheme, target="openvino"), exported(scheme, target="openvino", **options)
    pixels = np.stack([load_pixels(p, plain.manifest.preprocess) for p in sorted(pictures.rglob("*.png"))[:8]])
    scores = []
    for made in (plain, other):
        session = registry.runtime("openvino").open(made)
        scores.append(np.concatenate([made.decode(session.run(t[None]))[0] for t in made.encode(pixels)]))
        if options.get("dynamic_batch") and made is other:
            np.testing.assert_allclose(session.run(made.encode(pixels))[0], scores[-1], atol=1e-4)
        session.close()
    if options.get("softmax"):
        np.testing.assert_allclose(scores[1].sum(-1), 1, atol=1e-5)
        np.testing.assert_array_equal(scores[0].argmax(-1), scores[1].argmax(-1))
    else:
        np.testing.assert_allclose(scores[1], scores[0], atol=0.05 * np.abs(scores[0]).max())


def test_layers_can_stay_float(exported):
    seen = _run_as(exported("int8-static", target="openvino", quantize={"keep_float": ("Gemm",)}))
    assert {p for kind, p in seen if kind == "FullyConnected"} == {"f32"}
    assert {p for kind, p in seen if kind == "Convolution"} <= {"u8", "i8"}


def test_facts_say_what_really_runs(exported):
    session = registry.runtime("openvino").open(exported("fp32", target="openvino"), Options(threads=1))
    assert session.facts() == {
        "runtime": f"openvino {openvino.__version__.partition('-')[0]}",
        "threads": "1",
        "precision": "f32",
    }
    session.close()


def test_an_answer_outlives_the_next_run(exported):
    made = exported("fp32", target="openvino")
    tensors = made.golden().tensors
    session = registry.runtime("openvino").open(made)
    (first,) = session.run(tensors[:1])
    kept, given = first.copy(), tensors.copy()
    session.run(tensors[1:2])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(tensors, given)
    session.close()


def test_an_onnx_file_runs_too_but_belongs_to_onnxruntime(exported):
    made = exported("int8-static", target="onnx")
    assert registry.runtime_for("onnx").name == "onnxruntime"
    assert registry.runtime_for("openvino").name == "openvino"
    assert parity.verify(made, "openvino").passed


def test_what_cannot_be_opened_or_run_is_said_in_one_line(exported, tmp_path):
    made = exported("fp32", target="openvino")
    session = registry.runtime("openvino").open(made)
    with pytest.raises(WorkerError, match="cannot run this file") as caught:
        session.run(np.zeros((1, 8, 8, 3), np.uint8))
    assert "\n" not in caught.value.message
    copy = shutil.copytree(made.folder, tmp_path / "copy")
    (copy / "model.xml").write_text("<net")
    with pytest.raises(WorkerError, match=r"cannot open .*model\.xml") as caught:
        registry.runtime("openvino").open(artifact.Artifact(copy, made.manifest))
    assert "\n" not in caught.value.message


def test_the_model_api_finds_what_it_looks_for(exported):
    model = openvino.Core().read_model(exported("fp32", target="openvino").model_file)
    told = {k: model.get_rt_info(["model_info", k]).astype(str) for k in model.get_rt_info(["model_info"]).astype(dict)}
    assert told["model_type"] == "Classification"
    assert len(told["labels"].split()) == 5
    assert told["mean_values"] == "0 0 0"  # nothing remains to be done


def test_twice_gives_the_same_bytes_and_names_no_machine(exported, pictures, tmp_path):
    first = exported("int8-static", target="openvino")
    again = run_edgekit(
        "export", "py:nets:tiny", "--target", "openvino", "--scheme", "int8-static", "--calibration", pictures,
        "--input-size", "32", "--mean", "0.5", "--std", "0.25", "-o", tmp_path / "again",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    for name in ("model.xml", "model.bin", "golden.npz", "manifest.json", "labels.txt", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (first.folder / name).read_bytes(), name
    text = first.model_file.read_text("utf-8")
    assert str(tmp_path.parent) not in text
    assert socket.gethostname() not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


@pytest.mark.parametrize("module", ["edgekit.runtimes.openvino", "edgekit.exporters.openvino"])
def test_nothing_reports_home(module):
    code = f"import sys, {module}; assert not sys.modules['openvino_telemetry']; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert module.startswith("edgekit.exporters") or done.stdout == "False\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "int8"}, "input int8 means nothing for openvino"),
        ({"opset": 20}, "opset means nothing for openvino"),
        ({"quantize": Quantize(scheme="fp16", keep_float=("head",))}, "keep_float means nothing"),
    ],
)
def test_what_means_nothing_is_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        check(Recipe(model="mobilenetv2", target="openvino", **changes))


def _run_as(made):
    """The operators as OpenVINO compiled them: (type, precision)."""
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core().compile_model(str(made.model_file), "CPU", settings)
    infos = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    return [(i["layerType"].astype(str), i["runtimePrecision"].astype(str)) for i in infos]
