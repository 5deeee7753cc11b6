"""Images decoded ahead by a few threads: Pillow lets go of the interpreter while it decodes and resizes."""

import os
import sys
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Picture
from edgekit.data.video import Video
from edgekit.errors import DataError
from edgekit.preprocess import Pixels, Preprocess, fit
from edgekit.tasks.average_precision import Objects

NICENESS = 10  # of threads that decode


@dataclass(frozen=True)
class Seen:
    """An image as models see it: pixels for each preprocessing, of a video all its windows; its own size (width, height), its mask
    or the objects on it, if it has such; of a video how many frames were broken."""

    pixels: tuple[Pixels, ...]
    size: tuple[int, int]
    mask: NDArray[np.uint8] | None = None
    objects: Objects | None = None
    broken: int = 0


Fitted = Seen | DataError


def decoded(
    pictures: Iterable[Picture], specs: Sequence[Preprocess], workers: int, ahead: int
) -> Generator[tuple[Picture, Fitted], None, None]:
    """Images in their order, each decoded once and fitted to every preprocessing; what cannot be read as its error.

    At most `ahead` images wait, so memory does not grow with their number. Raises DataError for a mask that does not fit.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="decode", initializer=_give_way) as pool:
        waiting: deque[tuple[Picture, Future[Fitted]]] = deque()
        try:
            for picture in pictures:
                waiting.append((picture, pool.submit(_fit, picture, specs)))
                if len(waiting) >= ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:  # whoever reads may stop early
            pool.shutdown(wait=True, cancel_futures=True)


def _give_way() -> None:
    """Decoding takes the cores that inference leaves: on two cores it would else slow the slower of the two."""
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.nice(NICENESS)


def _fit(picture: Picture, specs: Sequence[Preprocess]) -> Fitted:
    try:
        opened = picture.open()
        if isinstance(opened, Video):
            seen = [opened.windows(spec) for spec in specs]
            return Seen(tuple(s.pixels for s in seen), seen[0].size, broken=seen[0].broken)
        pixels = tuple(fit(opened, spec) for spec in specs)
        objects = picture.objects(opened.size) if picture.objects else None
    except DataError as error:
        return picture.blamed(error)
    return Seen(pixels, opened.size, picture.mask(opened.size) if picture.mask else None, objects)
