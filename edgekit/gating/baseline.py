"""What a candidate is compared with: a file that can be run beside it, or numbers that were written down."""

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import msgspec

from edgekit import artifact, publishing, reading
from edgekit.artifact import Artifact, LooseFile, Model
from edgekit.errors import ArtifactError, RequestError
from edgekit.gating.contract import Contract, differences
from edgekit.manifest import file_record
from edgekit.model_files import model_files, names_beside
from edgekit.places import output_errors, replacing

Count = Annotated[int, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Measured = Annotated[float, msgspec.Meta(ge=1e-12, le=1e12)]  # what no clock could tell has no logarithm to reckon with
# host facts that make machines comparable, and what the session says of itself
STARRED = ("cpu", "cpu_class", "cores", "runtime", "threads", "precision", "device")


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A baseline in numbers, as `edgekit gate --baseline FILE.json --update` writes them.

    contract      what a program relies on; None: an earlier edgekit did not write it down
    source        where the file itself can be had: a path, or git:REF:PATH; None: nowhere
    score         CPU time of an inference over that of a fixed computation on the same machine
    score_within  how far a log of it may be off (99 %)
    instructions  of an inference, by device and runtime with its version
    host          the facts that must be the same for times to be compared
    """

    name: str
    digest: str
    bytes: Count
    operators: dict[str, Count]
    int8_macs: Share | None
    sqnr_db: float | None
    cpu_ms: Measured | None
    memory_bytes: Count | None
    score: Measured | None
    instructions: dict[str, Count]
    host: dict[str, str]
    source: str | None = None
    contract: Contract | None = None
    score_within: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    schema: Literal[3] = 3

    def differences(self, host: dict[str, str]) -> list[str]:
        """What is not as it was, in words."""
        pairs = [(fact, self.host.get(fact, "unknown"), host.get(fact, "unknown")) for fact in STARRED]
        return [f"{fact} is {now}, was {then}" for fact, then, now in pairs if now != then]


def _from_1(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 wrote zeros where the clock was too coarse to tell a time."""
    untold = {"cpu_ms": None, "score": None} if not (old.get("cpu_ms") and old.get("score")) else {}
    return old | untold | {"memory_bytes": old.get("memory_bytes") or None, "schema": 2}


def _from_2(old: dict[str, Any]) -> dict[str, Any]:
    """Schema 2 knew classification alone."""
    contract = old.get("contract")
    meaning = contract.get("meaning") if isinstance(contract, dict) else None
    if isinstance(contract, dict) and isinstance(meaning, dict):
        scores = {name: meaning[name] for name in ("scores", "independent", "threshold") if name in meaning}
        kept = {name: value for name, value in meaning.items() if name not in scores}
        contract = contract | {"meaning": kept | {"task": {"name": meaning.get("task")} | scores}}
    return old | {"contract": contract, "schema": 3}


OLDER = {1: _from_1, 2: _from_2}  # schema -> the same numbers in the words of the next


class Baseline(msgspec.Struct, frozen=True):
    """A file, numbers, or both (numbers that name a file which is still there)."""

    name: str
    path: Path | None = None
    model: Model | None = None
    numbers: Numbers | None = None
    note: str | None = None

    @property
    def target(self) -> str | None:
        """None where the numbers do not tell it."""
        if self.model:
            return self.model.target
        return self.known.contract.target if self.known.contract else None

    @property
    def known(self) -> Numbers:
        assert self.numbers, "a baseline is a file or numbers"
        return self.numbers


@contextmanager
def opened(where: str) -> Iterator[Baseline]:
    """An artifact's folder, a model file, git:REF:PATH of either, or a .json of numbers. Raises EdgekitError."""
    with TemporaryDirectory(prefix="edgekit-") as scratch:
        if where.startswith("git:"):
            path = from_git(where, Path(scratch))
            yield Baseline(where, path, artifact.open_model(path))
        elif where.endswith(".json"):
            yield _with_file(read(Path(where)), Path(where), Path(scratch))
        else:
            yield Baseline(where, Path(where), artifact.open_model(Path(where)))


def _with_file(numbers: Numbers, at: Path, scratch: Path) -> Baseline:
    """Numbers with the file that they name, if it can be had and is the same."""
    if numbers.source is None:
        return Baseline(str(at), numbers=numbers, note="the baseline names no file to run beside the candidate")
    try:
        from_repository = numbers.source.startswith("git:")
        path = from_git(numbers.source, scratch) if from_repository else at.parent / numbers.source
        model = artifact.open_model(path)
    except (ArtifactError, RequestError) as error:
        return Baseline(str(at), numbers=numbers, note=f"the baseline's file cannot be had: {error.message}")
    if model.digest() != numbers.digest:
        return Baseline(str(at), numbers=numbers, note=f"{numbers.source} is not the file the numbers are of any more")
    return Baseline(str(at), path, model, numbers)


def read(path: Path) -> Numbers:
    try:
        plain = reading.json(reading.blob(path), dict[str, Any])
        while (upgrade := OLDER.get(plain.get("schema", 1))) is not None:
            plain = upgrade(plain)
        return msgspec.convert(plain, Numbers)
    except OSError as error:
        hint = f"edgekit gate CANDIDATE --baseline {path} --update writes it"
        raise RequestError(f"{path}: {error.strerror}", hint=hint) from None
    except (reading.Malformed, msgspec.ValidationError, TypeError) as error:  # TypeError: a schema that is a list
        raise ArtifactError(
            f"{path} is no baseline: {error}", hint="edgekit gate CANDIDATE --baseline FILE.json --update writes one"
        ) from None


def write(path: Path, numbers: Numbers) -> None:
    """In one step: a reader never sees half of it."""
    encoded = msgspec.json.format(msgspec.json.encode(numbers, order="sorted"), indent=2) + b"\n"
    hint = "--baseline another/file.json"
    with output_errors(hint):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, hint) as partial:
        partial.write_bytes(encoded)


