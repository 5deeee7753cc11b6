"""Pictures in, what their answers mean out: what `edgekit predict` calls."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from edgekit.answering import TIMEOUT, Answering, start_answering
from edgekit.artifact import Artifact
from edgekit.data import picture_files
from edgekit.devices import Device
from edgekit.errors import DataError, RequestError
from edgekit.preprocess import fit, open_picture, placement
from edgekit.runtimes import Options
from edgekit.tasks import Detection, Embedding, Prediction, Vector


@dataclass(frozen=True)
class Nearest:
    """The pictures of a gallery that are most like one picture, with the cosine of their embeddings, best first."""

    vector: Vector
    found: tuple[tuple[Path, float], ...]


def shown_from(artifact: Artifact, threshold: float) -> Artifact:
    """The artifact with another score from which on it shows boxes. Raises RequestError for one that finds none."""
    task = artifact.manifest.task
    if not isinstance(task, Detection):
        raise RequestError(f"--threshold is for boxes, and {artifact.name} answers {task}", hint="leave it out")
    shown = msgspec.structs.replace(task, threshold=threshold)
    return replace(artifact, manifest=msgspec.structs.replace(artifact.manifest, task=shown))


def predict(
    artifact: Artifact,
    options: Options,
    images: Sequence[Path],
    device: Device | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[tuple[Path, Prediction | DataError]]:
    """Answer one picture at a time; what cannot be read comes as the error that says why.

    Raises as `answering.start_answering` does.
    """
    with start_answering(artifact, device, options, timeout) as opened:
        yield from _answers(opened, images)


def nearest(
    artifact: Artifact,
    options: Options,
    images: Sequence[Path],
    gallery: Path,
    top: int,
    device: Device | None = None,
    timeout: float = TIMEOUT,
) -> Iterator[tuple[Path, Nearest | DataError]]:
    """For each picture the `top` most similar ones of a folder, which are embedded first; a picture that is in the folder
    itself is left out.

    Raises RequestError for a file that embeds nothing, DataError for a folder without pictures, and as `predict` does.
    """
    if not isinstance(artifact.manifest.task, Embedding):
        raise RequestError(
            f"--gallery is for embeddings, and {artifact.name} answers {artifact.manifest.task}",
            hint="edgekit export MODEL --task embedding",
        )
    files = picture_files(gallery)
    with start_answering(artifact, device, options, timeout) as opened:
        known = [(path, v.values) for path, v in _answers(opened, files) if isinstance(v, Vector)]
        if not known:
            raise DataError(f"none of the {len(files)} pictures in {gallery} can be read", hint="--gallery elsewhere")
        vectors = np.stack([values for _, values in known])
        for path, vector in _answers(opened, images):
            if isinstance(vector, DataError):
                yield path, vector
                continue
            assert isinstance(vector, Vector)
            near = vector.similarity(vectors)
            best = (int(i) for i in np.argsort(-near, kind="stable"))
            others = (i for i in best if not _same(known[i][0], path))
            yield path, Nearest(vector, tuple((known[i][0], float(near[i])) for i in itertools.islice(others, top)))


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _answers(opened: Answering, images: Sequence[Path]) -> Iterator[tuple[Path, Prediction | DataError]]:
    for path in images:
        try:
            yield path, _answer(opened, path)
        except DataError as error:
            yield path, error


def _answer(opened: Answering, path: Path) -> Prediction:
    """Of one picture file. Raises DataError for what cannot be read, WorkerError."""
    manifest = opened.artifact.manifest
    spec, picture = manifest.preprocess, open_picture(path)
    try:
        pixels = fit(picture, spec)
    except DataError as error:
        raise DataError(f"{path.name}: {error.message}") from None
    values = tuple(v[0] for v in opened.values(pixels[None]))
    return manifest.task.read(values, placement(picture.size, spec), spec.input_size)
