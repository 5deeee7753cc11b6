"""The artifact: a folder that describes itself.

    model.tflite     the exported file (or model.onnx, model.ort, model.pt2, model.xml with model.bin)
    manifest.json    everything about it: inputs, outputs, preprocessing, weights, recipe, proof, versions
    golden.npz       pictures (none of the user's, unless asked for), tensors and answers, to prove a copy: see `Golden`
    labels.txt       one class per line, in the order of the scores
    README.md        how to load it

It holds no timestamp and no path: the same request gives the same bytes on the same kind of CPU and the same versions.
It is written beside its place and moved there in one step; a reader never sees half of one.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import reading
from edgekit.errors import ArtifactError, OutputError, RequestError, as_path
from edgekit.model_files import model_files
from edgekit.preprocess import Positive, Preprocess, fit, normalise
from edgekit.recipe import Kind
from edgekit.tasks.classification import Meaning
from edgekit.zoo import RUN_CARD

Array = NDArray[Any]
SCHEMA = 2  # of the manifests that this edgekit writes; older ones are read through OLDER
UNSEALED = "0" * 64
BESIDE = {"model.bin"}  # no model of its own: OpenVINO's weights, which lie beside model.xml
OUTPUT_HINT = "-o another/folder"
GOLDEN_LIMIT = 3 << 29  # bytes of golden.npz, unpacked: four pictures at 4096 x 4096 and their tensors
AGAIN = "copy the whole folder again, or export again"


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output of the file. Real value = scale * (stored - zero_point) where scale is given."""

    name: str
    shape: tuple[int, ...]
    dtype: Annotated[str, msgspec.Meta(pattern="^(float32|float16|u?int(8|16|32|64))$")]
    layout: Literal["NHWC", "NCHW", "NC"]
    scale: Positive | None = None
    zero_point: int | None = None


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which numbers are inside. `knows` says in words what they were trained to tell apart."""

    source: str
    why: str
    knows: str
    sha256: str
    licence: str = ""


class CalibrationRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    pictures: int
    sha256: str
    warnings: tuple[str, ...] = ()


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's answers in its real runtime against the PyTorch model's, on real pictures (see parity.py)."""

    runtime: str
    pictures: int
    source: str
    max_abs: float | None  # None: answers that are not finite, which JSON has no number for
    sqnr_db: float | None  # None: equal to the last bit
    agreement: float
    min_sqnr_db: float
    min_agreement: float
    passed: bool
    advisory: bool = False


class GoldenRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose pictures golden.npz holds: own means the user's, which a published artifact would publish."""

    source: str
    own: bool

    @property
    def words(self) -> str:
        return self.source + (": your own, and whoever has the artifact can see them" if self.own else "")


class TrainedOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the weights have learned from, where edgekit trained them (see data/stamps.py). It holds no picture.

    pictures  of the last training
    data      digest of the pictures and classes from which, and from those held out, they were drawn
    hashes    of all that was learned from, by earlier runs and teachers too, up to `below`: 5 bytes each, base64
    share     of these pictures that was held out, with `seed`; None where the data had a split for it
    """

    pictures: Annotated[int, msgspec.Meta(ge=0)]
    data: str
    seed: Annotated[int, msgspec.Meta(ge=0)]
    hashes: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9+/]*={0,2}$")]
    below: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    architecture: str
    family: str
    target: str
    scheme: str
    scheme_reason: str
    input: Tensor
    output: Tensor
    preprocess: Preprocess
    folded: bool  # True: the file takes pixels 0..255 and normalises them itself
    scores: Kind
    classes: int
    weights: Weights
    proof: Proof | None  # None only while the export is under way
    golden_tolerance: float
    golden: GoldenRecord
    recipe: dict[str, Any]
    recipe_digest: str
    files: dict[str, FileRecord]
    made_with: dict[str, str]
    made_on: dict[str, str]
    calibration: CalibrationRecord | None = None
    oldest_interpreter: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    task: Literal["classification"] = "classification"
    independent: bool = False  # each class by itself (multi-label, binary): sigmoid in place of softmax
    trained_on: TrainedOn | None = None  # None: not known
    # of an independent class: its label holds from this probability on
    threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    schema: Literal[2] = 2
    checksum: str = UNSEALED  # sha256 of manifest.json with this value's digits replaced by zeros

    @property
    def meaning(self) -> Meaning:
        return Meaning(self.scores, self.independent, self.threshold)


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 knew scores of one label a picture alone (one score was 100 % of everything), and its golden pictures were the proof's, whosever they were."""
    recipe, weights, proof = (old.get(name) for name in ("recipe", "weights", "proof"))
    own = (isinstance(recipe, dict) and recipe.get("calibration") == "folder") or (
        isinstance(weights, dict) and weights.get("source") == "trained"
    )
    source = proof.get("source") if isinstance(proof, dict) else None
    new = {"golden": {"source": source or "unknown", "own": own}, "independent": old.get("classes") == 1}
    return old | new | {"schema": 2, "checksum": UNSEALED}


