"""One vector an image, near to those of like images: what features of a network without classes mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.preprocess import Placement
from edgekit.tasks.likeness import Floats, Likeness, Measure, noise
from edgekit.tensors import Tensor, Values

# Worst cosine, worst cosine once the mean of all is taken away, share of images with the same nearest neighbour. A mean
# over images would hide one that is broken: int8 files at 13 dB had a cosine of 0.79 in 34. Neighbours among 32 proof
# images say little: crops of one photograph are as near as each other. int8 files of a real ViT-S keep 84 and 97 % there,
# and 99.5 and 98.5 % among 201 photographs (benchmarks/results/segmentation-x86-vnni.md).
MINIMUM = {
    "fp32": (0.99999, 0.9999, 1.0),
    "fp16": (0.999, 0.99, 0.97),
    "int8-weight-only": (0.99, 0.97, 0.75),
    "int8-dynamic": (0.99, 0.97, 0.75),
    "int8-static": (0.99, 0.97, 0.75),
}
TIE = 0.02  # of how much nearer the nearest image is than half of them: of copies one is nearest by chance
NAMES = ("worst cosine", "worst centred cosine", "same neighbour")


class Embedding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="embedding"):
    """
    pooling     where the vector comes from, in words: "class token", "mean of the tokens", "global average"
    grid        rows and columns of the tokens that are patches of the image, where the file answers tokens too
    normalized  whether the file makes every vector of length 1
    """

    pooling: str = ""
    grid: tuple[int, int] | None = None
    normalized: bool = False

    roles: ClassVar[tuple[str, ...]] = ("embedding", "tokens")
    int8_sqnr_db: ClassVar[float | None] = None

    def fault(self, outputs: Sequence[Tensor], labels: int) -> str | None:
        """What contradicts this task, in words."""
        if labels:
            return f"an embedding, and {labels} labels"
        roles = tuple(tensor.role for tensor in outputs)
        if roles not in (("embedding",), ("embedding", "tokens")):
            return f"an embedding, and outputs of {', '.join(roles) or 'nothing'}"
        if outputs[0].layout != "NC" or len(outputs[0].shape) != 2:
            return f"an embedding, and an output of {outputs[0].layout} {list(outputs[0].shape)}"
        return None

    def read(self, values: Values, at: Placement, input_size: tuple[int, int]) -> "Vector":
        """Of the answer to one image, [d]."""
        return Vector(values[0])

    def mean(self, values: Values) -> Values:
        """The answer to one video, [1, ...], of those to several of its windows."""
        vectors, *tokens = (np.asarray(v.mean(0, keepdims=True), np.float32) for v in values)
        return (unit(vectors) if self.normalized else vectors, *tokens)

    def alike(self, reference: Values, values: Values) -> Likeness:
        return Likeness(noise(reference, values), vectors=(reference[0], values[0]))

    def measures(self, likeness: Likeness, scheme: str) -> tuple[Measure, ...]:
        assert likeness.vectors
        if not likeness.finite:
            found = (-1.0, -1.0, 0.0)
        else:
            found = resemblance(*likeness.vectors)
        return tuple(Measure(n, round(v, 6), m) for n, v, m in zip(NAMES, found, MINIMUM[scheme], strict=True))

    def can_be(self, answers: Values) -> bool:
        """Whether vectors that are said to have length 1 have it; halves and integers round."""
        return not self.normalized or bool((np.abs(np.linalg.norm(answers[0], axis=-1) - 1) <= 0.02).all())

    def __str__(self) -> str:
        return "embedding of length 1" if self.normalized else "embedding"


@dataclass(frozen=True)
class Vector:
    """The embedding of one image, float32 [d]."""

    values: Floats

    def similarity(self, gallery: Floats) -> Floats:
        """The cosine with each row of a gallery [n, d]."""
        return np.asarray(unit(gallery) @ unit(self.values[None])[0])


def resemblance(reference: Floats, values: Floats) -> tuple[float, float, float]:
    """Of vectors [n, d]: worst cosine, worst cosine once the reference's mean is taken away, and the share whose nearest
    other image in the reference's vectors is the same, or within TIE as near. Centred: what a search sees, because all
    vectors of a network may point one way."""
    mean = reference.mean(0)
    worst = float(cosines(reference, values).min())
    centred = float(cosines(reference - mean, values - mean).min()) if len(reference) > 1 else worst
    if len(reference) < 2:
        return worst, centred, 1.0
    near = _similarities(reference, reference)
    found = _similarities(values, reference).argmax(-1)
    best = near.max(-1)
    as_near = best - TIE * (best - np.median(near, axis=-1))
    return worst, centred, float((near[np.arange(len(near)), found] >= as_near).mean())


def cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Of each row of a with the same row of b; two vectors of zeros are equal."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    same = (x == y).all(-1)
    return np.asarray(np.where(same, 1.0, (x * y).sum(-1) / np.maximum(lengths, 1e-30)))


def unit(vectors: Floats) -> Floats:
    """Of length 1; a vector of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)


def _similarities(queries: Floats, gallery: Floats) -> Floats:
    """Cosines [n, n] of each query with a gallery of the same images, itself left out."""
    near = np.asarray(unit(queries) @ unit(gallery).T)
    np.fill_diagonal(near, -2)
    return near
