"""Detectors laid out for readers of other tools: boxes and scores out of each layout, and what goes with none."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from conftest import GOLDEN_FILES, run_edgekit

from edgekit import android, artifact, parity
from edgekit.errors import ArtifactError, RecipeError, UnsupportedError
from edgekit.gating.contract import contract, differences
from edgekit.inspection import inspect
from edgekit.layouts import layout_of, scale_of
from edgekit.manifest import save_manifest
from edgekit.recipe import LAYOUT_TARGETS, Recipe, check
from edgekit.tensors import Tensor, encode

LAID = GOLDEN_FILES / "tiny3-detection-onnx-ultralytics"
ANSWERS = (
    Tensor("b", (1, 6, 4), "float32", "NAC", role="boxes"),
    Tensor("s", (1, 6, 3), "float32", "NAC", role="scores"),
)


def by_hand(name, box, wide, high):
    """One box as a layout tells it."""
    left, top, right, bottom = map(float, box)
    x, y, w, h = (left + right) / 2 / wide, (top + bottom) / 2 / high, (right - left) / wide, (bottom - top) / high
    return [y, x, h, w] if name == "mediapipe" else [x, y, w, h]


@pytest.mark.parametrize(("name", "target"), [(n, t) for n, targets in LAYOUT_TARGETS.items() for t in targets])
def test_boxes_and_scores_come_out_of_every_layout_as_they_went_in(name, target):
    rng = np.random.default_rng(1)
    corners, scores = np.sort(rng.uniform(0, 64, (6, 2, 2)), 1), rng.uniform(0, 1, (1, 6, 3)).astype(np.float32)
    boxes = corners.reshape(6, 4).astype(np.float32)
    wide, high = scale_of(name, target, (48, 64))
    assert (wide, high) == ((64, 48) if (name, target) == ("ultralytics", "tflite") else (1, 1))
    laid = np.array([by_hand(name, box, wide, high) for box in boxes], np.float32)[None]
    stored = (laid, scores) if name == "mediapipe" else (np.concatenate([laid, scores], 2).transpose(0, 2, 1),)
    layout = layout_of(name, ANSWERS, ["one", "two"][: len(stored)], (wide, high))
    assert [tensor.shape for tensor in layout.outputs] == [a.shape for a in stored]
    assert layout.fault(ANSWERS) is None
    found, same = layout.read(stored)
    assert found.dtype == np.float32
    assert np.allclose(found[0], boxes, atol=1e-4)
    assert np.array_equal(same, scores)


WRONG = [
    ({"target": "onnx", "layout": "mediapipe"}, "--layout mediapipe means nothing for onnx", "--target tflite"),
    ({"target": "tflite", "layout": "model-api"}, "its readers open no such file", "--target openvino|onnx"),
    ({"target": "torch", "layout": "ultralytics"}, "means nothing for torch", "--target tflite|onnx|openvino"),
    ({"target": "onnx", "layout": "ultralytics", "fold": False}, "--no-fold means nothing.*floats 0..1", "drop one"),
    ({"target": "tflite", "layout": "ultralytics", "input": "uint8"}, "--input uint8 means nothing", "drop one"),
    ({"target": "tflite", "layout": "mediapipe", "input": "int8"}, "--input int8 means nothing.*one RGB", "drop one"),
    ({"target": "onnx", "layout": "model-api", "dynamic_batch": True}, "--dynamic-batch means nothing", "drop one"),
    (
        {"target": "tflite", "layout": "mediapipe", "task": "raw"},
        "--layout means nothing for the task raw",
        "detection",
    ),
]


@pytest.mark.parametrize(("said", "message", "hint"), WRONG, ids=[message for _, message, _ in WRONG])
def test_what_goes_with_no_layout_is_refused_before_anything_is_made(said, message, hint):
    with pytest.raises(RecipeError, match=message) as caught:
        check(Recipe(model="yolox_nano", **said))
    assert hint in caught.value.hint


def test_readers_of_ultralytics_files_give_pixels_as_0_to_1():
    recipe = Recipe(model="m", target="openvino", layout="ultralytics")
    assert (recipe.folds, recipe.input_type, recipe.unit) == (True, "float32", 255)
    assert recipe.folder_name == "m-openvino-fp32-ultralytics"
    manifest = artifact.load(LAID).manifest
    pixels = np.full((1, 48, 64, 3), 51, np.uint8)
    given = encode(pixels, manifest.input, manifest.preprocess, folded=manifest.folded)
    assert (given.shape, given.dtype.name) == ((1, 3, 48, 64), "float32")
    assert np.allclose(given, 0.2)


def test_a_laid_out_file_is_an_artifact_like_any_other(tmp_path):
    made = artifact.load(LAID)
    assert [o.shape for o in made.manifest.file_outputs] == [(1, 6, 48)]
    assert [o.role for o in made.manifest.outputs] == ["boxes", "scores"]
    assert parity.verify(made).passed
    seen = json.loads(run_edgekit("inspect", LAID, "--json", cwd=tmp_path).stdout)
    assert [port["shape"] for port in seen["file"]["outputs"]] == [[1, 6, 48]]
    assert "laid out for ultralytics" in run_edgekit("inspect", LAID, cwd=tmp_path).stdout


def test_a_layout_that_does_not_fit_its_outputs_is_a_contradiction(tmp_path):
    copy = shutil.copytree(LAID, tmp_path / "copy")
    made = artifact.load(copy).manifest
    (tensor,) = made.layout.outputs
    for layout, says in (
        (msgspec.structs.replace(made.layout, name="mediapipe"), "the layout mediapipe as"),
        (msgspec.structs.replace(made.layout, name="model-api"), "layout is model-api and ultralytics"),
        (None, "layout is None and ultralytics"),
        (msgspec.structs.replace(made.layout, outputs=()), r"the layout ultralytics as \[\]"),
        (
            msgspec.structs.replace(made.layout, outputs=(msgspec.structs.replace(tensor, layout="NTC"),)),
            "ultralytics as",
        ),
        (msgspec.structs.replace(made.layout, outputs=(tensor, tensor)), "ultralytics as"),
    ):
        save_manifest(copy, msgspec.structs.replace(made, layout=layout))
        with pytest.raises(ArtifactError, match=says):
            artifact.load(copy)


def test_another_layout_is_another_contract(tmp_path):
    """Also where shapes are the same: MediaPipe's boxes begin with their middle."""
    copy = shutil.copytree(LAID, tmp_path / "copy")
    made = artifact.load(copy).manifest
    other = msgspec.structs.replace(made.layout, name="model-api")
    save_manifest(copy, msgspec.structs.replace(made, layout=other, recipe=made.recipe | {"layout": "model-api"}))
    now, then = (contract(artifact.load(folder), inspect(folder / "model.onnx")) for folder in (copy, LAID))
    assert list(differences(now, then)) == ["layout ultralytics to 'model-api'"]


def test_the_app_refuses_what_is_laid_out_for_others(tmp_path):
    manifest = tmp_path / "app/src/main/AndroidManifest.xml"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    with pytest.raises(UnsupportedError, match=r"laid out for others \(ultralytics\)") as caught:
        android.add(LAID, tmp_path)
    assert "without --layout" in caught.value.hint
