"""Chance without a memory: each draw is a function of the seed and of where the run stands.

A run that goes on in the middle of an epoch has nothing to restore, and workers cannot change what is drawn.
"""

import random

import numpy as np
import torch

ORDER, VIEW, STEP = range(3)  # what is drawn: an epoch's order, an image's view, what layers drop in a step


def draw(*where: int) -> np.random.Generator:
    return np.random.default_rng(where)


def reseed(*where: int) -> None:
    """Seed every generator that transforms and layers draw from."""
    key = int(np.random.SeedSequence(where).generate_state(1)[0])
    random.seed(key)
    np.random.seed(key)
    torch.default_generator.manual_seed(key)
    if torch.utils.data.get_worker_info() is None and torch.cuda.is_available():
        torch.cuda.manual_seed_all(key)
