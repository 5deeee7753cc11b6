import json
import os
import re
import shutil
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from conftest import GOLDEN_FILES

from edgekit import artifact, publishing
from edgekit.errors import ArtifactError, MissingError, OutputError, RequestError
from edgekit.manifest import SCHEMA, GoldenRecord, file_record, read_manifest, save_manifest
from edgekit.preprocess import Preprocess
from edgekit.publishing import staging
from edgekit.tasks import Classification, Detection, Embedding, Raw, Segmentation
from edgekit.tensors import Tensor, decode, encode

SPEC = Preprocess((2, 2), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
PIXELS = np.array([0, 128, 255], np.uint8).repeat(4).reshape(1, 2, 2, 3)


def manifest(digest):
    """As little as makes a folder an artifact's."""
    return json.dumps({"recipe_digest": digest, "files": {}})


def test_the_committed_artifact_still_loads(golden_artifact):
    assert json.loads((golden_artifact / "manifest.json").read_text())["schema"] == 1
    opened = artifact.load(golden_artifact)
    assert (opened.manifest.schema, opened.manifest.task) == (SCHEMA, Classification())
    assert opened.manifest.golden == GoldenRecord("the calibration pictures", own=True)
    assert len(opened.labels()) == opened.manifest.labels
    assert opened.model_file.name == "model.tflite"


def test_the_committed_artifact_of_schema_2_still_loads():
    folder = GOLDEN_FILES / "tiny2-tflite-int8"
    assert json.loads((folder / "manifest.json").read_text())["schema"] == 2
    opened = artifact.load(folder)
    assert opened.manifest.golden == GoldenRecord("pictures drawn by edgekit", own=False)
    assert (opened.manifest.trained_on.pictures, opened.manifest.trained_on.share) == (39, 0.1)
    assert len({tuple(answer) for answer in opened.golden().answers[0].tolist()}) == 4


@pytest.mark.parametrize(
    ("name", "task", "labels"),
    [
        ("tiny3-segmentation-tflite-int8", Segmentation, 3),
        ("tiny3-embedding-onnx", Embedding, 0),
        ("tiny3-grey-tflite-int8", Classification, 2),
        ("tiny3-detection-tflite-fp32", Detection, 2),
        ("tiny3-detection-onnx-ultralytics", Detection, 2),
        ("depth-onnx-fp32", Raw, 0),
    ],
)
def test_the_committed_artifacts_of_schema_3_load(name, task, labels):
    folder = GOLDEN_FILES / name
    assert json.loads((folder / "manifest.json").read_text())["schema"] == 3
    opened = artifact.load(folder)
    assert isinstance(opened.manifest.task, task)
    assert len(opened.golden().images) == 4
    assert len(opened.labels()) == opened.manifest.labels == labels


@pytest.mark.parametrize("name", ["model.tflite", "golden.npz", "labels.txt", "README.md"])
def test_an_edited_file_is_noticed(copied, name):
    path = copied / name
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)
    with pytest.raises(ArtifactError, match=f"{name} is not the file that was exported"):
        artifact.load(copied)


def test_a_missing_file_and_a_truncated_manifest_are_noticed(copied):
    (copied / "labels.txt").unlink()
    with pytest.raises(ArtifactError, match=r"labels\.txt is missing"):
        artifact.load(copied)
    manifest = copied / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:200])
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        artifact.load(copied)


