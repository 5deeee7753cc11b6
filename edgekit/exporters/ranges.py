"""Ranges of activations over calibration images, for whichever quantizer asks."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.preprocess import Pixels, Preprocess, normalise

SAMPLED = 2048  # values of one tensor and image that the search for a range looks at
PICTURES = 128  # whose sampled values are kept: 1 MB a tensor, and a Swin has hundreds
SHRINK = np.linspace(0.3, 1, 15)

FETCHED = 1024 * 2**20  # bytes of activations that are looked at in one run: EfficientNet-B7 has 3.7 GB of 600 x 600

Range = tuple[float, float]
HALF = 0.5  # of what pixels can be: images that reach less are said


class Ranges:
    """Watches tensors image by image; memory grows with neither their size nor, beyond PICTURES, their number.

    Beyond it the images kept are a uniform sample of those seen (J. S. Vitter, Random sampling with a reservoir, 1985,
    algorithm R); the extremes are those of all.
    """

    def __init__(self) -> None:
        self._extremes: dict[str, Range] = {}
        self._sampled: dict[str, list[NDArray[np.float32]]] = {}
        self._seen: dict[str, int] = {}
        self._pooled: set[str] = set()
        self._rng = np.random.default_rng(0)

    def see(self, name: str, tensor: NDArray[Any], *, pooled: bool) -> None:
        """Take in one image's values. pooled: one value per feature is left, so none may be clipped."""
        finite = np.isfinite(tensor)  # a padded MaxPool pads with minus infinity
        values = tensor.ravel() if finite.all() else tensor[finite]
        if not values.size:
            return
        if pooled:
            self._pooled.add(name)
        low, high = self._extremes.get(name, (np.inf, -np.inf))
        self._extremes[name] = min(low, float(values.min())), max(high, float(values.max()))
        self._seen[name] = self._seen.get(name, 0) + 1
        sampled = self._sampled.setdefault(name, [])
        place = len(sampled) if len(sampled) < PICTURES else int(self._rng.integers(0, self._seen[name]))  # Vitter's R
        if place < PICTURES:
            few = values if values.size <= SAMPLED else values[self._rng.integers(0, values.size, SAMPLED)]
            sampled[place : place + 1] = [few.astype(np.float32)]

    def found(self, rule: Literal["mse", "minmax"]) -> dict[str, Range]:
        """The range of every tensor seen.

        "minmax" keeps the true extremes; "mse" shrinks each range towards zero where that lowers the mean squared error
        of an 8-bit grid over a sample of the values; but not of pooled features, where the largest values decide the
        answer and no neighbours make up for a clipped one.
        """
        clipped = {k for k in self._extremes if rule == "mse" and k not in self._pooled}
        return {
            k: clip_range(np.concatenate(self._sampled[k]), low, high) if k in clipped else (low, high)
            for k, (low, high) in self._extremes.items()
        }


class Channels:
    """Watches the extremes of every channel of a few tensors [n, c, h, w]."""

    def __init__(self, names: Iterable[str]) -> None:
        self._extremes: dict[str, NDArray[np.float32]] = dict.fromkeys(names, np.zeros((2, 1), np.float32))

    def see(self, name: str, tensor: NDArray[np.float32]) -> None:
        """Take in one image's values, of a tensor that is watched."""
        if name in self._extremes:
            low, high = self._extremes[name]
            pair = [np.minimum(low, tensor.min((0, 2, 3))), np.maximum(high, tensor.max((0, 2, 3)))]
            self._extremes[name] = np.stack(pair)

    def found(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The scale and the zero of every channel's 8-bit grid, which spans what was seen and zero."""
        low, high = self._extremes[name]
        steps = (high - low) / 255
        steps = np.maximum(steps, max(1e-5 * steps.max(), 1e-12)).astype(np.float32)  # a channel may be silent
        return steps, np.rint(-low / steps).astype(np.uint8)


def batches(sizes: Mapping[str, int]) -> list[list[str]]:
    """Names of tensors, by how many bytes they have, so that those of a batch have FETCHED bytes at most, or are one."""
    found: list[list[str]] = []
    left = 0
    for name, size in sizes.items():
        if size > left:
            found.append([])
            left = FETCHED
        found[-1].append(name)
        left -= size
    return found


def pixel_range(pictures: Iterable[Pixels], spec: Preprocess) -> tuple[Range, str]:
    """The range of normalised images, a step wider than they need; and what is to be said of it, or "".

    With mean = std = 0.5 every pixel would lie half way between two of 256 steps, and rounding to even would merge
    pairs of them: 7-bit images.
    """
    found = np.array([(p.min((0, 1)), p.max((0, 1))) for p in pictures])
    ends = np.stack([found[:, 0].min(0), found[:, 1].max(0)]).astype(np.uint8)[:, None, None]
    reached, possible = (
        normalise(e, spec) for e in (ends, np.array([0, 255], np.uint8).repeat(spec.channels).reshape(2, 1, 1, -1))
    )
    low, high = float(reached.min()), float(reached.max())
    least, most = float(possible.min()), float(possible.max())
    said = ""
    if high - low < HALF * (most - least):
        said = (
            f"the calibration images reach {low:.3g} to {high:.3g} of the {least:.3g} to {most:.3g} that mean and std make "
            "of pixels: what lies beyond is clipped. Is it these images that the network will see?"
        )
    return (low, max(low + (high - low) * 255 / 254, low + 1e-6)), said


def clip_range(values: NDArray[np.float32], low: float, high: float) -> Range:
    """The shrunken range whose 8-bit grid has the smallest mean squared error on these values."""

    def error(shrink: float) -> float:
        a, b = min(low * shrink, 0.0), max(high * shrink, 0.0)
        scale = max((b - a) / 255, 1e-12)
        zero = round(-a / scale)
        return float(np.square((np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale - values).mean())

    best = min(SHRINK, key=error)
    return low * float(best), high * float(best)
