"""Pictures in, labelled classes out: what `edgekit predict` calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.answering import TIMEOUT, contender
from edgekit.artifact import Artifact
from edgekit.data import read_pictures
from edgekit.devices import Device
from edgekit.errors import DataError
from edgekit.runtimes import Options
from edgekit.tasks.classification import softmax, top_k


@dataclass(frozen=True)
class Class:
    index: int
    label: str
    probability: float


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
    labels = artifact.labels()
    with contender(artifact, device, options, timeout) as opened:
        for path, pixels in read_pictures(images, artifact.manifest.preprocess):
            if isinstance(pixels, DataError):
                yield path, pixels
                continue
            scores = opened.scores(pixels[None])
            chances = (softmax(scores) if artifact.manifest.scores == "logits" else scores)[0]
            yield path, [Class(i, labels[i], p) for i, p in top_k(chances, top)]
