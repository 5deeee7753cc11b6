"""Pictures in, labelled classes out: what `edgekit predict` calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import parity
from edgekit.artifact import Artifact
from edgekit.data import read_pictures
from edgekit.errors import DataError
from edgekit.runtimes import Options, Runtime
from edgekit.tasks.classification import top_k


@dataclass(frozen=True)
class Class:
    index: int
    label: str
    probability: float
    holds: bool  # of independent classes: from the threshold on; else: the first


def predict(
    artifact: Artifact, runtime: Runtime, options: Options, images: Sequence[Path], top: int
) -> Iterator[tuple[Path, list[Class] | DataError]]:
    """Answer one picture at a time; what cannot be read comes as the error that says why."""
    labels, meaning = artifact.labels(), artifact.manifest.meaning
    session = runtime.open(artifact, options)
    takes = session.takes()
    artifact.check_input(takes.shape, takes.dtype)
    try:
        for path, pixels in read_pictures(images, artifact.manifest.preprocess):
            if isinstance(pixels, DataError):
                yield path, pixels
                continue
            scores = parity.answers(artifact, session, pixels[None])
            chances, holds = meaning.probabilities(scores)[0], meaning.holds(scores)[0]
            best = top_k(chances, max(top, int(holds.sum())))  # every label that holds is named
            yield path, [Class(i, labels[i], p, bool(holds[i])) for i, p in best]
    finally:
        session.close()
