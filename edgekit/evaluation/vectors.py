"""Embeddings in an evaluation: every vector is kept, and an image is right where its nearest ones are of its class.

A candidate with a reference is asked as it would be used: its vectors are sought in a gallery of the reference's.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.data import Picture
from edgekit.data.decoding import Seen
from edgekit.errors import many
from edgekit.evaluation.answers import Key
from edgekit.evaluation.checks import check_neighbours
from edgekit.evaluation.counting import Counting, Found
from edgekit.evaluation.results import Alike, Change, Part, Result, tenths
from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import agresti_min, wilson
from edgekit.tasks import Embedding, knn
from edgekit.tasks.likeness import sqnr_db
from edgekit.tensors import Values

NEAREST = 5
Floats = NDArray[np.float32]


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One image. vectors: of each file, float32, little-endian; sqnr_db: None where equal, or without a reference."""

    position: int
    name: str
    truth: tuple[int, ...]
    vectors: tuple[bytes, ...] = ()
    sqnr_db: float | None = None
    unreadable: str = ""

    def fault(self, key: Key, classes: int) -> str | None:
        if len(self.vectors) != len(key.artifacts):
            return f"{len(self.vectors)} vectors"
        if key.labels and not self.truth:
            return "no label"
        whole = all(v and len(v) % 4 == 0 and np.isfinite(np.frombuffer(v, "<f4")).all() for v in self.vectors)
        return None if whole and len({len(v) for v in self.vectors}) == 1 else "a vector that is none"


class Vectors(Counting[Kept]):
    kind = Kept

    def unread(self, picture: Picture, why: str) -> Kept:
        return Kept(picture.position, picture.name, picture.truth, unreadable=why)

    def keep(self, picture: Picture, seen: Seen, values: Sequence[Values]) -> Kept:
        vectors = [answer[0] for answer in values]
        decibels = sqnr_db(vectors[1], vectors[0]) if len(vectors) > 1 else np.inf
        packed = tuple(v.astype("<f4").tobytes() for v in vectors)
        return Kept(picture.position, picture.name, picture.truth, packed, decibels if np.isfinite(decibels) else None)

    def count(self, records: Callable[[], Iterable[Kept]]) -> Found:
        kept = list(records())
        vectors = [
            np.stack([np.frombuffer(record.vectors[i], "<f4") for record in kept]) for i in range(len(self.files))
        ]
        if not self.data.labelled:
            return Found(change=self._change(kept, vectors, None))
        truth = np.array([record.truth[0] for record in kept])
        check_neighbours(truth.tolist())
        size = Counter(truth.tolist())
        asked = np.array([size[t] > 1 for t in truth])  # without another of its class an image cannot be right
        near = [knn.nearest(v, vectors[-1], min(NEAREST, len(kept) - 1)) for v in vectors]
        right = [[(knn.named(n[:, :k], truth) == truth)[asked] for k in (1, NEAREST)] for n in near]
        results = tuple(self._result(i, each, truth[asked]) for i, each in enumerate(right))
        change = self._change(kept, vectors, [each[0] for each in right]) if len(vectors) > 1 else None
        alone = int((~asked).sum())
        notes = (f"not asked about, as the only one of its class: {many(alone, 'images')}",) if alone else ()
        return Found(results, change, notes)

    def _result(self, which: int, right: Sequence[NDArray[np.bool_]], truth: NDArray[np.intp]) -> Result:
        figures = [
            Figure.counted(f"{k}-NN", wilson(int(r.sum()), len(r))) for k, r in zip((1, NEAREST), right, strict=True)
        ]
        parts = tuple(
            Part(self.labels[c], float(right[0][truth == c].mean()), int((truth == c).sum())) for c in np.unique(truth)
        )
        return msgspec.structs.replace(self.result(which, len(truth), figures), parts=parts)

    def _change(
        self, kept: Sequence[Kept], vectors: Sequence[Floats], right: Sequence[NDArray[np.bool_]] | None
    ) -> Change:
        ours, theirs = self.files
        task = ours.artifact.manifest.task
        assert isinstance(task, Embedding)
        drop = None
        if right is not None:
            lost, won = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
            drop = agresti_min(lost, won, len(right[0]))
        likeness = task.alike((vectors[1],), (vectors[0],))
        alike = tuple(Alike(m.name, m.value) for m in task.measures(likeness, ours.artifact.manifest.scheme))
        noise = tenths([record.sqnr_db for record in kept])
        return Change(ours.artifact.name, theirs.artifact.name, len(kept), "1-NN", drop, alike, *noise)
