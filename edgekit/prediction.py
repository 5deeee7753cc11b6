"""Images in, what their answers mean out: what `edgekit predict` and `Artifact.predict` call."""

import itertools
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import drawing, registry
from edgekit.answering import TIMEOUT, WORKERS, Answering, answered, at_once, start_answering
from edgekit.artifact import Artifact
from edgekit.data import Picture, picture_files, read_pictures
from edgekit.data.dataset import Opener
from edgekit.data.decoding import Seen
from edgekit.data.files import is_video
from edgekit.data.listed import videos_in
from edgekit.data.video import Frame, Video, Windows, open_video, read_videos
from edgekit.devices import Device
from edgekit.errors import DataError, RequestError, UnreadableError, many
from edgekit.preprocess import decode_picture, fit_each, placement
from edgekit.runtimes import Options
from edgekit.tasks import Boxes, Detection, Embedding, Mask, Prediction, Segmentation, Vector, segmentation

Say = Callable[[str], None]
FRAME_RATE = 1.0  # of the frames of a video that a file which takes images is asked about, a second
FRAMES = 4  # of a video, handed to a device together: each can take tens of megabytes


@dataclass(frozen=True)
class Nearest:
    """The images of a gallery that are most like one image, with the cosine of their embeddings, best first."""

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
    """The images of a folder, or the windows of its videos, or else the artifact's golden ones, as its model sees them:
    uint8 [n, h, w, channels], or [n, t, h, w, channels]; and how many cannot be read, in words, "" of none.

    Raises DataError.
    """
    spec = artifact.manifest.preprocess
    if data is None:
        return np.stack([fit_each(image, spec) for image in artifact.golden().images]), ""
    read = list(read_videos(videos_in(data), spec) if spec.is_clip else read_pictures(picture_files(data), spec))
    found = [seen for _, seen in read if not isinstance(seen, DataError)]
    if not found:
        raise UnreadableError(f"none of the {spec.files} in {data} can be read", hint="--data another/folder")
    lost = len(read) - len(found)
    pixels = np.concatenate([seen.pixels if isinstance(seen, Windows) else seen[None] for seen in found])
    return pixels, f"{lost} of {len(read)} {spec.files} cannot be read" if lost else ""


def predict(
    artifact: Artifact,
    options: Options,
    images: Sequence[Path],
    device: Device | None = None,
    timeout: float = TIMEOUT,
    *,
    batch: int | None = None,
    workers: int = WORKERS,
    frame_rate: float = FRAME_RATE,
    say: Say = lambda line: None,
) -> Iterator[tuple[Path | Frame, Prediction | DataError]]:
    """Answer images, or videos, in their order; what cannot be read comes as the error that says why. Threads decode ahead.
    Of a video a file that takes images is asked about single frames.

    batch       images in one inference; None: as the file says, or one
    workers     threads that decode
    frame_rate  of a video's frames, a second
    say         takes a line on frames that were skipped

    Raises as `answering.start_answering` does.
    """
    with start_answering(artifact, device, options, timeout, batch) as opened:
        yield from answers(opened, images, workers, together(artifact, device, batch, images), say, frame_rate)


def together(artifact: Artifact, device: Device | None, batch: int | None = None, images: Iterable[object] = ()) -> int:
    """How many images are handed to a device together."""
    most = FRAMES if films(artifact, images) else at_once([artifact], device or registry.device("local"))
    return max(most, batch or 1)


def films(artifact: Artifact, images: Iterable[object]) -> list[Path]:
    """The videos of which a file that takes images is asked about single frames."""
    clips = artifact.manifest.preprocess.is_clip
    return [path for path in images if not clips and isinstance(path, Path) and is_video(path)]


