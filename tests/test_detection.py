"""Boxes: which are kept, where they lie in the image, how alike two files find them."""

import numpy as np
import pytest

from edgekit import parity, recipe
from edgekit.errors import RecipeError
from edgekit.preprocess import Placement
from edgekit.tasks import Boxes, Detection, Nms, caution
from edgekit.tasks.boxes import kept, overlaps
from edgekit.tensors import Tensor, thinned, thinned_shape

RNG = np.random.default_rng(0)
CASES = [Detection(), Detection(limit=7), Detection(nms=Nms(candidates=40)), Detection(nms=None, limit=50)]


def answer(anchors, classes, *, side=416, seed=0, ties=False):
    """Boxes [a, 4] and scores [a, c], many of them around one thing."""
    rng = np.random.default_rng(seed)
    things = rng.uniform(0, side, (8, 2))
    centre = things[rng.integers(8, size=anchors)] + rng.normal(0, 9, (anchors, 2))
    half = rng.uniform(10, 60, (anchors, 2))
    scores = rng.uniform(0, 1, (anchors, classes)) ** 3
    if ties:
        scores = np.round(scores, 1)
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32), scores.astype(np.float32)


def by_hand(task, boxes, scores, threshold):
    """The rule as it is told, one box at a time."""
    pairs = [
        (a, c) for a in range(len(scores)) for c in range(scores.shape[1]) if scores[a, c] >= np.float32(threshold)
    ]
    pairs.sort(key=lambda pair: (-scores[pair], pair))
    shown = []
    for a, c in pairs[: task.nms.candidates if task.nms else None]:
        same = [boxes[b] for b, d in shown if d == c]
        if not task.nms or not any(overlaps(boxes[a][None], b[None])[0, 0] > np.float32(task.nms.iou) for b in same):
            shown.append((a, c))
    return shown[: task.limit]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("task", CASES)
def test_boxes_are_kept_by_one_rule(task, ties):
    boxes, scores = answer(60, 5, ties=ties)
    for threshold in (0.001, 0.3, 0.999):
        shown = by_hand(task, boxes, scores, threshold)
        found = task.found((boxes, scores), threshold)
        assert [(b.tolist(), c) for b, c in zip(found.boxes, found.labels, strict=True)] == [
            (boxes[a].tolist(), c) for a, c in shown
        ]
        assert found.scores.tolist() == [scores[pair] for pair in shown]


def test_an_overlap_of_just_the_limit_is_kept_and_other_labels_do_not_count():
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 2.01], [0, 0, 4, 4]], np.float32)
    assert kept(boxes, np.array([0, 0, 0, 1]), 0.5).tolist() == [True, True, False, True]


def test_boxes_without_an_area_or_out_of_all_bounds_are_kept():
    boxes = np.array([[3, 3, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2], [-3e38, -3e38, 3e38, 3e38]], np.float32)
    assert kept(boxes, np.zeros(4, np.int64), 0.5).all()


def test_boxes_lie_in_the_images_own_pixels_and_end_at_its_edges():
    boxes = np.array([[10, 30, 20, 50], [-5, 0, 500, 500]], np.float32)
    scores = np.array([[0.9], [0.8]], np.float32)
    at = Placement((0.5, 0.5), (0.0, 20.0), (200, 120))
    found = Detection().read((boxes, scores), at, (100, 100))
    assert found.boxes.tolist() == [[20, 20, 40, 60], [0, 0, 200, 120]]
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)


def tensors(boxes=(1, 9, 4), scores=(1, 9, 3), layout="NAC", dtype="float32", roles=("boxes", "scores")):
    shapes = zip(roles, (boxes, scores), strict=True)
    return [Tensor(role, shape, dtype, layout, role=role) for role, shape in shapes]


@pytest.mark.parametrize(
    ("task", "outputs", "says"),
    [
        (Detection(), tensors(), None),
        (Detection(), tensors()[:1], "not boxes and their scores"),
        (Detection(), tensors(roles=("scores", "boxes")), "not boxes and their scores"),
        (Detection(), tensors(layout="NTC"), "not boxes and their scores"),
        (Detection(), tensors(dtype="int8"), "float32, not int8"),
        (Detection(), tensors(boxes=(1, 8, 4)), "boxes [1, 8, 4], and scores [1, 9, 3]"),
        (Detection(), tensors(boxes=(1, 9, 5)), "boxes [1, 9, 5]"),
        (Detection(), tensors(scores=(1, 9, 2)), "3 labels, and 2 scores"),
        (Detection(palette=((0, 0, 0),)), tensors(), "1 colours"),
    ],
)
def test_what_contradicts_a_detection_is_named(task, outputs, says):
    fault = task.fault(outputs, 3)
    assert fault == says if says is None else says in fault


def batch(pictures, noise=0.0, scale=1.0):
    both = [answer(90, 4, seed=i) for i in range(pictures)]
    rng = np.random.default_rng(9)
    boxes = np.stack([b for b, _ in both]) + noise * rng.normal(size=(pictures, 90, 4))
    scores = np.stack([s for _, s in both]) * scale
    return boxes.astype(np.float32), scores.astype(np.float32)


