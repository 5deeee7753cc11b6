"""Damaged and hostile input ends in one line and an exit code: no traceback, no dead process, nothing taken for whole."""

import json
import os
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fuzz.corpus import reseal
from PIL import Image, ImageFile

from edgekit import artifact, places, preprocess, reading
from edgekit.cli import main
from edgekit.errors import WorkerError
from edgekit.inspection.kernels import kernels
from edgekit.manifest import file_record, read_manifest, save_manifest


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
        for record in [file_record(Path(folder, name))]
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


def one_line(said):
    """An error and its hint, and nothing of Python's."""
    return said.startswith("error: ") and said.count("\n") <= 2 and "Traceback" not in said


def damaged_tflite(change):
    def change_file(folder):
        change_tflite(folder / "model.tflite", change)

    return change_file


@damaged_tflite
def reads_what_is_not_there(model):
    model.subgraphs[0].operators[0].inputs = np.array([10**6], np.int32)


@damaged_tflite
def has_an_unknown_operator(model):
    model.subgraphs[0].operators[0].opcodeIndex = 10**6


@damaged_tflite
def answers_nothing(model):
    model.subgraphs[0].outputs = np.array([], np.int32)


@damaged_tflite
def answers_tensor_minus_one(model):
    model.subgraphs[0].outputs = np.array([-1], np.int32)


@damaged_tflite
def takes_tensor_minus_one(model):
    model.subgraphs[0].inputs = np.array([-1], np.int32)


@pytest.mark.parametrize(
    "damage",
    [
        reads_what_is_not_there,
        has_an_unknown_operator,
        answers_nothing,
        answers_tensor_minus_one,
        takes_tensor_minus_one,
    ],
    ids=["operand", "operator", "no answer", "answer -1", "input -1"],
)
def test_a_model_whose_parts_do_not_fit_together_is_one_line(copied, picture, golden_artifact, damage):
    damage(copied)
    rewritten(copied)
    for arguments in (
        ["predict", copied, picture],
        ["inspect", copied],
        ["inspect", "--compare", golden_artifact, copied],
    ):
        code, said = run(*arguments)
        assert (code, one_line(said)) in ((4, True), (2, True), (0, False)), said
    assert run("predict", copied, picture)[0] in (2, 4)


def test_a_graph_that_goes_in_a_circle_ends(tmp_path):
    from edgekit.inspection.activations import Operator, points

    circle = [Operator("CONV", "a", ("x", "w"), ("p",)), Operator("RELU", "b", ("p",), ("p",))]
    with pytest.raises(ValueError, match="what reads p makes it"):
        points(circle, "x", "y", {"CONV"}, {"RELU"})


def npz(folder, **changes):
    with np.load(folder / "golden.npz") as whole:
        np.savez(folder / "golden.npz", **(dict(whole) | changes))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"image_0": np.zeros((32, 32), np.uint8)}, "images"),
        ({"image_0": np.zeros((32, 32, 3), np.float32)}, "images"),
        ({"image_0": np.zeros((0, 32, 3), np.uint8)}, "images"),
        ({"answers": np.zeros((4, 3), np.float32)}, "answers"),
        ({"answers": np.zeros((4, 5), np.complex64)}, "answers"),
        ({"answers": np.full((4, 5), "x")}, "answers"),
        ({"answers": np.zeros((0, 5), np.float32)}, "images"),
        ({"answers": np.float32(3)}, "damaged"),
        ({"tensors": np.zeros((1, 32, 32, 3), np.uint8)}, "input"),
    ],
    ids=str,
)
def test_golden_examples_of_another_shape_are_refused(copied, change, what):
    npz(copied, **change)
    rewritten(copied)
    for command in (["verify", copied], ["inspect", "--compare", copied, copied]):
        code, said = run(*command)
        assert (code, one_line(said), what in said) == (4, True, True), said