def complete(new: Numbers, old: Numbers | None, *, counted: bool) -> Numbers:
    """With what the old ones say of the same file: counts of other devices, and times where only instructions were
    `counted`."""
    if old is None or old.digest != new.digest:
        return new
    fields = ("cpu_ms", "memory_bytes", "score", "score_within", "host") if counted else ()
    kept = {field: getattr(old, field) for field in fields}
    return msgspec.structs.replace(new, instructions=old.instructions | new.instructions, **kept)


def changes(old: Numbers | None, new: Numbers) -> list[str]:
    """What an update changes, in words."""
    if old is None:
        return ["new"]
    fields = [f for f in Numbers.__struct_fields__ if f not in ("schema", "name", "contract")]
    found = [f"{f}: {getattr(old, f)} -> {getattr(new, f)}" for f in fields if getattr(old, f) != getattr(new, f)]
    if new.contract and old.contract != new.contract:
        found.append(f"contract: {'; '.join(differences(new.contract, old.contract)) if old.contract else 'new'}")
    return found


def from_git(where: str, scratch: Path) -> Path:
    """Take `git:REF:PATH`, a file or a folder, out of the repository here. Raises RequestError."""
    _, ref, inside = [*where.split(":", 2), "", ""][:3]
    if not ref or ref.startswith("-") or not inside:
        raise RequestError(f"{where} names no file of a commit", hint="git:origin/main:path/in/the/repository")
    root = _git(where, "rev-parse", "--show-toplevel").decode().strip()
    taken = scratch / inside
    _extract(where, root, ref, inside, scratch)
    if taken.is_file():
        for name in names_beside(taken):
            with suppress(RequestError):  # where it is not in the commit, opening the file says so
                _extract(where, root, ref, str(PurePosixPath(inside).parent / name), scratch)
    return taken


def _extract(where: str, root: str, ref: str, inside: str, scratch: Path) -> None:
    packed = _git(where, "-C", root, "archive", "--format=tar", ref, "--", inside)
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(scratch, filter="data")


def _git(where: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise RequestError("git is not installed", hint="--baseline with a path") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RequestError(f"{where}: {said[-1] if said else 'git failed'}", hint="git fetch, or another REF or PATH")
    return done.stdout


def replace(where: str, candidate: Model) -> None:
    """Put a copy of the candidate into the baseline's place in one step; of a file with weights beside it in one each, once all
    are written. Raises RequestError, OutputError."""
    out = Path(where)
    if where.startswith("git:"):
        raise RequestError(
            "what is committed cannot be rewritten", hint="export to the path of the baseline and commit it"
        )
    if isinstance(candidate, Artifact):
        with publishing.staging(out) as stage:
            for name in ("manifest.json", *candidate.manifest.files):
                shutil.copy2(candidate.folder / name, stage / name)
        return
    if out.is_dir() or out.suffix != candidate.model_file.suffix:
        raise RequestError(f"{candidate.name} is a file; {where} is none of its kind", hint="--baseline with a file")
    hint = "--baseline another/file"
    copies = {path: _copy_of(path, candidate, out) for path in candidate.model_files()}
    own = set(model_files(out)) if out.is_file() else set()
    for path, copy in copies.items():
        if copy.exists() and copy not in own and file_record(copy) != file_record(path):
            raise RequestError(f"{copy} would be replaced, and is no part of {out}", hint=hint)
    with ExitStack() as written:  # it ends with what came last: the weights take their place first
        for path, copy in copies.items():
            with output_errors(hint):
                copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, written.enter_context(replacing(copy, hint)))


def _copy_of(path: Path, candidate: LooseFile, out: Path) -> Path:
    """Where a file of the candidate goes: an .onnx names the files beside it, OpenVINO's weights are named as the model."""
    if path == candidate.model_file or candidate.target == "openvino":
        return out.with_suffix(path.suffix)
    return out.parent / path.relative_to(candidate.model_file.parent)
