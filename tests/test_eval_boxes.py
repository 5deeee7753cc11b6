"""Detection in `eval`, `predict` and `gate`, with a file of a few operators in the real runtime."""

import json
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import ask_edgekit
from PIL import Image
from test_eval_tasks import HEIGHT, LABELS, WIDTH, helper, made

from edgekit.cli.evaluate import _document as document
from edgekit.data import open_boxes
from edgekit.data.decoding import Seen
from edgekit.errors import DataError, OutputError, RequestError
from edgekit.evaluation import contact_sheet, evaluate, evaluated, open_for
from edgekit.evaluation.boxes import Detections
from edgekit.gating import Limits, checks
from edgekit.statistics import bootstrap
from edgekit.tasks import Detection, Nms
from edgekit.tensors import Tensor

CELL = 4  # pixels of the input; images are twice as large
GRID = [(x, y) for y in range(0, HEIGHT, CELL) for x in range(0, WIDTH, CELL)]
TASK = Detection(threshold=0.5, nms=Nms(0.5, 50))


def detector(folder, shift=0, task=TASK):
    """A box in each cell of the input, with the mean of each colour for its scores; `shift`: those of the lower half, to the right."""
    boxes = [[x + shift * (y >= 8), y, x + shift * (y >= 8) + CELL, y + CELL] for x, y in GRID]
    nodes = [
        helper.make_node("AveragePool", ["image"], ["pooled"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=2),
        helper.make_node("Reshape", ["flat", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["scores"], perm=[0, 2, 1]),
        helper.make_node("Cast", ["three"], ["shape"], to=7),
        helper.make_node("Identity", ["grid"], ["boxes"]),
    ]
    nodes.insert(0, nodes.pop(4))
    weights = {"three": [1, 3, len(GRID)], "grid": [boxes]}
    outputs = (
        Tensor("boxes", (1, len(GRID), 4), "float32", "NAC", role="boxes"),
        Tensor("scores", (1, len(GRID), 3), "float32", "NAC", role="scores"),
    )
    return made(folder, task, nodes, weights, outputs, LABELS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A detector whose lower boxes lie a little to the right, and one that is right."""
    folder = tmp_path_factory.mktemp("files")
    return [detector(folder / "worse", 1), detector(folder / "whole")]


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    """12 images of 48 x 32, YOLO's texts: two things each, of which one lies in the lower half; nothing on the last."""
    folder = tmp_path_factory.mktemp("boxed")
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for i in range(12):
        picture, rows = np.full((32, 48, 3), 20, np.uint8), []
        for half in range(2 if i < 11 else 0):
            x, y, label = int(rng.integers(6)), int(rng.integers(2)) + 2 * half, int(rng.integers(3))
            picture[y * 8 : y * 8 + 8, x * 8 : x * 8 + 8, label] = 150 + 10 * int(rng.integers(10))
            rows.append(f"{label} {(x + 0.5) / 6} {(y + 0.5) / 4} {1 / 6} {1 / 4}")
        Image.fromarray(picture).save(folder / f"images/{i:02}.png")
        (folder / f"labels/{i:02}.txt").write_text("\n".join(rows))
    (folder / "classes.txt").write_text("\n".join(LABELS))
    return folder


def figures(of):
    return {figure.name: figure for figure in of.figures}


def test_map_of_boxes_and_what_is_lost(files, boxed, tmp_path):
    data = open_boxes(boxed, LABELS)
    found = evaluate(files, data, state=tmp_path)
    worse, whole = found.results
    assert figures(whole)["mAP"].value == figures(whole)["AP50"].value == 1
    assert figures(worse)["AP50"].value == 1
    assert 0.5 < figures(worse)["mAP"].value < 0.75  # an overlap of 0.6 hits at three limits of ten
    assert figures(worse)["mAP"].low < figures(worse)["mAP"].value < figures(worse)["mAP"].high
    assert [(part.label, part.of) for part in whole.sizes] == [("small", 22)]
    assert sum(part.of for part in worse.parts) == 22
    change = found.change
    assert change.drop.estimate == pytest.approx(1 - figures(worse)["mAP"].value)
    assert change.drop.low > 0.2
    assert {a.name: a.value for a in change.alike}["F1"] == 1  # more than half of each box is the same
    assert change.verdict(0.01) == "fail"
    assert len(found.apart) == 0
    assert any("1 of 12 images have no box" in note for note in found.notes)
    lines = evaluated(files, found, "local")
    assert lines[0].figures[0].name == "mAP"
    assert checks.figure(change, Limits(), None).outcome == "fail"


def test_answers_that_were_kept_are_counted_again_or_refused(files, boxed, tmp_path):
    data, lines = open_boxes(boxed, LABELS), []
    first = evaluate(files, data, state=tmp_path)
    again = evaluate(files, data, state=tmp_path, say=lines.append)
    assert again == first
    assert any("resumed" in line for line in lines)
    path = next(tmp_path.glob("*.jsonl"))
    text = path.read_text().splitlines()
    record = json.loads(text[1])
    for field, value in (("found", record["found"][:1]), ("there", None), ("found", ["AAAA", "AAAA"])):
        path.write_text("\n".join([text[0], json.dumps(record | {field: value}), *text[2:], ""]))
        with pytest.raises(OutputError, match=r"boxes of 1 files|no labels|boxes that are none"):
            evaluate(files, data, state=tmp_path)


def test_labels_that_are_exchanged_or_shifted_are_suspected(files, boxed, tmp_path):
    def judged(names):
        folder = shutil.copytree(boxed, tmp_path / "-".join(names))
        (folder / "classes.txt").write_text("\n".join(names))
        return evaluate(files[1:], open_boxes(folder, LABELS), state=tmp_path / "state").suspicion

    one, two, three = LABELS
    assert judged((one, two, three)) is None
    assert f"'{two}' is answered as '{three}'" in (said := judged((one, three, two)))
    assert "100.0% of the boxes that are found would be right" in said
    assert "the labels seem to be shifted by one: counted one " in judged((two, three, one))


def test_without_boxes_two_files_are_compared_and_drawn(boxed, tmp_path):
    files = [detector(tmp_path / "far", 3), detector(tmp_path / "whole")]
    data = open_for(files[0], boxed / "images", unlabelled=True)
    found = evaluate(files, data, state=tmp_path / "state")
    assert found.results == ()
    assert found.change.drop is None
    assert {a.name: a.value for a in found.change.alike}["F1"] == 0.5
    assert len(found.apart) == 11
    assert document(found, 0.005)["images_needed"] is None
    assert {len(found.apart[0].reference), len(found.apart[0].candidate)} == {2}
    assert contact_sheet.draw_apart(found.apart, data, tmp_path / "sheet.png") == 11
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 900
    with pytest.raises(DataError, match="nothing says what is on"):
        evaluate(files[:1], data, state=tmp_path / "state")


def test_queries_that_changed_places_are_held_against_each_other(tmp_path):
    """Without NMS a network ranks its own answers: two files put those of like scores in another order."""
    file = Mock(artifact=detector(tmp_path / "ranked", task=Detection(nms=None)))
    boxes, scores = np.random.default_rng(0).random((2, 5, 4), np.float32)
    order = [1, 0, 2, 3, 4]
    answers = [(boxes[order], scores[order]), (boxes, scores)]
    kept = Detections([file, file], Mock()).keep(Mock(), Seen((), (WIDTH, HEIGHT)), answers)
    assert kept.sqnr_db is None


def test_what_is_judged_by_other_truths_is_refused(files, boxed):
    with pytest.raises(RequestError, match="a detection wants boxes"):
        open_for(files[0], boxed, labels_file=boxed / "classes.txt")
    with pytest.raises(RequestError, match="--images is about masks"):
        open_for(files[0], boxed, images="images", masks="labels", unlabelled=True)
    (boxed / "empty").mkdir(exist_ok=True)
    with pytest.raises(DataError, match="holds no boxes"):
        open_for(files[0], boxed / "empty")


def test_a_figure_that_no_draw_has_has_no_interval():
    said = bootstrap.intervals(3, lambda times: np.stack([times.sum(1), np.full(len(times), np.nan)], 1), rounds=10)
    assert said[0] == (3, 3, 3)
    assert np.isnan(said[1]).all()


def test_eval_tells_it(files, boxed, tmp_path):
    worse, whole = (str(file.folder) for file in files)
    done = ask_edgekit("eval", worse, "--data", boxed, "--reference", whole, "--state", tmp_path, "--no-save")
    assert "mAP lost" in done.stdout
    assert any(line.split() == ["size", "of", "worse", "whole"] for line in done.stdout.splitlines())
    assert "small" in done.stdout
    assert "points of mAP against whole" in done.stdout


def test_a_table_of_classes_is_for_classes(files, boxed, tmp_path):
    done = ask_edgekit("eval", files[0].folder, "--data", boxed, "--csv", "m.csv", cwd=tmp_path)
    assert (done.returncode, "--csv is for classes" in done.stderr) == (2, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_predict_shows_boxes_and_draws_them(files, boxed, tmp_path):
    whole, picture = files[1].folder, boxed / "images/03.png"
    done = ask_edgekit("predict", whole, picture, "--draw", tmp_path / "drawn.png", "-k", "1")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{picture}: ")
    assert "and 1 more" in lines[2]
    assert "overlooks" in lines[-1]
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(picture) as plain:
        assert drawn.size == plain.size
        assert drawn.tobytes() != plain.tobytes()
    found = json.loads(ask_edgekit("predict", whole, picture, "--json").stdout)["predictions"][0]["boxes"]
    truth = [line.split() for line in (boxed / "labels/03.txt").read_text().splitlines()]
    assert sorted(box["label"] for box in found) == sorted(LABELS[int(number)] for number, *_ in truth)
    assert all(box["box"][2] - box["box"][0] == pytest.approx(8) and box["score"] >= 0.5 for box in found)
    many = json.loads(ask_edgekit("predict", whole, picture, "--json", "--threshold", "0.05").stdout)
    assert len(many["predictions"][0]["boxes"]) > 20
    none = ask_edgekit("predict", whole, picture, "--threshold", "0.999").stdout.splitlines()
    assert none[0] == f"{picture}: nothing from 100% on"
    refused = ask_edgekit("predict", whole, picture, "--mask", tmp_path / "m.png")
    assert "--mask is for masks" in refused.stderr
