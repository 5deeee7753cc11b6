"""edgekit benchmark: what is made once, what is refused, what is best for each wish, and what a stop leaves."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from conftest import GOLDEN, GOLDEN_FILES, ask_edgekit, paint

import edgekit
from edgekit import artifact, cells
from edgekit.candidates import Benchmark, Candidate, making, page
from edgekit.candidates.plan import Planned, reads
from edgekit.data import open_data
from edgekit.errors import RequestError
from edgekit.evaluation import evaluate
from edgekit.evaluation.accuracy import lost
from edgekit.recipe import Recipe
from edgekit.statistics import figures
from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import Drop

ONNX = GOLDEN_FILES / "tiny-onnx-int8"
QUICK = ("--runs", "4", "--launches", "2")


def candidate(name, size, ms, right, **more):
    figure = Figure("top-1", right, right - 0.02, right + 0.02, 500)
    target, _, scheme = name.partition(" ")
    return Candidate(name, target, scheme, artifact=f"build/{name}", bytes=size, cpu_ms=ms, headline=figure, **more)


TABLE = Benchmark(
    "mobilenetv2",
    (
        candidate(
            "onnx int8-static",
            2_600_000,
            3.0,
            0.905,
            loss=Drop(0.023, 0.012, 0.034),
            oldest={"any CPU": "ONNX Runtime 1.17 (opset 20)"},
        ),
        candidate(
            "tflite int8-static",
            2_400_000,
            3.7,
            0.92,
            loss=Drop(0.008, 0.001, 0.0095),
            sqnr_db=23.5,
            oldest={"x86-64": "tflite-runtime 2.14"},
        ),
        candidate("openvino fp32", 9_000_000, 6.0, 0.928),
        Candidate("tflite int8-dynamic", "tflite", "int8-dynamic", error="refused: SQNR 3.0 dB (limit 13)"),
    ),
    within=1.0,
    cpu_class="x86-vnni",
)


def test_each_wish_has_its_best_file():
    assert {wish: chosen.name for wish, chosen in TABLE.best.items()} == {
        "smallest": "tflite int8-static",
        "fastest": "onnx int8-static",
        "most accurate": "openvino fp32",
        "best within 1 point": "tflite int8-static",
    }
    assert repr(TABLE).startswith("Benchmark(mobilenetv2, 3 of 4 files; smallest: tflite int8-static; fastest: onnx")


def test_the_table_fits_80_columns_and_a_refused_file_is_a_sentence():
    from edgekit.cli.benchmark import text

    lines = text(TABLE).splitlines()
    assert max(map(len, lines)) <= 80
    assert "tflite int8-dynamic: refused: SQNR 3.0 dB (limit 13)" in lines
    assert any(line.split()[:2] == ["best", "within"] for line in lines)
    assert "best within 1 point: loses at most 0.9 points (95 % confidence)" in lines
    whole = page.whole_table(TABLE)
    assert whole.rows[3][whole.header.index("why not")].text.startswith("refused")


def test_only_what_surely_loses_little_is_the_best_within():
    """At 2 points more than one file's interval ends below, and the quickest's does not."""
    from edgekit.cli.benchmark import _surer, text

    unsure = [msgspec.structs.replace(c, loss=c.loss and Drop(0.008, -0.004, 0.02)) for c in TABLE]
    few = replace(TABLE, candidates=tuple(unsure), document=Path("build/bm/benchmark.json"))
    assert list(few.best.values())[-1].name == "openvino fp32"  # by the figures it would be onnx int8-static
    assert [c.name for c in few.undecided] == ["onnx int8-static", "tflite int8-static"]
    said = text(few).splitlines()
    assert "perhaps within 1 point: onnx int8-static, quicker; it loses 0.8 [-0.4, 2.0]" in said
    assert max(map(len, said)) <= 80
    assert _surer(few, "photos", {"split": None, "data_labels": None, "limit": None})[2] == "build/onnx int8-static"
    assert [c.name for c in replace(few, within=2.0).best.values()][-1] == "onnx int8-static"
    assert replace(few, within=2.0).undecided == []


def test_what_is_lost_is_told_image_by_image_where_the_answers_are_there(images, tmp_path):
    model, data = artifact.load(GOLDEN), open_data(images, artifact.load(GOLDEN).labels())
    files = [evaluate([artifact.load(of)], data, state=tmp_path / "answers") for of in (GOLDEN, ONNX)]
    both = evaluate([model, artifact.load(ONNX)], data, state=tmp_path / "both")
    assert lost(*(Path(found.answers) for found in files)) == both.paired.drop
    assert lost(Path(files[0].answers), tmp_path / "none") is None
    apart = figures.lost(*(found.results[0].headline for found in files))
    assert apart.estimate == pytest.approx(both.paired.drop.estimate)
    assert apart.high > both.paired.drop.high


def test_the_next_command_compares_the_best_within_with_the_most_accurate_image_by_image():
    from edgekit.cli.benchmark import _surer

    said = {"split": "val", "data_labels": None, "limit": 500}
    kept = replace(TABLE, document=Path("build/bm/benchmark.json"))
    assert shlex.join(_surer(kept, "my photos", said)) == (
        "edgekit eval 'build/tflite int8-static' --reference 'build/openvino fp32' --data 'my photos' --split val"
        " --limit 500 --max-drop 1 --state build/bm/answers"
    )
    assert _surer(kept, None, said) == []
    assert _surer(replace(kept, within=0.0), "my photos", said) == []  # then they are one


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("images") / "classes", 3, {f"class {i}": (60 * i, 90, 200) for i in range(4)})


def test_artifacts_are_timed_and_evaluated_once_and_written_down(images, tmp_path):
    asked = ("benchmark", GOLDEN, ONNX, "--data", images, *QUICK, "-o", "made")
    done = ask_edgekit(*asked, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tiny-tflite-int8: evaluating" in done.stderr
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "made" / "benchmark.json").read_bytes()) | {"report": "made/report.html"}
    assert {c["name"] for c in told["candidates"]} == {"tiny-tflite-int8", "tiny-onnx-int8"}
    assert all(c["cpu_ms"] > 0 and c["headline"]["of"] == 12 for c in told["candidates"])
    written = (tmp_path / "made" / "report.html").read_text("utf-8")
    assert "Every target and scheme" in written
    assert "best within 1 point" in written
    again = ask_edgekit(*asked, cwd=tmp_path)
    assert "evaluating" not in again.stderr
    assert "timing" not in again.stderr.replace("making, proving and timing", "")
    assert again.stdout.startswith("2 models: images of classes")


def test_a_stop_keeps_what_was_made_and_says_how_to_go_on(images, tmp_path, monkeypatch):
    made = cells.make

    def stopped(store, wanted, **how):
        if wanted.command[0] == "bench":
            raise KeyboardInterrupt
        return made(store, wanted, **how)

    monkeypatch.setattr(cells, "make", stopped)
    asked = ("benchmark", GOLDEN, "--data", images, *QUICK, "-o", "made")
    done = ask_edgekit(*asked, cwd=tmp_path)
    assert done.returncode == 130
    assert "the same command goes on from there" in done.stderr
    assert json.loads((tmp_path / "made" / "benchmark.json").read_bytes())["interrupted"]
    monkeypatch.setattr(cells, "make", made)
    done = ask_edgekit(*asked, cwd=tmp_path)
    assert (done.returncode, "evaluating" in done.stderr, "timing 1 file" in done.stderr) == (0, False, True)


def test_what_an_export_reads_is_part_of_its_cell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def build(): ...")
    (tmp_path / "photos").mkdir()
    recipe = Recipe("py:mine:build", "onnx", calibration="photos", weights="bundled")
    assert reads(recipe) == {"calibration": Path("photos"), "source": Path("mine.py")}
    assert reads(Recipe("py:mine.py:build", "onnx")) == {"source": Path("mine.py")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([GOLDEN, "--within", "-1"], "--within"),
        ([GOLDEN, "--samples", "8"], "--samples is for exports, and these are artifacts"),
        ([GOLDEN, GOLDEN], "two files are called tiny-tflite-int8"),
        ([GOLDEN, "--scheme", "int9"], "unknown scheme 'int9'"),
        (["mobilenetv3"], "mobilenetv3_small"),
        ([GOLDEN, "--target", "tflite,onxx"], "unknown target 'onxx'"),
        ([GOLDEN, "-o", GOLDEN], "is an artifact"),
        ([GOLDEN, "--data", "nowhere"], "there is no folder nowhere"),
        ([GOLDEN, "--data", GOLDEN_FILES, "--data-labels", "nowhere.csv"], "there is no file nowhere.csv"),
    ],
)
def test_a_wrong_request_says_what_to_type(arguments, says, tmp_path):
    done = ask_edgekit("benchmark", *arguments, cwd=tmp_path)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_in_python_a_network_in_hand_is_refused_and_artifacts_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="a model is 3, not a path"):
        edgekit.benchmark(3)
    found = edgekit.benchmark(edgekit.load(GOLDEN), out="made", runs=2, launches=1)
    assert isinstance(found, edgekit.Benchmark)
    assert found.best["fastest"] is found[0]
    assert found.report == Path("made/report.html")


def test_a_file_that_its_proof_refuses_is_a_row(tmp_path, monkeypatch):
    refused = cells.Done("k", ("export",), {}, None, "answers differently: SQNR 3.0 dB", "try fp16", "", 4, 1.0, 1.0, 1)
    recipe = Recipe("mobilenetv2", "onnx")
    monkeypatch.setattr(cells, "make", lambda *a, **k: refused)
    found = making.benchmark(
        [Planned("onnx fp32", "onnx", "fp32", recipe)], making.Request("x", tmp_path / "made", None)
    )
    assert [(c.name, c.error, c.artifact) for c in found] == [("onnx fp32", "answers differently: SQNR 3.0 dB", None)]


def test_a_folder_of_the_user_under_the_name_of_an_artifact_is_refused_and_kept(tmp_path):
    recipe = Recipe("mobilenetv2", "onnx")
    place = tmp_path / "mobilenetv2-onnx-fp32"
    place.mkdir()
    (place / "thesis.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds something that is not an artifact"):
        making.benchmark([Planned("onnx fp32", "onnx", "fp32", recipe)], making.Request("x", tmp_path, None))
    with pytest.raises(RequestError, match="holds something that is not an artifact"):
        making.linked(GOLDEN, place)
    assert [p.name for p in tmp_path.rglob("*")] == ["mobilenetv2-onnx-fp32", "thesis.txt"]


def test_an_artifact_takes_the_place_of_another(tmp_path):
    for made in (GOLDEN, ONNX, ONNX):
        assert making.linked(made, tmp_path / "made").target == artifact.load(made).target
    assert {p.name for p in (tmp_path / "made").iterdir()} == {p.name for p in ONNX.iterdir()}
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