def test_golden_examples_that_unpack_to_gigabytes_are_refused_before(copied, monkeypatch):
    import zipfile

    with zipfile.ZipFile(copied / "golden.npz", "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("more.npy", bytes(1 << 20))
    rewritten(copied)
    monkeypatch.setattr(artifact, "GOLDEN_LIMIT", 1 << 20)
    monkeypatch.setattr(np, "load", None)
    assert run("verify", copied)[0] == 4


SAID_WRONGLY = {
    "scores": ({"scores": "probabilities"}, "probabilities, and the golden answers are none"),
    "tolerance": ({"golden_tolerance": 1e30}, "a tolerance of 1e"),
    "figures": ({"proof.agreement": 0.0}, "figures below its limits"),
    "refused": ({"proof.passed": False}, "was refused at export"),
    "digest": ({"recipe_digest": "0" * 64}, "recipe_digest"),
    "output type": ({"output.dtype": "int8"}, "its manifest says int8"),
    "classes": ({"output.shape": [1, 7]}, "contradicts itself: 5 classes"),
    "layout": ({"output.layout": "NHWC"}, "has a tensor of NHWC [1, 5]"),
    "model": ({"model": "another"}, "contradicts itself: model is another"),
    "crop": ({"preprocess.crop_pct": 1e9}, "crop_pct"),
}


NOW = {  # where the newest schema has what schema 1 had elsewhere
    "scores": "task.scores",
    "golden_tolerance": "outputs.0.tolerance",
    "proof.agreement": "proof.measures.0.value",
    "output.dtype": "outputs.0.dtype",
    "output.shape": "outputs.0.shape",
    "output.layout": "outputs.0.layout",
}


def says(folder, changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, value in changes.items():
        *inside, last = (NOW.get(name, name) if manifest["schema"] > 2 else name).split(".")
        place = manifest
        for step in inside:
            place = place[int(step)] if step.isdigit() else place[step]
        place[last] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def app(tmp_path):
    manifest = tmp_path / "app/app/src/main/AndroidManifest.xml"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    return tmp_path / "app"


@pytest.mark.parametrize("sealed", [False, True], ids=["schema 1", "sealed again"])
@pytest.mark.parametrize("what", SAID_WRONGLY)
def test_what_a_manifest_says_is_held_against_what_can_be_computed(copied, app, what, sealed):
    changes, message = SAID_WRONGLY[what]
    if sealed:
        save_manifest(copied, read_manifest(copied))
        assert run("verify", copied)[0] == 0
    says(copied, changes)
    if sealed:
        reseal(copied)
    for command in (["verify", copied], ["android", "add", copied, "--app", app]):
        code, said = run(*command)
        assert (code, one_line(said), message in said) == (4, True, True), said
    assert not list(app.rglob("*.tflite"))


@pytest.mark.parametrize("shape", [[1], [], [1, 0, 8, 8], [1, 5]], ids=str)
def test_a_shape_that_is_none_of_its_layout_is_refused(copied, shape):
    save_manifest(copied, read_manifest(copied))
    says(copied, {"task": {"name": "segmentation"}, "output.layout": "NCHW", "output.shape": shape})
    reseal(copied)
    code, said = run("inspect", copied)
    assert (code, one_line(said), f"has a tensor of NCHW {shape}" in said) == (4, True, True), said


def test_tensors_are_written_under_whatever_name_a_manifest_gives_them(tmp_path, copied, picture):
    save_manifest(copied, read_manifest(copied))
    manifest = json.loads((copied / "manifest.json").read_text())
    (output,) = manifest["outputs"]
    manifest |= {"task": {"name": "raw"}, "labels": 0, "outputs": [output | {"name": "file", "role": ""}]}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    reseal(copied)
    code, said = run("predict", copied, picture, "-o", tmp_path / "answers.npz")
    assert code == 0, said
    with np.load(tmp_path / "answers.npz") as kept:
        assert {name: kept[name].shape for name in kept} == {"file": (5,)}
    twice = {
        "outputs": manifest["outputs"] * 2,
        "proof": manifest["proof"] | {"outputs": manifest["proof"]["outputs"] * 2},
    }
    (copied / "manifest.json").write_text(json.dumps(manifest | twice))
    reseal(copied)
    code, said = run("predict", copied, picture)
    assert (code, "names two outputs alike" in said) == (4, True), said


def test_a_changed_manifest_is_noticed_by_its_checksum(copied):
    save_manifest(copied, read_manifest(copied))
    says(copied, {"notes": ["all is well"]})
    code, said = run("predict", copied, "picture.png")
    assert (code, "its checksum differs" in said) == (4, True)


def test_a_key_that_stands_twice_is_refused(copied):
    path = copied / "manifest.json"
    path.write_text(path.read_text().replace('"folded":', '"folded": true, "folded":', 1))
    code, said = run("verify", copied)
    assert (code, "'folded' stands in it twice" in said) == (4, True), said


DEEP = 100_000


@pytest.mark.parametrize(
    ("name", "blob"),
    [
        ("manifest.json", b'{"recipe": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
        ("manifest.json", b"\xff\xfe"),
        ("manifest.json", b'{"schema": 1e999}'),
        ("labels.txt", b"caf\xe9\n" * 5),
        ("golden.npz", b"PK\x03\x04"),
        ("model.tflite", b""),
    ],
    ids=["deep", "not UTF-8", "huge number", "labels", "golden", "empty"],
)
def test_damaged_files_of_an_artifact_are_one_line(copied, picture, name, blob):
    (copied / name).write_bytes(blob)
    if name != "manifest.json":
        rewritten(copied)
    for command in (["inspect", copied], ["verify", copied], ["predict", copied, picture]):
        code, said = run(*command)
        assert (code, one_line(said)) == (4, True) or (name == "golden.npz" and command[0] != "verify"), said


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("r.toml", "model = " + "[" * DEEP, ["export", "r.toml", "--print-recipe"]),
        ("r.toml", 'model="mobilenetv2"\ntarget="tflite"\n[quantize]\nscheme="int8"\nkeep_float=["a{99999999999}"]', ["export", "r.toml", "--print-recipe"]),
        ("gate.toml", "limits = " + "[" * DEEP, ["gate", "A", "--baseline", "A", "--budgets", "gate.toml"]),
        ("base.json", '{"digest": ' + "[" * DEEP, ["gate", "A", "--baseline", "base.json"]),
        ("base.json", '{"digest": "\udcff"}', ["gate", "A", "--baseline", "base.json"]),
        ("runs.jsonl", "[" * DEEP + "\n", ["report", "runs.jsonl", "-o", "r.html"]),
        ("runs.jsonl", "\udcff\n", ["report", "runs.jsonl", "-o", "r.html"]),
        ("labels.json", "[" * DEEP, ["eval", "A", "--data", ".", "--labels", "labels.json", "--no-save"]),
        ("labels.csv", "\udcff", ["eval", "A", "--data", ".", "--labels", "labels.csv", "--no-save"]),
    ],
)  # fmt: skip
def test_damaged_files_of_text_are_one_line(tmp_path, monkeypatch, golden_artifact, picture, name, text, command):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, "utf-8", errors="surrogateescape")
    code, said = run(*[str(golden_artifact) if word == "A" else word for word in command])
    assert (code, one_line(said)) in ((2, True), (4, True)), said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a POSIX thing")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
