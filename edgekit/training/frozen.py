"""A frozen body sees each image once: its head learns from what the body made of it, in seconds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from edgekit.data import DataSet
from edgekit.models import heads
from edgekit.training.batches import Batch, stream
from edgekit.training.objective import Objective
from edgekit.training.settings import Settings
from edgekit.training.world import World


class Frozen:
    """Batches of features, float32 [n, d], in place of images. The body is in eval mode and never changes."""

    def __init__(self, module: nn.Module, objective: Objective, settings: Settings, world: World) -> None:
        self.module, self.objective, self.settings, self.world = module, objective, settings, world
        self.seen: dict[int, Batch] = {}

    def batches(self, data: DataSet, parts: Sequence[np.ndarray]) -> Iterator[Batch]:
        """parts: indices into data.positions. Raises DataError where a file of the data set is damaged."""
        if id(data) not in self.seen:
            self.seen[id(data)] = self._look(data)
        whole = self.seen[id(data)]
        return (_part(whole, part) for part in parts)

    def _look(self, data: DataSet) -> Batch:
        """All of a data set as one batch. Every process looks at all of it."""
        asked, objective = self.settings, self.objective
        parts = np.array_split(np.arange(len(data)), -(-len(data) // asked.batch))
        images = stream(data, parts, objective.plain, objective.nothing, asked.workers, (asked.seed,))
        return _joined(
            replace(batch, images=features(self.module, self.world.place(batch.images))[0]) for batch in images
        )


def features(module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a network's head is given, and what the network answers."""
    given: list[Tensor] = []
    hook = heads.head(module).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        with torch.no_grad():
            answers: Tensor = module.eval()(images)
    finally:
        hook.remove()
    return given[-1].float(), answers


def ends_in_its_head(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether nothing follows the head, which is given one vector for each image of a shape [c, h, w]."""
    vectors, answers = features(module, torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        again = heads.head(module)(vectors)
    return vectors.ndim == 2 and len(vectors) == 2 and again.shape == answers.shape and torch.allclose(again, answers)


def _joined(batches: Iterable[Batch]) -> Batch:
    every = list(batches)
    return Batch(
        torch.cat([batch.images for batch in every]),
        torch.cat([batch.truth for batch in every]),
        tuple(right for batch in every for right in batch.right),
        torch.cat([batch.weight for batch in every]),
        tuple(why for batch in every for why in batch.unreadable),
    )


def _part(whole: Batch, indices: np.ndarray) -> Batch:
    blamed = dict(zip((whole.weight == 0).nonzero().flatten().tolist(), whole.unreadable, strict=True))
    chosen = indices.tolist()
    return Batch(
        whole.images[chosen],
        whole.truth[chosen],
        tuple(whole.right[i] for i in chosen),
        whole.weight[chosen],
        tuple(blamed[i] for i in chosen if i in blamed),
    )
