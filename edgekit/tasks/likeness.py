"""How alike two sets of answers are: sums that add up over images, so that a proof never holds all answers at once."""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.tasks.agreeing import Agreement
from edgekit.tensors import Values

Floats = NDArray[np.float32]


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share (or a cosine) that answers must reach: "top-1 agreement", 0.97 of 0.85. A minimum of 0 is advisory: too little
    was answered to judge by."""

    name: str
    value: float
    minimum: float

    @property
    def reached(self) -> bool:
        return self.value >= self.minimum

    @property
    def advisory(self) -> bool:
        return self.minimum == 0

    def __str__(self) -> str:
        """ "top-1 agreement 97.0% (limit 85%)"; what is no share with its digits."""
        if "cosine" in self.name:
            return f"{self.name} {self.value:.4f} (limit {self.minimum:g})"
        if self.advisory:
            return f"{self.name} {self.value:.1%} (advisory)"
        return f"{self.name} {self.value:.{_digits(self.minimum)}%} (limit {100 * self.minimum:g}%)"


def _digits(minimum: float) -> int:
    return 3 if 0.99 <= minimum < 1 else 1


@dataclass(frozen=True)
class Noise:
    """Of one output: the squares of the reference and of the differences, summed in float64, and the largest difference."""

    signal: float
    noise: float
    max_abs: float

    @classmethod
    def between(cls, reference: Floats, values: Floats) -> "Noise":
        """max_abs is inf where a value is not a finite number."""
        if not np.isfinite(values).all():
            return cls(_squares(reference), math.inf, math.inf)
        return cls(_squares(reference), _squares(reference - values.astype(np.float64)), _largest(reference - values))

    def __add__(self, other: "Noise") -> "Noise":
        return Noise(self.signal + other.signal, self.noise + other.noise, max(self.max_abs, other.max_abs))

    @property
    def sqnr_db(self) -> float:
        """Signal to quantization noise in decibels; inf where all values are equal."""
        if self.noise == 0:
            return math.inf
        return -math.inf if self.signal == 0 or math.isinf(self.noise) else 10 * math.log10(self.signal / self.noise)

    @property
    def finite(self) -> bool:
        return math.isfinite(self.max_abs)


def _squares(values: NDArray[np.floating]) -> float:
    return float(np.square(values.astype(np.float64)).sum())


def _largest(values: Floats) -> float:
    return float(np.abs(values).max(initial=0))


def sqnr_db(reference: Floats, answer: Floats) -> float:
    """Signal to quantization noise in decibels over all values; inf where they are equal."""
    return Noise.between(reference, answer).sqnr_db


@dataclass(frozen=True)
class Likeness:
    """Of answers to some images.

    noise    one for each output
    shares   of each image, how much of it is answered alike, 0 to 1, as its task counts that
    vectors  of embeddings: the reference's and the others', [n, d]; their neighbours are known at the end
    agreements  of detections: what both find on each image
    """

    noise: tuple[Noise, ...]
    shares: tuple[float, ...] = ()
    vectors: tuple[Floats, Floats] | None = None
    agreements: tuple[Agreement, ...] = ()

    def __add__(self, other: "Likeness") -> "Likeness":
        vectors = None
        if self.vectors and other.vectors:
            a, b = (np.concatenate(pair) for pair in zip(self.vectors, other.vectors, strict=True))
            vectors = (a, b)
        noise = tuple(a + b for a, b in zip(self.noise, other.noise, strict=True))
        return Likeness(noise, self.shares + other.shares, vectors, self.agreements + other.agreements)

    @property
    def finite(self) -> bool:
        return all(noise.finite for noise in self.noise)

    @property
    def sqnr_db(self) -> float:
        """Of the noisiest output."""
        return min((noise.sqnr_db for noise in self.noise), default=math.inf)

    @property
    def max_abs(self) -> float:
        return max((noise.max_abs for noise in self.noise), default=0.0)


def noise(reference: Values, values: Values) -> tuple[Noise, ...]:
    return tuple(Noise.between(a, b) for a, b in zip(reference, values, strict=True))
