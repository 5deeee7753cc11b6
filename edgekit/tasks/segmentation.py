"""A class for every pixel: scores at the head's size, a mask at the image's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.preprocess import Placement
from edgekit.tasks.likeness import Floats, Likeness, Measure, noise
from edgekit.tensors import Tensor, Values

Part = Annotated[int, msgspec.Meta(ge=0, le=255)]  # of a colour
Palette = tuple[tuple[Part, Part, Part], ...]  # red, green and blue for each label

# Share of pixels of the same class, over all images and in the worst of them.
MINIMUM = {
    "fp32": (0.9999, 0.999),
    "fp16": (0.995, 0.98),
    "int8-weight-only": (0.95, 0.90),
    "int8-dynamic": (0.95, 0.90),
    "int8-static": (0.95, 0.90),
}

AT_ONCE = 1 << 24  # scores at the input's size, which are many: 150 classes of 1024 x 1024 pixels take 0.6 GB


TIE = 1e-4  # of the largest score: as much noise as an fp32 file may have


class Upsample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How scores at the head's size become scores at the input's."""

    mode: Literal["bilinear", "nearest"] = "bilinear"
    align_corners: bool = False


class Segmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="segmentation"):
    """
    scores      what the file answers for each class and pixel
    threshold   of one channel (two labels: background and what is sought): a pixel is the second's from this probability on
    background  number of the label that means nothing in particular
    ignore      value of masks that no evaluation counts
    palette     a colour for each label
    """

    scores: Literal["logits", "probabilities"] = "logits"
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    background: int | None = None
    ignore: int | None = 255
    palette: Palette = ()
    upsample: Upsample = Upsample()

    roles: ClassVar[tuple[str, ...]] = ("scores",)
    int8_sqnr_db: ClassVar[float | None] = None

    def fault(self, outputs: Sequence[Tensor], labels: int) -> str | None:
        """What contradicts this task, in words."""
        if [tensor.role for tensor in outputs] != ["scores"] or outputs[0].layout not in ("NHWC", "NCHW"):
            return "a segmentation, and outputs that are not one map of scores"
        sizes = outputs[0].shape
        channels = sizes[-1 if outputs[0].layout == "NHWC" else 1]
        if labels != max(channels, 2):
            return f"{labels} labels, and {channels} channels of scores"
        if labels > 255:
            return f"{labels} labels, and a mask holds 255"
        if self.palette and len(self.palette) != labels:
            return f"{labels} labels, and {len(self.palette)} colours"
        if self.background is not None and not 0 <= self.background < labels:
            return f"{labels} labels, and a background of number {self.background}"
        return None

    def classes(self, scores: Floats) -> NDArray[np.uint8]:
        """Of scores [n, c, h, w] the label of every pixel, [n, h, w]; of equal scores the first."""
        if scores.shape[1] == 1:
            return (scores[:, 0] >= self._limit()).astype(np.uint8)
        return np.asarray(scores.argmax(1), np.uint8)

    def read(self, values: Values, at: Placement, input_size: tuple[int, int]) -> "Mask":
        """Of the answer to one image, scores [c, h, w]: the mask at the image's own size.

        Scores are resized to the input's size, classes are taken there, and each pixel of the image has the class of the
        input pixel under its centre.
        """
        height, width = input_size
        step = max(1, AT_ONCE // (len(values[0]) * width))
        strips = (slice(top, top + step) for top in range(0, height, step))
        scores = (upsampled(values[0], input_size, self.upsample, strip) for strip in strips)
        labels = np.concatenate([self.classes(strip[None])[0] for strip in scores])
        rows, columns = at.pixels(1, height), at.pixels(0, width)
        return Mask(labels[rows[:, None], columns[None]])

    def _limit(self) -> np.float32:
        """Of one channel: the score from which on a pixel is the second label's."""
        logit = np.log(self.threshold / (1 - self.threshold))
        return np.float32(logit if self.scores == "logits" else self.threshold)

    def mean(self, values: Values) -> Values:
        raise NotImplementedError("a task of images, which have no windows")

    def alike(self, reference: Values, values: Values) -> Likeness:
        same = self._same(reference[0], values[0])
        return Likeness(noise(reference, values), tuple(map(float, same.mean((1, 2)))))

    def _same(self, reference: Floats, values: Floats) -> NDArray[np.bool_]:
        """Which pixels [n, h, w] are of the same class, or of one that the reference scores as high but for TIE: of a tie
        the last bit decides, and in a small map one such pixel is a share that no limit of fp32 allows."""
        ours, theirs = self.classes(reference), self.classes(values)
        tie = np.float32(TIE) * np.abs(reference).max(initial=0)
        if reference.shape[1] == 1:
            near = np.abs(reference[:, 0] - self._limit()) <= tie
        else:
            there = np.take_along_axis(reference, theirs[:, None].astype(np.intp), 1)[:, 0]
            near = there >= reference.max(1) - tie
        return np.asarray((ours == theirs) | near)

    def measures(self, likeness: Likeness, scheme: str) -> tuple[Measure, ...]:
        shares = likeness.shares if likeness.finite else (0.0,)
        found = (sum(shares) / len(shares), min(shares))
        names = ("pixels", "pixels of the worst image")
        return tuple(Measure(n, round(v, 6), m) for n, v, m in zip(names, found, MINIMUM[scheme], strict=True))

    def can_be(self, answers: Values) -> bool:
        """Whether what is said to be probabilities lies in 0..1, but for the rounding of integers."""
        (scores,) = answers
        return self.scores == "logits" or bool((scores >= -0.01).all() and (scores <= 1.01).all())

    def __str__(self) -> str:
        return f"segmentation, {self.scores}"


@dataclass(frozen=True)
class Mask:
    """The number of a label for every pixel of an image, uint8 [height, width]."""

    labels: NDArray[np.uint8]

    def shares(self, labels: int) -> NDArray[np.float64]:
        """Of the image that each label covers."""
        rows = (np.bincount(row, minlength=labels) for row in self.labels)  # one by one: it counts in 64 bits
        return np.asarray(sum(rows) / np.float64(self.labels.size))


def upsampled(scores: Floats, size: tuple[int, int], how: Upsample, rows: slice = slice(None)) -> Floats:
    """Scores [c, h, w] at (height, width), as torch's interpolate makes them; of that, some rows.

    The places are computed in float64, the shares in float32: rows first, a + (b - a) * share, then columns. Kotlin follows it.
    """
    if scores.shape[1:] == size:
        return scores[:, rows]
    for axis, side, wanted in ((1, size[0], rows), (2, size[1], slice(None))):
        low, high, share = _between(scores.shape[axis], side, how)
        a, b = scores.take(low[wanted], axis), scores.take(high[wanted], axis)
        scores = a + (b - a) * share[wanted].reshape((-1, 1) if axis == 1 else (-1,))
    return scores


def _between(old: int, new: int, how: Upsample) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each new place the two old ones it lies between, and how near it is to the second."""
    places = np.arange(new, dtype=np.float64)
    if how.mode == "nearest":
        at = np.floor(places * (old / new))
    elif how.align_corners:
        at = places * ((old - 1) / max(new - 1, 1))
    else:
        at = ((places + 0.5) * (old / new) - 0.5).clip(0, None)
    low = np.floor(at).clip(0, old - 1).astype(np.intp)
    return low, np.minimum(low + 1, old - 1), (at - low).astype(np.float32)


def palette(labels: int) -> Palette:
    """The colours of PASCAL VOC's masks, by reversal of bits: label 0 is black."""

    def colour(label: int) -> tuple[int, int, int]:
        rgb = [0, 0, 0]
        for place in range(7, -1, -1):
            for channel in range(3):
                rgb[channel] |= (label >> channel & 1) << place
            label >>= 3
        return rgb[0], rgb[1], rgb[2]

    return tuple(colour(label) for label in range(labels))
