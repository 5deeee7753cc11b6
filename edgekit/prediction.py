"""Pictures in, labelled classes out: what `edgekit predict` calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.answering import TIMEOUT, contender
from edgekit.artifact import Artifact
from edgekit.data import read_pictures
from edgekit.devices import Device
from edgekit.errors import DataError, UnsupportedError
from edgekit.runtimes import Options
from edgekit.tasks.classification import Classification, top_k


@dataclass(frozen=True)
class Class:
    index: int
    label: str
    probability: float
    holds: bool  # of independent classes: from the threshold on; else: the first


def predict(
    artifact: Artifact,
    options: Options,
    images: Sequence[Path],
    top: int,
    device: Device | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[tuple[Path, list[Class] | DataError]]:
    """Answer one picture at a time; what cannot be read comes as the error that says why.

    Raises as `answering.contender` does.
    """
    labels, task = artifact.labels(), artifact.manifest.task
    if not isinstance(task, Classification):
        raise UnsupportedError(f"{artifact.name} names no classes: {task}", hint="edgekit verify proves it")
    with contender(artifact, device, options, timeout) as opened:
        for path, pixels in read_pictures(images, artifact.manifest.preprocess):
            if isinstance(pixels, DataError):
                yield path, pixels
                continue
            (scores,) = opened.values(pixels[None])
            chances, holds = task.probabilities(scores)[0], task.holds(scores)[0]
            best = top_k(chances, max(top, int(holds.sum())))  # every label that holds is named
            yield path, [Class(i, labels[i], p, bool(holds[i])) for i, p in best]
