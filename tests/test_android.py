"""`edgekit android`, and the vectors that hold the app's Kotlin to Python."""

import json
import re
import shutil
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import vectors
from conftest import GOLDEN, GOLDEN_FILES, ROOT, ask_edgekit

from edgekit import android
from edgekit.errors import ArtifactError, RequestError, UnsupportedError
from edgekit.manifest import GoldenRecord, read_manifest, save_manifest
from edgekit.tasks.classification import top_k


@pytest.fixture
def app(tmp_path):
    """The app, as far as its models are concerned."""
    manifest = tmp_path / "android_demo/app/src/main/AndroidManifest.xml"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    return tmp_path / "android_demo"


def changed(folder, **fields):
    """The artifact with other fields in its manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, value in fields.items():
        inside = manifest[name]
        manifest[name] = inside | value if isinstance(value, dict) else value
    path.write_text(json.dumps(manifest))
    return folder


def test_what_the_app_carries_is_the_artifact_itself(app):
    first = android.add(GOLDEN, app)
    assert (first.replaced, first.needs) == (False, None)
    assert first.bytes == sum(p.stat().st_size for p in GOLDEN.iterdir())
    again = android.add(GOLDEN, app)
    assert again.replaced
    for path in GOLDEN.iterdir():
        assert (app / android.MODELS / GOLDEN.name / path.name).read_bytes() == path.read_bytes()
    android.add(GOLDEN_FILES / "tiny-onnx-int8", app)
    assert [a.name for a in android.carried(app)] == ["tiny-onnx-int8", "tiny-tflite-int8"]


def test_images_of_ones_own_are_said_before_an_app_publishes_them(app, copied):
    said = ask_edgekit("android", "add", GOLDEN, "--app", app, "--json")
    assert "golden.npz holds the calibration pictures: your own" in said.stderr
    assert json.loads(said.stdout)["own_images"]
    drawn = GoldenRecord("images drawn by edgekit", own=False)
    save_manifest(copied, msgspec.structs.replace(read_manifest(copied), golden=drawn))
    said = ask_edgekit("android", "add", copied, "--app", app)
    assert said.returncode == 0
    assert "golden.npz" not in said.stderr


def test_a_file_that_wants_a_newer_runtime_says_so(app, copied):
    changed(copied, oldest_interpreter={"arm64": "LiteRT 1.2"})
    assert android.add(copied, app).needs == "LiteRT 1.2"


@pytest.mark.parametrize(("target", "files"), [("openvino", ["model.xml", "model.bin"]), ("torch", ["model.pt2"])])
def test_what_the_app_cannot_open_is_refused(app, copied, target, files):
    manifest = read_manifest(copied)
    records = dict(manifest.files)
    record = records.pop("model.tflite")
    for name in files:
        shutil.copyfile(copied / "model.tflite", copied / name)
    recipe = manifest.recipe | {"target": target}
    made = msgspec.structs.replace(manifest, target=target, recipe=recipe, files=records | dict.fromkeys(files, record))
    save_manifest(copied, made)
    with pytest.raises(UnsupportedError, match=f"not those of {target}") as caught:
        android.add(copied, app)
    assert caught.value.hint == "edgekit export py:nets:tiny --target tflite"
    assert not (app / android.MODELS).exists()


def test_a_tensor_that_the_app_does_not_know_is_refused(app, copied):
    with pytest.raises(UnsupportedError, match="no tensors of float16"):
        android.add(changed(copied, output={"dtype": "float16"}), app)


def test_what_cannot_be_put_there_leaves_everything_as_it_was(app, copied, tmp_path):
    hidden = shutil.copytree(GOLDEN, tmp_path / "_hidden")
    with pytest.raises(RequestError, match="no name for a folder of Android assets"):
        android.add(hidden, app)
    with pytest.raises(RequestError, match="is not the Android app"):
        android.add(GOLDEN, tmp_path)
    foreign = app / android.MODELS / GOLDEN.name
    foreign.mkdir(parents=True)
    (foreign / "notes.txt").touch()
    with pytest.raises(RequestError, match="holds something that is not an artifact") as caught:
        android.add(GOLDEN, app)
    assert caught.value.hint == f"remove {foreign}, or rename {GOLDEN}"
    (copied / "model.tflite").write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"model\.tflite"):
        android.add(copied, app)
    assert [p.name for p in (app / android.MODELS).rglob("*")] == [GOLDEN.name, "notes.txt"]


def test_the_commands(app, tmp_path):
    assert "no models" in ask_edgekit("android", "list", cwd=tmp_path).stdout
    done = ask_edgekit("android", "add", GOLDEN, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["name"] == GOLDEN.name, done.stderr
    listed = json.loads(ask_edgekit("android", "list", "--json", cwd=tmp_path).stdout)
    assert [(m["name"], m["target"], m["classes"]) for m in listed] == [(GOLDEN.name, "tflite", 5)]
    wrong = ask_edgekit("android", "add", GOLDEN, "--app", tmp_path)
    assert (wrong.returncode, "--app path/to/android_demo" in wrong.stderr) == (2, True)


def test_the_committed_vectors_are_what_python_makes():
    """Kotlin's tests compare with these; see android_demo/verify/vectors.py."""
    with np.load(vectors.VECTORS / "inputs.npz") as z:
        given = dict(z)
    made = vectors.inputs()
    assert given.keys() == made.keys()
    assert all(np.array_equal(given[name], made[name]) for name in given)
    clips = vectors.clips(given["image_5"])
    for file, found in (
        ("fits", vectors.fits(given["image_0"])),
        ("masks", vectors.masks()),
        ("boxes", vectors.boxes()),
        ("clips", {name: array for name, array in clips.items() if name != "means"}),
    ):
        with np.load(vectors.VECTORS / f"{file}.npz") as z:
            for name, array in found.items():
                np.testing.assert_array_equal(z[name], array, err_msg=f"{file} {name}")
    with np.load(vectors.VECTORS / "clips.npz") as z:
        np.testing.assert_allclose(z["means"], clips["means"], atol=1e-5)
    with np.load(vectors.VECTORS / "vectors.npz") as z:
        for name, array in vectors.embeddings().items():
            np.testing.assert_allclose(z[name], array, atol=1e-6, err_msg=name)  # sums of another order
    models = sorted(p for p in vectors.VECTORS.iterdir() if p.is_dir())
    assert [m.name for m in models] == [
        *("efficientnet_lite0", "mobilenetv2", "py-nets-ends_in_log_softmax", "py-nets-ends_in_sigmoid"),
        *("py-nets-one_logit", "swin_tiny", "vit_tiny"),
    ]
    for model in models:
        manifest = read_manifest(model)
        with np.load(model / "expected.npz") as z:
            expected = dict(z)
        for name, digests in vectors.tensor_digests(given, manifest).items():
            np.testing.assert_array_equal(digests, expected[name], err_msg=f"{model.name} {name}")
        best = [top_k(p, vectors.TOP) for p in manifest.task.probabilities(expected["answers"])]
        assert [[c for c, _ in row] for row in best] == expected["classes"].tolist()


