"""edgekit predict, inspect, verify: look at an artifact without torch."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import Talk, common, megabytes, table
from edgekit.errors import DataError, RequestError

if TYPE_CHECKING:
    from edgekit.inspection import Inspection


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


@click.command()
@click.argument("artifact")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-k", "--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to show.")
@runtime_options
@common
def predict(talk: Talk, artifact: str, images: tuple[str, ...], top: int, threads: int, interpreter: str | None) -> int:
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

    opened = room.load(Path(artifact))
    manifest = opened.manifest
    runtime = registry.runtime_for(manifest.target)
    documents: list[dict[str, Any]] = []
    skipped: list[DataError] = []
    for path, found in answer(opened, runtime, Options(threads, interpreter), [Path(i) for i in images], top):
        if isinstance(found, DataError):
            skipped.append(found)
            if len(images) > 1:
                talk.warn(f"skipped {found.message}")
            continue
        documents.append(
            {
                "image": str(path),
                "classes": [{"label": c.label, "index": c.index, "probability": c.probability} for c in found],
            }
        )
        rows = [(f"{c.probability:6.1%}", c.label) for c in found]
        if not talk.json:
            talk.result(f"{path}\n{table(rows, indent='  ')}", None)
    if skipped and not documents:
        message = skipped[0].message if len(images) == 1 else f"none of the {len(images)} pictures can be read"
        raise DataError(message, hint="give a picture file: .jpg, .png, .webp, ...")
    knows = f"this model knows {manifest.weights.knows}; whatever else it sees, it names one of them"
    if talk.json:
        talk.result("", {"knows": manifest.weights.knows, "predictions": documents})
    elif not talk.quiet:
        click.echo(knows)
    return 0


@click.command()
@click.argument("artifact")
@click.option("--against", multiple=True, metavar="ARTIFACT", help="Another file of the same model; repeatable.")
@click.option("--data", metavar="DIR", help="Pictures for --against.  [default: the artifact's golden pictures]")
@runtime_options
@common
def verify(
    talk: Talk, artifact: str, against: tuple[str, ...], data: str | None, threads: int, interpreter: str | None
) -> int:
    """Prove a copy of an artifact on this machine: checksums, preprocessing to the last bit, answers. Needs no torch.
    With --against: how far the answers of several files of one model, for any targets, lie apart.

    \b
    Examples:
      edgekit verify build/mobilenetv2-tflite-int8
      edgekit verify build/mobilenetv2-tflite-int8 --interpreter tflite-runtime
      edgekit verify build/mobilenetv2-tflite-int8 --against build/mobilenetv2-onnx-int8 --data photos/
    """
    if data and not against:
        raise RequestError("--data is for --against", hint="--against ARTIFACT")
    if against:
        return _compare(talk, [artifact, *against], data, threads, interpreter)
    import msgspec

    from edgekit import artifact as room
    from edgekit import parity, registry
    from edgekit.errors import ParityError
    from edgekit.runtimes import Options

    opened = room.load(Path(artifact))
    v = parity.verify(opened, registry.runtime_for(opened.manifest.target), Options(threads, interpreter))
    rows = [
        ("files", "ok", f"{len(opened.manifest.files)} files have the checksums of the manifest"),
        ("pixels", "ok" if v.tensors_equal else "FAIL", "pictures become the same tensors, to the last bit"),
        (
            "answers",
            "ok" if v.max_abs <= v.tolerance else "FAIL",
            f"max |d| {v.max_abs:.3g}, tolerance {v.tolerance:.3g}, {v.runtime}",
        ),
    ]
    if v.kernels_db is not None:
        roundings = f" but for roundings: {v.kernels_db:.1f} dB" if math.isfinite(v.kernels_db) else ""
        said = f"this CPU's int8 kernels give exact arithmetic{roundings}"
        overflow = f"this CPU's int8 kernels are {v.kernels_db:.1f} dB from exact arithmetic: they overflow"
        rows.append(("kernels", "ok", said) if v.kernels_exact else ("kernels", "FAIL", overflow))
    document = {f: getattr(v, f) for f in v.__dataclass_fields__} | {"passed": v.passed}
    if v.kernels_db is not None and not math.isfinite(v.kernels_db):
        document["kernels_db"] = None  # equal; JSON has no infinity
    talk.result(table(rows), document)
    if not v.passed:
        what = "does not give the same answers" if v.tensors_equal else "does not give the same tensors"
        if not v.kernels_exact:
            hint = "edgekit inspect names the layers; --int8-for any makes a file that is right here"
            raise ParityError(f"{artifact}: int8 additions overflow on this CPU", hint=hint)
        floor = opened.manifest.oldest_interpreter
        hint = f"oldest interpreter it is right on: {msgspec.json.encode(floor).decode()}" if floor else ""
        raise ParityError(f"{artifact} {what} here", hint=hint)
    return 0


def _compare(talk: Talk, folders: list[str], data: str | None, threads: int, interpreter: str | None) -> int:
    """The matrix of agreement."""
    import numpy as np
    from PIL import Image

    from edgekit import artifact as room
    from edgekit import parity, registry
    from edgekit.data import picture_files, read_pictures
    from edgekit.preprocess import fit
    from edgekit.runtimes import Options

    opened = [room.load(Path(folder)) for folder in folders]
    spec = opened[0].manifest.preprocess
    if data:
        read = [pixels for _, pixels in read_pictures(picture_files(Path(data)), spec)]
        fitted = [pixels for pixels in read if not isinstance(pixels, DataError)]
        if len(fitted) < len(read):
            talk.warn(f"{len(read) - len(fitted)} of {len(read)} pictures cannot be read")
        if not fitted:
            raise DataError(f"none of the pictures in {data} can be read", hint="--data another/folder")
    else:
        fitted = [fit(Image.fromarray(image), spec) for image in opened[0].golden().images]
    pairs = [(a, registry.runtime_for(a.manifest.target)) for a in opened]
    matches = parity.compare(pairs, np.stack(fitted), Options(threads, interpreter))
    rows = [
        (
            m.first,
            m.second,
            f"{m.agreement:.1%}",
            f"{m.max_abs:.3g}",
            f"{m.sqnr_db:.1f} dB" if math.isfinite(m.sqnr_db) else "equal",
        )
        for m in matches
    ]
    header = ("file", "against", "same top-1", "max |d|", "SQNR")
    document = [
        {"first": m.first, "second": m.second, "pictures": m.pictures, "agreement": m.agreement, "max_abs": m.max_abs}
        | {"sqnr_db": m.sqnr_db if math.isfinite(m.sqnr_db) else None}
        for m in matches
    ]
    talk.result(f"{table(rows, header=header)}\non {len(fitted)} pictures", document)
    return 0


@click.command()
@click.argument("artifact")
@common
def inspect(talk: Talk, artifact: str) -> int:
    """What is inside: inputs, outputs, operators by type and precision, sizes, proof. ARTIFACT or a .tflite, .onnx or
    OpenVINO .xml file. Of the last two also: what stays float, and which int8 weights can overflow on x86 without VNNI.

    \b
    Examples:
      edgekit inspect build/mobilenetv2-tflite-int8
      edgekit inspect somebody_elses.tflite --json
      edgekit inspect somebody_elses.onnx -v
    """
    import msgspec

    from edgekit import artifact as room
    from edgekit import inspection, parity

    path = Path(artifact)
    opened = None if path.is_file() else room.load(path)
    file = path if opened is None else opened.model_file
    seen = inspection.inspect(file)
    if talk.json:
        manifest = msgspec.to_builtins(opened.manifest) if opened else None
        talk.result("", {"file": msgspec.to_builtins(seen), "manifest": manifest})
        return 0
    if opened:
        m = opened.manifest
        size = "x".join(map(str, m.preprocess.input_size))
        facts = [
            ("model", f"{m.model} ({m.architecture}), {m.scheme} for {m.target}: {m.scheme_reason}"),
            ("weights", f"{m.weights.source} ({m.weights.why}); knows {m.weights.knows}"),
            ("input", f"{m.input.dtype} {size} {m.input.layout}, {'raw pixels 0..255' if m.folded else 'normalised'}"),
            ("output", f"{m.output.dtype} {m.classes} {m.scores}"),
            ("proof", f"{parity.describe(m.proof)}, in {m.proof.runtime}" if m.proof else "none"),
            ("calibration", f"{m.calibration.pictures} {m.calibration.source}" if m.calibration else "none needed"),
            ("oldest", "; ".join(f"{k}: {v}" for k, v in m.oldest_interpreter.items()) or "not known"),
            (
                "made on",
                f"{m.made_on.get('cpu_class', 'an unknown CPU class')}, "
                + ", ".join(f"{k} {v}" for k, v in m.made_with.items()),
            ),
        ]
        click.echo(table(facts) + "\n")
    click.echo(f"{file}  {megabytes(seen.bytes)}")
    rows = [
        (o.name, o.precision, str(o.count), megabytes(o.weight_bytes) if o.weight_bytes else "") for o in seen.operators
    ]
    if rows:
        click.echo(table(rows, header=("operator", "computes in", "count", "weights"), indent="  "))
    for line in int8_lines(seen):
        click.echo(line)
    for name in seen.stays_float:
        talk.detail(f"stays float: {name}")
    return 0


def int8_lines(seen: "Inspection") -> list[str]:
    """How much of the work is done in int8, and whether its additions fit everywhere."""
    lines = []
    if seen.int8_macs:
        rest = f"; layers in float: {len(seen.stays_float)} (-v names them)" if seen.stays_float else ""
        lines.append(f"{seen.int8_macs:.1%} of the multiply-adds in int8{rest}")
    elif seen.overflow is not None and seen.int8_macs is None:
        lines.append("share of the multiply-adds in int8: not known, the file leaves sizes open")
    if seen.overflow == ():
        lines.append("int8 additions cannot overflow: safe on every CPU")
    lines += [
        f"can overflow on CPUs with AVX2 and without VNNI: {o.channels} of {o.of} channels of {o.layer}"
        f" (worst pair sum {o.worst}, limit 128)"
        for o in seen.overflow or ()
    ]
    return lines
