"""What a classifier takes for what: counted, written, drawn."""

import csv

import pytest
from conftest import GOLDEN, ask_edgekit, paint

from edgekit import runs
from edgekit.evaluation.accuracy import SUREST, Tally
from edgekit.evaluation.answers import Answer, Record
from edgekit.reporting import confusion as drawn
from edgekit.statistics.confusion import Confusion

LABELS = ("cat", "dog", "<b>cow</b>")


@pytest.fixture(scope="module")
def tally():
    """40 cats of which every fourth is named a dog, surer each time; 3 dogs; an image of a cow and a dog, named a dog."""
    counted = Tally(0)
    for i in range(44):
        truth, first, sure = ((0,), 0, 0.9) if i % 4 else ((0,), 1, 0.5 + i / 100)
        if i >= 40:
            truth, first, sure = ((1,), 1, 0.9) if i < 43 else ((2, 1), 1, 0.9)
        counted.add(Record(i, f"{i}.png", truth, (Answer((first, 2), (1.0, 0.0), (sure, 0.1)),)))
    return counted


def test_counts_pairs_and_the_surest_mistakes(tally):
    found = tally.accuracy("a", "d", "r", LABELS)
    assert found.confusion.counts == ((0, 0, 30), (0, 1, 10), (1, 1, 4))
    assert found.confusion.pairs == [(0, 1, 10)]
    assert [m.picture for m in found.mistakes] == [f"{i}.png" for i in range(36, -1, -4)]
    assert (found.mistakes[0].truth, found.mistakes[0].named, found.mistakes[0].probability) == (("cat",), "dog", 0.86)
    many = Tally(0)
    for i in range(100):
        many.add(Record(i, str(i), (0,), (Answer((1,), (1.0,), ((i * 37 % 100) / 100,)),)))
    assert [m.probability for m in many.mistakes(LABELS)] == [(99 - i) / 100 for i in range(SUREST)]


def test_the_image_and_the_tables_hold_the_same_counts(tally):
    found = tally.accuracy("a", "d", "r", LABELS).confusion
    picture = drawn.matrix(found)
    assert "cat named dog: 10 of 40" in picture
    assert "<b>" not in picture
    assert [[cell.text for cell in row] for row in drawn.pairs(found).rows] == [["cat", "dog", "10", "25.0 %"]]
    worst, best = drawn.classes(found).rows
    assert [cell.text for cell in worst] == ["cat", "40", "75.0 %", "100.0 %"]
    assert [cell.text for cell in best] == ["dog", "4", "100.0 %", "28.6 %"]
    assert drawn.matrix(Confusion(tuple(map(str, range(100))), tuple((i, i, 1) for i in range(100)))) == ""


def test_eval_tells_writes_and_reports_it(tmp_path):
    paint(tmp_path / "data", 3, {f"class {i}": (60 * i, 90, 200) for i in range(4)})
    done = ask_edgekit("eval", GOLDEN, "--data", "data", "--csv", "m.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "worst labels" in done.stdout
    header, *rows = csv.reader((tmp_path / "m.csv").open())
    assert header[1:] == [row[0] for row in rows]
    assert sum(int(n) for row in rows for n in row[1:]) == 12
    ((kept,), _) = runs.read([tmp_path / "build/runs.jsonl"])
    assert kept.confusion.csv() == (tmp_path / "m.csv").read_text()
    assert ask_edgekit("report", cwd=tmp_path).returncode == 0
    assert ask_edgekit("report", "-o", "report.md", cwd=tmp_path).returncode == 0
    words = (tmp_path / "report.md").read_text("utf-8").partition("## What tiny-tflite-int8 takes for what")[2]
    table = words.partition("columns what was named.\n\n")[2].partition("\n\n")[0]
    matrix = [line.strip("| ").split("|") for line in table.splitlines()[2:]]
    assert sum(int(n) for row in matrix for n in row[1:] if n.strip()) == 12
    assert "### Labels, the worst first" in words
    page = (tmp_path / "build/report.html").read_text("utf-8")
    assert "What tiny-tflite-int8 takes for what" in page
    assert max(len(line) for line in done.stdout.splitlines() if line.startswith("  ")) <= 80


def test_a_table_of_classes_is_refused_before_anything_is_asked(tmp_path):
    paint(tmp_path / "data", 1)
    asked = ("eval", GOLDEN, "--reference", GOLDEN, "--data", "data", "--csv")
    for words, said in (
        ((*asked, "data"), "data is a folder, and a file is to be written"),
        ((*asked, "m.csv", "--unlabelled"), "--csv needs labels"),
    ):
        done = ask_edgekit(*words, cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_run_needs_torch_to_be_asked(tmp_path):
    paint(tmp_path / "data", 1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.toml").write_text("")
    done = ask_edgekit("eval", "run", "--data", "data", cwd=tmp_path)
    assert (done.returncode, "the package 'torch' is not installed" in done.stderr) == (3, True), done.stderr
