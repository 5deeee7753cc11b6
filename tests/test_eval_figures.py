"""Figures from recorded answers: what is lost, which verdict follows, and signs that the labels are wrong."""

import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import GOLDEN_FILES
from PIL import Image

from edgekit import artifact
from edgekit.data import open_data
from edgekit.errors import RequestError
from edgekit.evaluation import Evaluation, contact_sheet
from edgekit.evaluation.accuracy import Flip, Tally, drop_verdict, pair
from edgekit.evaluation.answers import Answer, Record, best
from edgekit.evaluation.classes import changed
from edgekit.evaluation.label_check import suspicion
from edgekit.evaluation.results import Apart
from edgekit.evaluation.words import sentence
from edgekit.tasks.classification import Classification

LABELS = [f"class {i}" for i in range(10)]


def answer(first, p=0.9):
    return Answer((first, (first + 1) % 10), (2.0, 1.0), (p, (1 - p) / 2))


def records(*groups):
    """(how many, right class, candidate's, reference's)"""
    rows = [row for count, *row in groups for _ in range(count)]
    return [
        Record(i, f"{i}.png", (meant,), (answer(ours), answer(theirs)), 20.0)
        for i, (meant, ours, theirs) in enumerate(rows)
    ]


def paired(*groups, labelled=True):
    return pair(records(*groups), "ours", "theirs", LABELS, labelled=labelled)


def evaluation(found):
    return Evaluation("data", (), found.pictures, (), (), found, None, "x86", "", change=changed(found))


def tally(rows):
    counted = Tally(0)
    for row in rows:
        counted.add(row)
    return counted


@pytest.mark.parametrize(
    ("groups", "verdict", "said"),
    [
        ([(10_000, 1, 1, 1)], "pass", "loses at most 0.02 points"),
        ([(9_900, 1, 1, 1), (100, 1, 1, 2)], "pass", "loses nothing"),
        ([(9_800, 1, 1, 1), (150, 1, 2, 1), (50, 1, 1, 2)], "fail", "loses 1.00 points"),
        ([(98, 1, 1, 1), (2, 1, 2, 1)], "inconclusive", "100 images do not decide"),
        ([(9_800, 1, 1, 1), (120, 1, 2, 1), (80, 1, 1, 2)], "inconclusive", "the loss is too near to 0.50"),
    ],
)
def test_the_verdict_on_a_drop_of_half_a_point(groups, verdict, said):
    found = paired(*groups)
    assert drop_verdict(found, 0.005) == verdict
    assert said in sentence(evaluation(found), 0.005)


def test_without_labels_few_flips_prove_that_little_is_lost():
    found = paired((1000, 1, 1, 1), labelled=False)
    assert 1 - found.agreement.low == pytest.approx(0.0038, abs=1e-4)
    assert drop_verdict(found, 0.005) == "pass"
    assert "at most 0.38 points" in sentence(evaluation(found), 0.005)
    found = paired((100, 1, 1, 1), (5, 1, 2, 1), labelled=False)
    assert drop_verdict(found, 0.005) == "inconclusive"
    assert found.flips[0].kind == "not labelled"


def test_lost_won_and_flips():
    found = paired((50, 1, 1, 1), (3, 1, 2, 1), (2, 1, 1, 2), (4, 1, 3, 2))
    assert (found.lost, found.won, len(found.flips)) == (3, 2, 9)
    assert found.discordance == pytest.approx(5 / 59)
    assert found.midp == pytest.approx((6 + 10 / 2) / 32)
    assert [f.kind for f in found.flips].count("both wrong") == 4
    assert found.needed(0.01) > found.needed(0.02)


def test_agreement_where_the_reference_is_sure():
    rows = [
        Record(0, "a", (1,), (answer(1), answer(1, 0.9)), None),
        Record(1, "b", (1,), (answer(1), answer(2, 0.2)), 10.0),
    ]
    found = pair(rows, "ours", "theirs", LABELS, labelled=True)
    assert (found.agreement.hits, found.agreement.of) == (1, 2)
    assert (found.confident_agreement.hits, found.confident_agreement.of) == (1, 1)
    assert (found.sqnr_db_p10, found.sqnr_db_p50) == (10.0, 10.0)


