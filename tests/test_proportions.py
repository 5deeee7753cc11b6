"""Against published and hand-computed values, and by simulation with a fixed seed."""

import math

import numpy as np
import pytest

from edgekit.statistics.proportions import agresti_min, images_needed, mcnemar_midp, wilson


def test_wilson_against_published_values():
    # Newcombe 1998, table I: 81 of 263, and 15 of 148
    assert (wilson(81, 263).low, wilson(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert (wilson(15, 148).low, wilson(15, 148).high) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert (wilson(0, 20).low, wilson(0, 20).high) == pytest.approx((0, 0.1611), abs=1e-4)
    assert (wilson(29, 29).low, wilson(29, 29).high) == pytest.approx((0.8830, 1), abs=1e-4)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


@pytest.mark.parametrize(("n", "points"), [(100, 8.7), (500, 3.9), (1000, 2.8), (5000, 1.24), (10_000, 0.88)])
def test_the_half_width_of_an_accuracy_of_72_percent(n, points):
    share = wilson(round(0.72 * n), n)
    assert 100 * (share.high - share.low) / 2 == pytest.approx(points, abs=0.06)


def test_mcnemar_by_hand():
    assert mcnemar_midp(0, 0) == 0.5
    assert mcnemar_midp(1, 0) == 0.25
    assert mcnemar_midp(3, 1) == pytest.approx(1 / 16 + 4 / 32)
    assert mcnemar_midp(1, 3) == pytest.approx(1 - mcnemar_midp(3, 1))
    # Fagerland et al. 2013: 1 against 7 of 21, two-sided mid-p 0.039
    assert 2 * mcnemar_midp(7, 1) == pytest.approx(0.039, abs=5e-4)
    assert mcnemar_midp(3000, 2000) < 1e-40


def test_agresti_min_by_hand():
    drop = agresti_min(10, 4, 98)  # N = 100, B = 10.5, C = 4.5
    half = 1.959964 * math.sqrt(15 - 36 / 100) / 100
    assert drop.estimate == pytest.approx(6 / 98)
    assert (drop.low, drop.high) == pytest.approx((0.06 - half, 0.06 + half), abs=1e-6)
    assert agresti_min(0, 0, 0).high == 1


@pytest.mark.parametrize(
    ("drop", "discordance", "at_80", "at_95"),
    [
        (0.005, 0.01, 2471, 4323),
        (0.005, 0.02, 4944, 8652),
        (0.005, 0.03, 7417, 12_981),
        (0.005, 0.05, 12_363, 21_639),
        (0.01, 0.02, 1234, 2159),
        (0.01, 0.05, 3089, 5406),
        (0.02, 0.03, 462, 806),
    ],
)
def test_images_needed_against_the_table(drop, discordance, at_80, at_95):
    assert images_needed(drop, discordance) == pytest.approx(at_80, abs=1)
    assert images_needed(drop, discordance, power=0.95) == pytest.approx(at_95, abs=1)
    assert images_needed(drop, 0) == images_needed(drop, drop)


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(7)
    runs, n, lost, won = 2000, 500, 0.03, 0.01
    cells = rng.multinomial(n, [lost, won, 1 - lost - won], runs)
    drops = [agresti_min(int(b), int(c), n) for b, c, _ in cells]
    assert 0.93 <= np.mean([d.low <= lost - won <= d.high for d in drops]) <= 0.99
    shares = [wilson(int(hits), n) for hits in rng.binomial(n, 0.9, runs)]
    assert 0.93 <= np.mean([s.low <= 0.9 <= s.high for s in shares]) <= 0.97


def test_false_alarms_and_power_of_mcnemar():
    rng = np.random.default_rng(8)
    n = images_needed(0.02, 0.05)  # 771 images for 80 %
    none = rng.multinomial(n, [0.025, 0.025, 0.95], 2000)
    true = rng.multinomial(n, [0.035, 0.015, 0.95], 2000)
    alarms, found = (np.mean([mcnemar_midp(int(b), int(c)) < 0.05 for b, c, _ in x]) for x in (none, true))
    assert 0.03 <= alarms <= 0.065
    assert 0.77 <= found <= 0.85