def test_what_is_no_file_is_neither_waited_for_nor_read_for_ever(tmp_path, copied, monkeypatch, picture, kind):
    import socket

    monkeypatch.chdir(tmp_path)
    place = Path("odd.toml")
    with socket.socket(socket.AF_UNIX) as server:
        {
            "pipe": lambda: os.mkfifo(place),
            "device": lambda: place.symlink_to("/dev/zero"),
            "folder": place.mkdir,
            "socket": lambda: server.bind(str(place)),
        }[kind]()
        odd = place.absolute()
        for name in ("manifest.json", "labels.txt", "golden.npz", "model.tflite"):
            folder = shutil.copytree(copied, tmp_path / f"of-{name}")
            (folder / name).unlink()
            (folder / name).symlink_to(odd)
            code, said = run("verify", folder)
            assert (code, one_line(said)) == (4, True), said
        a = str(copied)
        for command in (
            ["export", "odd.toml", "--print-recipe"],
            ["predict", a, odd],
            ["inspect", odd],
            ["gate", a, "--baseline", odd],
            ["gate", a, "--baseline", a, "--budgets", odd],
            ["report", odd, "-o", "r.html"],
            ["eval", a, "--data", ".", "--labels", odd, "--no-save"],
        ):
            code, said = run(*command)
            assert (code in (2, 4), one_line(said)) == (True, True), (command, said)


