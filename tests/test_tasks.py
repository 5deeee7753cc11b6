"""Tasks: what answers mean, how alike two are, and what contradicts."""

import numpy as np
import pytest
from PIL import Image

from edgekit import drawing
from edgekit.preprocess import Placement, Preprocess, fit, placement
from edgekit.tasks import Classification, Embedding, Mask, Raw, Segmentation, Vector, segmentation
from edgekit.tasks.segmentation import Upsample, palette, upsampled
from edgekit.tensors import Tensor

RNG = np.random.default_rng(0)
HERE = Placement((1.0, 1.0), (0.0, 0.0), (4, 3))


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def tensor(shape, layout, role):
    return Tensor("t", shape, "float32", layout, role=role)


@pytest.mark.parametrize(
    ("task", "outputs", "labels", "says"),
    [
        (Classification(), [tensor((1, 5), "NC", "scores")], 5, None),
        (Classification(), [tensor((1, 5), "NC", "scores")], 4, "4 classes, and an output of NC"),
        (Classification(), [tensor((1, 5), "NC", "scores")] * 2, 5, "2 outputs"),
        (Embedding(), [tensor((1, 8), "NC", "embedding")], 0, None),
        (Embedding(), [tensor((1, 8), "NC", "embedding"), tensor((1, 4, 8), "NTC", "tokens")], 0, None),
        (Embedding(), [tensor((1, 8), "NC", "embedding")], 3, "3 labels"),
        (Embedding(), [tensor((1, 8), "NC", "scores")], 0, "outputs of scores"),
        (Segmentation(), [tensor((1, 4, 6, 3), "NHWC", "scores")], 3, None),
        (Segmentation(), [tensor((1, 3, 4, 6), "NCHW", "scores")], 3, None),
        (Segmentation(), [tensor((1, 1, 4, 6), "NCHW", "scores")], 2, None),
        (Segmentation(), [tensor((1, 4, 6, 3), "NHWC", "scores")], 4, "4 labels, and 3 channels"),
        (Segmentation(palette=((0, 0, 0),)), [tensor((1, 3, 4, 6), "NCHW", "scores")], 3, "1 colours"),
        (Segmentation(background=3), [tensor((1, 3, 4, 6), "NCHW", "scores")], 3, "background of number 3"),
        (Segmentation(), [tensor((1, 3), "NC", "scores")], 3, "not one map"),
        (Raw(), [tensor((1, 3, 2), "", "")], 0, None),
        (Raw(), [tensor((1, 3, 2), "", "")], 2, "2 labels"),
        (Raw(), [], 0, "no outputs"),
    ],
)
def test_what_contradicts_a_task_is_named(task, outputs, labels, says):
    fault = task.fault(outputs, labels)
    assert fault == says if says is None else says in fault


@pytest.mark.parametrize(
    ("task", "shape"),
    [(Classification(), (9, 5)), (Embedding(), (9, 16)), (Segmentation(), (9, 3, 8, 8)), (Raw(), (9, 2))],
)
def test_likeness_adds_up_over_batches(task, shape):
    reference = normal(*shape)
    values = reference + 0.3 * normal(*shape)
    whole = task.alike((reference,), (values,))
    parts = task.alike((reference[:4],), (values[:4],)) + task.alike((reference[4:],), (values[4:],))
    assert whole.sqnr_db == pytest.approx(parts.sqnr_db)
    assert (whole.max_abs, whole.shares) == (parts.max_abs, parts.shares)
    assert task.measures(whole, "int8-static") == task.measures(parts, "int8-static")
    assert all(m.value == 1 and m.reached for m in task.measures(task.alike((reference,), (reference,)), "fp32"))


@pytest.mark.parametrize("task", [Classification(), Embedding(), Segmentation()])
def test_answers_that_are_no_numbers_reach_nothing(task):
    reference = normal(3, 4, 2, 2) if isinstance(task, Segmentation) else normal(3, 4)
    broken = np.full_like(reference, np.nan)
    assert not any(m.reached for m in task.measures(task.alike((reference,), (broken,)), "int8-static"))


def test_one_broken_embedding_in_many_is_seen():
    reference = normal(32, 64)
    values = reference.copy()
    values[7] = reference[7] + 1.2 * normal(64)
    likeness = Embedding().alike((reference,), (values,))
    worst, centred, _ = Embedding().measures(likeness, "int8-static")
    assert likeness.sqnr_db > 13  # which a mean would let pass
    assert (worst.value < 0.9, worst.reached, centred.reached) == (True, False, False)


def test_embeddings_that_all_point_one_way_are_judged_by_what_is_left():
    bias = 50 * np.ones(64, np.float32)
    reference, values = normal(20, 64) + bias, normal(20, 64) + bias
    worst, centred, same = Embedding().measures(Embedding().alike((reference,), (values,)), "int8-static")
    assert worst.reached
    assert not centred.reached
    assert not same.reached


def test_a_vector_is_nearest_to_itself():
    gallery = normal(5, 8)
    near = Vector(gallery[3] * 7).similarity(gallery)
    assert near.argmax() == 3
    assert near[3] == pytest.approx(1)


