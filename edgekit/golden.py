"""The golden images of an artifact: which ones, and what its file answers to them.

They travel with the file, into apps too, so by default they are ones that may be published: those of the proof where they
come with a package or with the weights, and drawn ones where the proof's are the user's own.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import calibration
from edgekit.artifact import Golden
from edgekit.calibration import Chosen
from edgekit.devices import Worker
from edgekit.manifest import GoldenRecord
from edgekit.motion import moving_crop
from edgekit.preprocess import Pixels, Preprocess, in_channels
from edgekit.recipe import Recipe
from edgekit.scenes import scenes
from edgekit.tensors import Array, Signature, Tensor, Values, can_thin, thinned, thinned_shape

PICTURES = 4
LARGEST = 65_536  # numbers of the golden answers to one image, where they can be thinned to that
DRAWN = 32  # of which those are kept that are answered most differently
# Width and height in shares of the model's input, so that a copy's resize and crop are proven too.
SHAPES = ((1.0, 1.0), (1.37, 1.11), (1.05, 1.62), (0.61, 0.83))


def choose(
    recipe: Recipe, chosen: Chosen, sheet: Path | None, spec: Preprocess, scratch: Path
) -> tuple[GoldenRecord, list[Pixels]]:
    """Fitted images, PICTURES or more, and whose they are.

    chosen  the images of this export; sheet: what comes with the weights, a contact sheet or a run's folder
    """
    if chosen.own and recipe.golden == "public":
        if sheet is None or not sheet.is_file():
            drawn = list(map(partial(_drawn, spec), scenes(DRAWN, *spec.input_size)))
            return GoldenRecord(f"{spec.units} drawn by edgekit", own=False), drawn
        own = scratch / "golden"
        own.mkdir()
        chosen = calibration.choose("default", 1, recipe.seed, spec, sheet, own)
    return GoldenRecord(chosen.proof.source, chosen.own), list(chosen.proof)[:PICTURES]


def _drawn(spec: Preprocess, picture: Pixels) -> Pixels:
    """A drawn image as the model takes it, or a clip of a crop that moves over it."""
    if spec.is_clip:
        return moving_crop(Image.fromarray(picture), spec, np.random.default_rng(int(picture[::7, ::7].sum())))
    return in_channels(picture, spec.channels)


def make(signature: Signature, worker: Worker, pictures: Sequence[Pixels]) -> tuple[Golden, int]:
    """The images that are answered most differently, in several sizes, with the file's answers; and the stride by which
    answers with rows and columns, or of boxes, are thinned."""
    kept, stride = pictures, stride_for(signature.outputs)
    if len(pictures) > PICTURES:
        flat = [_flat(_answers(signature, worker, signature.encode(p[None]), stride)) for p in pictures]
        kept = [pictures[i] for i in _apart(np.concatenate(flat))]
    images = []
    for pixels, (wide, high) in zip(kept, SHAPES, strict=False):
        height, width = pixels.shape[-3:-1]
        size = (round(width * wide), round(height * high))
        rgb = np.broadcast_to(pixels, (*pixels.shape[:-1], 3))  # of a grey model: grey in three channels
        frames = [
            np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
            for frame in rgb.reshape(-1, height, width, 3)
        ]
        images.append(np.stack(frames) if signature.preprocess.is_clip else frames[0])
    tensors = signature.examples(images)
    return Golden(images, tensors, _answers(signature, worker, tensors, stride)), stride


def stride_for(outputs: Sequence[Tensor]) -> int:
    """The smallest by which the answers to one image stay within LARGEST values; 1 where nothing can be thinned."""
    many = list(filter(can_thin, outputs))
    stride = 1
    while sum(math.prod(thinned_shape(o, stride)) for o in many) > LARGEST and stride < 64:
        stride += 1
    return stride


def _answers(signature: Signature, worker: Worker, tensors: Array, stride: int) -> Values:
    return thinned(signature.decode(worker.answer(tensors)), signature.outputs, stride)


def _flat(answers: Values) -> NDArray[np.float32]:
    """[n, numbers] of all outputs."""
    return np.concatenate([a.reshape(len(a), -1) for a in answers], axis=1)


def _apart(answers: NDArray[np.float32]) -> list[int]:
    """PICTURES of the answers [n, numbers]: the largest, then always the one farthest from those that were taken."""
    taken = [_largest(np.abs(answers).max(-1))]
    while len(taken) < PICTURES:
        distances = np.linalg.norm(answers[:, None] - answers[taken], axis=-1).min(-1)
        distances[taken] = -1  # also where all answers are equal
        taken.append(_largest(distances))
    return taken


def _largest(numbers: NDArray[np.float32]) -> int:
    """Where the first of the largest stands."""
    return int(np.flatnonzero(numbers == numbers.max())[0])