def test_a_link_that_leads_out_of_an_artifact_is_refused_unread(copied, tmp_path):
    for name in ("golden.npz", "manifest.json"):
        (copied / name).rename(tmp_path / name)
        (copied / name).symlink_to(tmp_path / name)
        code, said = run("verify", copied)
        assert (code, "a link that leads out" in said) == (4, True), said


def test_a_name_longer_than_the_system_takes_is_one_line(copied, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long, a = "x" * 300, str(copied)
    for command in (
        ["inspect", long],
        ["verify", a, "--against", a, "--data", long],
        ["report", long, "-o", "r.html"],
        ["report", picture, "-o", f"{long}.html"],
        ["gate", long, "--baseline", a],
        ["gate", a, "--baseline", f"{long}.json"],
        ["bench", long],
        ["eval", a, "--data", long, "--no-save"],
        ["android", "add", a, "--app", long],
        ["predict", long, picture],
        ["predict", a, long],
        ["export", "mobilenetv2", "--recipe", long, "--print-recipe"],
    ):
        code, said = run(*command)
        assert (code in (2, 4), one_line(said) or "Usage" in said) == (True, True), (command, said)
    says(
        copied,
        {
            "files": json.loads((copied / "manifest.json").read_text())["files"]
            | {long: {"bytes": 1, "sha256": "0" * 64}}
        },
    )
    assert run("inspect", copied)[0] == 4


def test_an_image_whose_name_is_not_utf8_is_shown_and_evaluated(golden_artifact, picture, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / "d/x").mkdir(parents=True)
    for path in (tmp_path / name, tmp_path / "d/x" / name, tmp_path / "d/x/ok.png"):
        shutil.copyfile(picture, path)
    code, said = run("predict", golden_artifact, tmp_path / name)
    assert (code, "caf\\xe9.png" in said) == (0, True), said
    code, said = run("predict", golden_artifact, tmp_path / name, "--json")
    assert code == 0
    said.encode("utf-8")
    asked = [
        "--data",
        tmp_path / "d",
        "--unlabelled",
        "--reference",
        golden_artifact,
        "--state",
        tmp_path / "state",
        "--no-save",
    ]
    code, said = run("eval", golden_artifact, *asked)
    assert code == 0, said
    assert "caf\\\\xe9.png" in next((tmp_path / "state").glob("*.jsonl")).read_text("utf-8")


ESCAPES = "\x1b]0;title\x07\x1b[2J\u202e\x9b"


def test_what_files_say_does_not_steer_the_terminal(copied, picture):
    labels = (copied / "labels.txt").read_text().splitlines()
    (copied / "labels.txt").write_text("".join(f"{label}{ESCAPES}\n" for label in labels))
    manifest = json.loads((copied / "manifest.json").read_text())
    rewritten(copied, weights=manifest["weights"] | {"knows": f"classes{ESCAPES}"})

    def renamed(model):
        for tensor in model.subgraphs[0].tensors:
            tensor.name = f"name{ESCAPES}".encode()

    change_tflite(copied / "model.tflite", renamed)
    rewritten(copied)
    for command in (
        ["predict", copied, picture],
        ["inspect", copied, "--layers", "-v"],
        ["inspect", copied / "model.tflite"],
    ):
        code, said = run(*command)
        assert code == 0, said
        assert not set(said) & set("\x1b\x07\u202e\x9b"), said
    assert "\\x1b]0;title\\x07" in run("predict", copied, picture)[1]


def test_nothing_is_written_through_a_link_and_leftovers_go(tmp_path):
    victim, place = tmp_path / "victim", tmp_path / "base.json"
    victim.write_text("precious")
    (tmp_path / "base.json.partial").symlink_to(victim)
    left = tmp_path / ".base.json.999999999.00000000.partial"
    left.symlink_to(victim)
    with places.replacing(place) as one, places.replacing(place) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (victim.read_text(), place.read_text(), place.is_symlink()) == ("precious", "one", False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.json", "base.json.partial", "victim"]


def test_a_closed_standard_output_is_said(golden_artifact, picture):
    import subprocess

    command = f"exec {sys.executable} -m edgekit predict {golden_artifact} {picture} >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    assert done.stderr.startswith("error: cannot write the answer: standard output is closed\n"), done.stderr


def png(width, height, rows=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1, 178_000_000), (178_000_000, 1), (13_000, 13_000), (1, 43_000_000)])
def test_an_image_that_claims_more_than_memory_is_refused_before_it_is_decoded(
    tmp_path, golden_artifact, monkeypatch, size
):
    path = tmp_path / "p.png"
    path.write_bytes(png(*size, bytes(1000)))
    preprocess.formats()
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)  # what decodes
    code, said = run("predict", golden_artifact, path)
    assert (code, "p.png: too large" in said) == (2, True), said