OLDER = {1: _from_1}  # schema -> the same manifest in the words of the next


@dataclass(frozen=True)
class Golden:
    """Examples that carry their answers.

    images   decoded RGB pictures, uint8 [h, w, 3], before resizing
    tensors  what the file takes for each of them, [n, ...] in its dtype and layout
    answers  what the file answered where it was made, float32 [n, classes]
    """

    images: list[NDArray[np.uint8]]
    tensors: Array
    answers: NDArray[np.float32]

    def save(self, path: Path) -> None:
        pictures = {f"image_{i}": image for i, image in enumerate(self.images)}
        np.savez_compressed(path, allow_pickle=False, tensors=self.tensors, answers=self.answers, **pictures)

    @classmethod
    def load(cls, path: Path) -> "Golden":
        try:
            with zipfile.ZipFile(path) as packed:
                if sum(part.file_size for part in packed.infolist()) > GOLDEN_LIMIT:
                    raise ValueError("too large")  # before it is unpacked
            with np.load(path, allow_pickle=False) as z:
                images = [z[f"image_{i}"] for i in range(len(z["answers"]))]
                return cls(images, z["tensors"], z["answers"])
        except Exception as error:  # numpy and zipfile raise whatever a damaged file leads them to
            raise ArtifactError(f"{path} is damaged", hint=AGAIN) from error


@dataclass(frozen=True)
class Artifact:
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def model_file(self) -> Path:
        return next(self.folder / name for name in self.manifest.files if _is_model(name))

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
        """Raises ArtifactError."""
        path = self.folder / "labels.txt"
        try:
            return reading.text(path).splitlines()
        except (OSError, reading.Malformed) as error:
            raise ArtifactError(f"{path}: {getattr(error, 'strerror', None) or error}", hint=AGAIN) from None

    def golden(self) -> Golden:
        """Raises ArtifactError for a file that is damaged, or not of this artifact's pictures, tensors and answers."""
        golden, takes = Golden.load(self.folder / "golden.npz"), self.manifest.input
        n = len(golden.images)
        for what, fits in (
            ("pictures", n > 0 and all(_is_picture(image) for image in golden.images)),
            ("input", (golden.tensors.shape, golden.tensors.dtype) == ((n, *takes.shape[1:]), np.dtype(takes.dtype))),
            ("answers", golden.answers.shape == (n, self.manifest.classes) and golden.answers.dtype == np.float32),
        ):
            if not fits:
                message = f"{self.folder}: golden.npz and manifest.json disagree about the {what}"
                raise ArtifactError(message, hint=AGAIN)
        return golden

    def check_input(self, shape: Sequence[int], dtype: str) -> None:
        """Compare what the opened file takes (-1: any size) with the manifest. Raises ArtifactError."""
        said = self.manifest.input
        same = len(shape) == len(said.shape) and all(
            -1 in sizes or len(set(sizes)) == 1 for sizes in zip(shape[1:], said.shape[1:], strict=True)
        )
        if not same or dtype != said.dtype:
            takes, told = (f"{t} {'x'.join(map(str, s))}" for t, s in ((dtype, shape), (said.dtype, said.shape)))
            raise ArtifactError(
                f"{self.model_file} takes {takes}, but its manifest makes {told} of pictures", hint="export again"
            )

    def encode(self, pixels: NDArray[np.uint8]) -> Array:
        """Fitted pixels, uint8 [n, h, w, 3], as the tensor the file takes."""
        return encode(pixels, self.manifest.input, self.manifest.preprocess, folded=self.manifest.folded)

    def decode(self, raw: Array) -> NDArray[np.float32]:
        """What the file returned, as real numbers: float32 [n, classes]. Raises ArtifactError for other answers."""
        said = self.manifest.output
        if raw.shape[1:] != said.shape[1:] or raw.dtype.name != said.dtype:
            answers, told = (
                f"{t} {'x'.join(map(str, s))}" for t, s in ((raw.dtype, raw.shape), (said.dtype, said.shape))
            )
            raise ArtifactError(
                f"{self.model_file} answers {answers}, but its manifest says {told}", hint="export again"
            )
        return decode(raw, said)

    def check_files(self) -> None:
        """Compare every file with the manifest. Raises ArtifactError naming the first that differs."""
        for name, record in self.manifest.files.items():
            path = self.folder / name
            _check_inside(path)
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