def test_a_likeness_of_boxes_adds_up_and_equal_ones_are_alike():
    task, reference, values = Detection(), batch(7), batch(7, noise=9)
    whole = task.alike(reference, values)
    parts = [task.alike(*([v[some] for v in of] for of in (reference, values))) for some in (slice(3), slice(3, 7))]
    assert task.measures(whole, "int8-static") == task.measures(parts[0] + parts[1], "int8-static")
    assert whole.shares == parts[0].shares + parts[1].shares
    same = task.alike(reference, reference)
    assert {m.value for m in task.measures(same, "fp32")} == {1} == {*same.shares}
    values = task.measures(whole, "int8-static")
    assert all(0.1 < m.value < 0.95 for m in values)
    assert str(values[0]).endswith("(limit 85%)")


def test_where_little_is_found_the_measures_are_advisory():
    task, few = Detection(), batch(2, scale=0.3)
    measures = task.measures(task.alike(few, batch(2, noise=30)), "int8-static")
    assert all(m.reached and m.advisory for m in measures)
    assert "(advisory)" in str(measures[0])
    assert caution(measures).startswith("PyTorch finds fewer than 50 things on the proof images")
    nothing = batch(2, scale=0.01)
    assert {m.value for m in task.measures(task.alike(nothing, nothing), "fp32")} == {1}
    assert caution(task.measures(task.alike(batch(7), batch(7)), "fp32")) is None


def test_broken_numbers_reach_nothing():
    task, reference = Detection(), batch(7)
    broken = (np.full_like(reference[0], np.nan), reference[1])
    assert not any(m.reached for m in task.measures(task.alike(reference, broken), "int8-static"))
    assert not task.can_be((reference[0], reference[1] * 2))


def test_of_many_boxes_some_are_golden_with_their_scores():
    outputs, values = tensors(), (np.arange(36.0).reshape(1, 9, 4), np.arange(27.0).reshape(1, 9, 3))
    boxes, scores = thinned(values, outputs, 4)
    assert (boxes[0, :, 0] / 4).tolist() == (scores[0, :, 0] / 3).tolist() == [0, 4, 8]
    assert [thinned_shape(o, 4) for o in outputs] == [(3, 4), (3, 3)]


def test_flags_that_mean_something_for_boxes():
    recipe.check(recipe.Recipe("m", "onnx", task="detection", labels="l.txt", threshold=0.4))
    with pytest.raises(RecipeError, match="--softmax means nothing for the task detection"):
        recipe.check(recipe.Recipe("m", "onnx", task="detection", softmax=True))


def test_a_label_has_its_own_colour_and_none_is_black():
    colours = Detection().colours(80)
    assert len({*colours}) == 80
    assert (0, 0, 0) not in colours
    assert (
        Boxes(*(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))).above(0.5).labels.size
        == 0
    )


@pytest.mark.parametrize(("scheme", "passes"), [("int8-static", True), ("fp32", False)])
def test_a_proof_that_finds_little_judges_no_int8_file_and_every_other(scheme, passes):
    few, noisy = batch(4, scale=0.3), batch(4, noise=400, scale=0.3)
    proof = parity.prove(Detection(), scheme, [(few, noisy)], runtime="r", source="s", untrained=False)
    assert proof.sqnr_db < proof.min_sqnr_db
    assert (proof.advisory, proof.passed) == (passes, passes)


def test_a_proof_looks_at_more_images_until_enough_is_found():
    one, asked = batch(1), []
    task = Detection(threshold=float(one[1].max()))
    assert len(task.found(tuple(v[0] for v in one))) == 1

    def answers(count):
        asked.clear()
        for i in range(count):
            asked.append(i)
            yield one, one

    for there, seen in ((32, 32), (40, 40), (500, 50)):
        proof = parity.prove(task, "int8-static", answers(there), runtime="r", source="s", untrained=False)
        assert (proof.pictures, len(asked), proof.advisory) == (seen, seen, seen < 50)


@pytest.mark.parametrize("wrong", [0, 8, 100])
def test_a_proof_that_misses_on_its_first_images_looks_at_all(wrong):
    """And is not cut off where it first passes."""
    right, off = batch(1), batch(1, noise=90)
    answers = [(right, off if i < wrong else right) for i in range(128)]
    proof = parity.prove(Detection(), "int8-static", answers, runtime="r", source="s", untrained=False)
    assert (proof.pictures, proof.passed) == (128 if wrong else 32, wrong < 100)


def test_queries_that_changed_places_are_the_same_queries():
    reference = batch(3)
    swapped = tuple(of.copy() for of in reference)
    for of in swapped:
        of[1, [4, 70]] = of[1, [70, 4]]
    assert Detection().alike(reference, swapped).sqnr_db < 60
    queries = Detection(nms=None)
    assert queries.alike(reference, swapped).sqnr_db == np.inf
    swapped[0][1, 4] += 50
    assert 10 < queries.alike(reference, swapped).sqnr_db < 60
    another = batch(3, noise=300)
    assert queries.alike(reference, another).sqnr_db < 5
    assert queries.alike(reference, tuple(of * np.float32(np.nan) for of in reference)).sqnr_db == -np.inf
