"""`load`, and the artifact that answers images."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, overload

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from edgekit import artifact as folders
from edgekit import prediction, registry
from edgekit.answering import TIMEOUT, WORKERS, Answering, start_answering
from edgekit.errors import DataError
from edgekit.runtimes import Options, check_interpreter
from edgekit.verbs import pictures
from edgekit.verbs.asked import Place, verb
from edgekit.verbs.pictures import Picture
from edgekit.verbs.predictions import Prediction, named

File = folders.Artifact | Place
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Threads = Annotated[int, msgspec.Meta(ge=1, le=1024)]
Seconds = Annotated[float, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(ge=0.001, le=1000)]
Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Session:
    """The process in which a file answers: begun at the first image and kept for the next ones, until it is asked for
    another way, fails, or nobody holds the artifact any more."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.way: tuple[object, ...] | None = None
        self.opened: Answering | None = None
        self.end: Callable[[], object] = lambda: None

    @contextmanager
    def of(
        self, artifact: folders.Artifact, on: str, options: Options, timeout: float, batch: int | None = None
    ) -> Iterator[Answering]:
        """Raises WorkerError, DeviceError, RequestError for a batch that the file does not take."""
        way = (os.getpid(), on, options, timeout, batch)  # a fork must not share the pipes of its parent
        with self.lock:
            if self.opened is None or way != self.way:
                self.close()
                stack, bare = (
                    ExitStack(),
                    folders.Artifact(artifact.folder, artifact.manifest),
                )  # which does not hold us
                self.opened = stack.enter_context(start_answering(bare, registry.device(on), options, timeout, batch))
                self.way, self.end = way, weakref.finalize(self, _close, stack, os.getpid())
            try:
                yield self.opened
            except DataError:
                raise  # of an image, which it was never asked about
            except BaseException:
                self.close()  # an answer may be on its way that is nobody's
                raise

    def close(self) -> None:
        with self.lock:
            self.end()
            self.opened = None


def _close(stack: ExitStack, process: int) -> None:
    if os.getpid() == process:
        stack.close()


