"""edgekit verify"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.artifacts import check_interpreter, load, pictures_for, warn_of_strangers
from edgekit.cli.options import on_option, runtime_options, timeout_option
from edgekit.cli.output import Talk, common, table
from edgekit.errors import ParityError, RequestError, many

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.parity import Match, Verification


@click.command(short_help="Prove a copy of an artifact where it runs.")
@click.argument("artifact")
@click.option("--against", multiple=True, metavar="ARTIFACT", help="Another file of the same model; may be repeated.")
@click.option("--data", metavar="DIR", help="Images for --against.  [default: the artifact's golden images]")
@click.option("--key", metavar="FILE", help="Check first that the owner of this public key (PEM) signed the folder.")
@click.option(
    "--chain",
    multiple=True,
    metavar="FILE",
    help="The same for a certificate: those of its authorities (PEM); may be repeated.",
)
@click.option("--identity", metavar="NAME", help="The same for an account that signed by Sigstore: name@example.com.")
@click.option("--issuer", metavar="URL", help="Who vouches for the account, such as https://accounts.example.com.")
@click.option("--signature", metavar="FILE", help="Where the signature is.  [default: model.sig in the folder]")
@on_option
@timeout_option(600)
@runtime_options
@common
def verify(
    talk: Talk,
    artifact: str,
    against: tuple[str, ...],
    data: str | None,
    key: str | None,
    chain: tuple[str, ...],
    identity: str | None,
    issuer: str | None,
    signature: str | None,
    device: str,
    timeout: float,
    threads: int,
    interpreter: str | None,
) -> int:
    """Prove a copy of an artifact where it runs: checksums, preprocessing to the last bit, answers. Needs no torch.
    With --against: how far the answers of several files of one model diverge, for any targets.

    \b
    Examples:
      edgekit verify build/mobilenetv2-tflite-int8
      edgekit verify build/mobilenetv2-tflite-int8 --interpreter tflite-runtime
      edgekit verify build/mobilenetv2-tflite-int8 --on arm64:cortex-a76
      edgekit verify build/mobilenetv2-tflite-int8 --key public.pem
      edgekit verify build/a-onnx-int8 --against build/a-onnx-fp32 --data photos/
    """
    if data and not against:
        raise RequestError("--data is for --against", hint="--against ARTIFACT")
    from edgekit import signing

    written = Path(signature) if signature else None
    signer = signing.trust(Path(key) if key else None, tuple(map(Path, chain)), identity, issuer, written)
    if signer and against:
        raise RequestError("a signature is of one folder", hint="leave --against out")
    if against:
        return _compare(talk, [artifact, *against], data, device, timeout, threads, interpreter)
    from edgekit import artifact as artifacts
    from edgekit import parity, registry
    from edgekit.bundle import unpacked
    from edgekit.runtimes import Options

    place = registry.device(device)
    folder = Path(artifact)
    signed = signing.verify(folder, signer, written) if signer else None
    opened = artifacts.load(unpacked(folder) if signer else folder)
    check_interpreter(interpreter, [opened.target])
    runtime = registry.runtime_for(opened.target).name
    v = parity.verify(opened, runtime, Options(threads, interpreter), place, timeout)
    rows = [("signature", "ok", f"{len(signed)} files are those that {signer} signed")] if signed else []
    talk.result(table(rows + _rows(opened, v)), _document(v) | {"signed": len(signed) if signed else None})
    if not v.passed:
        raise _refusal(artifact, opened, v)
    return 0


def _rows(artifact: "Artifact", v: "Verification") -> list[tuple[str, str, str]]:
    def row(what: str, good: bool, said: str) -> tuple[str, str, str]:
        return what, "ok" if good else "FAIL", said

    answers = f"max |d| {v.max_abs:.3g}, tolerance {v.tolerance:.3g}, {v.ran}"
    rows = [
        row("files", True, f"{len(artifact.manifest.files)} files have the checksums of the manifest"),
        row("preprocessing", v.tensors_equal, "the same tensors to the bit"),
        row("outputs", v.max_abs <= v.tolerance, answers),
    ]
    if v.kernels_db is not None:
        roundings = f" but for roundings: {v.kernels_db:.1f} dB" if math.isfinite(v.kernels_db) else ""
        exact = f"the CPU's int8 kernels give exact arithmetic{roundings}"
        overflow = f"the CPU's int8 kernels are {v.kernels_db:.1f} dB from exact arithmetic: they overflow"
        rows.append(row("kernels", v.kernels_exact, exact if v.kernels_exact else overflow))
    return rows


def _document(v: "Verification") -> dict[str, Any]:
    document = {f: getattr(v, f) for f in v.__dataclass_fields__} | {"passed": v.passed}
    document["same_top1"] = v.same  # its name until 0.1
    if v.kernels_db is not None and not math.isfinite(v.kernels_db):
        document["kernels_db"] = None  # equal; JSON has no infinity
    return document


def _refusal(folder: str, artifact: "Artifact", v: "Verification") -> ParityError:
    if not v.kernels_exact:
        hint = "edgekit inspect names the layers; --int8-for any makes a file that is right here"
        return ParityError(f"{folder}: int8 additions overflow there", hint=hint)
    what = "does not give the same answers" if v.tensors_equal else "does not give the same tensors"
    floor = artifact.manifest.oldest_interpreter
    hint = f"oldest interpreter it is right on: {json.dumps(floor, separators=(',', ':'))}" if floor else ""
    return ParityError(f"{folder} {what} in {v.ran}", hint=hint)


def _compare(
    talk: Talk, folders: list[str], data: str | None, where: str, timeout: float, threads: int, interpreter: str | None
) -> int:
    """The matrix of agreement."""
    from edgekit import parity, registry
    from edgekit.runtimes import Options

    device = registry.device(where)
    opened = [load(talk, folder) for folder in folders]
    check_interpreter(interpreter, (a.target for a in opened))
    warn_of_strangers(talk, opened)
    pixels = pictures_for(talk, opened[0], data)
    pairs = [(a, registry.runtime_for(a.target).name) for a in opened]
    matches = parity.compare(pairs, pixels, Options(threads, interpreter), device, timeout)
    rows = [
        (m.first, m.second, *(f"{measure.value:.1%}" for measure in m.measures), f"{m.max_abs:.3g}", _sqnr(m))
        for m in matches
    ]
    named = (measure.name for measure in matches[0].measures)
    shown = table(rows, header=("file", "against", *named, "max |d|", "SQNR"))
    ran = sorted({name for m in matches for name in m.ran})
    talk.result(f"{shown}\non {many(len(pixels), 'images')}, in {', '.join(ran)}", [_match(m) for m in matches])
    return 0


def _sqnr(match: "Match") -> str:
    return f"{match.sqnr_db:.1f} dB" if math.isfinite(match.sqnr_db) else "equal"


def _match(match: "Match") -> dict[str, Any]:
    return {field: getattr(match, field) for field in match.__dataclass_fields__} | {
        "agreement": match.measures[0].value if match.measures else None,
        "measures": {measure.name: measure.value for measure in match.measures},
        "sqnr_db": match.sqnr_db if math.isfinite(match.sqnr_db) else None,
    }