def test_unknown_fields_are_refused_with_their_path(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["proof"]["extra"] = 1
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"extra.*\$\.proof"):
        artifact.load(copied)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": 99}, "has schema 99; this edgekit reads up to schema 4"),
        ({"files": {}}, "names 0 model files"),
        ({"proof": None}, r"\$\.proof"),
        ({"target": "onnx"}, "target is onnx and tflite"),
        ({"scheme": "fp32"}, "scheme is fp32 and int8-static"),
        ({"folded": False}, "folded is False and True"),
        ({"classes": 3}, "3 classes, and an output of NC"),
        ({"input.dtype": "foo"}, r"\$\.inputs\[0\]\.dtype"),
        ({"input.scale": 0}, r"\$\.inputs\[0\]\.scale"),
        ({"preprocess.crop_pct": 0}, r"\$\.preprocess\.crop_pct"),
        ({"preprocess.std": [0, 0, 0]}, r"\$\.preprocess\.std"),
        ({"preprocess.input_size": [0, 0]}, r"\$\.preprocess\.input_size"),
        ({"preprocess.input_size": [16, 16]}, r"input_size is \(16, 16\) and \(32, 32\)"),
    ],
    ids=str,
)
def test_a_manifest_that_no_export_writes_is_refused(copied, change, says):
    ((path, value),) = change.items()
    written = json.loads((copied / "manifest.json").read_text())
    *parents, last = path.split(".")
    place = written
    for name in parents:
        place = place[name]
    assert last in place
    place[last] = value
    (copied / "manifest.json").write_text(json.dumps(written))
    with pytest.raises(ArtifactError, match=says) as caught:
        artifact.load(copied)
    assert caught.value.hint


def test_a_manifest_of_today_carries_its_own_checksum(copied):
    save_manifest(copied, read_manifest(copied))
    written = (copied / "manifest.json").read_bytes()
    assert artifact.load(copied).manifest.checksum.encode() in written
    (copied / "manifest.json").write_bytes(written.replace(b'"tolerance": 0.', b'"tolerance": 9.'))
    with pytest.raises(ArtifactError, match=r"not what the export wrote \(its checksum differs\)"):
        artifact.load(copied)
    (copied / "manifest.json").write_bytes(written.replace(b'"schema": 4', b'"schema": 1'))  # which had none
    with pytest.raises(ArtifactError, match=r"not what the export wrote \(its checksum differs\)"):
        artifact.load(copied)


@pytest.mark.parametrize("name", ["golden.npz", "labels.txt"])
def test_a_manifest_names_every_file_that_an_artifact_needs(copied, name):
    written = json.loads((copied / "manifest.json").read_text())
    del written["files"][name]
    (copied / "manifest.json").write_text(json.dumps(written))
    with pytest.raises(ArtifactError, match=f"does not name {name}"):
        artifact.load(copied)


def test_a_manifest_names_no_file_outside_its_folder(copied):
    written = json.loads((copied / "manifest.json").read_text())
    written["files"]["../secret"] = {"bytes": 0, "sha256": ""}
    (copied / "manifest.json").write_text(json.dumps(written))
    with pytest.raises(ArtifactError, match=r"outside its folder \(\.\./secret\)"):
        artifact.load(copied)


def replace_with_its_record(folder, name, blob):
    """Another file, and a manifest that agrees with it."""
    (folder / name).write_bytes(blob)
    written = json.loads((folder / "manifest.json").read_text())
    record = file_record(folder / name)
    written["files"][name] = {"bytes": record.bytes, "sha256": record.sha256}
    (folder / "manifest.json").write_text(json.dumps(written))


def test_golden_answers_that_cannot_be_read_are_said(copied):
    replace_with_its_record(copied, "golden.npz", b"junk")
    with pytest.raises(ArtifactError, match=r"golden\.npz is damaged"):
        artifact.load(copied).golden()


def test_golden_tensors_of_another_type_are_refused(copied):
    written = json.loads((copied / "manifest.json").read_text())
    written["input"]["dtype"] = "float32"
    (copied / "manifest.json").write_text(json.dumps(written))
    with pytest.raises(ArtifactError, match="disagree about the input"):
        artifact.load(copied).golden()


def test_a_file_inside_an_artifact_is_no_artifact_and_its_folder_is_named(copied):
    with pytest.raises(ArtifactError, match="is a file") as caught:
        artifact.load(copied / "model.tflite")
    assert caught.value.hint == f"its folder: {copied}"