@dataclass(frozen=True, repr=False)
class Artifact(folders.Artifact):
    """What `load` and `export` give: a file with all that is known of it, in `manifest`, that answers images.

    It is a path as well: its folder. The process that answers ends with `close`, at the end of a `with` block, or when
    nobody holds the artifact.
    """

    session: Session = field(default_factory=Session, init=False, compare=False)

    @overload
    def predict(
        self,
        images: Image | NDArray[np.uint8],
        *,
        threshold: Probability | None = ...,
        unreadable: Literal["raise", "skip"] = ...,
        on: str = ...,
        threads: Threads = ...,
        interpreter: str | None = ...,
        timeout: Seconds = ...,
    ) -> Prediction: ...
    @overload
    def predict(  # type: ignore[overload-overlap]  # a text is a sequence of texts, but never a list of images
        self,
        images: Place,
        *,
        threshold: Probability | None = ...,
        unreadable: Literal["raise", "skip"] = ...,
        batch: Count | None = ...,
        workers: Count = ...,
        frame_rate: Rate = ...,
        on: str = ...,
        threads: Threads = ...,
        interpreter: str | None = ...,
        timeout: Seconds = ...,
    ) -> Prediction | list[Prediction]: ...
    @overload
    def predict(
        self,
        images: Iterator[Picture],
        *,
        threshold: Probability | None = ...,
        unreadable: Literal["raise", "skip"] = ...,
        frame_rate: Rate = ...,
        on: str = ...,
        threads: Threads = ...,
        interpreter: str | None = ...,
        timeout: Seconds = ...,
    ) -> Iterator[Prediction]: ...
    @overload
    def predict(
        self,
        images: Sequence[Picture],
        *,
        threshold: Probability | None = ...,
        unreadable: Literal["raise", "skip"] = ...,
        batch: Count | None = ...,
        workers: Count = ...,
        frame_rate: Rate = ...,
        on: str = ...,
        threads: Threads = ...,
        interpreter: str | None = ...,
        timeout: Seconds = ...,
    ) -> list[Prediction]: ...
    @verb
    def predict(
        self,
        images: Any,
        *,
        threshold: Probability | None = None,
        unreadable: Literal["raise", "skip"] = "raise",
        batch: Count | None = None,
        workers: Count = WORKERS,
        frame_rate: Rate = prediction.FRAME_RATE,
        on: str = "local",
        threads: Threads = 1,
        interpreter: str | None = None,
        timeout: Seconds = TIMEOUT,
    ) -> Prediction | list[Prediction] | Iterator[Prediction]:
        """What the file says of an image; of a list of images, a folder or a video, a list; of an iterator, one as each comes.

        images      a file, also one that is open as bytes, an image of Pillow's, a uint8 array [height, width, 3] in RGB or [height, width] in grey; a
                    list or an iterator of these; a folder, of which every image below it is meant, or a pattern such as
                    "photos/**/*.jpg"; a video, of which frames are meant. Of a file that takes clips: a video as a whole, a
                    folder of its frames, or one of videos; a uint8 array [frames, height, width, 3] or a tuple of images,
                    the oldest first, each a step of the model's frame rate
        threshold   boxes: the score from which on they are shown; None: as the artifact says
        unreadable  of several, "skip" leaves out what cannot be read; a prediction's `source` says of which file it is
        batch       of a list or a folder: images in one inference; None: as the file says, or one
        workers     of a list or a folder: threads that decode images while the file answers others
        frame_rate  of a video: how many of its frames a second are meant; `seconds` of a prediction says when it was
        on          where to run: "local", "arm64:cortex-a76", "adb" (see docs/boards-and-phones.md)
        interpreter  who runs a .tflite: "ai-edge-litert", "tflite-runtime", "tensorflow"
        timeout     seconds without an answer that mean a hang

        Raises RequestError for what is no image, DataError for what cannot be read, WorkerError, DeviceError.
        """
        shown = self if threshold is None else prediction.shown_from(self, threshold)
        check_interpreter(interpreter, [self.target])
        asked = Asked(
            self, shown, unreadable == "skip", workers, frame_rate, on, Options(threads, interpreter), timeout, batch
        )
        if isinstance(images, Iterator) and not pictures.is_opened(images):
            return (found for one in images for found in asked.about([one]))
        if (named_files := pictures.several(images, clips=self.manifest.preprocess.is_clip)) is not None:
            return list(asked.about(named_files))
        return next(iter(replace(asked, skips=False).about([images])))

    def close(self) -> None:
        """End the process that answers. The next `predict` begins another."""
        self.session.close()

    def __enter__(self) -> "Artifact":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Artifact, (self.folder, self.manifest)


@dataclass(frozen=True)
class Asked:
    """How an artifact is asked about images. shown: the artifact with the threshold that is wished."""

    artifact: Artifact
    shown: folders.Artifact
    skips: bool
    workers: int
    frame_rate: float
    on: str
    options: Options
    timeout: float
    batch: int | None = None

    def about(self, said: Sequence[Any]) -> list[Prediction]:
        """Raises DataError for what cannot be read, unless that is skipped."""
        known, found = [], []
        clips = self.artifact.manifest.preprocess.is_clip
        for one in said:
            try:
                known.append(pictures.told(one, clips=clips))
            except DataError:
                if not self.skips:
                    raise
        held = prediction.together(self.artifact, registry.device(self.on), self.batch, images=known)
        with self.artifact.session.of(self.artifact, self.on, self.options, self.timeout, self.batch) as opened:
            asked = replace(opened, artifact=self.shown)
            with closing(prediction.answers(asked, known, self.workers, held, frame_rate=self.frame_rate)) as answers:
                for picture, answer in answers:
                    if not isinstance(answer, DataError):
                        found.append(named(answer, self.shown, pictures.upright(picture)))
                    elif not self.skips:
                        raise answer
        return found


@verb
def load(folder: Place) -> Artifact:
    """Open an artifact that `edgekit.export` made, and check every file of it. Needs no torch.

    Raises ArtifactError for a folder that is none or is damaged, RequestError for what is no path.
    """
    return whole(folders.load(folder))


def whole(found: folders.Artifact) -> Artifact:
    """The artifact as callers get it."""
    return Artifact(found.folder, found.manifest)


def opened_of(said: File) -> folders.Artifact:
    """One that a caller has opened already, or its folder. Raises ArtifactError, RequestError."""
    return said if isinstance(said, folders.Artifact) else folders.load(said)
