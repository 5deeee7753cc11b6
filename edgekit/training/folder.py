"""The folder of a run: what may lie in it, and how its files are replaced."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from filelock import FileLock, Timeout
from PIL import Image
from safetensors.torch import save as serialise
from torch import nn

from edgekit import zoo
from edgekit.data import DataSet
from edgekit.data.video import Video
from edgekit.errors import DataError, OutputError, RequestError, TrainingError, reason
from edgekit.models import trained
from edgekit.places import output_errors, replacing
from edgekit.preprocess import Preprocess, resize
from edgekit.training import curve, randomness
from edgekit.training.settings import Settings
from edgekit.zoo import RUN_CARD

STATE, METRICS, CURVE = "training.pt", "metrics.jsonl", "curve.svg"
FILES = {RUN_CARD, trained.WEIGHTS, trained.PICTURES, STATE, METRICS, CURVE}
CALIBRATION = 160  # images: 128 for int8, 32 for the proof
ORPHANS = 10.0  # seconds: as long readers of a killed run may hold its folder, until they notice


def check_apart(out: Path, *names: str | None) -> None:
    """Raises RequestError where one of these names the run in `out`; the name of a network may be that of the folder."""
    if any(name and zoo.is_run(name) and Path(name).resolve() == out.resolve() for name in names):
        raise RequestError(f"{out} is read as well as written", hint="-o another/folder")


def check_destination(out: Path, *, resume: bool, fresh: bool) -> None:
    """Raises RequestError for a place that holds something else, or a run that nothing was said about; OutputError."""
    with output_errors():
        there = sorted(p.name for p in out.iterdir() if not p.name.endswith(".partial")) if out.is_dir() else []
    foreign = next((name for name in there if name not in FILES), "a file" if out.is_file() else None)
    if foreign:
        raise RequestError(f"{out} holds something that is not a run ({foreign})", hint="-o another/folder")
    if resume and STATE not in there and RUN_CARD not in there:
        raise RequestError(f"there is no run to go on with in {out}", hint="leave --resume out")
    if there and not resume and not fresh:
        raise RequestError(
            f"{out} holds a run", hint="--resume goes on with it, --fresh starts over, -o another/folder"
        )
    parent = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not parent.is_dir():
        raise RequestError(f"{parent} is a file, not a folder to write in", hint="-o another/folder")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"no permission to write in {parent}", hint="-o another/folder")


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other processes from writing in this folder. Raises RequestError where one does already; OutputError."""
    path = out.absolute()
    place = path.with_name(f".{path.name}.lock")
    lock = FileLock(place)
    with output_errors():
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=ORPHANS)
        except Timeout:
            raise RequestError(f"another process writes in {out}", hint="wait for it, or -o another/folder") from None
    try:
        yield
    finally:
        with suppress(OSError):
            place.unlink()
        lock.release()


def clear(out: Path) -> None:
    """Make the folder, empty of an earlier run."""
    with output_errors():
        out.mkdir(parents=True, exist_ok=True)
        for name in sorted(FILES):
            shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink(missing_ok=True)


def copy(run: Path, out: Path) -> None:
    """A finished run to another place. The card goes last: without it a folder is no run."""
    clear(out)
    with output_errors():
        if (run / trained.PICTURES).is_dir():
            shutil.copytree(run / trained.PICTURES, out / trained.PICTURES)
    for name in (trained.WEIGHTS, RUN_CARD):
        with replacing(out / name) as partial:
            shutil.copyfile(run / name, partial)


def save_state(out: Path, state: dict[str, Any]) -> None:
    with replacing(out / STATE) as partial:
        torch.save(state, partial)


def images_kept(out: Path) -> int:
    """How many of the training images lie in a run."""
    folder = out / trained.PICTURES
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def load_state(out: Path) -> dict[str, Any]:
    """Raises TrainingError for a file that is damaged."""
    try:
        state: dict[str, Any] = torch.load(out / STATE, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds
        raise TrainingError(f"{out / STATE} cannot be read: {reason(error)}", hint="--fresh starts over") from None
    return state


def save_pictures(out: Path, data: DataSet, spec: Preprocess, settings: Settings) -> None:
    """Unless they are unwanted, a seeded sample of the training images, or of windows of the videos, for int8 and the proof of exports: pixels alone (no
    camera, place or comment), and no larger than the model looks at."""
    if not settings.keep_images:
        return
    folder = out / trained.PICTURES
    with output_errors():
        folder.mkdir(exist_ok=True)
        side = int(max(spec.input_size) / spec.crop_pct)
        for picture in data.read(data.sample(CALIBRATION, settings.seed)):
            place = folder / f"{picture.position:08}"
            try:
                if spec.is_clip:
                    _save_clip(picture.open(), side, spec, place, randomness.draw(settings.seed, picture.position))
                else:
                    _save(_smaller(picture.open(), side, spec), place.with_suffix(".jpg"))
            except DataError:  # counted and named when it is its turn in training
                continue


def _save_clip(video: Video, side: int, spec: Preprocess, place: Path, rng: np.random.Generator) -> None:
    """A window of a video as a folder of its frames."""
    frames = video.drawn_window(spec, lambda frame: _smaller(frame, side, spec), rng)
    place.mkdir()
    for number, frame in enumerate(frames, 1):
        _save(frame, place / f"{number:05}.jpg")


def _save(picture: Image.Image, place: Path) -> None:
    picture.save(place, quality=95, subsampling=0, comment=b"")


def _smaller(picture: Image.Image, side: int, spec: Preprocess) -> Image.Image:
    factor = side / min(picture.size)
    if factor >= 1:
        return picture
    width, height = (max(side, round(length * factor)) for length in picture.size)
    return resize(picture, (width, height), spec.interpolation)


def log(out: Path, line: curve.Epoch) -> int:
    """Append a line, draw the curve again; the bytes that the file now has."""
    path = out / METRICS
    with output_errors(), path.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")
    epochs = [msgspec.json.decode(text, type=curve.Epoch) for text in path.read_bytes().splitlines()]
    with replacing(out / CURVE) as partial:
        partial.write_text(curve.draw(epochs), "utf-8")
    return path.stat().st_size


def keep(out: Path, module: nn.Module, card: trained.Card) -> None:
    """The weights first, then the card that knows their digest."""
    state = {
        k: v.detach().cpu().contiguous().clone() for k, v in module.state_dict().items()
    }  # clone: no shared memory
    with replacing(out / trained.WEIGHTS) as partial:
        partial.write_bytes(serialise(state))
    write_card(out, card)


def write_card(out: Path, card: trained.Card) -> None:
    with replacing(out / RUN_CARD) as partial:
        partial.write_bytes(trained.encode(card))
