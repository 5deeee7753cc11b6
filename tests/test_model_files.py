"""Everything that a model opens counts: weights in files beside an .onnx, in sizes, digests, the gate and copies."""

import shutil
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from conftest import GOLDEN_FILES, ask_edgekit
from onnx import TensorProto, helper, numpy_helper

from edgekit import android, artifact, inspection, runs
from edgekit.errors import ArtifactError, RequestError, UnsupportedError
from edgekit.gating import Limits, baseline, checks
from edgekit.manifest import file_record, read_manifest, save_manifest
from edgekit.model_files import model_files

ONNX = GOLDEN_FILES / "tiny-onnx-int8"


def network(places, width=64):
    """x [1, width] by matrices in a row; `places`: where each matrix lies (None: inside)."""
    nodes, matrices = [], []
    for i, place in enumerate(places):
        tensor = numpy_helper.from_array(np.eye(width, dtype=np.float32) * (i + 1), f"w{i}")
        if place is not None:
            onnx.external_data_helper.set_external_data(tensor, place)
        matrices.append(tensor)
        nodes.append(helper.make_node("MatMul", [f"t{i}", f"w{i}"], [f"t{i + 1}"]))
    value = helper.make_tensor_value_info
    ends = [value(name, TensorProto.FLOAT, [1, width]) for name in ("t0", f"t{len(places)}")]
    graph = helper.make_graph(nodes, "net", [ends[0]], [ends[1]], matrices)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def saved(folder, *places, name="model.onnx"):
    """The network in a folder, with its weights where they are said to lie."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in {p for p in places if p}:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(network(places), folder / name)
    return folder / name


def test_weights_in_several_files_and_folders_are_the_models(tmp_path):
    file = saved(tmp_path, "a.data", "weights/b.bin", None, "a.data")
    weights = [tmp_path / "a.data", tmp_path / "weights/b.bin"]
    assert model_files(file) == [file, *weights]
    opened = artifact.open_model(file)
    whole = sum(p.stat().st_size for p in (file, *weights))
    assert whole > 3 * 64 * 64 * 4
    assert (opened.model_bytes, inspection.inspect(file).bytes, runs.subject(opened, file).bytes) == (whole,) * 3
    before = opened.digest()
    assert runs.subject(opened, file).digest == before
    changed = bytearray(weights[1].read_bytes())
    changed[0] ^= 1
    weights[1].write_bytes(changed)
    assert artifact.open_model(file).digest() != before


def test_a_tensor_inside_a_node_or_a_branch_counts(tmp_path):
    """The If's branches and a Constant keep tensors of their own."""
    outside = numpy_helper.from_array(np.ones((4, 4), np.float32), "inner")
    onnx.external_data_helper.set_external_data(outside, "branch.bin")
    constant = helper.make_node("Constant", [], ["c"], value=outside)
    value = helper.make_tensor_value_info
    branch = helper.make_graph([constant], "branch", [], [value("c", TensorProto.FLOAT, [4, 4])])
    node = helper.make_node("If", ["which"], ["y"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node], "net", [value("which", TensorProto.BOOL, [])], [value("y", TensorProto.FLOAT, [4, 4])]
    )
    (tmp_path / "branch.bin").write_bytes(bytes(64))
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert [p.name for p in model_files(tmp_path / "m.onnx")] == ["m.onnx", "branch.bin"]


def test_openvino_weights_of_any_name(tmp_path):
    for name, size in (("net.v2.xml", 10), ("net.v2.bin", 100)):
        (tmp_path / name).write_bytes(bytes(size))
    opened = artifact.open_model(tmp_path / "net.v2.xml")
    assert opened.model_bytes == 110


def test_it_finds_what_onnx_finds_in_the_committed_files():
    for file in GOLDEN_FILES.rglob("*.onnx"):
        assert model_files(file) == [file]


