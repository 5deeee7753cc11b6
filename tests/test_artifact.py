import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from edgekit import artifact
from edgekit.artifact import Tensor, decode, encode, staging
from edgekit.errors import ArtifactError, OutputError, RequestError
from edgekit.preprocess import Preprocess

SPEC = Preprocess((2, 2), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
PIXELS = np.array([0, 128, 255], np.uint8).repeat(4).reshape(1, 2, 2, 3)


def manifest(digest):
    """As little as makes a folder an artifact's."""
    return json.dumps({"recipe_digest": digest, "files": {}})


def test_the_committed_artifact_still_loads(golden_artifact):
    opened = artifact.load(golden_artifact)
    assert opened.manifest.schema == 1
    assert len(opened.labels()) == opened.manifest.classes
    assert opened.model_file.name == "model.tflite"


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


def test_what_is_not_an_artifact_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
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
        "import os, signal, sys; from pathlib import Path; from edgekit.artifact import staging\n"
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


def test_a_full_disk_is_said_in_one_line(tmp_path):
    with pytest.raises(OutputError, match="No space left") as caught, staging(tmp_path / "made"):
        raise OSError(28, os.strerror(28))
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_no_permission_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may do anything
    with pytest.raises(OutputError, match="no permission"):
        artifact.check_destination(tmp_path / "made")