def nearest(
    artifact: Artifact,
    options: Options,
    images: Sequence[Path],
    gallery: Path,
    top: int,
    device: Device | None = None,
    timeout: float = TIMEOUT,
    *,
    batch: int | None = None,
    workers: int = WORKERS,
    frame_rate: float = FRAME_RATE,
) -> Iterator[tuple[Path | Frame, Nearest | DataError]]:
    """For each image the `top` most similar ones of a folder, which are embedded first; an image that is in the folder
    itself is left out.

    Raises RequestError for a file that embeds nothing, DataError for a folder without images, and as `predict` does.
    """
    if not isinstance(artifact.manifest.task, Embedding):
        raise RequestError(
            f"--gallery is for embeddings, and {artifact.name} answers {artifact.manifest.task}",
            hint="edgekit export MODEL --task embedding",
        )
    files, held = picture_files(gallery), together(artifact, device, batch, images)
    with start_answering(artifact, device, options, timeout, batch) as opened:
        known = [(path, v.values) for path, v in answers(opened, files, workers, held) if isinstance(v, Vector)]
        if not known:
            raise UnreadableError(
                f"none of the {len(files)} images in {gallery} can be read", hint="--gallery elsewhere"
            )
        vectors = np.stack([values for _, values in known])
        for path, vector in answers(opened, images, workers, held, frame_rate=frame_rate):
            if isinstance(vector, DataError):
                yield path, vector
                continue
            assert isinstance(vector, Vector)
            near = vector.similarity(vectors)
            best = (int(i) for i in np.argsort(-near, kind="stable"))
            others = (i for i in best if not _same(known[i][0], path))
            yield path, Nearest(vector, tuple((known[i][0], float(near[i])) for i in itertools.islice(others, top)))


def _same(one: Path, other: Path | Frame) -> bool:
    return isinstance(other, Path) and one.exists() and other.exists() and one.samefile(other)


def answers(
    opened: Answering,
    images: Sequence[Path | Image.Image | Video],
    workers: int,
    held: int,
    say: Say = lambda line: None,
    frame_rate: float = FRAME_RATE,
) -> Generator[tuple[Any, Prediction | DataError], None, None]:
    """Of files, images of Pillow's, clips in memory, or of a video its frames, in their order; `held` of them are handed over together.

    Raises WorkerError; MissingExtraError for a video where nothing reads it.
    """
    manifest, asked = opened.artifact.manifest, dict[int, Any]()
    spec = manifest.preprocess
    named = _pictures(_opened_by(images, spec.is_clip, frame_rate, say), asked)
    with warnings.catch_warnings(), closing(answered([opened], named, workers, held)) as stream:
        warnings.simplefilter("ignore")  # Pillow's of large images: threads cannot tell it not to
        for some, values in stream:
            row = 0
            for picture, seen in some:
                image = asked.pop(picture.position)
                if not isinstance(seen, Seen):
                    yield image, seen
                    continue
                if seen.broken:
                    say(f"{picture.name}: {many(seen.broken, 'broken frames')} skipped")
                one = tuple(output[row] for output in values[0])
                yield image, manifest.task.read(one, placement(seen.size, spec), spec.input_size)
                row += 1


def frames_of(films: Iterable[Path], frame_rate: float) -> dict[Path, int]:
    """How many frames of each video are asked about; 1 of one that cannot be read."""
    found = {}
    for path in films:
        try:
            found[path] = open_video(path, str(path)).moments(frame_rate)
        except DataError:  # which is told in its turn
            found[path] = 1
    return found


def _pictures(images: Iterable[tuple[Any, str, Opener]], asked: dict[int, Any]) -> Iterator[Picture]:
    """To be decoded; `asked` keeps what each is until it is answered."""
    for position, (image, name, opener) in enumerate(images):
        asked[position] = image
        yield Picture(position, name, (), opener, bytes)


def _opened_by(
    images: Sequence[Path | Image.Image | Video], clips: bool, frame_rate: float, say: Say
) -> Iterator[tuple[Path | Image.Image | Video | Frame, str, Opener]]:
    """What is asked about, its name, and what opens it."""
    kind = "clip" if clips else "image"
    for i, image in enumerate(images):
        name = str(image) if isinstance(image, Path) else f"{kind} {i}" if len(images) > 1 else f"the {kind}"
        if isinstance(image, Video):
            yield image, name, partial(replace, image, name=name)
        elif clips and isinstance(image, Path):
            yield image, name, partial(open_video, image, name)
        elif isinstance(image, Path) and is_video(image):
            try:
                for frame in open_video(image, name).pictures(frame_rate, say):
                    yield frame, str(frame), partial(decode_picture, frame.picture, str(frame))
            except DataError as error:
                yield image, name, partial(_refuse, error)
        else:
            yield image, name, partial(decode_picture, image, name)


def _refuse(error: DataError) -> Any:
    raise error


def drawn(artifact: Artifact, picture: Image.Image, found: Mask | Boxes) -> Image.Image:
    """The image in RGB with what was found on it: its mask and a legend, or boxes with tags."""
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