def test_the_example_on_the_page_is_the_one_that_is_compiled_and_run():
    """android_demo's build does both."""
    source = (ROOT / "android_demo/verify/app-ort/src/test/kotlin/org/example/birds/BirdsActivity.kt").read_text(
        "utf-8"
    )
    shown = re.findall(r"```kotlin\n(.*?)```", (ROOT / "docs/android.md").read_text("utf-8"), re.DOTALL)[0]
    assert source.endswith(shown)


def test_the_app_cannot_reach_a_network():
    """So what ONNX Runtime would report could not leave, were it not switched off."""
    manifest = ElementTree.parse(ROOT / "android_demo/app/src/main/AndroidManifest.xml")
    name = "{http://schemas.android.com/apk/res/android}name"
    assert [p.get(name) for p in manifest.iter("uses-permission")] == ["android.permission.CAMERA"]


def test_the_way_back_is_the_systems_own():
    """Apps for Android 16 are sent no key and no onBackPressed; Robolectric passes the manifest's word for it to nobody."""
    source = ROOT / "android_demo/app/src"
    manifest = ElementTree.parse(source / "main/AndroidManifest.xml").find("application")
    assert manifest.get("{http://schemas.android.com/apk/res/android}enableOnBackInvokedCallback") == "true"
    for file in source.rglob("*.kt"):
        assert not re.search(r"onBackPressed|KEYCODE_BACK", file.read_text("utf-8")), file
