"""manifest.json: everything about an artifact. Only the newest schema has structs; older ones are put into its words."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from edgekit import reading
from edgekit.errors import ArtifactError, MissingError
from edgekit.layouts import DetectorLayout
from edgekit.preprocess import Preprocess
from edgekit.recipe import Kind
from edgekit.tasks import Classification, Detection, Task, name_of
from edgekit.tasks.likeness import Measure
from edgekit.tensors import Tensor
from edgekit.zoo import RUN_CARD

SCHEMA = 4  # of the manifests that this edgekit writes; older ones are read through OLDER
UNSEALED = "0" * 64
REJECTED = ".rejected"  # behind the name of a folder: its proof refused it
BESIDE = {"model.bin"}  # no model of its own: OpenVINO's weights, which lie beside model.xml
AGAIN = "copy the whole folder again, or export again"


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


class Distance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one output to the PyTorch model's."""

    sqnr_db: float | None  # None: equal to the last bit
    max_abs: float | None  # None: answers that are not finite, which JSON has no number for


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's answers in its real runtime against the PyTorch model's, on real images (see parity.py).

    measures  what the task counts: shares and cosines, each with what it had to reach
    outputs   in the file's order
    """

    runtime: str
    pictures: int
    source: str
    measures: tuple[Measure, ...]
    outputs: Annotated[tuple[Distance, ...], msgspec.Meta(min_length=1)]
    min_sqnr_db: float
    passed: bool
    advisory: bool = False

    @property
    def sqnr_db(self) -> float | None:
        """Of the noisiest output; None: all are equal to the last bit."""
        return min((o.sqnr_db for o in self.outputs if o.sqnr_db is not None), default=None)

    @property
    def max_abs(self) -> float | None:
        """The largest of all outputs; None: some are not finite."""
        found = [o.max_abs for o in self.outputs]
        return None if None in found else max(m for m in found if m is not None)

    @property
    def sqnr_reached(self) -> bool:
        return self.sqnr_db is None or self.sqnr_db >= self.min_sqnr_db

    @property
    def within_limits(self) -> bool:
        """Also of an advisory proof, which passes either way."""
        return all(m.reached for m in self.measures) and self.sqnr_reached


class GoldenRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose images golden.npz holds: own means the user's, which a published artifact would publish.

    stride  of answers with rows and columns, golden.npz keeps every stride-th
    """

    source: str
    own: bool
    stride: Annotated[int, msgspec.Meta(ge=1)] = 1

    @property
    def words(self) -> str:
        return self.source + (": your own, and whoever has the artifact can see them" if self.own else "")


class TrainedOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the weights have learned from, where edgekit trained them (see data/stamps.py). It holds no image.

    pictures  of the last training
    data      digest of the images and classes from which, and from those held out, they were drawn
    hashes    of all that was learned from, by earlier runs and teachers too, up to `below`: 5 bytes each, base64
    share     of these images that was held out, with `seed`; None where the data had a split for it
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
    task: Task
    inputs: Annotated[tuple[Tensor, ...], msgspec.Meta(min_length=1, max_length=1)]
    outputs: Annotated[tuple[Tensor, ...], msgspec.Meta(min_length=1)]
    preprocess: Preprocess
    folded: bool  # True: the file takes pixels 0..255 and normalises them itself
    labels: Annotated[int, msgspec.Meta(ge=0)]  # lines of labels.txt; 0: there is none
    weights: Weights
    proof: Proof
    golden: GoldenRecord
    recipe: dict[str, Any]
    recipe_digest: str
    files: dict[str, FileRecord]
    made_with: dict[str, str]
    made_on: dict[str, str]
    calibration: CalibrationRecord | None = None
    layout: DetectorLayout | None = None  # None: the file answers `outputs` as they are
    oldest_interpreter: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    trained_on: TrainedOn | None = None  # None: not known
    schema: Literal[4] = 4
    checksum: str = UNSEALED  # sha256 of manifest.json with this value's digits replaced by zeros

    @property
    def title(self) -> str:
        """What people know the model by: not by the name of a run's folder."""
        return f"{self.architecture} ({self.weights.knows})" if self.weights.source == "trained" else self.model

    @property
    def input(self) -> Tensor:
        return self.inputs[0]

    @property
    def scores(self) -> Kind | None:
        """What a classifier's scores are: "logits", "probabilities", "log-probabilities"; None of other tasks."""
        return self.task.scores if isinstance(self.task, Classification) else None

    @property
    def file_outputs(self) -> tuple[Tensor, ...]:
        """What the file itself answers, in its order."""
        return self.layout.outputs if self.layout else self.outputs


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 knew scores of one label an image alone (one score was 100 % of everything), and its golden images were the proof's, whosever they were."""
    recipe, weights, proof = (old.get(name) for name in ("recipe", "weights", "proof"))
    own = (isinstance(recipe, dict) and recipe.get("calibration") == "folder") or (
        isinstance(weights, dict) and weights.get("source") == "trained"
    )
    source = proof.get("source") if isinstance(proof, dict) else None
    new: dict[str, Any] = {
        "golden": {"source": source or "unknown", "own": own},
        "independent": old.get("classes") == 1,
    }
    return old | new | {"schema": 2, "checksum": UNSEALED}


