"""One score per class: decode answers, compare two sets of answers."""

import math

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]  # [pictures, classes], logits or probabilities


def softmax(logits: Scores) -> Scores:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True), np.float32)


def top_k(probabilities: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """The k most probable classes of one answer [classes], best first; ties by the lower class."""
    order = np.argsort(-probabilities, kind="stable")[:k]
    return [(int(i), float(probabilities[i])) for i in order]


def sqnr_db(reference: NDArray[np.float32], answer: NDArray[np.float32]) -> float:
    """Signal to quantization noise in decibels over all values; inf where they are equal."""
    noise = float(np.square(reference.astype(np.float64) - answer).sum())
    signal = float(np.square(reference.astype(np.float64)).sum())
    return math.inf if noise == 0 else -math.inf if signal == 0 else 10 * math.log10(signal / noise)


def agreement(reference: Scores, answer: Scores) -> float:
    """Share of pictures on which both name the same class first."""
    return float((reference.argmax(-1) == answer.argmax(-1)).mean())


def can_be(kind: str, scores: Scores) -> bool:
    """Whether scores [n, classes] can be what a manifest calls them. Integers inside a file round probabilities to 1/256."""
    if kind == "probabilities":
        return bool((scores >= -0.01).all() and (scores <= 1.01).all())
    if kind == "log-probabilities":
        return bool((scores <= 0.01).all())
    sums = scores.sum(-1)
    return scores.shape[-1] == 1 or not (bool((scores >= 0).all()) and bool(np.abs(sums - 1).max() < 1e-3))