def test_a_trained_model_is_titled_by_its_network_and_what_it_learned_from(golden_artifact):
    manifest = artifact.load(golden_artifact).manifest
    assert manifest.title == manifest.model
    weights = msgspec.structs.replace(manifest.weights, source="trained", knows="6 classes of photos")
    trained = msgspec.structs.replace(manifest, model="a", architecture="mobilenetv2_100", weights=weights)
    assert trained.title == "mobilenetv2_100 (6 classes of photos)"


def test_what_is_not_an_artifact_is_said(tmp_path):
    with pytest.raises(MissingError, match="does not exist"):
        artifact.load(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="not an artifact"):
        artifact.load(tmp_path)


def test_the_manifest_holds_no_path_and_no_time(golden_artifact):
    text = (golden_artifact / "manifest.json").read_text()
    assert "/" not in text.replace("T-shirt/top", "").replace("https://", "")
    assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", text)


@pytest.mark.parametrize(
    ("tensor", "folded", "expected"),
    [
        (Tensor("x", (1, 2, 2, 3), "uint8", "NHWC", 1.0, 0), True, [0, 128, 255]),
        (Tensor("x", (1, 2, 2, 3), "int8", "NHWC", 1.0, -128), True, [-128, 0, 127]),
        (Tensor("x", (1, 2, 2, 3), "float32", "NHWC"), True, [0, 128, 255]),
        (Tensor("x", (1, 2, 2, 3), "float32", "NHWC"), False, [-2, 0.00784314, 2]),
    ],
)
def test_encode_gives_what_the_file_takes(tensor, folded, expected):
    made = encode(PIXELS, tensor, SPEC, folded=folded)
    assert made.dtype == tensor.dtype
    np.testing.assert_allclose(sorted(set(made.ravel().tolist())), expected, atol=1e-6)


def test_nchw_moves_the_channels():
    made = encode(PIXELS, Tensor("x", (1, 3, 2, 2), "float32", "NCHW"), SPEC, folded=True)
    np.testing.assert_array_equal(made, PIXELS.transpose(0, 3, 1, 2))


def test_decode_applies_the_scale():
    tensor = Tensor("y", (1, 3), "int8", "NC", 0.5, -10)
    np.testing.assert_array_equal(decode(np.array([[-10, 0, 10]], np.int8), tensor), [[0, 5, 10]])


def test_staging_moves_all_or_nothing(tmp_path):
    out = tmp_path / "made"
    with pytest.raises(ValueError, match="stop"), staging(out) as stage:
        (stage / "manifest.json").write_text(manifest("half"))
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []
    with staging(out) as stage:
        (stage / "manifest.json").write_text(manifest("one"))
    with staging(out) as stage:
        (stage / "manifest.json").write_text(manifest("two"))
    assert (out / "manifest.json").read_text() == manifest("two")
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RequestError, match="not an artifact"), staging(tmp_path):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("text", ['{"name": "web app"}', '{"recipe_digest": "0", "files": {}}', "{"])
def test_somebody_elses_manifest_is_no_artifact(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    (tmp_path / "index.html").write_text("years of work")
    with pytest.raises(RequestError, match=r"not an artifact \(index.html\)"), staging(tmp_path):
        pass
    assert (tmp_path / "index.html").read_text() == "years of work"


def test_killed_at_any_moment_it_leaves_the_old_artifact_whole(tmp_path):
    out = tmp_path / "made"
    with staging(out) as stage:
        (stage / "manifest.json").write_text(manifest("old"))
    code = (
        "import os, signal, sys; from pathlib import Path; from edgekit.publishing import staging\n"
        "with staging(Path(sys.argv[1])) as stage:\n"
        '    (stage / \'manifest.json\').write_text(\'{"recipe_digest": "new", "files": {}}\')\n'
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(out)])
    assert killed.returncode == -signal.SIGKILL
    assert (out / "manifest.json").read_text() == manifest("old")
    assert len(list(tmp_path.glob(".made.*.partial"))) == 1
    with staging(out) as stage:  # the next export clears what was left behind
        (stage / "manifest.json").write_text(manifest("newer"))
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_two_exports_at_once_leave_the_last_one_whole(tmp_path):
    out = tmp_path / "made"
    with staging(out) as slow:
        (slow / "manifest.json").write_text(manifest("slow"))
        with staging(out) as fast:
            (fast / "manifest.json").write_text(manifest("fast"))
        assert (out / "manifest.json").read_text() == manifest("fast")
    assert (out / "manifest.json").read_text() == manifest("slow")
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