def test_an_image_of_several_classes_is_right_as_any_of_them():
    counted = tally([Record(0, "a", (4, 7), (answer(7),)), Record(1, "b", (4, 7), (answer(3),))])
    accuracy = counted.accuracy("ours", "", "", LABELS)
    assert (accuracy.top1.hits, accuracy.top5.hits) == (1, 2)  # 3 and 4 are the best two of the second
    assert [(c.index, c.top1.hits, c.top1.of) for c in accuracy.classes] == [(4, 0, 1), (7, 1, 1)]


def test_the_best_five_of_scores():
    head = best(np.array([0, 3, 1, 3, -1, 2, 0.5], np.float32))
    assert head.classes == (1, 3, 5, 2, 6)
    assert head.scores == (3, 3, 2, 1, 0.5)
    assert head.margin == 0
    assert best(np.array([0.25, 0.75], np.float32), Classification("probabilities")).margin == 0.5


def suspect(rows, reference=True):
    counted = tally(rows)
    found = pair(rows, "ours", "theirs", LABELS, labelled=True) if reference else None
    return suspicion(counted.first, counted.accuracy("ours", "", "", LABELS), found, LABELS)


def test_right_labels_raise_no_suspicion():
    rng = np.random.default_rng(1)
    for share in (0.3, 0.6, 0.95):
        rows = records(
            *((1, i % 10, *(2 * [i % 10 if rng.random() < share else int(rng.integers(10))])) for i in range(300))
        )
        assert suspect(rows) is None
    confused = records((30, 1, 1, 1), (30, 2, 1, 1), (30, 3, 3, 3))  # bad at telling 1 from 2, not exchanged
    assert suspect(confused) is None
    always_three = records((40, 2, 3, 3), (20, 5, 3, 3))
    assert suspect(always_three) is None


def test_labels_shifted_by_one():
    assert "counted one higher" in suspect(records(*((10, i, i + 1, i + 1) for i in range(9))))


def test_two_labels_exchanged():
    rows = records((20, 1, 2, 2), (20, 2, 1, 1), *((20, i, i, i) for i in range(3, 9)))
    said = suspect(rows)
    assert "'class 1' is answered as 'class 2'" in said
    assert "100.0% would be right, not 75.0%" in said


def test_chance_with_agreement_or_sureness_means_wrong_labels():
    rng = np.random.default_rng(2)
    rows = records(*((1, int(rng.integers(10)), *(2 * [int(rng.integers(10))])) for _ in range(400)))
    said = suspect(rows)
    assert "as often as chance" in said
    assert "agrees with theirs on 100%" in said
    assert "mean probability 90%" in said


def test_the_contact_sheet_shows_flips(tmp_path):
    for i in range(8):
        Image.new("RGB", (30, 20), (0, 30 * i, 0)).save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, LABELS)
    flips = [Flip(i, f"{i}.png", ("class 1, one",), "lost", "class 1, one", "class 2", 0.5, 0.1) for i in (7, 2, 5)]
    assert contact_sheet.draw(flips, data, tmp_path / "new/sheet.png") == 3
    with Image.open(tmp_path / "new/sheet.png") as sheet:
        assert [sheet.getpixel((90 + 170 * i, 90)) for i in range(3)] == [(0, 210, 0), (0, 60, 0), (0, 150, 0)]
    with pytest.raises(RequestError, match=r"x\.txt does not end as an image"):
        contact_sheet.draw(flips, data, Path("x.txt"))
    assert contact_sheet.draw([], data, tmp_path / "none.png") == 0


def test_a_contact_sheet_keeps_thumbnails_and_not_images(tmp_path):
    opened, at_once = [], []

    def opening():
        picture = Image.new("RGB", (300, 200))
        opened.append(weakref.ref(picture))
        at_once.append(sum(each() is not None for each in opened))
        return picture

    class Data:
        def read(self, positions):
            return (SimpleNamespace(position=position, open=opening) for position in positions)

    flips = [Flip(i, f"{i}.png", ("class 1",), "lost", "class 1", "class 2", 0.5, 0.1) for i in range(12)]
    apart = [Apart(i, f"{i}.png", 0.5, (), ()) for i in range(12)]
    assert contact_sheet.draw(flips, Data(), tmp_path / "flips.png") == 12
    assert contact_sheet.draw_apart(apart, Data(), tmp_path / "boxes.png") == 12
    assert (len(opened), max(at_once)) == (24, 1)


def test_a_contact_sheet_of_clips_is_refused():
    with pytest.raises(RequestError, match="draws images, and clips-tflite-fp32 takes clips"):
        contact_sheet.check_task(artifact.load(GOLDEN_FILES / "clips-tflite-fp32"))