@pytest.mark.parametrize("how", [Upsample(), Upsample(align_corners=True), Upsample("nearest")])
def test_scores_are_resized_by_the_rule_of_the_manifest(how):
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4).repeat(2, 1)
    row = upsampled(ramp, (2, 8), how)[0, 0]
    wanted = {
        Upsample(): [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3],
        Upsample(align_corners=True): np.arange(8) * 3 / 7,
        Upsample("nearest"): [0, 0, 1, 1, 2, 2, 3, 3],
    }[how]
    np.testing.assert_allclose(row, wanted, atol=1e-6)
    assert row.dtype == np.float32


def test_a_mask_has_the_size_of_its_image():
    scores = np.zeros((2, 2, 2), np.float32)
    scores[1, 0, 1] = 5  # upper right
    at = placement((7, 5), Preprocess((4, 4), crop_pct=1, crop_mode="squash"))
    mask = Segmentation(upsample=Upsample("nearest")).read((scores,), at, (4, 4))
    assert mask.labels.shape == (5, 7)
    assert (mask.labels[:2, 4:] == 1).all()
    assert (mask.labels[3:] == 0).all()
    np.testing.assert_allclose(mask.shares(3), [1 - mask.labels.mean(), mask.labels.mean(), 0])


@pytest.mark.parametrize("size", [(4, 6), (9, 5), (33, 48)])
def test_a_mask_is_the_same_strip_by_strip(monkeypatch, size):
    scores, at = normal(5, 4, 6), placement((48, 33), Preprocess(size, crop_pct=1, crop_mode="squash"))
    whole = Segmentation().read((scores,), at, size)
    monkeypatch.setattr(segmentation, "AT_ONCE", 600)
    np.testing.assert_array_equal(Segmentation().read((scores,), at, size).labels, whole.labels)


def test_one_channel_is_background_and_what_is_sought():
    logits = np.array([-1.0, 0.5, 2.0], np.float32).reshape(1, 1, 1, 3)
    assert Segmentation().classes(logits).tolist() == [[[0, 1, 1]]]
    assert Segmentation(threshold=0.8).classes(logits).tolist() == [[[0, 0, 1]]]
    assert Segmentation("probabilities", 0.8).classes(logits).tolist() == [[[0, 0, 1]]]


def test_of_a_tie_either_class_is_the_same():
    reference = np.zeros((1, 2, 4, 4), np.float32)
    reference[0, 0] = 1.0
    reference[0, 1] = 0.2
    reference[0, 1, 0, 0] = 1 - 1e-6  # a tie
    flipped = reference.copy()
    flipped[0, 1, 0, 0] = 1 + 1e-6
    assert Segmentation().alike((reference,), (flipped,)).shares == (1.0,)
    flipped[0, 1, 3, 3] = 1.5
    assert Segmentation().alike((reference,), (flipped,)).shares == (15 / 16,)


def test_a_letterbox_shows_the_whole_image_and_leads_back():
    spec = Preprocess((32, 48), crop_pct=1, crop_mode="letterbox", interpolation="nearest", pad=114)
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 15:] = 255
    fitted, at = fit(Image.fromarray(picture), spec), placement((30, 10), spec)
    assert (fitted[:8] == 114).all()
    assert (fitted[24:] == 114).all()
    assert (fitted[8:24, :24] == 0).all()
    assert (fitted[8:24, 24:] == 255).all()
    np.testing.assert_allclose(at.back(np.array([[0, 8], [48, 24]])), [[0, 0], [30, 10]])
    np.testing.assert_array_equal(fitted[at.pixels(1, 32)[:, None], at.pixels(0, 48)[None]], picture)


def test_grey_is_pillows_l_to_the_bit():
    picture = RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    spec = Preprocess((9, 9), crop_pct=1, interpolation="nearest", mean=(0.5,), std=(0.5,))
    r, g, b = picture.astype(np.int64).transpose(2, 0, 1)
    wanted = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
    np.testing.assert_array_equal(fit(Image.fromarray(picture), spec)[..., 0], wanted)


@pytest.mark.parametrize("strip", [drawing.STRIP, 100])
def test_a_mask_is_drawn_over_its_image_and_kept_as_numbers(monkeypatch, strip):
    monkeypatch.setattr(drawing, "STRIP", strip)
    labels = np.zeros((60, 80), np.uint8)
    labels[:, 40:] = 2
    mask, colours = Mask(labels), palette(3)
    kept = drawing.mask_picture(mask, colours)
    np.testing.assert_array_equal(np.asarray(kept), labels)
    drawn = np.asarray(drawing.over(Image.new("RGB", (80, 60), "white"), mask, colours, ["floor", "cat", "dog"], 0))
    assert (drawn[50, 10] == 255).all()  # the background stays
    np.testing.assert_array_equal(drawn[50, 70], np.rint(0.45 * 255 + 0.55 * np.array(colours[2])))
    assert colours[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
