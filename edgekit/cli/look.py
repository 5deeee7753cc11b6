"""edgekit predict, verify: an artifact answers, without torch."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import Talk, common, echo, table
from edgekit.errors import DataError, RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.artifact import Artifact, Model


def interpreter_option(function: Any) -> Any:
    return click.option(
        "--interpreter",
        metavar="NAME",
        help="ai-edge-litert, tflite-runtime or tensorflow.  [default: the first installed]",
    )(function)


def runtime_options(function: Any) -> Any:
    # more than a machine has is slow; very many end the interpreter
    threads = click.option(
        "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of the runtime."
    )
    return interpreter_option(threads(function))


def on_option(function: Any) -> Any:
    return click.option(
        "--on",
        "device",
        default="local",
        show_default=True,
        metavar="DEVICE",
        help="Where to run: local, arm64, x86, adb (a phone; not tried on a real one), ...",
    )(function)


def timeout_option(function: Any) -> Any:
    return click.option(
        "--timeout", type=click.FloatRange(1), default=60, show_default=True, help="Seconds without an answer: a hang."
    )(function)


@click.command()
@click.argument("artifact")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-k", "--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to show.")
@on_option
@runtime_options
@timeout_option
@common
def predict(
    talk: Talk,
    artifact: str,
    images: tuple[str, ...],
    top: int,
    device: str,
    threads: int,
    interpreter: str | None,
    timeout: float,
) -> int:
    """The exported file answers, with labels.

    \b
    Examples:
      edgekit predict build/mobilenetv2-tflite-int8 photo.jpg
      edgekit predict build/efficientnet_lite0-tflite-int8 *.jpg -k 1 --json
    """
    from edgekit import artifact as room
    from edgekit import registry
    from edgekit.prediction import predict as answer
    from edgekit.runtimes import Options
    from edgekit.tasks import Classification

    place = registry.device(device)
    opened = room.load(Path(artifact))
    warn_of_refused(talk, opened)
    manifest = opened.manifest
    task = manifest.task
    holds_from = task.threshold if isinstance(task, Classification) and task.independent else None
    check_interpreter(interpreter, [manifest.target])
    documents: list[dict[str, Any]] = []
    skipped: list[DataError] = []
    asked = Options(threads, interpreter)
    for path, found in answer(opened, asked, [Path(i) for i in images], top, place, timeout):
        if isinstance(found, DataError):
            skipped.append(found)
            if len(images) > 1:
                talk.warn(f"skipped {found.message}")
            continue
        classes = [{"label": c.label, "index": c.index, "probability": c.probability} for c in found]
        documents.append({"image": str(path), "classes": classes})
        title, holding = str(path), [c.label for c in found if c.holds]
        if holds_from is not None:
            documents[-1]["labels"] = holding
            title += ": " + (", ".join(holding) or f"none from {holds_from:.0%} on")
        rows = [(f"{c.probability:6.1%}", c.label) for c in found]
        if not talk.json:
            talk.result(f"{title}\n{table(rows, indent='  ')}", None)
    if skipped and not documents:
        message = skipped[0].message if len(images) == 1 else f"none of the {len(images)} pictures can be read"
        raise DataError(message, hint="give a picture file: .jpg, .png, .webp, ...")
    names = "whatever else it sees, it names one of them"
    if holds_from is not None:
        names = f"each by itself, and a label holds from {holds_from:.0%} on"
    knows = f"this model knows {manifest.weights.knows}; {names}"
    if talk.json:
        unread = [error.message for error in skipped]
        talk.result("", {"knows": manifest.weights.knows, "predictions": documents, "skipped": unread})
    elif not talk.quiet:
        echo(knows)
    return 0


@click.command()
@click.argument("artifact")
@click.option("--against", multiple=True, metavar="ARTIFACT", help="Another file of the same model; repeatable.")
@click.option("--data", metavar="DIR", help="Pictures for --against.  [default: the artifact's golden pictures]")
@click.option("--key", metavar="FILE", help="A public key in PEM: check first that its owner signed the folder.")
@click.option("--signature", metavar="FILE", help="Where the signature is.  [default: model.sig in the folder]")
@on_option
@runtime_options
@common
def verify(
    talk: Talk,
    artifact: str,
    against: tuple[str, ...],
    data: str | None,
    key: str | None,
    signature: str | None,
    device: str,
    threads: int,
    interpreter: str | None,
) -> int:
    """Prove a copy of an artifact where it runs: checksums, preprocessing to the last bit, answers. Needs no torch.
    With --against: how far the answers of several files of one model, for any targets, lie apart.

    \b
    Examples:
      edgekit verify build/mobilenetv2-tflite-int8
      edgekit verify build/mobilenetv2-tflite-int8 --interpreter tflite-runtime
      edgekit verify build/mobilenetv2-tflite-int8 --on arm64:cortex-a76
      edgekit verify build/mobilenetv2-tflite-int8 --key public.pem
      edgekit verify build/mobilenetv2-tflite-int8 --against build/mobilenetv2-onnx-int8 --data photos/
    """
    if data and not against:
        raise RequestError("--data is for --against", hint="--against ARTIFACT")
    if signature and not key:
        raise RequestError("--signature wants the public key of whoever signed", hint="--key public.pem")
    if key and against:
        raise RequestError("--key is about one folder", hint="leave --against out")
    if against:
        return _compare(talk, [artifact, *against], data, device, threads, interpreter)
    import msgspec

    from edgekit import artifact as room
    from edgekit import parity, registry
    from edgekit.errors import ParityError
    from edgekit.runtimes import Options

    place = registry.device(device)
    folder = Path(artifact)
    rows = []
    signed = _signed(folder, key, signature) if key else None
    if signed:
        rows = [("signature", "ok", f"{signed} files are those that the owner of {key} signed")]
        folder = _packed(folder)
    opened = room.load(folder)
    check_interpreter(interpreter, [opened.manifest.target])
    runtime = registry.runtime_for(opened.manifest.target).name
    v = parity.verify(opened, runtime, Options(threads, interpreter), place)
    rows += [
        ("files", "ok", f"{len(opened.manifest.files)} files have the checksums of the manifest"),
        ("pixels", "ok" if v.tensors_equal else "FAIL", "pictures become the same tensors, to the last bit"),
        (
            "answers",
            "ok" if v.max_abs <= v.tolerance else "FAIL",
            f"max |d| {v.max_abs:.3g}, tolerance {v.tolerance:.3g}, {v.ran}",
        ),
    ]
    if v.kernels_db is not None:
        roundings = f" but for roundings: {v.kernels_db:.1f} dB" if math.isfinite(v.kernels_db) else ""
        said = f"the CPU's int8 kernels give exact arithmetic{roundings}"
        overflow = f"the CPU's int8 kernels are {v.kernels_db:.1f} dB from exact arithmetic: they overflow"
        rows.append(("kernels", "ok", said) if v.kernels_exact else ("kernels", "FAIL", overflow))
    document = {f: getattr(v, f) for f in v.__dataclass_fields__} | {"passed": v.passed, "signed": signed}
    document["same_top1"] = document["same"]  # its name until 0.1
    if v.kernels_db is not None and not math.isfinite(v.kernels_db):
        document["kernels_db"] = None  # equal; JSON has no infinity
    talk.result(table(rows), document)
    if not v.passed:
        what = "does not give the same answers" if v.tensors_equal else "does not give the same tensors"
        if not v.kernels_exact:
            hint = "edgekit inspect names the layers; --int8-for any makes a file that is right here"
            raise ParityError(f"{artifact}: int8 additions overflow there", hint=hint)
        floor = opened.manifest.oldest_interpreter
        hint = f"oldest interpreter it is right on: {msgspec.json.encode(floor).decode()}" if floor else ""
        raise ParityError(f"{artifact} {what} in {v.ran}", hint=hint)
    return 0


def _signed(folder: Path, key: str, signature: str | None) -> int:
    from edgekit import signing

    return len(signing.verify(folder, Path(key), Path(signature) if signature else None))


def _packed(folder: Path) -> Path:
    """The artifact in an unpacked bundle, or the folder itself."""
    inside = [path.parent for path in folder.glob("*/manifest.json")]
    return inside[0] if len(inside) == 1 and not (folder / "manifest.json").exists() else folder


def _compare(
    talk: Talk, folders: list[str], data: str | None, where: str, threads: int, interpreter: str | None
) -> int:
    """The matrix of agreement."""
    from edgekit import artifact as room
    from edgekit import parity, registry
    from edgekit.runtimes import Options

    device = registry.device(where)
    opened = [room.load(Path(folder)) for folder in folders]
    for one in opened:
        warn_of_refused(talk, one)
    check_interpreter(interpreter, (a.manifest.target for a in opened))
    warn_of_strangers(talk, opened)
    pixels = pictures_for(talk, opened[0], data)
    pairs = [(a, registry.runtime_for(a.manifest.target).name) for a in opened]
    matches = parity.compare(pairs, pixels, Options(threads, interpreter), device)
    rows = [
        (
            m.first,
            m.second,
            *(f"{measure.value:.1%}" for measure in m.measures),
            f"{m.max_abs:.3g}",
            f"{m.sqnr_db:.1f} dB" if math.isfinite(m.sqnr_db) else "equal",
        )
        for m in matches
    ]
    header = ("file", "against", *(measure.name for measure in matches[0].measures), "max |d|", "SQNR")
    document = [
        {"first": m.first, "second": m.second, "pictures": m.pictures, "max_abs": m.max_abs}
        | {"agreement": m.measures[0].value if m.measures else None}
        | {"measures": {measure.name: measure.value for measure in m.measures}}
        | {"ran": m.ran}
        | {"sqnr_db": m.sqnr_db if math.isfinite(m.sqnr_db) else None}
        for m in matches
    ]
    ran = sorted({name for m in matches for name in m.ran})
    talk.result(f"{table(rows, header=header)}\non {len(pixels)} pictures, in {', '.join(ran)}", document)
    return 0


def warn_of_strangers(talk: Talk, artifacts: Sequence["Artifact"]) -> None:
    """Files that are held against each other should be of one model."""
    first, *others = artifacts
    for other in others:
        if (there := other.manifest.architecture) != (here := first.manifest.architecture):
            talk.warn(f"{first.folder} is {here}, {other.folder} is {there}: these are not files of one model")


def warn_of_refused(talk: Talk, artifact: "Model") -> None:
    """A file that export refused can be looked at, but not without a word."""
    from edgekit.artifact import Artifact
    from edgekit.parity import describe

    if isinstance(artifact, Artifact) and (proof := artifact.manifest.proof) and not proof.passed:
        said = describe(proof)
        talk.warn(f"{artifact.folder} was refused at export, it answers differently from PyTorch: {said}")


def check_interpreter(interpreter: str | None, targets: Iterable[str]) -> None:
    """Raises RequestError for --interpreter where no file is for it."""
    targets = sorted(targets)
    if interpreter and "tflite" not in targets:
        raise RequestError(f"--interpreter runs .tflite files, and this is for {targets[0]}", hint="leave it out")


def pictures_for(talk: Talk, artifact: "Artifact", data: str | None) -> "NDArray[np.uint8]":
    """The pictures of a folder, or else the artifact's golden ones, as its model sees them: uint8 [n, h, w, 3]."""
    import numpy as np
    from PIL import Image

    from edgekit.data import picture_files, read_pictures
    from edgekit.preprocess import fit

    spec = artifact.manifest.preprocess
    if not data:
        return np.stack([fit(Image.fromarray(image), spec) for image in artifact.golden().images])
    read = [pixels for _, pixels in read_pictures(picture_files(Path(data)), spec)]
    fitted = [pixels for pixels in read if not isinstance(pixels, DataError)]
    if len(fitted) < len(read):
        talk.warn(f"{len(read) - len(fitted)} of {len(read)} pictures cannot be read")
    if not fitted:
        raise DataError(f"none of the pictures in {data} can be read", hint="--data another/folder")
    return np.stack(fitted)
