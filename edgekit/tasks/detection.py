"""Boxes around things: which of a file's many are kept, where they lie in the image, and how alike two files find them."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np

from edgekit.preprocess import Placement
from edgekit.tasks.agreeing import Agreement, agree, in_order_of, together
from edgekit.tasks.boxes import Boxes, kept
from edgekit.tasks.likeness import Likeness, Measure, noise
from edgekit.tasks.segmentation import Palette, palette
from edgekit.tensors import Tensor, Values

FLOOR = 0.001  # score from which on boxes are counted for an average precision, as usual for COCO
ENOUGH = 50  # of the reference's boxes: fewer judge nothing
NAMES = ("mAP of its detections", "F1", "IoU")
# Taking the reference's detections for the truth: their mAP, how many of both are found by both, and how well those overlap.
# Broken int8 files of YOLOX-Nano had an mAP of 0.26 to 0.60 there, good ones 0.89 and more.
MINIMUM = {
    "fp32": (0.99, 0.99, 0.99),
    "fp16": (0.98, 0.98, 0.98),
    "int8-weight-only": (0.85, 0.80, 0.80),
    "int8-dynamic": (0.85, 0.80, 0.80),
    "int8-static": (0.85, 0.80, 0.80),
}


class Nms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of boxes around one thing the best is kept (non-maximum suppression).

    iou         one that overlaps a better one of its label by more is dropped
    candidates  boxes that are looked at, the best of all labels together
    """

    iou: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.65
    candidates: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1000


class Detection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="detection"):
    """The file answers boxes [n, a, 4], x1 y1 x2 y2 in pixels of the input, and scores [n, a, c] from 0 to 1, one a label.

    threshold  boxes are shown from this score on
    nms        None: the network itself answers one box for a thing
    limit      boxes of an image, at most
    palette    a colour for each label
    """

    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.3
    nms: Nms | None = Nms()
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    palette: Palette = ()

    roles: ClassVar[tuple[str, ...]] = ("boxes", "scores")
    int8_sqnr_db: ClassVar[float | None] = 10.0  # most scores are of places where nothing is: what is found judges

    def fault(self, outputs: Sequence[Tensor], labels: int) -> str | None:
        """What contradicts this task, in words."""
        if tuple(tensor.role for tensor in outputs) != self.roles or any(o.layout != "NAC" for o in outputs):
            return "a detection, and outputs that are not boxes and their scores"
        boxes, scores = outputs
        if {boxes.dtype, scores.dtype} != {"float32"}:
            return f"boxes and scores are float32, not {boxes.dtype} and {scores.dtype}"
        if boxes.shape[1:] != (scores.shape[1], 4):
            return f"boxes {list(boxes.shape)}, and scores {list(scores.shape)}"
        if scores.shape[2] != labels:
            return f"{labels} labels, and {scores.shape[2]} scores for each box"
        if self.palette and len(self.palette) != labels:
            return f"{labels} labels, and {len(self.palette)} colours"
        return None

    def found(self, values: Values, threshold: float | None = None) -> Boxes:
        """Of the answer to one image, boxes [a, 4] and scores [a, c], what it shows: in pixels of the input, best first.

        threshold  another score than the task's own

        Every box counts once for each label. Of equal scores the first counts as the better: in the order of the boxes, of
        one box in that of the labels. Float32 throughout; another language follows it to the bit.
        """
        boxes, scores = values
        flat, least = scores.reshape(-1), np.float32(self.threshold if threshold is None else threshold)
        many = self.nms.candidates if self.nms else self.limit
        places = np.flatnonzero(flat >= least)
        if len(places) > many:  # what cannot be among the best need not be sorted
            places = places[flat[places] >= np.partition(flat[places], len(places) - many)[len(places) - many]]
        best = places[np.argsort(-flat[places], kind="stable")[:many]]
        rows, labels = np.divmod(best, scores.shape[1])
        some = kept(boxes[rows], labels, self.nms.iou) if self.nms else np.ones(len(best), bool)
        rows, labels = (of[some][: self.limit] for of in (rows, labels))
        return Boxes(boxes[rows], scores[rows, labels], labels.astype(np.int64))

    def read(self, values: Values, at: Placement, input_size: tuple[int, int]) -> Boxes:
        """Of the answer to one image, boxes [a, 4] and scores [a, c]: in the image's own pixels."""
        return self.found(values).back(at)

    def colours(self, labels: int) -> Palette:
        """For each label; those of masks, where the manifest names none, without the background's black."""
        return self.palette or palette(labels + 1)[1:]

    def mean(self, values: Values) -> Values:
        raise NotImplementedError("a task of images, which have no windows")

    def alike(self, reference: Values, values: Values) -> Likeness:
        values = self.in_order(reference, values)
        pairs = zip(zip(*reference, strict=True), zip(*values, strict=True), strict=True)
        found = tuple(self._agreement(ours, theirs) for ours, theirs in pairs)
        return Likeness(noise(reference, values), tuple(a.f1 for a in found), agreements=found)

    def in_order(self, reference: Values, values: Values) -> Values:
        """Boxes as far as they go in the reference's order: without NMS a network's own order is that of its scores."""
        return values if self.nms else in_order_of(reference, values)

    def _agreement(self, reference: Values, values: Values) -> Agreement:
        """Of the answers to one image."""
        return agree(self.found(reference), self.found(values, min(FLOOR, self.threshold)), self.threshold)

    def measures(self, likeness: Likeness, scheme: str) -> tuple[Measure, ...]:
        """Where the reference finds little, they are said and refuse nothing."""
        agreements = likeness.agreements if likeness.finite else ()
        reference = sum(a.reference for a in agreements)
        found = together(agreements) if agreements else (0.0, 0.0, 0.0)
        least = MINIMUM[scheme] if reference >= ENOUGH or not agreements else (0.0, 0.0, 0.0)
        return tuple(Measure(n, round(v, 6), m) for n, v, m in zip(NAMES, found, least, strict=True))

    def can_be(self, answers: Values) -> bool:
        """Whether scores lie in 0..1, but for the rounding of halves."""
        return bool((answers[1] >= -0.01).all() and (answers[1] <= 1.01).all())

    def __str__(self) -> str:
        return "detection" if self.nms else "detection without NMS"
