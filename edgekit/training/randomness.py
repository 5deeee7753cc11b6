"""Chance without a memory: each draw is a function of the seed and of where the run stands.

A run that goes on in the middle of an epoch has nothing to restore, and workers cannot change what is drawn.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

ORDER, VIEW, STEP = range(3)  # what is drawn: an epoch's order, an image's view, what layers drop in a step


def draw(*where: int) -> np.random.Generator:
    return np.random.default_rng(where)


@contextmanager
def apart() -> Iterator[None]:
    """Whatever is seeded and drawn in here: the caller's own generators stand where they stood afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def reseed(*where: int) -> None:
    """Seed every generator that transforms and layers draw from."""
    key = int(np.random.SeedSequence(where).generate_state(1)[0])
    random.seed(key)
    np.random.seed(key)
    torch.default_generator.manual_seed(key)
    if torch.utils.data.get_worker_info() is None and torch.cuda.is_available():
        torch.cuda.manual_seed_all(key)