TARGETS = {".tflite": "tflite", ".onnx": "onnx", ".ort": "onnx", ".xml": "openvino", ".pt2": "torch"}


@dataclass(frozen=True)
class LooseFile:
    """A model file with no artifact around it, of whatever tool: it can be run and timed, but says nothing of pictures."""

    model_file: Path
    oldest_interpreter: ClassVar[dict[str, str]] = {}

    @property
    def name(self) -> str:
        return self.model_file.name

    @property
    def target(self) -> str:
        return TARGETS[self.model_file.suffix]

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


def open_model(path: Path) -> Model:
    """An artifact, or a model file of any tool. Raises ArtifactError, RequestError."""
    if not path.is_file():
        return load(path)
    if path.suffix not in TARGETS:
        raise RequestError(
            f"{path} is not a model file that edgekit knows", hint=f"an artifact folder, or {', '.join(TARGETS)}"
        )
    found = LooseFile(path)
    found.model_files()  # what is missing beside it is said now
    return found


def _digest(files: Sequence[Path]) -> str:
    digests = [file_record(path).sha256 for path in sorted(files)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def encode(pixels: NDArray[np.uint8], tensor: Tensor, spec: Preprocess, *, folded: bool) -> Array:
    values: Array = pixels if folded else normalise(pixels, spec)
    if tensor.layout == "NCHW":
        values = np.ascontiguousarray(np.moveaxis(values, -1, 1))
    if tensor.scale is not None and tensor.dtype != "float32":
        quantized = np.rint(values / np.float32(tensor.scale)) + (tensor.zero_point or 0)
        limits = np.iinfo(tensor.dtype)
        return quantized.clip(limits.min, limits.max).astype(tensor.dtype)
    return values.astype(tensor.dtype)


def _is_picture(image: Array) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0


def decode(raw: Array, tensor: Tensor) -> NDArray[np.float32]:
    if tensor.scale is None:
        return raw.astype(np.float32)
    return ((raw.astype(np.float32) - (tensor.zero_point or 0)) * np.float32(tensor.scale)).astype(np.float32)


def golden_tensors(images: list[NDArray[np.uint8]], tensor: Tensor, spec: Preprocess, *, folded: bool) -> Array:
    """Decoded pictures through the whole preprocessing: what the file takes."""
    return encode(np.stack([fit(Image.fromarray(i), spec) for i in images]), tensor, spec, folded=folded)


def _check_inside(path: Path) -> None:
    """Refuse a link in an artifact that leads out of it: what it names is not the artifact's to show. Raises ArtifactError."""
    linked = os.path.islink(path)  # noqa: PTH114  Path.is_symlink raises for a name that is too long
    if linked and Path(os.path.realpath(path)).parent != Path(os.path.realpath(path.parent)):
        raise ArtifactError(f"{path} is a link that leads out of the artifact", hint="cp -rL makes files of its links")


def file_record(path: Path) -> FileRecord:
    with path.open("rb") as f:
        return FileRecord(path.stat().st_size, hashlib.file_digest(f, "sha256").hexdigest())


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
    if len(artifact.labels()) != artifact.manifest.classes:
        raise ArtifactError(
            f"{folder}: {len(artifact.labels())} labels for {artifact.manifest.classes} classes", hint=AGAIN
        )
    return artifact


def _instance(folder: Path) -> tuple[int, int] | None:
    """What tells an artifact from another that takes its place, also from one that is equal."""
    try:
        stat = (folder / "manifest.json").stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_ctime_ns


def read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    _check_inside(path)
    try:
        blob = reading.blob(path)
        schema = reading.json(blob, _Schema).schema
        if schema != SCHEMA and schema not in OLDER:
            hint = "open it with the edgekit that made it, or a later one"
            raise ArtifactError(f"{path} has schema {schema}; this edgekit reads up to schema {SCHEMA}", hint=hint)
        plain = reading.json_once(blob)
        manifest = _newest(plain)
    except FileNotFoundError:
        if (folder / RUN_CARD).is_file():
            what, model = "is a run of edgekit train, not an exported model", str(folder)
        else:
            what = "is not an artifact (it has no manifest.json)" if folder.is_dir() else "does not exist"
            model = "MODEL"
        there = sorted(str(path.parent) for path in folder.glob("*/manifest.json"))
        hint = f"one of those in it: {', '.join(there[:3])}" if there else f"edgekit export {model} makes one"
        raise ArtifactError(f"{folder} {what}", hint=hint) from None
    except NotADirectoryError:
        inside = (folder.parent / "manifest.json").is_file()
        hint = f"its folder: {folder.parent}" if inside else "edgekit export MODEL makes one"
        raise ArtifactError(f"{folder} is a file, and an artifact is a folder", hint=hint) from None
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}", hint="name the folder of an artifact") from None
    except (reading.Malformed, msgspec.ValidationError, RecursionError) as error:
        raise ArtifactError(f"{path}: {error}", hint=AGAIN) from None
    seal = plain.get("checksum", None if schema in OLDER else UNSEALED)
    if seal is not None and seal != _seal(blob, str(seal)):  # also where the schema, by damage, is one without a seal
        raise ArtifactError(f"{path} is not what the export wrote (its checksum differs)", hint=AGAIN)
    if fault := _fault(manifest):
        raise ArtifactError(f"{path} {fault}", hint=AGAIN)
    return manifest


