"""The artifact: a folder that describes itself.

    model.tflite     the exported file (or model.onnx, model.ort, model.pt2, model.xml with model.bin)
    manifest.json    everything about it: inputs, outputs, preprocessing, weights, recipe, proof, versions
    golden.npz       images (none of the user's, unless asked for), tensors and answers, to prove a copy: see `Golden`
    labels.txt       one class per line, in the order of the scores; where the task has classes
    README.md        how to load it

It holds no timestamp and no path: the same request gives the same bytes on the same kind of CPU and the same versions.
It is written beside its place and moved there in one step; a reader never sees half of one.
"""

import hashlib
import os
import zipfile
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgekit import reading
from edgekit.errors import ArtifactError, RequestError, as_path
from edgekit.manifest import AGAIN, TARGETS, Manifest, check_inside, file_record, is_model, read_manifest
from edgekit.model_files import model_files
from edgekit.tasks import name_of
from edgekit.tensors import Array, Arrays, Signature, Values, thinned, thinned_shape

GOLDEN_LIMIT = 3 << 29  # bytes of golden.npz, unpacked: four images at 4096 x 4096 and their tensors


@dataclass(frozen=True)
class Golden:
    """Examples that carry their answers.

    images   decoded RGB images, uint8 [h, w, 3], or clips [t, h, w, 3], before resizing
    tensors  what the file takes for each of them, [n, ...] in its dtype and layout
    answers  what the file answered where it was made: float32, one [n, ...] for each output, channels first, thinned
    """

    images: list[NDArray[np.uint8]]
    tensors: Array
    answers: Values

    def save(self, path: Path) -> None:
        parts: dict[str, Array] = {f"image_{i}": image for i, image in enumerate(self.images)}
        parts |= {f"answers_{i}": answer for i, answer in enumerate(self.answers)}
        np.savez_compressed(path, allow_pickle=False, tensors=self.tensors, **parts)

    @classmethod
    def load(cls, path: Path, outputs: int) -> "Golden":
        try:
            with zipfile.ZipFile(path) as packed:
                if sum(part.file_size for part in packed.infolist()) > GOLDEN_LIMIT:
                    raise ValueError("too large")  # before it is unpacked
            with np.load(path, allow_pickle=False) as z:
                one = "answers" in z.files  # until schema 2
                answers = (z["answers"],) if one else tuple(z[f"answers_{i}"] for i in range(outputs))
                return cls([z[f"image_{i}"] for i in range(len(answers[0]))], z["tensors"], answers)
        except Exception as error:  # numpy and zipfile raise whatever a damaged file leads them to
            raise ArtifactError(f"{path} is damaged", hint=AGAIN) from error


@dataclass(frozen=True, repr=False)
class Artifact:
    folder: Path
    manifest: Manifest

    def __repr__(self) -> str:
        """In one line; the manifest has everything."""
        m = self.manifest
        refused = "" if m.proof.passed else ", REFUSED"
        labels = f" of {m.labels} labels" if m.labels else ""
        said = f"{m.title}, {m.target} {m.scheme}, {name_of(m.task)}{labels}, {self.model_bytes / 1e6:.3g} MB"
        return f"Artifact({str(self.folder)!r}: {said}{refused})"

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def model_file(self) -> Path:
        return next(self.folder / name for name in self.manifest.files if is_model(name))

    @property
    def model_bytes(self) -> int:
        """Of the model with what lies beside it."""
        return sum(path.stat().st_size for path in self.model_files())

    def model_files(self) -> list[Path]:
        """The model file, and what it opens beside itself. Raises ArtifactError."""
        return model_files(self.model_file)

    @property
    def target(self) -> str:
        return self.manifest.target

    @property
    def oldest_interpreter(self) -> dict[str, str]:
        return self.manifest.oldest_interpreter

    def digest(self) -> str:
        """sha256 of the model file, or of several in the order of their names."""
        return _digest(self.model_files())

    def labels(self) -> list[str]:
        """One a class; none where the task has none. Raises ArtifactError."""
        if not self.manifest.labels:
            return []
        path = self.folder / "labels.txt"
        try:
            return reading.text(path).splitlines()
        except (OSError, reading.Malformed) as error:
            raise ArtifactError(f"{path}: {getattr(error, 'strerror', None) or error}", hint=AGAIN) from None

    def golden(self) -> Golden:
        """Raises ArtifactError for a file that is damaged, or not of this artifact's images, tensors and answers."""
        m = self.manifest
        golden = Golden.load(self.folder / "golden.npz", len(m.outputs))
        n = len(golden.images)
        shapes = [(n, *thinned_shape(tensor, m.golden.stride)) for tensor in m.outputs]
        for what, fits in (
            ("images", n > 0 and all(_is_picture(image, m.preprocess.frames) for image in golden.images)),
            (
                "input",
                (golden.tensors.shape, golden.tensors.dtype) == ((n, *m.input.shape[1:]), np.dtype(m.input.dtype)),
            ),
            (
                "answers",
                [a.shape for a in golden.answers] == shapes and all(a.dtype == np.float32 for a in golden.answers),
            ),
        ):
            if not fits:
                message = f"{self.folder}: golden.npz and manifest.json disagree about the {what}"
                raise ArtifactError(message, hint=AGAIN)
        return golden

    @property
    def signature(self) -> Signature:
        m = self.manifest
        return Signature(self.model_file, m.input, m.outputs, m.preprocess, m.folded, m.layout)

    def encode(self, pixels: NDArray[np.uint8]) -> Array:
        """As Signature.encode."""
        return self.signature.encode(pixels)

    def decode(self, raw: Arrays) -> Values:
        """As Signature.decode."""
        return self.signature.decode(raw)

    def thinned(self, values: Values) -> Values:
        """Of decoded answers what golden.npz keeps of them."""
        return thinned(values, self.manifest.outputs, self.manifest.golden.stride)

    def check_files(self) -> None:
        """Compare every file with the manifest. Raises ArtifactError naming the first that differs."""
        for name, record in self.manifest.files.items():
            path = self.folder / name
            check_inside(path)
            if not reading.is_file(path):
                raise ArtifactError(f"{self.folder}: {name} is missing", hint=AGAIN)
            if path.stat().st_size != record.bytes or file_record(path) != record:
                raise ArtifactError(
                    f"{self.folder}: {name} is not the file that was exported (its checksum differs)", hint=AGAIN
                )
        for path in self.model_files():
            if str(path.relative_to(self.folder)) not in self.manifest.files:
                raise ArtifactError(
                    f"{self.model_file} keeps its weights in {path.name}, which is no part of the artifact", hint=AGAIN
                )


