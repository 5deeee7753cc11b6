"""Damaged and hostile input ends in one line and an exit code: no traceback, no dead process, nothing taken for whole."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from edgekit import artifact
from edgekit.cli import main
from edgekit.errors import WorkerError
from edgekit.inspection.kernels import kernels


def run(*arguments):
    """The command in this process: exit code and all that it says. A traceback fails the test."""
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.output


def rewritten(folder, **changes):
    """With checksums of the files that are there now: damage that only the content tells."""
    path = Path(folder, "manifest.json")
    manifest = json.loads(path.read_text()) | changes
    manifest["files"] = {
        name: {"bytes": record.bytes, "sha256": record.sha256}
        for name in manifest["files"]
        for record in [artifact.file_record(Path(folder, name))]
    }
    path.write_text(json.dumps(manifest))
    return folder


def change_tflite(file, change):
    """Take a .tflite apart, change it, and put it together again."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    file.write_bytes(bytes(builder.Output()))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (40, 40), "green").save(path)
    return path


@pytest.fixture
def crashing(copied):
    """An artifact whose model is a whole flatbuffer with right checksums that LiteRT does not survive."""

    def without_graphs(model):
        model.subgraphs = None

    change_tflite(copied / "model.tflite", without_graphs)
    return rewritten(copied)


def test_a_runtime_that_crashes_is_one_line_of_predict(crashing, picture):
    code, said = run("predict", crashing, picture)
    assert (code, "crashed (SIGSEGV)" in said) == (4, True), said


def test_a_runtime_that_crashes_is_an_error_of_what_looks_inside(crashing, golden_artifact):
    with pytest.raises(WorkerError, match=r"crashed \(SIGSEGV\)"):
        kernels(crashing / "model.tflite")
    for arguments in ([crashing], [crashing, "--kernels"], ["--compare", crashing, golden_artifact]):
        code, said = run("inspect", *arguments)
        assert (code, said.count("\n")) == (4, 2), said