def _from_2(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 knew classification alone: one input, and one output of scores."""
    new = dict(old)
    independent = new.pop("independent", False)
    given, answer, tolerance = new.pop("input", None), new.pop("output", None), new.pop("golden_tolerance", None)
    task = {"name": new.pop("task", "classification"), "scores": new.pop("scores", None), "independent": independent}
    if "threshold" in new:
        task["threshold"] = new.pop("threshold")
    if isinstance(answer, dict):
        answer = answer | {"role": "scores", "tolerance": tolerance}
    if isinstance(proof := new.pop("proof", None), dict):
        proof = dict(proof)
        measure = {"name": "same labels" if independent else "top-1 agreement"}
        measure |= {"value": proof.pop("agreement", None), "minimum": proof.pop("min_agreement", None)}
        distance = {"sqnr_db": proof.pop("sqnr_db", None), "max_abs": proof.pop("max_abs", None)}
        proof |= {"measures": [measure], "outputs": [distance]}
    labels = {"labels": new.pop("classes")} if "classes" in new else {}
    return new | labels | {"schema": 3, "task": task, "inputs": [given], "outputs": [answer], "proof": proof}


def _from_3(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 3 knew images alone: `frames` and `rate` of `preprocess` have defaults."""
    return old | {"schema": 4}


OLDER = {1: _from_1, 2: _from_2, 3: _from_3}  # schema -> the same manifest in the words of the next
TARGETS = {".tflite": "tflite", ".onnx": "onnx", ".ort": "onnx", ".xml": "openvino", ".pt2": "torch"}


def check_inside(path: Path) -> None:
    """Refuse a link in an artifact that leads out of it: what it names is not the artifact's to show. Raises ArtifactError."""
    linked = os.path.islink(path)  # noqa: PTH114  Path.is_symlink raises for a name that is too long
    if linked and Path(os.path.realpath(path)).parent != Path(os.path.realpath(path.parent)):
        raise ArtifactError(f"{path} is a link that leads out of the artifact", hint="cp -rL makes files of its links")


def file_record(path: Path) -> FileRecord:
    with path.open("rb") as f:
        return FileRecord(path.stat().st_size, hashlib.file_digest(f, "sha256").hexdigest())


def read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    check_inside(path)
    try:
        blob = reading.blob(path)
        schema = reading.json(blob, _Schema).schema
        if schema != SCHEMA and schema not in OLDER:
            hint = "open it with the edgekit that made it, or a later one"
            raise ArtifactError(f"{path} has schema {schema}; this edgekit reads up to schema {SCHEMA}", hint=hint)
        plain = reading.json_once(blob)
        seal = plain.get("checksum", UNSEALED if schema > 1 else None)
        if seal is not None and seal != _seal(
            blob, str(seal)
        ):  # also where the schema, by damage, is one without a seal
            raise ArtifactError(f"{path} is not what the export wrote (its checksum differs)", hint=AGAIN)
        manifest = _newest(plain)
    except FileNotFoundError:
        if (folder / RUN_CARD).is_file():
            what, model = "is a run of edgekit train, not an exported model", str(folder)
        else:
            if not folder.exists():
                raise MissingError(f"{folder} does not exist", hint="edgekit export MODEL makes one") from None
            what, model = "is not an artifact (it has no manifest.json)", "MODEL"
        made = (path.parent for path in folder.glob("*/manifest.json"))
        there = sorted(str(path) for path in made if path.suffix != REJECTED)
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
    models = [name for name in m.files if is_model(name)]
    if len(models) != 1:
        return f"names {len(models)} model files, not one"
    if models == ["model.xml"] and "model.bin" not in m.files:
        return "does not name model.bin"
    for name in ("golden.npz", "labels.txt") if m.labels else ("golden.npz",):
        if name not in m.files:
            return f"does not name {name}"
    for name in m.files:
        if name != Path(name).name:
            return f"names a file outside its folder ({name})"
    for tensor in (*m.inputs, *m.outputs):
        named = len(tensor.layout) in (0, len(tensor.shape))
        if not (named and tensor.shape and min(tensor.shape[1:], default=1) >= 1):  # the batch alone may be open
            return f"has a tensor of {tensor.layout} {list(tensor.shape)}"
    if len({tensor.role or tensor.name for tensor in m.outputs}) < len(m.outputs):
        return "names two outputs alike"
    if len(m.proof.outputs) != len(m.outputs):
        return f"contradicts itself: {len(m.outputs)} outputs, and a proof of {len(m.proof.outputs)}"
    if wrong := m.task.fault(m.outputs, m.labels):
        return f"contradicts itself: {wrong}"
    if m.layout and (
        wrong := m.layout.fault(m.outputs) if isinstance(m.task, Detection) else "a layout of no detector"
    ):
        return f"contradicts itself: {wrong}"
    quantize = m.recipe.get("quantize")
    scheme = quantize.get("scheme") if isinstance(quantize, dict) else None
    size = m.input.shape[2:] if m.input.layout.startswith("NC") else m.input.shape[1:-1]
    for field, value, other in (
        ("model", m.model, m.recipe.get("model")),
        ("target", m.target, m.recipe.get("target")),
        ("scheme", m.scheme, scheme),
        ("folded", m.folded, m.recipe.get("fold")),
        ("layout", m.layout.name if m.layout else None, m.recipe.get("layout")),
        ("input_size", m.preprocess.extent, size),
    ):
        if value != other:
            return f"contradicts itself: {field} is {value} and {other}"
    if m.target in TARGETS.values() and TARGETS.get(Path(models[0]).suffix) != m.target:
        return f"is for {m.target} and names {models[0]}"
    return _task_fault(m)


def _task_fault(m: Manifest) -> str | None:
    """What a manifest says of its task against its recipe."""
    asked, task = m.recipe.get, m.task
    if asked("task", "auto") not in ("auto", name_of(task)):
        return f"contradicts itself: its task is {name_of(task)} and {asked('task')}"
    if not isinstance(task, Classification):
        return None
    softmax, said = asked("softmax"), asked("scores", "auto")
    contradicts = (
        (softmax and task.scores != "probabilities", f"a recipe with softmax, and {task.scores}"),
        (softmax and task.independent, "classes are independent behind a softmax"),
        (not softmax and said not in ("auto", task.scores), f"scores are {task.scores} and {said}"),
        (asked("multi_label") and not task.independent, "classes exclude each other and do not"),
        (asked("threshold") not in (None, task.threshold), f"threshold is {task.threshold} and {asked('threshold')}"),
    )
    return next((f"contradicts itself: {what}" for wrong, what in contradicts if wrong), None)


def is_model(name: str) -> bool:
    return name.startswith("model.") and name not in BESIDE


class _Schema(msgspec.Struct):
    """Of a manifest of whatever schema."""

    schema: int = SCHEMA


def save_manifest(folder: Path, manifest: Manifest) -> None:
    unsealed = msgspec.structs.replace(manifest, checksum=UNSEALED)
    blob = msgspec.json.format(msgspec.json.encode(unsealed, order="sorted"), indent=2) + b"\n"
    seal = f'"checksum": "{_seal(blob, UNSEALED)}"'
    (folder / "manifest.json").write_bytes(blob.replace(f'"checksum": "{UNSEALED}"'.encode(), seal.encode()))


def digest_of(recipe: Mapping[str, Any], weights: str, calibration: str, labels: Sequence[str]) -> str:
    """What tells an export from another: its recipe as the manifest holds it, and the digests of what that led to."""
    content = [recipe, weights, calibration, list(labels)]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
