"""Ranges of activations: what is kept of the images."""

import numpy as np

from edgekit.exporters.ranges import FETCHED, PICTURES, SAMPLED, Ranges, batches


def test_memory_is_bounded_and_the_images_kept_are_of_all_that_were_seen() -> None:
    seen, count = Ranges(), 4 * PICTURES
    for picture in range(count):
        seen.see("x", np.full(2 * SAMPLED, picture, np.float32), pooled=False)
    kept = np.array([values[0] for values in seen._sampled["x"]])
    assert len(kept) == PICTURES
    assert all(len(values) == SAMPLED for values in seen._sampled["x"])
    assert len(set(kept)) == PICTURES  # none twice
    assert abs(kept.mean() - count / 2) < count / 8  # neither the first nor the last of them
    assert seen.found("minmax") == {"x": (0.0, count - 1.0)}


def test_activations_are_fetched_some_at_a_time() -> None:
    half = FETCHED // 2
    sizes = {"a": half, "b": half, "c": 4, "d": 9 * half, "e": 16}
    assert batches(sizes) == [["a", "b"], ["c"], ["d"], ["e"]]
