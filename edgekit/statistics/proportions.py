"""Statistics of right and wrong answers: pure functions of counts.

b    images that the reference names rightly and the candidate wrongly ("lost")
c    the reverse ("won")
n    images both were asked about
drop (b - c) / n, the share of right answers that the candidate loses

Sources: Wilson 1927; Fagerland, Lydersen and Laake 2013 (mid-p McNemar); Agresti and Min 2005 (paired difference);
Connor 1987 (sample size of a paired comparison).
"""

import math
from statistics import NormalDist
from typing import Literal

import msgspec

CONFIDENCE = 0.95
Verdict = Literal["pass", "fail", "inconclusive"]


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hits` of `of`, as a share 0..1 with its Wilson interval. Of nothing: 0 in [0, 1]."""

    hits: int
    of: int
    value: float
    low: float
    high: float


def wilson(hits: int, of: int, confidence: float = CONFIDENCE) -> Share:
    """Wilson's score interval, which stays inside 0..1 and holds near both ends."""
    if of == 0:
        return Share(0, 0, 0.0, 0.0, 1.0)
    p, z = hits / of, _z((1 + confidence) / 2)
    scale = 1 + z * z / of
    middle = (p + z * z / (2 * of)) / scale
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / scale
    low = 0.0 if hits == 0 else middle - half  # exact at the ends, where rounding would say 1e-17
    high = 1.0 if hits == of else middle + half
    return Share(hits, of, p, low, high)


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many right answers get lost, as a share of all images; negative where the candidate is better."""

    estimate: float
    low: float
    high: float

    def verdict(self, most: float) -> Verdict:
        """fail: the whole interval lies above `most` (a share); pass: below it."""
        if self.low > most:
            return "fail"
        return "pass" if self.high < most else "inconclusive"


def agresti_min(b: int, c: int, n: int, confidence: float = CONFIDENCE) -> Drop:
    """The observed drop, and Agresti and Min's interval: half an image is added to each of the four cells."""
    if n == 0:
        return Drop(0.0, -1.0, 1.0)
    total, lost, won = n + 2, b + 0.5, c + 0.5
    middle = (lost - won) / total
    half = _z((1 + confidence) / 2) * math.sqrt(lost + won - (lost - won) ** 2 / total) / total
    return Drop((b - c) / n, max(-1.0, middle - half), min(1.0, middle + half))


def mcnemar_midp(b: int, c: int) -> float:
    """One-sided mid-p of McNemar's test: how likely so many losses are where losses and wins are equally likely.

    P(X > b) + P(X = b) / 2 for X of Binomial(b + c, 1/2), exact.
    """
    n = b + c
    term = math.comb(n, b)
    twice = term
    for k in range(b, n):
        term = term * (n - k) // (k + 1)  # comb(n, k + 1)
        twice += 2 * term
    p: float = twice / (1 << (n + 1))  # whole numbers: no float is too small for them
    return p


def images_needed(drop: float, discordance: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """How many images show a drop (share, > 0) at one-sided `alpha` with probability `power`.

    discordance: share of images on which exactly one of the two is right. A drop needs as much of it at least.
    """
    psi = max(discordance, drop)
    z_alpha, z_power = _z(1 - alpha), _z(power)
    return math.ceil((z_alpha * math.sqrt(psi) + z_power * math.sqrt(psi - drop * drop)) ** 2 / drop**2)


def widened(tries: int, confidence: float = CONFIDENCE) -> float:
    """How many times as wide an interval is that holds for all of so many at once (Bonferroni)."""
    return _z(1 - (1 - confidence) / 2 / tries) / _z((1 + confidence) / 2)


def least_images(drop: float, confidence: float = CONFIDENCE) -> int:
    """Below so many images `agresti_min` never lies below a drop (share, > 0), not even where no answer differs."""
    return max(1, math.ceil(_z((1 + confidence) / 2) / drop) - 2)
