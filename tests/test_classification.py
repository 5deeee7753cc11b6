import math

import numpy as np

from edgekit.tasks.classification import agreement, softmax, sqnr_db, top_k


def test_softmax_survives_large_scores():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0]], np.float32)), [[0.5, 0.5]])


def test_top_k_is_ordered_and_ties_go_to_the_lower_class():
    assert top_k(np.array([0.2, 0.4, 0.4], np.float32), 2) == [(1, np.float32(0.4)), (2, np.float32(0.4))]


def test_sqnr():
    reference = np.array([3.0, 4.0], np.float32)
    assert sqnr_db(reference, reference) == math.inf
    assert math.isclose(sqnr_db(reference, reference + np.array([0.5, 0], np.float32)), 20.0)
    assert sqnr_db(np.zeros(2, np.float32), reference) == -math.inf


def test_agreement():
    assert agreement(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]) == 0.75