def test_colours_are_converted_in_strips_to_the_same_pixels(monkeypatch):
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 256, (37, 23, 4), np.uint8))
    transparent = rgba.convert("RGB").quantize(16)
    transparent.info["transparency"] = 3
    pictures = [rgba, transparent, *(rgba.convert("RGB").convert(mode) for mode in ("L", "CMYK", "P", "1", "YCbCr"))]
    pictures += [Image.fromarray(rng.integers(0, 65536, (37, 23), np.uint16)), rgba.convert("LA")]
    whole = [np.asarray(preprocess.to_rgb(p)) for p in pictures]
    monkeypatch.setattr(preprocess, "STRIP", 100)
    for picture, expected in zip(pictures, whole, strict=True):
        np.testing.assert_array_equal(preprocess.to_rgb(picture), expected)


def test_no_other_program_is_started_for_an_image(tmp_path, golden_artifact):
    path = tmp_path / "p.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n")
    code, said = run("predict", golden_artifact, path)
    assert (code, "p.jpg: not an image" in said) == (4, True), said


def test_a_refused_artifact_can_be_looked_at_but_not_without_a_word(copied, picture):
    says(copied, {"proof.passed": False})
    for command in (["predict", copied, picture], ["inspect", copied]):
        code, said = run(*command)
        assert (code, "warning: " in said, "was refused at export" in said) == (0, True, True), said


def test_answers_that_are_not_what_a_manifest_calls_them_are_not_shown(copied, picture):
    says(copied, {"scores": "probabilities"})
    code, said = run("predict", copied, picture)
    assert (code, one_line(said), "calls its answers probabilities, and they are not" in said) == (4, True, True), said


def test_answers_that_were_never_given_are_refused(tmp_path, golden_artifact):
    from edgekit.errors import OutputError
    from edgekit.evaluation.answers import Answer, Answers, Key, Record

    key = Key(("a",), ("r",), "x86", "d", "s", labels=True)
    whole = Answer((0, 1), (2.0, 1.0), (0.7, 0.3))
    damaged = (
        Record(0, "p", (7,), (whole,)),
        Record(0, "p", (), (whole,)),
        Record(0, "p", (0,), ()),
        Record(0, "p", (0,), (Answer((), (), ()),)),
        Record(0, "p", (0,), (Answer((10**18,), (1.0,), (1.0,)),)),
        Record(0, "p", (0,), (Answer((0, 1), (1.0,), (1.0,)),)),
    )
    for number, record in enumerate(damaged):
        with Answers(tmp_path, str(number), key, Record, classes=5) as answers:
            answers.append([record])
        with pytest.raises(OutputError, match=r"line 2: p has"):
            Answers(tmp_path, str(number), key, Record, classes=5)


@pytest.mark.parametrize(
    ("blob", "taken"),
    [
        (b'{"bytes": 1%s}' % (b"0" * 400), False),
        (b"[1, -99999999999999999999]", False),
        (b'{"name": "1 12345678901234567890123"}', True),
        (b'{"\\"": "\\" 12345678901234567890123"}', True),
        (b'{"value": 0.12345678901234567890123}', True),
        (b'{"value": 9223372036854775807}', True),
    ],
)
def test_numbers_of_more_than_64_bits_are_refused_where_they_are_read(blob, taken):
    if taken:
        assert reading.json(blob, object)
    else:
        with pytest.raises(reading.Malformed, match="more than 19 digits"):
            reading.json(blob, object)
