"""Batches of images, streamed from a data set by a few processes; the same ones for any number of them."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from edgekit.data import DataSet, Picture
from edgekit.errors import DataError
from edgekit.preprocess import Preprocess, fit, normalise
from edgekit.training import randomness
from edgekit.training.settings import Settings

VIEWS: dict[str, dict[str, Any]] = {
    "light": {"scale": (0.5, 1.0), "ratio": (0.8, 1.25), "color_jitter": None},
    "strong": {"scale": (0.2, 1.0), "color_jitter": None, "auto_augment": "rand-m7-mstd0.5-inc1", "re_prob": 0.25},
}
ImageView = Callable[[Image.Image], Tensor]
# the image [c, h, w], or of a video windows [k, c, t, h, w], and its truth; raises DataError
View = Callable[[Picture], tuple[Tensor, Tensor]]
CLIPS = 5  # dimensions
NONE = -1.0  # the class of a row that is no box
STOPS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Batch:
    """
    images  float32 [n, c, h, w], normalised, c: 3, or 1 of grey; zeros for an image that cannot be read; of videos all
            their windows, one after the other, [n, c, t, h, w]
    truth   int64: of classes [n], of masks [n, h, w]; float32: of boxes [n, m, 6], as many rows as the most on an image
    right   per image, every class that counts as right
    weight  float32 [n]: 1, and 0 for an image that cannot be read
    unreadable  why, for each of those
    windows  how many of each video there are
    """

    images: Tensor
    truth: Tensor
    right: tuple[tuple[int, ...], ...]
    weight: Tensor
    unreadable: tuple[str, ...]
    windows: tuple[int, ...] = ()


def epoch_batches(count: int, settings: Settings, epoch: int) -> list[np.ndarray]:
    """An epoch's batches as indices 0..count-1: every image once, in an order of its own, batches of nearly one size."""
    order = randomness.draw(settings.seed, randomness.ORDER, epoch).permutation(count)
    return np.array_split(order, steps_of(count, settings.batch))


def steps_of(count: int, batch: int) -> int:
    return -(-count // batch)


def plain_view(spec: Preprocess) -> ImageView:
    """As the exported model will see it."""
    return lambda picture: torch.from_numpy(normalise(fit(picture, spec), spec).transpose(2, 0, 1).copy())


def random_view(spec: Preprocess, settings: Settings) -> ImageView:
    """timm's augmentation, seeded by the caller."""
    if settings.augment == "none":
        return plain_view(spec)
    from timm.data import create_transform

    view: ImageView = create_transform(
        input_size=(spec.channels, *spec.input_size),
        is_training=True,
        interpolation=spec.interpolation,
        mean=spec.mean,
        std=spec.std,
        hflip=0.5 if settings.flip else 0.0,
        **VIEWS[settings.augment],
    )
    return view if spec.channels == 3 else lambda picture: view(picture.convert("L"))


def stream(
    data: DataSet,
    batches: Sequence[np.ndarray],
    view: View,
    nothing: tuple[Tensor, Tensor],
    workers: int,
    seed: tuple[int, ...],
) -> Iterator[Batch]:
    """The batches in their order.

    batches  indices into data.positions
    view     seeded with `seed` and the image's position
    nothing  takes the place of what the view would give of an image that cannot be read

    Raises DataError where a file of the data set is damaged.
    """
    forks = "fork" in multiprocessing.get_all_start_methods()  # readers hold open files: only a fork takes them along
    workers = min(workers, len(batches)) if forks else 0
    loader: DataLoader[Batch | DataError] = DataLoader(
        _Stream(data, batches, view, nothing, seed),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_reader,
        multiprocessing_context="fork" if workers else None,
    )
    with warnings.catch_warnings(), _undisturbed():
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # of jax, which no reader calls
        ready = iter(loader)
    try:
        for batch in ready:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    finally:
        with _undisturbed():
            del ready  # ends the readers


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM, which reach a whole group of processes, wait in here. Processes started in here begin deaf to both.

    Masking them would not do: another thread hears them too, and Python runs their handlers in the main thread all the same.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield  # no handler runs here; and Windows forks no processes
        return
    heard: list[int] = []
    handlers = {n: h for n in STOPS if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        for stop in handlers:
            signal.signal(stop, lambda number, _: heard.append(number))
        yield
    finally:
        for stop, handler in handlers.items():
            signal.signal(stop, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in heard:
            signal.raise_signal(number)


def _begin_reader(number: int) -> None:
    """A reader ends when it is told to, as if it had done its work: who tells a whole group means no failure of readers."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _as_it_is(batch: Any) -> Any:
    return batch


class _Stream(IterableDataset[Batch | DataError]):
    """Worker w of n makes every n-th batch; the loader takes turns, so their order stays."""

    def __init__(
        self,
        data: DataSet,
        batches: Sequence[np.ndarray],
        view: View,
        nothing: tuple[Tensor, Tensor],
        seed: tuple[int, ...],
    ) -> None:
        self.data, self.batches, self.view, self.nothing, self.seed = data, batches, view, nothing, seed

    def __iter__(self) -> Iterator[Batch | DataError]:
        worker = get_worker_info()
        own = self.batches[worker.id :: worker.num_workers] if worker else self.batches
        together = max(1, self.data.source.together // max((len(b) for b in own), default=1))
        try:
            for start in range(0, len(own), together):
                yield from self._window(own[start : start + together])
        except DataError as error:
            yield error

    def _window(self, batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Files are read forwards once, whatever the order of the images in the batches."""
        positions = sorted(self.data.positions[i] for batch in batches for i in batch.tolist())
        pictures = {picture.position: picture for picture in self.data.read(positions)}
        for batch in batches:
            chosen = [pictures.pop(self.data.positions[i]) for i in batch.tolist()]
            seen, unreadable = [], []
            for picture in chosen:
                randomness.reseed(*self.seed, picture.position)
                try:
                    seen.append(self.view(picture))
                except DataError as error:
                    seen.append(self.nothing)
                    unreadable.append(picture.blamed(error).message)
            images = [image for image, _ in seen]
            clips = images[0].ndim == CLIPS
            yield Batch(
                torch.cat(images) if clips else torch.stack(images),
                _stacked([truth for _, truth in seen]),
                tuple(picture.truth for picture in chosen),
                torch.tensor([float(pair is not self.nothing) for pair in seen]),
                tuple(unreadable),
                tuple(map(len, images)) if clips else (),
            )


def _stacked(truths: list[Tensor]) -> Tensor:
    """Of boxes, of which each image has another number, with rows of no box."""
    return pad_sequence(truths, batch_first=True, padding_value=NONE) if truths[0].ndim else torch.stack(truths)
