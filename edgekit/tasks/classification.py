"""One score per class: what the scores mean, decode answers, compare two sets of answers.

The only place that knows when a softmax, a sigmoid or nothing makes probabilities of scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.preprocess import Placement
from edgekit.recipe import Kind
from edgekit.tasks.likeness import Likeness, Measure, noise
from edgekit.tensors import Tensor, Values

Scores = NDArray[np.float32]  # [images, classes], or [classes] of one
SUM = 1e-3  # how far from 1 probabilities may add up: halves inside a network cost as much


# Share of images with the same first label; of independent classes, with the same labels.
MINIMUM = {"fp32": 1.0, "fp16": 0.95, "int8-weight-only": 0.85, "int8-dynamic": 0.85, "int8-static": 0.85}


class Classification(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="classification"):
    """How scores are to be read.

    scores       what a score is
    independent  each class by itself (multi-label; one score of a binary network): its label holds from a probability of
                 `threshold` on. Otherwise an image is of one class, and the probabilities add up to 1
    """

    scores: Kind = "logits"
    independent: bool = False
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5

    roles: ClassVar[tuple[str, ...]] = ("scores",)
    int8_sqnr_db: ClassVar[float | None] = None

    def fault(self, outputs: Sequence[Tensor], labels: int) -> str | None:
        """What contradicts this task, in words."""
        if len(outputs) != 1 or outputs[0].role != "scores":
            return f"scores of classes, and {len(outputs)} outputs"
        if (outputs[0].layout, outputs[0].shape[1:]) != ("NC", (labels,)):
            return f"{labels} classes, and an output of {outputs[0].layout} {list(outputs[0].shape)}"
        return "one class excludes others" if labels == 1 and not self.independent else None

    def read(self, values: Values, at: Placement, input_size: tuple[int, int]) -> "Classes":
        """Of the answer to one image, scores [c]."""
        (scores,) = values
        return Classes(self.probabilities(scores[None])[0], self.holds(scores[None])[0])

    def mean(self, values: Values) -> Values:
        """The answer to one video, scores [1, c] of the mean of its windows' probabilities."""
        (scores,) = values
        if len(scores) == 1:
            return values
        shares = self.probabilities(scores).mean(0, keepdims=True, dtype=np.float64)
        if self.scores != "probabilities":
            small = np.finfo(np.float32).tiny
            logs = np.log(shares.clip(small))
            shares = logs - np.log((1 - shares).clip(small)) if self.scores == "logits" and self.independent else logs
        return (np.asarray(shares, np.float32),)

    def alike(self, reference: Values, values: Values) -> Likeness:
        same = (self.holds(reference[0]) == self.holds(values[0])).all(-1)
        return Likeness(noise(reference, values), tuple(map(float, same)))

    def measures(self, likeness: Likeness, scheme: str) -> tuple[Measure, ...]:
        share = sum(likeness.shares) / len(likeness.shares) if likeness.finite else 0.0
        return (Measure(self.measure, round(share, 4), MINIMUM[scheme]),)

    def can_be(self, answers: Values) -> bool:
        """Whether scores [n, c] can be what the task calls them. Integers inside a file round probabilities to 1/256.

        Logits of one image, of two classes above all, may add up to 1 by chance; those of several do not.
        """
        (scores,) = answers
        if self.scores == "probabilities":
            return bool((scores >= -0.01).all() and (scores <= 1.01).all())
        if self.scores == "log-probabilities":
            return bool((scores <= 0.01).all())
        return 1 in scores.shape or not add_up(scores)

    def probabilities(self, scores: Scores) -> Scores:
        """Of the same shape, float32."""
        if self.scores == "log-probabilities":
            return np.exp(scores, dtype=np.float32)
        if self.scores == "probabilities":
            return np.asarray(scores, np.float32)
        return sigmoid(scores) if self.independent else softmax(scores)

    def holds(self, scores: Scores) -> NDArray[np.bool_]:
        """Which labels hold, of the same shape: those of independent classes, or the one of the highest score."""
        if self.independent:
            return np.asarray(self.probabilities(scores) >= np.float32(self.threshold))
        best = scores.argmax(-1, keepdims=True)
        return np.asarray(np.arange(scores.shape[-1]) == best)

    def agreement(self, reference: Scores, answer: Scores) -> float:
        """Share of images of which both name the same label first; of independent classes, the same labels."""
        return float((self.holds(reference) == self.holds(answer)).all(-1).mean())

    @property
    def measure(self) -> str:
        """What `agreement` counts, in words."""
        return "same labels" if self.independent else "top-1 agreement"

    def __str__(self) -> str:
        """ "independent logits"."""
        return f"independent {self.scores}" if self.independent else self.scores

    @property
    def formula(self) -> str:
        """Python that makes probabilities of `scores` with numpy."""
        match self.scores, self.independent:
            case "probabilities", _:
                return "scores"
            case "log-probabilities", _:
                return "numpy.exp(scores)"
            case _, True:
                return "1 / (1 + numpy.exp(-scores))"
        return "numpy.exp(scores - scores.max()) / numpy.exp(scores - scores.max()).sum()"


LOGITS = Classification()


@dataclass(frozen=True)
class Classes:
    """A classifier's answer to one image, one value a class: the probability, and whether the label holds."""

    probabilities: NDArray[np.float32]
    holds: NDArray[np.bool_]

    def best(self, k: int) -> list[tuple[int, float]]:
        """The k most probable classes and every one that holds, best first."""
        return top_k(self.probabilities, max(k, int(self.holds.sum())))


def softmax(logits: Scores) -> Scores:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True), np.float32)


def sigmoid(logits: Scores) -> Scores:
    e = np.exp(-np.abs(logits))  # of the absolute value: it cannot overflow
    return np.asarray(np.where(logits >= 0, 1, e) / (1 + e), np.float32)


def add_up(scores: Scores) -> bool:
    """Whether every row of [n, classes] could be the probabilities of classes that exclude each other."""
    return shares(scores) and bool((np.abs(scores.astype(np.float64).sum(-1) - 1) <= SUM).all())


def shares(scores: Scores) -> bool:
    """Whether every number could be a probability."""
    return bool(((scores >= -SUM) & (scores <= 1 + SUM)).all())


def unit_length(scores: Scores) -> bool:
    """Whether every row has the Euclidean length 1, as an embedding that is compared by angles."""
    return bool((np.abs(np.linalg.norm(scores.astype(np.float64), axis=-1) - 1) <= SUM).all())


def top_k(probabilities: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """The k most probable classes of one answer [classes], best first; ties by the lower class."""
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(int(i), float(probabilities[i])) for i in order]