EXPORTS = """
import os, shutil, sys
from pathlib import Path
from edgekit.publishing import staging
variant, out = map(Path, sys.argv[1:])
for _ in range(60):
    with staging(out) as stage:
        shutil.copytree(variant, stage, dirs_exist_ok=True)
"""


def test_a_reader_never_sees_half_of_an_artifact_that_is_being_replaced(golden_artifact, tmp_path):
    variants = [tmp_path / "a", tmp_path / "b"]
    for variant in variants:
        shutil.copytree(golden_artifact, variant)
    replace_with_its_record(variants[1], "README.md", b"another")
    out = tmp_path / "made" / "it"
    exports = [subprocess.Popen([sys.executable, "-c", EXPORTS, str(v), str(out)]) for v in variants]
    while not out.exists():
        assert None in [e.poll() for e in exports]
    while None in [e.poll() for e in exports]:
        artifact.load(out)
    assert [e.returncode for e in exports] == [0, 0]
    assert [p.name for p in out.parent.iterdir()] == ["it"]
    artifact.load(out)


def test_an_artifact_that_is_replaced_while_it_is_checked_is_read_again(golden_artifact, tmp_path, monkeypatch):
    out = tmp_path / "made"
    shutil.copytree(golden_artifact, out)
    check = artifact.Artifact.check_files

    def replaced_before(opened):
        monkeypatch.setattr(artifact.Artifact, "check_files", check)
        replace_with_its_record(out, "README.md", b"another")
        check(opened)

    monkeypatch.setattr(artifact.Artifact, "check_files", replaced_before)
    opened = artifact.load(out)
    assert opened.manifest.files["README.md"].bytes == len(b"another")


def test_only_what_dead_processes_left_is_cleared(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive, left = (tmp_path / f".made.{pid}.00000000.partial" for pid in (os.getppid(), dead.pid))
    for folder in (alive, left):
        folder.mkdir()
    with staging(tmp_path / "made") as stage:
        (stage / "manifest.json").write_text(manifest("new"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [alive.name, "made"]


def test_what_a_user_put_there_during_the_export_is_not_removed(tmp_path):
    out = tmp_path / "made"
    with pytest.raises(RequestError, match=r"not an artifact \(thesis.txt\)"), staging(out) as stage:
        (stage / "manifest.json").write_text(manifest("new"))
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
    assert [p.name for p in tmp_path.rglob("*")] == ["made", "thesis.txt"]


def test_a_link_stays_a_link_to_the_artifact(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for digest in ("one", "two"):
        with staging(tmp_path / "link") as stage:
            (stage / "manifest.json").write_text(manifest(digest))
        assert (tmp_path / "real" / "manifest.json").read_text() == manifest(digest)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="file is a file, not a folder"):
        publishing.check_destination(tmp_path / "file" / "made")


def test_a_full_disk_is_said_in_one_line(tmp_path):
    with pytest.raises(OutputError, match="No space left") as caught, staging(tmp_path / "made"):
        raise OSError(28, os.strerror(28))
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_no_permission_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may do anything
    with pytest.raises(OutputError, match="no permission"):
        publishing.check_destination(tmp_path / "made")
