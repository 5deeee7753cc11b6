"""What weights have learned from, in a form that travels with them, and which images of a data set are among that.

An image is known by 40 bits of the hash of its content: the bytes of its file, of its cell of a parquet file, or its pixels
in an idx file. So a copy is found under any name and in any folder; an image that was encoded anew, resized or cropped is
not. Another image is taken for one of n that were learned from with a probability of n in 10^12.

Up to KEPT hashes are all kept. Of more, the smallest are (a KMV sketch: Bar-Yossef et al. 2002): whether an image was
learned from is then known of those alone whose hash is as small, which is a fair sample of any set of images. Weights
that learned from such a set first, and from a small one after it, know all of the small one: what is in the list was learned from.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import DataSet
from edgekit.data.splits import hold_out
from edgekit.errors import DataError
from edgekit.manifest import TrainedOn

BYTES = 5
ALL = 1 << 8 * BYTES  # more than any hash
KEPT = 8192
Hashes = dict[int, int]  # position -> hash, without images that are not there


def hashes(data: DataSet, positions: Sequence[int]) -> Hashes:
    """Reads each of the images, at ascending positions, without decoding it."""
    found = {}
    for picture in data.read(positions):
        try:
            digest = hashlib.blake2b(picture.content(), digest_size=BYTES).digest()
        except (OSError, DataError):
            continue
        found[picture.position] = int.from_bytes(digest)
    return found


def stamp(train: DataSet, val: DataSet, val_share: float, seed: int, kept: int = KEPT) -> TrainedOn:
    """Of a run that learns from `train` and selects on `val`: a part of the same images, or images apart from them."""
    shared = train.source is val.source
    whole = sorted([*train.positions, *val.positions]) if shared else train.positions
    known = hashes(train, whole)
    learned = {known[p] for p in train.positions if p in known}
    share = val_share if shared else None
    return TrainedOn(len(train), _digest(train, whole, known), seed, *_packed(learned, ALL, kept), share)


def united(newest: TrainedOn, *earlier: TrainedOn | None) -> TrainedOn:
    """The newest, with what the weights that it began with, and its teachers, have learned from: all of its own hashes, and
    the smallest of theirs."""
    own = set(_unpacked(newest).tolist())
    others = sorted({h for each in earlier if each for h in _unpacked(each).tolist()} - own)
    kept, left = others[: 2 * KEPT - len(own)], others[2 * KEPT - len(own) :]
    below = min(each.below for each in (newest, *(e for e in earlier if e)))
    blob, _ = _packed(own.union(kept), ALL, 2 * KEPT)
    return msgspec.structs.replace(newest, hashes=blob, below=min([below, *left[:1]]))


def learned_from(trained: Iterable[TrainedOn], known: Hashes) -> dict[int, bool]:
    """Position -> whether one of the models has learned from the image, where that can be told."""
    found: dict[int, bool] = {}
    for each in trained:
        learned = set(_unpacked(each).tolist())
        for position, value in known.items():
            if value < each.below or value in learned:
                found[position] = found.get(position, False) or value in learned
    return found


def part(whole: DataSet, split: str, trained: TrainedOn | None, folder: Path) -> DataSet:
    """What a run has learned from ("train") or held out of it ("val"), of a folder without such splits. Raises DataError."""
    units = whole.source.units
    apart = f"{units} that were not trained on, in a folder of their own"
    if trained is None:
        raise DataError(
            f"{folder} has no split '{split}', and the model does not say what it was trained on", hint=apart
        )
    known = hashes(whole, whole.positions)
    note = f"these {units} chose the epoch that was kept: a figure on them is a little too good"
    if trained.share is not None and _digest(whole, whole.positions, known) == trained.data:
        parts = dict(zip(("train", "val"), hold_out(whole, trained.share, trained.seed), strict=True))
    elif trained.below == ALL:
        told = learned_from([trained], known)
        parts = {
            name: replace(whole, positions=[p for p in whole.positions if told.get(p) is (name == "train")])
            for name in ("train", "val")
        }
        note = f"{folder} is not as it was at training: 'val' is all of it that was not learned from"
    else:
        raise DataError(
            f"{folder} is not as it was at training, and of {trained.pictures:,} {units} not all are known by heart",
            hint=f"the folder as it was, or {apart}",
        )
    if not len(parts[split]):
        raise DataError(f"{folder} holds nothing that was {_WORDS[split]}", hint=apart)
    notes = (*whole.notes, note) if split == "val" else whole.notes
    return replace(parts[split], what=f"{whole.what}, {_WORDS[split]}", notes=notes)


_WORDS = {"train": "learned from", "val": "held out of training"}


def _digest(data: DataSet, positions: Sequence[int], known: Hashes) -> str:
    """Of the images in their order with their classes: all that a seeded split depends on."""
    digest = hashlib.sha256()
    for position in positions:
        truth = data.truths[position] if data.truths is not None else ()
        digest.update(f"{known.get(position, '')} {truth}\n".encode())
    return digest.hexdigest()


def _packed(learned: set[int], below: int, kept: int) -> tuple[str, int]:
    """The hashes, or the smallest of them, and below what none is missing."""
    found = sorted(learned)
    if len(found) > kept:
        found, below = found[:kept], found[kept]
    blob = b"".join(value.to_bytes(BYTES) for value in found)
    return base64.b64encode(blob).decode(), below


def _unpacked(trained: TrainedOn) -> NDArray[np.int64]:
    try:
        blob = np.frombuffer(base64.b64decode(trained.hashes), np.uint8).reshape(-1, BYTES)
    except ValueError:  # also what base64 raises
        raise DataError("the model's stamp of what it was trained on is damaged", hint="export it again") from None
    return blob.astype(np.int64) @ (256 ** np.arange(BYTES - 1, -1, -1))
