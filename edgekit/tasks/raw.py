"""Any tensors, named: what fits no other task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np

from edgekit.preprocess import Placement
from edgekit.tasks.likeness import Likeness, Measure, noise
from edgekit.tensors import Tensor, Values


class Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="name", tag="raw"):
    """Nothing is known of what the answers mean; a copy is proven by its numbers."""

    roles: ClassVar[tuple[str, ...]] = ()
    int8_sqnr_db: ClassVar[float | None] = None

    def fault(self, outputs: Sequence[Tensor], labels: int) -> str | None:
        """What contradicts this task, in words."""
        if labels:
            return f"raw answers, and {labels} labels"
        return None if outputs else "raw answers, and no outputs"

    def read(self, values: Values, at: Placement, input_size: tuple[int, int]) -> "Tensors":
        """Of the answer to one image, all as they are."""
        return Tensors(values)

    def mean(self, values: Values) -> Values:
        """The answer to one video, [1, ...], of those to several of its windows."""
        return tuple(np.asarray(v.mean(0, keepdims=True), np.float32) for v in values)

    def alike(self, reference: Values, values: Values) -> Likeness:
        return Likeness(noise(reference, values))

    def measures(self, likeness: Likeness, scheme: str) -> tuple[Measure, ...]:
        return ()

    def can_be(self, answers: Values) -> bool:
        return True

    def __str__(self) -> str:
        return "raw"


@dataclass(frozen=True)
class Tensors:
    """A file's answers to one image, float32, channels first, in the order of its outputs."""

    values: Values
