"""The models that the Android app carries: artifacts among its assets, file by file as they are.

The app reads manifest.json, labels.txt and golden.npz itself, so what lies there is an artifact like any other:
`edgekit verify` opens it, and the app compares its checksums.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgekit import artifact, parity, publishing
from edgekit.answering import start_answering
from edgekit.artifact import Artifact
from edgekit.errors import RequestError, UnsupportedError
from edgekit.manifest import Manifest
from edgekit.runtimes import Options

MODELS = Path("app/src/main/assets/models")
TARGETS = ("tflite", "onnx")
TYPES = ("float32", "uint8", "int8")


@dataclass(frozen=True)
class Added:
    """`replaced`: an artifact of that name was there. `needs`: the LiteRT that the file wants on phones, where it does."""

    artifact: Artifact
    bytes: int
    replaced: bool
    needs: str | None


def add(folder: Path, app: Path) -> Added:
    """Copy an artifact into the app in one step. `app`: the folder of settings.gradle.kts (android_demo).

    Raises ArtifactError, also for a manifest that contradicts its file; ParityError, WorkerError; UnsupportedError for files that the app cannot run; RequestError; OutputError.
    """
    made = artifact.load(folder)
    _check_runnable(made.manifest)
    parity.check_claims(made)
    with start_answering(made, None, Options()) as opened:  # that the file takes and answers what its manifest says
        made.decode(opened.answer(made.golden().tensors[:1]))
    if beside := made.model_files()[1:]:
        what = f"the app opens models of one file, and {made.model_file} keeps weights in {beside[0].name}"
        raise UnsupportedError(what, hint=f"edgekit export {made.manifest.model} --target {made.target}")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", made.name, re.ASCII):  # Android's packager leaves out _x and .x
        hint = "rename the folder: letters, digits, '.', '-' and '_', a letter or a digit first"
        raise RequestError(f"'{made.name}' is no name for a folder of Android assets", hint=hint)
    out = _models(app) / made.name
    replaced = out.is_dir()
    try:
        with publishing.staging(out) as stage:
            for name in ("manifest.json", *made.manifest.files):
                shutil.copyfile(folder / name, stage / name)
    except RequestError as error:
        raise RequestError(error.message, hint=f"remove {out}, or rename {folder}") from None
    floor = made.oldest_interpreter.get("arm64", "")
    size = sum(path.stat().st_size for path in out.iterdir())
    return Added(artifact.load(out), size, replaced, floor if floor.startswith("LiteRT") else None)


def carried(app: Path) -> list[Artifact]:
    """What the app carries, by name. Raises ArtifactError for a folder that is no artifact or was damaged."""
    models = _models(app)
    return [artifact.load(p) for p in sorted(models.iterdir()) if p.is_dir()] if models.is_dir() else []


def check_app(app: Path) -> None:
    """Raises RequestError for what is not the app's folder."""
    if not (app / "app/src/main/AndroidManifest.xml").is_file():
        what = "is not the Android app" if app.exists() else "does not exist"
        raise RequestError(f"{app} {what}", hint="--app path/to/android_demo, the app of edgekit's repository")


def _models(app: Path) -> Path:
    check_app(app)
    return app / MODELS


def _check_runnable(m: Manifest) -> None:
    if m.target not in TARGETS:
        hint = f"edgekit export {m.model} --target tflite"
        raise UnsupportedError(f"the app runs .tflite and .onnx files, not those of {m.target}", hint=hint)
    if m.layout:
        raise UnsupportedError(
            f"the app reads boxes and scores, and this file's answers are laid out for others ({m.layout.name})",
            hint=f"edgekit export {m.model} --target {m.target}, without --layout",
        )
    for tensor, option in (
        (m.input, "--input uint8, int8 or float32"),
        *((output, "the output float32") for output in m.outputs),
    ):
        if tensor.dtype not in TYPES:
            hint = f"edgekit export {m.model} --target {m.target}, with {option}"
            raise UnsupportedError(f"the app knows no tensors of {tensor.dtype} ({tensor.name})", hint=hint)
