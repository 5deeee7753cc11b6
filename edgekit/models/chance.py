"""Weights are drawn with a seed, and whoever calls goes on drawing as if nothing had been drawn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is drawn in here follows the seed; the caller's generator stands where it stood afterwards."""
    with torch.random.fork_rng(devices=[]):  # networks are made on the CPU
        torch.default_generator.manual_seed(seed)
        yield
