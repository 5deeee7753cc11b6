"""Make an artifact again from its manifest, and say whether it is the same or what differs and why."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit import artifact
from edgekit.artifact import Artifact
from edgekit.errors import ExportError, ParityError, RequestError
from edgekit.manifest import Manifest
from edgekit.pipeline import export
from edgekit.recipe import Recipe

# what may differ in a manifest without a word: how the request came about, and what is compared by itself
ASIDE = {"scheme_reason", "files", "made_with", "made_on", "checksum", "weights"}
NAMED = ("imagenet", "package", "bundled", "random")  # weights that a recipe can name


@dataclass(frozen=True)
class Reproduction:
    """What became of it.

    files         names of the files whose bytes differ
    fields        of the manifest: name, then, now
    inputs        weights and calibration images that are not those of the first time, in words
    surroundings  versions and facts of the machine that are others, in words
    answers       the largest difference of the golden answers; None where the images themselves differ
    ort           the model is a .ort file, whose tables ONNX Runtime writes in an order of its own
    """

    files: tuple[str, ...]
    fields: tuple[tuple[str, Any, Any], ...]
    inputs: tuple[str, ...]
    surroundings: tuple[str, ...]
    answers: float | None
    ort: bool

    @property
    def identical(self) -> bool:
        return not (self.files or self.fields or self.inputs)

    @property
    def explained(self) -> bool:
        """Whether something that is known to change bytes is another. Other weights are another request."""
        only_ort = self.ort and set(self.files) == {"model.ort"} and not self.fields and self.answers == 0
        return not any("weights" in said for said in self.inputs) and (bool(self.surroundings) or only_ort)


def recipe_of(
    made: Artifact, *, model: str | None = None, weights: str | None = None, calibration: str | None = None
) -> Recipe:
    """The recipe of an artifact, with the paths that its manifest does not hold. Raises RequestError."""
    plain, source = dict(made.manifest.recipe), made.manifest.weights.source
    if source == "trained" and model is None:
        raise RequestError(f"{made.folder} was made of a run of edgekit train", hint="--model RUN, its folder")
    if source == "file" and weights is None:
        raise RequestError(f"{made.folder} was made with weights of a file", hint="--weights FILE")
    if plain.get("calibration") == "folder" and calibration is None:
        hint = "--calibration DIR, with the images of then"
        raise RequestError(f"{made.folder} was calibrated with images of yours", hint=hint)
    if source == "code" and not str(plain.get("model", "")).startswith("py:") and model is None:
        hint = "--model py:package.module:function, which returns it"
        raise RequestError(f"{made.folder} was made of a module in Python", hint=hint)
    plain["model"] = model or plain.get("model")
    plain["weights"] = weights or (source if source in NAMED else "auto")
    plain["calibration"] = calibration or plain.get("calibration")
    plain["labels"] = str(made.folder / "labels.txt") if plain.get("labels") else None
    try:
        return msgspec.convert(plain, Recipe)
    except msgspec.ValidationError as error:
        hint = "the edgekit that made it can"
        raise RequestError(f"{made.folder}: this edgekit cannot read its recipe: {error}", hint=hint) from None


def reproduce(
    folder: str | os.PathLike[str],
    *,
    model: str | None = None,
    weights: str | None = None,
    calibration: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Reproduction:
    """Export again into a scratch folder, and compare. Errors as `export` has them; nothing is kept."""
    then = artifact.load(folder)
    recipe = recipe_of(then, model=model, weights=weights, calibration=calibration)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
        try:
            return compare(then, export(recipe, Path(scratch) / then.name, say=say))
        except (ExportError, ParityError) as error:
            error.hint = "edgekit export, with the same recipe, keeps what it made"
            raise


def compare(then: Artifact, now: Artifact) -> Reproduction:
    """Two artifacts that ought to be the same."""
    old, new = then.manifest, now.manifest
    names = sorted(old.files.keys() | new.files.keys())
    return Reproduction(
        files=tuple(name for name in names if old.files.get(name) != new.files.get(name)),
        fields=tuple(_fields(old, new)),
        inputs=tuple(_inputs(old, new)),
        surroundings=tuple(_surroundings(old, new)),
        answers=_apart(then, now),
        ort=then.model_file.suffix == ".ort",
    )


def _fields(old: Manifest, new: Manifest) -> list[tuple[str, Any, Any]]:
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in Manifest.__struct_fields__ if name not in ASIDE)
    return [(name, msgspec.to_builtins(a), msgspec.to_builtins(b)) for name, a, b in pairs if a != b]


def _inputs(old: Manifest, new: Manifest) -> list[str]:
    said = []
    if old.weights.sha256 != new.weights.sha256:
        said.append(f"the weights are others ({new.weights.source}, were {old.weights.source})")
    pictures = [record.sha256 if record else None for record in (old.calibration, new.calibration)]
    if pictures[0] != pictures[1]:
        said.append("the calibration images are others, or were decoded to other pixels")
    return said


def _surroundings(old: Manifest, new: Manifest) -> list[str]:
    pairs = ((old.made_with, new.made_with), (old.made_on, new.made_on))
    return [
        f"{name.replace('cpu_class', 'CPU class')} is {b.get(name, 'not there')}, was {a.get(name, 'not there')}"
        for a, b in pairs
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]


def _apart(then: Artifact, now: Artifact) -> float | None:
    a, b = then.golden(), now.golden()
    if [x.shape for x in a.answers] != [x.shape for x in b.answers] or not np.array_equal(a.tensors, b.tensors):
        return None
    return then.manifest.task.alike(a.answers, b.answers).max_abs