def _newest(plain: dict[str, Any]) -> Manifest:
    """A manifest of any schema that this edgekit reads. Raises msgspec.ValidationError."""
    while (upgrade := OLDER.get(plain.get("schema", SCHEMA))) is not None:
        plain = upgrade(plain)
    return msgspec.convert(plain, Manifest)


def _seal(blob: bytes, checksum: str) -> str:
    """The sha256 of manifest.json as it was before its checksum was written into it."""
    return hashlib.sha256(blob.replace(checksum.encode(), UNSEALED.encode())).hexdigest()


def _fault(m: Manifest) -> str | None:
    """What a manifest says that no export writes."""
    models = [name for name in m.files if _is_model(name)]
    if len(models) != 1:
        return f"names {len(models)} model files, not one"
    if models == ["model.xml"] and "model.bin" not in m.files:
        return "does not name model.bin"
    for name in ("golden.npz", "labels.txt"):
        if name not in m.files:
            return f"does not name {name}"
    for name in m.files:
        if name != Path(name).name:
            return f"names a file outside its folder ({name})"
    if m.proof is None:
        return "holds no proof"
    if (m.output.layout, m.output.shape[1:]) != ("NC", (m.classes,)):
        return f"contradicts itself: {m.classes} classes, and an output of {m.output.layout} {list(m.output.shape)}"
    if m.recipe.get("softmax") and m.scores != "probabilities":
        return f"contradicts itself: a recipe with softmax, and {m.scores}"
    quantize = m.recipe.get("quantize")
    scheme = quantize.get("scheme") if isinstance(quantize, dict) else None
    size = m.input.shape[2:] if m.input.layout == "NCHW" else m.input.shape[1:3]
    for field, value, other in (
        ("model", m.model, m.recipe.get("model")),
        ("target", m.target, m.recipe.get("target")),
        ("scheme", m.scheme, scheme),
        ("folded", m.folded, m.recipe.get("fold")),
        ("input_size", m.preprocess.input_size, size),
    ):
        if value != other:
            return f"contradicts itself: {field} is {value} and {other}"
    if TARGETS.get(Path(models[0]).suffix) != m.target:
        return f"is for {m.target} and names {models[0]}"
    return _score_fault(m)


def _score_fault(m: Manifest) -> str | None:
    """What a manifest says of its scores against its recipe."""
    asked = m.recipe.get
    softmax, said = asked("softmax"), asked("scores", "auto")
    contradicts = (
        (softmax and m.independent, "classes are independent behind a softmax"),
        (not softmax and said not in ("auto", m.scores), f"scores are {m.scores} and {said}"),
        (asked("multi_label") and not m.independent, "classes exclude each other and do not"),
        (m.classes == 1 and not m.independent, "one class excludes others"),
        (asked("threshold") not in (None, m.threshold), f"threshold is {m.threshold} and {asked('threshold')}"),
    )
    return next((f"contradicts itself: {what}" for wrong, what in contradicts if wrong), None)


def _is_model(name: str) -> bool:
    return name.startswith("model.") and name not in BESIDE


class _Schema(msgspec.Struct):
    """Of a manifest of whatever schema."""

    schema: int = SCHEMA


def save_manifest(folder: Path, manifest: Manifest) -> None:
    unsealed = msgspec.structs.replace(manifest, checksum=UNSEALED)
    blob = msgspec.json.format(msgspec.json.encode(unsealed, order="sorted"), indent=2) + b"\n"
    seal = f'"checksum": "{_seal(blob, UNSEALED)}"'
    (folder / "manifest.json").write_bytes(blob.replace(f'"checksum": "{UNSEALED}"'.encode(), seal.encode()))


