import math
import random

import pytest

from edgekit.statistics.intervals import estimate, percentiles, t_cdf, t_quantile


@pytest.mark.parametrize(
    ("p", "freedom", "t"),  # tables of Student's t
    [(0.975, 1, 12.706), (0.975, 4, 2.776), (0.99, 3, 4.541), (0.99, 10, 2.764), (0.95, 30, 1.697)],
)
def test_students_t(p, freedom, t):
    assert t_quantile(p, freedom) == pytest.approx(t, abs=6e-4)
    assert t_cdf(t, freedom) == pytest.approx(p, abs=1e-4)


def test_below_five_launches_it_is_the_plain_t_interval():
    found = estimate([1.0, 2.0, 3.0, 4.0], 0.975)
    error = math.sqrt(5 / 3) / 2
    assert (found.value, found.error) == pytest.approx((2.5, error))
    assert found.high - found.value == pytest.approx(3.182 * error, rel=1e-3)


def test_one_mad_launch_moves_nothing():
    calm = [0.010, 0.012, 0.008, 0.011, 0.009, 0.010, 0.012, 0.008]
    mad = [*calm[:-1], 3.0]
    assert estimate(mad, 0.99).value == pytest.approx(estimate(calm, 0.99).value, abs=0.001)
    assert estimate(mad, 0.99).high < 0.02


def test_the_interval_covers_as_often_as_it_says():
    rng = random.Random(0)
    held = 0
    for _ in range(2000):
        found = estimate([rng.gauss(0.03, 0.01) for _ in range(6)], 0.975)
        held += found.low <= 0.03 <= found.high
    assert 0.93 <= held / 2000 <= 0.98


def test_what_is_detectable_is_detected():
    found = estimate([0.01, -0.01, 0.02, -0.02], 0.99)
    assert found.detectable == pytest.approx(3.97 * found.error, rel=1e-3)


def test_percentiles_only_where_there_are_samples_for_them():
    assert set(percentiles(range(63))) == {"p50"}
    assert set(percentiles(range(64))) == {"p50", "p90"}
    assert set(percentiles(range(662))) == {"p50", "p90", "p99"}
