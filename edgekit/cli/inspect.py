"""edgekit inspect: what is inside a file, and where two files of one model part."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.look import pictures_for, warn_of_refused, warn_of_strangers
from edgekit.cli.output import Talk, common, echo, megabytes, table
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.inspection import Inspection
    from edgekit.inspection.divergence import Divergence

BELOW = 8.0  # dB: the layers of int8 files that answer well lie above it, those of files that do not below

HEAVIEST = 10


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="ARTIFACT|FILE...")
@click.option("--layers", is_flag=True, help=f"The {HEAVIEST} layers with the most weights.")
@click.option("--kernels", is_flag=True, help="Open it in its runtime: what that makes of the operators on this CPU.")
@click.option("--compare", is_flag=True, help="Two files of one model, layer by layer: where do they first part?")
@click.option("--below", type=float, metavar="DB", help=f"--compare: where layers part.  [default: {BELOW:g}]")
@click.option("--data", metavar="DIR", help="Pictures for --compare.  [default: the artifact's golden pictures]")
@common
def inspect(
    talk: Talk,
    files: tuple[str, ...],
    layers: bool,
    kernels: bool,
    compare: bool,
    below: float | None,
    data: str | None,
) -> int:
    """What is inside: inputs, outputs, operators by type and precision, sizes, proof. ARTIFACT or a .tflite, .onnx or
    OpenVINO .xml file. Also: what stays float, and which int8 weights can overflow on x86 without VNNI (.onnx, .xml).
    With --compare, two of them, for any targets: how far the answers of each layer lie apart in the real runtimes.

    \b
    Examples:
      edgekit inspect build/mobilenetv2-tflite-int8
      edgekit inspect somebody_elses.onnx --layers --kernels
      edgekit inspect --compare build/mobilenetv2-onnx-fp32 build/mobilenetv2-tflite-int8
    """
    if compare:
        if len(files) != 2:
            raise RequestError(f"--compare takes two files, not {len(files)}", hint="the one to trust first")
        if layers or kernels:
            raise RequestError("--layers and --kernels look into one file", hint="leave them out, or --compare")
        return _compare(talk, *files, BELOW if below is None else below, data)
    if below is not None or data is not None:
        raise RequestError("--below and --data are for --compare", hint="edgekit inspect --compare A B")
    if len(files) > 1:
        raise RequestError(f"one file at a time, not {len(files)}", hint="--compare puts two side by side")
    return _inspect(talk, files[0], layers, kernels)


def _compare(talk: Talk, first: str, second: str, below: float, data: str | None) -> int:
    import msgspec

    from edgekit.artifact import Artifact, open_model
    from edgekit.inspection import divergence

    a, b = open_model(Path(first)), open_model(Path(second))
    artifacts = [x for x in (a, b) if isinstance(x, Artifact)]
    artifact = next(iter(artifacts), None)
    if artifacts:
        warn_of_strangers(talk, artifacts)
    if data and artifact is None:
        raise RequestError("files alone do not say how pictures become what they take", hint="leave --data out")
    found = divergence.compare(a, b, pictures_for(talk, artifact, data) if artifact else None, below=below)
    if talk.json:
        talk.result("", msgspec.to_builtins(found))
        return 0
    rows = [
        (
            "equal" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f} dB",
            layer.first,
            layer.second,
            "largest drop" * (i == found.steepest)
            + ", " * (i == found.steepest == found.first_below)
            + f"first below {below:g} dB" * (i == found.first_below),
        )
        for i, layer in enumerate(found.layers)
    ]
    echo(f"A  {found.first}\nB  {found.second}")
    echo(table(rows, header=("SQNR", "layer of A", "layer of B", "")))
    echo(f"on {found.fed}; each channel up to a factor, which int8 files may have moved to the next layer")
    for name in found.unmatched[: None if talk.verbose else 5]:
        echo(f"no partner: {name}")
    if len(found.unmatched) > 5 and not talk.verbose:
        echo(f"no partner: {len(found.unmatched) - 5} more (-v names them)")
    echo(verdict(found))
    return 0


def verdict(found: "Divergence") -> str:
    """In plain words, where the files part."""

    def said(index: int) -> str:
        layer = found.layers[index]
        return f"{layer.second} ({layer.sqnr_db:g} dB)"

    if found.steepest is None:
        which = "every layer that has a partner" if found.unmatched else "every layer"
        return f"the files do not part: {which} agrees but for roundings"
    drop = f"the largest drop is at {said(found.steepest)}"
    if found.first_below is None:
        return f"no layer falls below {found.below:g} dB; {drop}"
    first = f"the answers first part at {said(found.first_below)}, below {found.below:g} dB"
    return f"{first}, which is also the largest drop" if found.steepest == found.first_below else f"{first}; {drop}"


def _inspect(talk: Talk, name: str, layers: bool, kernels: bool) -> int:
    import msgspec

    from edgekit import inspection, parity
    from edgekit.artifact import Artifact, open_model
    from edgekit.inspection import kernels as room
    from edgekit.readme import answers

    given = open_model(Path(name))
    warn_of_refused(talk, given)
    opened = given if isinstance(given, Artifact) else None
    file = given.model_file
    seen = inspection.inspect(file)
    run = room.kernels(file) if kernels else None
    if talk.json:
        manifest = msgspec.to_builtins(opened.manifest) if opened else None
        talk.result("", {"file": msgspec.to_builtins(seen), "kernels": msgspec.to_builtins(run), "manifest": manifest})
        return 0
    if opened:
        m = opened.manifest
        size = "x".join(map(str, m.preprocess.input_size))
        facts = [
            ("model", f"{m.model} ({m.architecture}), {m.scheme} for {m.target}: {m.scheme_reason}"),
            ("weights", f"{m.weights.source} ({m.weights.why}); knows {m.weights.knows}"),
            ("input", f"{m.input.dtype} {size} {m.input.layout}, {'raw pixels 0..255' if m.folded else 'normalised'}"),
            ("output", f"{m.outputs[0].dtype}, {answers(m)}"),
            ("proof", f"{parity.describe(m.proof)}, in {m.proof.runtime}"),
            ("calibration", f"{m.calibration.pictures} {m.calibration.source}" if m.calibration else "none needed"),
            ("golden", m.golden.words),
            ("oldest", "; ".join(f"{k}: {v}" for k, v in m.oldest_interpreter.items()) or "not known"),
            (
                "made on",
                f"{m.made_on.get('cpu_class', 'an unknown CPU class')}, "
                + ", ".join(f"{k} {v}" for k, v in m.made_with.items()),
            ),
        ]
        echo(table(facts) + "\n")
    echo(f"{file}  {megabytes(seen.bytes)}")
    ports = [("takes", port) for port in seen.inputs] + [("answers", port) for port in seen.outputs]
    if ports and not opened:
        echo(table([(what, port.name, port.dtype, port.size) for what, port in ports], indent="  "))
    rows = [
        (o.name, o.precision, str(o.count), megabytes(o.weight_bytes) if o.weight_bytes else "") for o in seen.operators
    ]
    if rows:
        echo(table(rows, header=("operator", "computes in", "count", "weights"), indent="  "))
    for line in int8_lines(seen):
        echo(line)
    if layers and seen.layers:
        heaviest = sorted(seen.layers, key=lambda layer: -layer.weight_bytes)[:HEAVIEST]
        rows = [(x.name, x.operator, x.precision, megabytes(x.weight_bytes)) for x in heaviest]
        echo(table(rows, header=("layer", "operator", "computes in", "weights"), indent="  "))
    if run:
        echo(
            f"in {run.runtime}: "
            + ", ".join(f"{k.name} {k.precision} {k.count}".replace("  ", " ") for k in run.kernels)
        )
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
        lines.append("share of the multiply-adds in int8: not known, the file does not tell all sizes")
    if seen.overflow == ():
        lines.append("int8 additions cannot overflow: safe on every CPU")
    if seen.overflow:
        lines.append(
            f"can overflow on CPUs with AVX2 and without VNNI, where answers are wrong then: {len(seen.overflow)} layers"
        )
        lines += [
            f"  {o.channels} of {o.of} channels of {o.layer} (worst pair sum {o.worst}, limit 128)"
            for o in seen.overflow
        ]
    return lines
