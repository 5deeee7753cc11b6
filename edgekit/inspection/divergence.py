"""Where two files of one model first part: the answers of their layers side by side, each in its own runtime.

Names tell nothing: each converter has its own. Layers are matched by what they answer, in their order, and only where
they answer for as many positions in as many channels (`activations` says what a layer's answer is).

Equalisation multiplies channels of a file's inner tensors and divides them again further on, so a channel of one file
may be a multiple of the other's. Each channel is therefore compared up to the factor that suits it best (least
squares). Where a layer has one value for each channel and image (behind the pooling, and the answers themselves)
there is no such factor, and values are compared as they are. A layer of which a whole channel is multiplied thus shows
at the next layer.

What one layer loses the next ones inherit: the layer at which the SQNR drops most is the suspect, not the lowest.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Artifact, Model
from edgekit.devices.apart import apart
from edgekit.errors import RequestError, many
from edgekit.inspection.activations import Layers, Values, channels_last, open_layers
from edgekit.parity import check_comparable

SEEDED = 4  # tensors for files that do not say what they take
ROUNDINGS = 30.0  # dB that 8-bit roundings leave in one layer; what lies above is no parting
LOOKED_AT = 1024  # positions of a layer that matching looks at


class Compared(msgspec.Struct, frozen=True):
    """A layer of both files. sqnr_db: of the second's answers, taking the first's for the truth; None: equal."""

    first: str
    second: str
    sqnr_db: float | None


class Divergence(msgspec.Struct, frozen=True):
    """layers: the shallowest first; the last `answers` of them are the answers of the files. unmatched: layers of either that have no
    partner. first_below: the first layer under `below` dB, and steepest: the one that loses most against the layer
    before it; None where there is none."""

    first: str
    second: str
    fed: str
    below: float
    layers: tuple[Compared, ...]
    answers: int
    unmatched: tuple[str, ...]
    first_below: int | None
    steepest: int | None


def compare(first: Model, second: Model, pixels: NDArray[np.uint8] | None, *, below: float) -> Divergence:
    """Two artifacts or loose files. Raises RequestError for two that cannot be compared, and what opening a file raises.

    pixels  fitted images, uint8 [n, h, w, 3], where one of the two is an artifact: each artifact is fed through its
            own preprocessing, and a loose file takes the tensors of its partner. Two loose files take seeded noise.
    """
    if isinstance(first, Artifact) and isinstance(second, Artifact):
        check_comparable(first, second)
    what = f"comparing {first.model_file} with {second.model_file}"
    return apart(what, _compare, first, second, pixels, below)


def _compare(first: Model, second: Model, pixels: NDArray[np.uint8] | None, below: float) -> Divergence:
    files = [x.model_file for x in (first, second)]
    a, b = (open_layers(file) for file in files)
    fed, tensors = _tensors(first, second, a, b, pixels)
    pairs: list[tuple[int, int]] = []
    sums: list[_Sums] = []
    for given_a, given_b in tensors:
        seen_a, seen_b = a.run(given_a), b.run(given_b)
        answers = alike_shaped(seen_a.answers, seen_b.answers, files)
        if not sums:
            pairs = match(seen_a.layers, seen_b.layers)
            sums = [_Sums(seen_a.layers[i].shape[1]) for i, _ in pairs] + [_Sums(x.shape[1]) for x, _ in answers]
        together = [(seen_a.layers[i], seen_b.layers[j]) for i, j in pairs] + answers
        for (x, y), one in zip(together, sums, strict=True):
            one.add(x, y)
    names = [(a.names[i], b.names[j]) for i, j in pairs] + list(zip(a.outputs, b.outputs, strict=True))
    found = tuple(Compared(*pair, s.sqnr_db()) for pair, s in zip(names, sums, strict=True))
    alone = [
        *(f"{files[0]}: {name}" for i, name in enumerate(a.names) if i not in {i for i, _ in pairs}),
        *(f"{files[1]}: {name}" for j, name in enumerate(b.names) if j not in {j for _, j in pairs}),
    ]
    return Divergence(
        f"{files[0]} ({a.how})",
        f"{files[1]} ({b.how})",
        fed,
        below,
        found,
        len(a.outputs),
        tuple(alone),
        next((i for i, c in enumerate(found) if _db(c) < below), None),
        _steepest([_db(c) for c in found]),
    )


def _tensors(
    first: Model, second: Model, a: Layers, b: Layers, pixels: NDArray[np.uint8] | None
) -> tuple[str, Iterable[tuple[NDArray[np.generic], NDArray[np.generic]]]]:
    """In words and in numbers, what the two files are fed."""
    if isinstance(first, Artifact) and isinstance(second, Artifact):
        assert pixels is not None
        return many(len(pixels), "images"), ((first.encode(p[None]), second.encode(p[None])) for p in pixels)
    if a.takes() != b.takes():
        (shape_a, kind_a), (shape_b, kind_b) = a.takes(), b.takes()
        raise RequestError(
            f"one file takes {kind_a} {list(shape_a)}, the other {kind_b} {list(shape_b)}",
            hint="artifacts, which say how images become what they take, or two files that take the same",
        )
    artifact = next((x for x in (first, second) if isinstance(x, Artifact)), None)
    if artifact is not None:
        assert pixels is not None
        return many(len(pixels), "images"), ((t := artifact.encode(p[None]), t) for p in pixels)
    return f"{SEEDED} tensors of seeded noise", ((t, t) for t in _noise(*a.takes()))


def _noise(shape: tuple[int, ...], kind: str) -> list[NDArray[np.generic]]:
    """As spread as normalised pixels where floats are taken, from end to end of an integer type."""
    rng = np.random.default_rng(0)
    if np.dtype(kind).kind == "f":
        return [rng.normal(0, 1, shape).astype(kind) for _ in range(SEEDED)]
    limits = np.iinfo(kind)
    return [rng.integers(limits.min, limits.max, shape, kind, endpoint=True) for _ in range(SEEDED)]


def alike_shaped(
    first: Sequence[NDArray[np.float32]], second: Sequence[NDArray[np.float32]], files: Sequence[Path]
) -> list[tuple[Values, Values]]:
    """Outputs side by side, [positions, channels] each; of maps the channels come last in one format and second in another.

    Raises RequestError for files that answer other tensors.
    """
    told = [" and ".join(str(list(x.shape)) for x in side) for side in (first, second)]
    other = RequestError(
        f"{files[0]} answers {told[0]}, {files[1]} answers {told[1]}", hint="files of one model, with the same outputs"
    )
    if len(first) != len(second):
        raise other
    found = []
    for x, y in zip(first, second, strict=True):
        if x.shape != y.shape and x.ndim == 4:
            x, y = (x, np.moveaxis(y, -1, 1)) if np.moveaxis(y, -1, 1).shape == x.shape else (np.moveaxis(x, -1, 1), y)
        if x.shape != y.shape:
            raise other
        found.append((channels_last(x, 1), channels_last(y, 1)))
    return found


def match(a: Sequence[Values], b: Sequence[Values]) -> list[tuple[int, int]]:
    """Pairs of layers of one shape, in the order of both, as many and as alike as there can be.

    Alignment of two sequences by dynamic programming (Needleman and Wunsch 1970): a pair counts 1, and up to 1 more
    the more alike the answers are; a layer without a partner counts nothing.
    """
    gain = np.zeros((len(a) + 1, len(b) + 1))
    pair = np.full((len(a), len(b)), -np.inf)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if x.shape == y.shape:
                pair[i, j] = 1 + _alike(x, y)
            gain[i + 1, j + 1] = max(gain[i, j + 1], gain[i + 1, j], gain[i, j] + pair[i, j])
    pairs, i, j = [], len(a), len(b)
    while i and j:
        if gain[i, j] == gain[i - 1, j]:
            i -= 1
        elif gain[i, j] == gain[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _alike(x: Values, y: Values) -> float:
    """0 to 1."""
    step = -(-len(x) // LOOKED_AT)
    sums = _Sums(x.shape[1])
    sums.add(x[::step], y[::step])
    return max(0.0, 1 - sums.noise() / max(float(sums.xx.sum()), 1e-30))


class _Sums:
    """Running sums over one layer's answers in two files, by channel."""

    def __init__(self, channels: int) -> None:
        self.xx, self.xy, self.yy, self.dd = np.zeros((4, channels))
        self.scaled = True

    def add(self, x: Values, y: Values) -> None:
        x, y = x.astype(np.float64), y.astype(np.float64)
        self.xx += np.square(x).sum(0)
        self.xy += (x * y).sum(0)
        self.yy += np.square(y).sum(0)
        self.dd += np.square(x - y).sum(0)
        self.scaled = len(x) > 1

    def noise(self) -> float:
        """The squares of what is left of x by the best multiple, 0 or more, of y. Of a silent channel: of y."""
        if not self.scaled:
            return float(self.dd.sum())
        explained = np.square(np.maximum(self.xy, 0)) / np.where(self.yy > 0, self.yy, 1)
        left = np.where(self.xx > 0, np.maximum(self.xx - explained, 0), self.yy)
        return float(np.where(self.dd > 0, left, 0).sum())

    def sqnr_db(self) -> float | None:
        noise, signal = self.noise(), float(self.xx.sum())
        if not math.isfinite(noise):
            return -999.0
        if noise == 0:
            return None
        return round(10 * math.log10(signal / noise), 1) if signal else -999.0


def _db(compared: Compared) -> float:
    return math.inf if compared.sqnr_db is None else compared.sqnr_db


def _steepest(levels: list[float]) -> int | None:
    """The layer that loses most decibels below ROUNDINGS against the one before it."""
    capped = [min(x, ROUNDINGS) for x in levels]
    drops = [before - after for before, after in zip([ROUNDINGS, *capped], capped, strict=False)]
    return None if not drops or max(drops) <= 0 else int(np.argmax(drops))
