import math

import numpy as np
import pytest

from edgekit.tasks.classification import Classification, top_k
from edgekit.tasks.likeness import sqnr_db

SCORES = np.array([[1000.0, 1000.0], [-1.0, 2.0]], np.float32)


def test_softmax_survives_large_scores():
    np.testing.assert_allclose(Classification().probabilities(SCORES[:1]), [[0.5, 0.5]])


def test_probabilities_of_every_kind_of_scores():
    odds = 1 / (1 + np.exp([1.0, -2.0]))
    np.testing.assert_allclose(Classification("logits", True).probabilities(SCORES)[1], odds, rtol=1e-6)
    np.testing.assert_allclose(Classification("logits", True).probabilities(SCORES * -1)[0], [0, 0])
    logs = np.log(np.array([[0.25, 0.75]], np.float32))
    for independent in (False, True):
        np.testing.assert_allclose(Classification("log-probabilities", independent).probabilities(logs), [[0.25, 0.75]])
        assert Classification("probabilities", independent).probabilities(logs) is not None
        np.testing.assert_array_equal(Classification("probabilities", independent).probabilities(logs), logs)


@pytest.mark.parametrize(
    "meaning",
    [
        Classification(),
        Classification("logits", True),
        Classification("log-probabilities"),
        Classification("probabilities"),
    ],
)
def test_the_formula_in_words_is_what_is_computed(meaning):
    scores = np.array([[-1.5, -0.25, -3.0]], np.float32)
    said = eval(meaning.formula, {"numpy": np, "scores": scores})  # noqa: S307
    np.testing.assert_allclose(meaning.probabilities(scores), said, rtol=1e-6)


def test_top_k_is_ordered_and_ties_go_to_the_lower_class():
    assert top_k(np.array([0.2, 0.4, 0.4], np.float32), 2) == [(1, np.float32(0.4)), (2, np.float32(0.4))]


def test_sqnr():
    reference = np.array([3.0, 4.0], np.float32)
    assert sqnr_db(reference, reference) == math.inf
    assert math.isclose(sqnr_db(reference, reference + np.array([0.5, 0], np.float32)), 20.0)
    assert sqnr_db(np.zeros(2, np.float32), reference) == -math.inf


def test_agreement_of_classes_that_exclude_each_other():
    assert Classification().agreement(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]) == 0.75


def test_agreement_of_independent_classes_is_of_whole_sets():
    first = np.array([[0.6, 0.9], [0.1, 0.2], [0.5, 0.4], [0.7, 0.7]], np.float32)
    second = np.array([[0.9, 0.6], [0.2, 0.1], [0.5, 0.6], [0.7, 0.4]], np.float32)
    assert Classification("probabilities", True).agreement(first, second) == 0.5
    assert Classification("probabilities", True, 0.3).agreement(first, second) == 1
    assert Classification("logits", True).agreement(np.array([[-4.0]], np.float32), np.array([[4.0]], np.float32)) == 0