def external(folder, **fields):
    """A file whose one tensor says of itself what it is told to."""
    tensor = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=value)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [value("x", 1, [1])],
        [value("y", 1, [1])],
        [tensor],
    )
    folder.mkdir(exist_ok=True)
    (folder / "w.bin").write_bytes(bytes(64))
    file = folder / "m.onnx"
    file.write_bytes(helper.make_model(graph).SerializeToString())
    return file


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"location": "../secret.bin"}, "outside its folder"),
        ({"location": "a/../../secret.bin"}, "outside its folder"),
        ({"location": "/etc/hostname"}, "outside its folder"),
        ({"location": ""}, "outside its folder"),
        ({"location": "none.bin"}, "which is not there"),
        ({"location": "x" * 300}, "which is not there"),
        ({"location": "w.bin", "offset": "-5", "length": "4"}, "cannot be read"),
        ({"location": "w.bin", "offset": "0", "length": "x"}, "cannot be read"),
        ({"location": "w.bin", "offset": "60", "length": "400"}, "cannot be read"),
    ],
)
def test_what_a_file_must_not_say_of_its_weights(tmp_path, fields, says):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    file = external(tmp_path / "in", **fields)
    with pytest.raises(ArtifactError, match=says):
        inspection.inspect(file)
    if "cannot" not in says:
        with pytest.raises(ArtifactError, match=says):
            artifact.open_model(file)


@pytest.mark.parametrize("cut", [1, 7, 100, 1000])
def test_a_damaged_file_is_one_line(tmp_path, cut):
    file = saved(tmp_path, None, None)
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(ArtifactError, match="is damaged"):
        artifact.open_model(file)


def test_an_artifact_opens_nothing_that_is_not_its_own(tmp_path):
    made = Path(shutil.copytree(ONNX, tmp_path / "made"))
    graph = onnx.load(made / "model.onnx")
    tensor = max(graph.graph.initializer, key=lambda t: len(t.raw_data))
    weights = tensor.raw_data
    onnx.external_data_helper.set_external_data(tensor, "weights.data")
    tensor.ClearField("raw_data")
    (made / "model.onnx").write_bytes(graph.SerializeToString())
    (made / "weights.data").write_bytes(weights)
    manifest = read_manifest(made)
    listed = manifest.files | {"model.onnx": file_record(made / "model.onnx")}
    save_manifest(made, msgspec.structs.replace(manifest, files=listed))
    with pytest.raises(ArtifactError, match=r"weights\.data, which is no part of the artifact"):
        artifact.load(made)
    listed |= {"weights.data": file_record(made / "weights.data")}
    save_manifest(made, msgspec.structs.replace(manifest, files=listed))
    opened = artifact.load(made)
    assert opened.model_bytes == (made / "model.onnx").stat().st_size + len(weights)
    place = tmp_path / "app/app/src/main/AndroidManifest.xml"
    place.parent.mkdir(parents=True)
    place.touch()
    with pytest.raises(UnsupportedError, match=r"opens models of one file, .* keeps weights in weights\.data"):
        android.add(made, tmp_path / "app")
    assert not (tmp_path / "app" / android.MODELS).exists()


def test_the_gate_sees_weights_move_and_grow(tmp_path):
    inside = artifact.open_model(saved(tmp_path / "old", None, None))
    outside = artifact.open_model(saved(tmp_path / "same", "w.data", "w.data"))
    larger = artifact.open_model(saved(tmp_path / "new", "w.data", "w.data", "w.data"))
    assert checks.size(outside.model_bytes, inside.model_bytes, Limits()).outcome == "pass"
    assert checks.size(larger.model_bytes, inside.model_bytes, Limits()).outcome == "fail"


def test_a_baseline_takes_all_files_along(tmp_path, monkeypatch):
    candidate = artifact.open_model(saved(tmp_path / "new", "deep/w.data", "w.data"))
    place = tmp_path / "base" / "old.onnx"
    baseline.replace(str(place), candidate)
    assert artifact.open_model(place).digest() == candidate.digest()
    baseline.replace(str(place), candidate)  # over itself
    (tmp_path / "other").mkdir()
    (tmp_path / "other/w.data").write_bytes(b"of somebody else")
    with pytest.raises(RequestError, match="would be replaced, and is no part of"):
        baseline.replace(str(tmp_path / "other/old.onnx"), candidate)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["w.data"]

    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "base"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.chdir(tmp_path)
    with baseline.opened("git:HEAD:base/old.onnx") as base:
        assert base.model.digest() == candidate.digest()


def test_bench_says_the_whole_size(tmp_path):
    one, other = saved(tmp_path / "a", None, None), saved(tmp_path / "b", "w.data", "w.data")
    done = ask_edgekit("bench", one, other, "--runs", 4, "--launches", 2, "--no-save", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "as large" in done.stdout
    (tmp_path / "b/w.data").unlink()
    lost = ask_edgekit("bench", one, other, cwd=tmp_path)
    assert (lost.returncode, lost.stdout) == (4, "")
    assert "w.data, which is not there" in lost.stderr
