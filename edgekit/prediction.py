"""Pictures in, what their answers mean out: what `edgekit predict` and `Artifact.predict` call."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import drawing
from edgekit.answering import TIMEOUT, Answering, start_answering
from edgekit.artifact import Artifact
from edgekit.data import picture_files, read_pictures
from edgekit.data.video import Video, is_video, open_video
from edgekit.devices import Device
from edgekit.errors import DataError, RequestError
from edgekit.preprocess import fit, fit_each, open_picture, placement
from edgekit.runtimes import Options
from edgekit.tasks import Boxes, Detection, Embedding, Mask, Prediction, Segmentation, Vector, segmentation


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


def fitted(artifact: Artifact, data: Path | None) -> tuple[NDArray[np.uint8], str]:
    """The pictures of a folder, or else the artifact's golden ones, as its model sees them: uint8 [n, h, w, channels]; and
    how many cannot be read, in words, "" of none.

    Raises DataError.
    """
    spec = artifact.manifest.preprocess
    if data is None:
        return np.stack([fit_each(image, spec) for image in artifact.golden().images]), ""
    read = [pixels for _, pixels in read_pictures(picture_files(data), spec)]
    found = [pixels for pixels in read if not isinstance(pixels, DataError)]
    if not found:
        raise DataError(f"none of the pictures in {data} can be read", hint="--data another/folder")
    lost = len(read) - len(found)
    return np.stack(found), f"{lost} of {len(read)} pictures cannot be read" if lost else ""


def predict(
    artifact: Artifact,
    options: Options,
    images: Sequence[Path],
    device: Device | None = None,
    timeout: float = TIMEOUT,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Path, Prediction | DataError]]:
    """Answer one picture, or video, at a time; what cannot be read comes as the error that says why. say: takes a line on frames
    that were skipped.

    Raises as `answering.start_answering` does.
    """
    with start_answering(artifact, device, options, timeout) as opened:
        yield from _answers(opened, images, say)


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


def _answers(
    opened: Answering, images: Sequence[Path], say: Callable[[str], None] = lambda line: None
) -> Iterator[tuple[Path, Prediction | DataError]]:
    clips = opened.artifact.manifest.preprocess.is_clip
    for path in images:
        try:
            if clips:
                yield path, answer_video(opened, open_video(path, path.name), say)
                continue
            if is_video(path) and path.exists():
                raise DataError(f"{path.name} is a video, and {opened.artifact.name} takes pictures")
            yield path, answer(opened, open_picture(path), path.name)
        except DataError as error:
            yield path, error


def answer_video(opened: Answering, video: Video, say: Callable[[str], None] = lambda line: None) -> Prediction:
    """Of one video, the mean over its windows; say: takes a line on frames that were skipped. Raises DataError for one that cannot be seen so, WorkerError."""
    manifest = opened.artifact.manifest
    seen = video.windows(manifest.preprocess)
    if seen.broken:
        say(f"{video.name}: {seen.broken} broken frames skipped")
    values = tuple(v[0] for v in opened.of_windows(seen.pixels))
    spec = manifest.preprocess
    return manifest.task.read(values, placement(seen.size, spec), spec.input_size)


def answer(opened: Answering, picture: Image.Image, name: str) -> Prediction:
    """Of one picture in 8-bit RGB; name: what errors call it. Raises DataError for one that cannot be fitted, WorkerError."""
    manifest = opened.artifact.manifest
    spec = manifest.preprocess
    try:
        pixels = fit(picture, spec)
    except DataError as error:
        raise DataError(f"{name}: {error.message}") from None
    values = tuple(v[0] for v in opened.values(pixels[None]))
    return manifest.task.read(values, placement(picture.size, spec), spec.input_size)


def drawn(artifact: Artifact, picture: Image.Image, found: Mask | Boxes) -> Image.Image:
    """The picture in RGB with what was found on it: its mask and a legend, or boxes with tags."""
    labels, task = artifact.labels(), artifact.manifest.task
    if isinstance(found, Boxes):
        assert isinstance(task, Detection)
        return drawing.around(picture, found, task.colours(len(labels)), labels)
    assert isinstance(task, Segmentation)
    return drawing.over(picture, found, palette(artifact), labels, task.background)


def palette(artifact: Artifact) -> segmentation.Palette:
    """The colours of a segmentation's labels, red, green and blue of each."""
    task = artifact.manifest.task
    assert isinstance(task, Segmentation)
    return task.palette or segmentation.palette(artifact.manifest.labels)
