"""Files in interpreters of other makes and ages: right, or refused aloud. They live in an environment of their own."""

import json
import os
import subprocess

import pytest
from conftest import ROOT, run_edgekit

pytestmark = pytest.mark.full
OLD = ROOT / ".venv-old"
PYTHON = str(OLD / "bin" / "python")


@pytest.fixture(scope="module", autouse=True)
def old_environment():
    if not (OLD / ".ready").exists():
        pytest.skip("make .venv-old/.ready makes the environment with tflite-runtime")


@pytest.mark.parametrize("scheme", ["fp32", "fp16", "int8-static", "int8-weight-only"])
def test_tflite_runtime_answers_rightly(exported, scheme):
    done = run_edgekit("verify", exported(scheme).folder, "--interpreter", "tflite-runtime", python=PYTHON)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "tflite-runtime 2.14.0" in done.stdout


def test_tflite_runtime_refuses_what_it_would_get_wrong(exported):
    done = run_edgekit("verify", exported("int8-dynamic").folder, python=PYTHON)
    assert done.returncode == 4
    assert "FULLY_CONNECTED" in done.stderr
    assert "LiteRT 1.0.1" in done.stderr


def test_a_scale_per_tensor_runs_on_old_interpreters(exported, pictures, tmp_path):
    from edgekit.pipeline import export
    from edgekit.recipe import Quantize, Recipe

    recipe = Recipe(
        model="py:nets:tiny",
        target="tflite",
        quantize=Quantize(scheme="int8-dynamic", granularity="tensor"),
        calibration=str(pictures),
        input_size=(32, 32),
    )
    made = export(recipe, tmp_path / "made")
    done = run_edgekit("verify", made.folder, python=PYTHON)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("scheme", ["fp32", "int8-static", "int8-dynamic"])
def test_the_oldest_onnx_runtime_that_a_file_names_answers_rightly(exported, scheme):
    made = exported(scheme, target="onnx")
    assert made.manifest.oldest_interpreter == {"any CPU": "ONNX Runtime 1.17 (opset 20)"}
    done = run_edgekit("verify", made.folder, python=PYTHON)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "onnxruntime 1.17.0" in done.stdout


READER = """
import json, sys
from tflite_support import metadata
d = metadata.MetadataDisplayer.with_model_file(sys.argv[1])
print(json.dumps({"metadata": json.loads(d.get_metadata_json()), "files": d.get_packed_associated_file_list(),
                  "labels": d.get_associated_file_buffer("labels.txt").decode().splitlines()}))
"""


@pytest.mark.parametrize(("fold", "mean", "std"), [(True, [0.0] * 3, [1.0] * 3), (False, [127.5] * 3, [63.75] * 3)])
def test_an_independent_reader_finds_the_metadata(exported, fold, mean, std):
    made = exported("fp32", fold=fold)
    library = next((OLD / "deb").rglob("libusb-1.0.so.0")).parent
    done = subprocess.run(
        [PYTHON, "-c", READER, str(made.model_file)],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(library)},
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    graph = seen["metadata"]["subgraph_metadata"][0]
    norm = graph["input_tensor_metadata"][0]["process_units"][0]["options"]
    assert (norm["mean"], norm["std"]) == (mean, std)
    assert graph["output_tensor_metadata"][0]["name"] == "logit"
    assert seen["files"] == ["labels.txt"]
    assert seen["labels"] == made.labels()
