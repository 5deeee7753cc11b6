"""The images that travel with an artifact: nobody's, unless they were asked for."""

import numpy as np
import pytest

from edgekit import calibration, golden, zoo
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe
from edgekit.scenes import scenes

SPEC = Preprocess((32, 32))


@pytest.fixture
def taken(pictures, tmp_path):
    """`taken("own")`: the record and the images, for a folder of one's own that calibrates."""
    chosen = calibration.choose(str(pictures), 8, 0, SPEC, None, tmp_path)

    def take(whose, sheet=None):
        recipe = Recipe(model="m", target="tflite", golden=whose, calibration=str(pictures))
        return *golden.choose(recipe, chosen, sheet, SPEC, tmp_path), list(chosen.proof)

    return take


def is_one_of(picture, others):
    return any(np.array_equal(picture, other) for other in others)


def test_drawn_images_are_the_same_each_time_and_no_two_alike():
    first, again = list(scenes(golden.DRAWN, 24, 32)), list(scenes(golden.DRAWN, 24, 32))
    assert all(map(np.array_equal, first, again))
    assert len({p.tobytes() for p in first}) == golden.DRAWN
    assert {(p.shape, p.dtype.name) for p in first} == {((24, 32, 3), "uint8")}
    neighbours = np.mean([np.abs(np.diff(p.astype(float), axis=1)).mean() for p in first])
    contrast = np.mean([p.std() for p in first])
    assert neighbours < contrast / 3  # structure: of noise alone, neighbours differ as much as any two pixels


@pytest.mark.parametrize("size", [(1, 1), (7, 200), (28, 28)])
def test_any_input_size_can_be_drawn(size):
    assert all(picture.shape == (*size, 3) for picture in scenes(6, *size))


def test_ones_own_images_travel_only_where_that_is_asked(taken):
    record, shown, own = taken("public")
    assert not record.own
    assert not any(is_one_of(picture, own) for picture in shown)
    record, shown, own = taken("own")
    assert record.own
    assert "your own" in record.words
    assert len(shown) == golden.PICTURES
    assert all(is_one_of(picture, own) for picture in shown)


def test_weights_that_come_with_images_are_asked_about_those(taken):
    record, shown, own = taken("public", zoo.BUNDLED / "fashion-mnist.png")
    assert not record.own
    assert "Fashion-MNIST" in record.source
    assert not any(is_one_of(picture, own) for picture in shown)


def test_what_calibrates_and_proves_stays_what_it_was_beside_weights_that_come_with_images(taken, tmp_path):
    *_, own = taken("own")
    calibrating = (tmp_path / "calibration").read_bytes()
    *_, proving = taken("public", zoo.BUNDLED / "fashion-mnist.png")
    assert (tmp_path / "calibration").read_bytes() == calibrating
    assert all(map(np.array_equal, own, proving))


def test_those_that_are_answered_most_differently_are_kept():
    answers = np.array([[1, 0], [1, 0.1], [0, 9], [-5, 0], [1, 0], [5, 5]], np.float32)
    assert golden._apart(answers) == [2, 3, 5, 1]
    assert sorted(golden._apart(np.zeros((6, 2), np.float32))) == [0, 1, 2, 3]  # never one twice