@dataclass(frozen=True)
class LooseFile:
    """A model file with no artifact around it, of whatever tool: it can be run and timed, but says nothing of images."""

    model_file: Path
    oldest_interpreter: ClassVar[dict[str, str]] = {}

    @property
    def name(self) -> str:
        return self.model_file.name

    @property
    def target(self) -> str:
        return TARGETS.get(self.model_file.suffix, self.model_file.suffix.removeprefix("."))

    @property
    def model_bytes(self) -> int:
        """Of the model with what lies beside it."""
        return sum(path.stat().st_size for path in self.model_files())

    def digest(self) -> str:
        """As Artifact.digest."""
        return _digest(self.model_files())

    def model_files(self) -> list[Path]:
        """As Artifact.model_files."""
        return model_files(self.model_file)


Model = Artifact | LooseFile


def open_model(path: Path, suffixes: Container[str] = frozenset()) -> Model:
    """An artifact, or a model file of any tool. suffixes: of files that a plugin's runtime opens. Raises ArtifactError,
    RequestError."""
    if not path.is_file():
        return load(path)
    if path.suffix not in TARGETS and path.suffix not in suffixes:
        raise RequestError(
            f"{path} is not a model file that edgekit knows", hint=f"an artifact folder, or {', '.join(TARGETS)}"
        )
    found = LooseFile(path)
    found.model_files()  # what is missing beside it is said now
    return found


def _digest(files: Sequence[Path]) -> str:
    digests = [file_record(path).sha256 for path in sorted(files)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _is_picture(image: Array, frames: int) -> bool:
    """Or a clip of so many."""
    fits = image.ndim == 3 if frames == 1 else image.ndim == 4 and len(image) == frames
    return image.dtype == np.uint8 and fits and image.shape[-1] == 3 and image.size > 0


def load(folder: str | os.PathLike[str]) -> Artifact:
    """Open an artifact and check its manifest and its files. Raises ArtifactError, RequestError (not a path)."""
    folder = as_path(folder, "the folder of an artifact")
    seen = _instance(folder)
    artifact = Artifact(folder, read_manifest(folder))
    try:
        artifact.check_files()
    except ArtifactError:
        if _instance(folder) == seen:
            raise
        return load(folder)  # another export took its place meanwhile
    if len(artifact.labels()) != artifact.manifest.labels:
        raise ArtifactError(
            f"{folder}: {len(artifact.labels())} labels for {artifact.manifest.labels} classes", hint=AGAIN
        )
    return artifact


def _instance(folder: Path) -> tuple[int, int] | None:
    """What tells an artifact from another that takes its place, also from one that is equal."""
    try:
        stat = (folder / "manifest.json").stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_ctime_ns