def check_destination(out: Path) -> None:
    """Refuse a place that cannot be written or that holds something other than an artifact."""
    with output_errors():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            foreign = _foreign(out)
            if foreign:
                what = "holds something that is not an artifact"
                raise RequestError(f"{out} {what} ({foreign})", hint="-o another/folder")
    check_place(out, "-o another/folder")


def check_place(path: Path, hint: str) -> None:
    """Refuse a path that could not be written, before any work is done for it. Raises RequestError, OutputError."""
    with output_errors(hint):
        above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir():
        raise RequestError(f"{above} is a file, not a folder to write in", hint=hint)
    if not os.access(above, os.W_OK):
        raise OutputError(f"no permission to write in {above}", hint=hint)


def _foreign(out: Path) -> str | None:
    """What stands in a place and is no part of an artifact; None where an artifact, and nothing else, is there."""
    if not out.is_dir():
        return "a file"
    manifest = _standing(out)
    own = {"manifest.json", "model.sig", *manifest.files} if manifest else set()
    return next((p.name for p in sorted(out.iterdir()) if p.name not in own), None)


def digest_of(recipe: Mapping[str, Any], weights: str, calibration: str, labels: Sequence[str]) -> str:
    """What tells an export from another: its recipe as the manifest holds it, and the digests of what that led to."""
    content = [recipe, weights, calibration, list(labels)]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def recipe_digest(folder: Path) -> str | None:
    """Of the artifact that stands in a place, of whatever schema; None where there is none."""
    manifest = _standing(folder)
    return manifest.recipe_digest if manifest else None


def _standing(folder: Path) -> "_Files | None":
    try:
        return reading.json(reading.blob(folder / "manifest.json"), _Files)
    except (OSError, reading.Malformed):
        return None


class _Files(msgspec.Struct):
    """What makes a manifest.json an artifact's, of whatever schema."""

    recipe_digest: str
    files: dict[str, FileRecord]


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, moved there in one step when the block ends well, removed when it does not.

    An artifact that stood there is replaced in the same step (renameat2 with RENAME_EXCHANGE on Linux; elsewhere two
    renames). What a killed process left behind is cleared by the next export to the same place; where several export
    to it at once, each has a folder of its own, and the last to end wins.
    """
    out = Path(os.path.realpath(out))  # a link stays a link: what it leads to is replaced
    check_destination(out)
    with output_errors():
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(out)
        stage = _beside(out)
        stage.mkdir()
    try:
        with output_errors():
            yield stage
            publish(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def output_errors(hint: str = OUTPUT_HINT) -> Iterator[None]:
    """Say what the disk said: OutputError for no permission, no space, read-only."""
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is None and error.errno not in _DISK_ERRORS):
            raise
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"free some space, or {hint}"
        raise OutputError(f"cannot write: {error.strerror}{where}", hint=hint) from None


@contextlib.contextmanager
def replacing(path: Path, hint: str = OUTPUT_HINT) -> Iterator[Path]:
    """A place to write a file, which then takes the place of `path` in one step; a reader never sees half of it."""
    partial = _beside(path)
    with output_errors(hint):
        _clear_leftovers(path)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # follows no link, takes nobody's file
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


NAMED = 50  # letters of a name that `_beside` keeps: names have at most 255 bytes
_DISK_ERRORS = {errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EDQUOT}


def _beside(out: Path) -> Path:
    """A hidden name beside `out`, which nobody else has. The pid says whether it is a leftover; it is not enough of a
    name, because each run in a container has the same one."""
    return out.with_name(f".{out.name[:NAMED]}.{os.getpid()}.{secrets.token_hex(4)}.partial")


def _clear_leftovers(out: Path) -> None:
    """What killed processes left of `_beside`."""
    ours = re.compile(rf"\.{re.escape(out.name[:NAMED])}\.(\d+)\.[0-9a-f]{{8}}\.partial")
    for leftover in out.parent.iterdir():
        if (pid := ours.fullmatch(leftover.name)) and not _alive(int(pid[1])):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def publish(stage: Path, out: Path) -> None:
    """Move a finished folder to its place, in one step where the system can."""
    check_destination(out)  # again: an export takes minutes, and what it replaces is removed
    try:
        stage.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    else:
        return
    if not _exchange(stage, out):
        old = stage.with_suffix(".old")
        out.rename(old)
        stage.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    at_cwd, rename_exchange = -100, 2
    try:
        return bool(libc.renameat2(at_cwd, os.fsencode(a), at_cwd, os.fsencode(b), rename_exchange) == 0)
    except AttributeError:  # a C library without renameat2
        return False
