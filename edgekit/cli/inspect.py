"""edgekit inspect: what is inside a file, and where two files of one model diverge."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.artifacts import pictures_for, warn_of_refused, warn_of_strangers
from edgekit.cli.output import Talk, common, echo, megabytes, table
from edgekit.errors import RequestError, many

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.inspection import Inspection
    from edgekit.inspection.delegates import Delegate, Delegation
    from edgekit.inspection.divergence import Divergence
    from edgekit.inspection.kernels import Kernels

BELOW = 8.0  # dB: the layers of int8 files that answer well lie above it, those of files that do not below
HEAVIEST = 10
LISTED = 30  # layers of a comparison that are shown without -v
INTEGERS = ("int8", "int8-static", "int8-dynamic", "int8-weight-only")
UNMATCHED = 5  # layers without a partner that are named without -v


@click.command(short_help="Operators, precision and size of a file.")
@click.argument("files", nargs=-1, required=True, metavar="ARTIFACT|FILE|MODEL...")
@click.option("--layers", is_flag=True, help=f"The {HEAVIEST} layers with the most weights.")
@click.option("--kernels", is_flag=True, help="Open it in its runtime: which kernels it runs on this CPU.")
@click.option(
    "--delegate",
    type=click.Choice(["gpu", "xnnpack"]),
    help="Operators of a .tflite that this delegate would leave to the CPU.",
)
@click.option("--compare", is_flag=True, help="Two files of one model, layer by layer: where do they diverge?")
@click.option(
    "--below", type=float, metavar="DB", help=f"--compare: layers with a lower SQNR diverge.  [default: {BELOW:g}]"
)
@click.option(
    "--data",
    metavar="DIR",
    help="Images for --compare and --sensitivity.  [default: the golden ones; those that export takes]",
)
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Which layers of a model or a run int8 costs most, against what it saves: which should stay in float.",
)
@click.option("--target", metavar="NAME", help="--sensitivity: tflite, onnx or openvino.  [default: tflite]")
@click.option("--scheme", type=click.Choice(INTEGERS), help="--sensitivity: which int8.  [default: the best known]")
@click.option(
    "--draw", metavar="FILE.svg", help="--sensitivity: draw what int8 costs in each layer, and what it saves."
)
@click.option("--weights", metavar="W", help="--sensitivity: as edgekit export takes them.  [default: auto]")
@common
def inspect(
    talk: Talk,
    files: tuple[str, ...],
    layers: bool,
    kernels: bool,
    delegate: "Delegate | None",
    compare: bool,
    below: float | None,
    data: str | None,
    sensitivity: bool,
    **model: str | None,
) -> int:
    """What is inside an artifact, or a .tflite, .onnx or .xml file: inputs, outputs, operators, precision, sizes, proof.

    Also what stays float, and which int8 weights can overflow on x86 without VNNI (.onnx, .xml). --compare takes two
    files of one model, for any targets, and says how far the answers of each layer diverge in the real runtimes. --sensitivity
    takes a model or a run, and says what int8 would cost in each layer, before there is a file.

    \b
    Examples:
      edgekit inspect build/mobilenetv2-tflite-int8
      edgekit inspect somebody_elses.onnx --layers --kernels
      edgekit inspect build/mobilenetv2-tflite-int8 --delegate gpu
      edgekit inspect --compare build/a-onnx-fp32 build/a-tflite-int8
      edgekit inspect --sensitivity runs/mine --target openvino --data photos/
    """
    if sensitivity:
        if len(files) != 1:
            raise RequestError(
                f"--sensitivity takes one model, not {len(files)}", hint="edgekit inspect --sensitivity runs/mine"
            )
        if layers or kernels or delegate or compare or below is not None:
            raise RequestError("--sensitivity is about a model, the other flags about files", hint="leave them out")
        return _sensitivity(talk, files[0], data, **model)
    if said := [f"--{name}" for name, value in model.items() if value is not None]:
        raise RequestError(
            f"{' and '.join(said)} of a model: for --sensitivity", hint="edgekit inspect --sensitivity MODEL"
        )
    if compare:
        if len(files) != 2:
            raise RequestError(f"--compare takes two files, not {len(files)}", hint="the one to trust first")
        if layers or kernels or delegate:
            raise RequestError("--layers, --kernels and --delegate look into one file", hint="leave --compare out")
        return _compare(talk, *files, BELOW if below is None else below, data)
    if below is not None:
        raise RequestError("--below is for --compare", hint="edgekit inspect --compare A B")
    if data is not None:
        raise RequestError("--data is for --compare and --sensitivity", hint="edgekit inspect --compare A B")
    if len(files) > 1:
        raise RequestError(f"one file at a time, not {len(files)}", hint="--compare puts two side by side")
    return _inspect(talk, files[0], layers, kernels, delegate)


def _sensitivity(
    talk: Talk,
    model: str,
    data: str | None,
    target: str | None,
    scheme: str | None,
    weights: str | None,
    draw: str | None,
) -> int:
    from edgekit.cli.sensitivity import show

    folder = Path(model)
    if (folder / "manifest.json").is_file() or (folder.is_file() and folder.suffix != ".toml"):
        raise RequestError(
            f"{model} is a file already, and --sensitivity is about the model that files are made of",
            hint="its name, a run, or a recipe; --compare tells files apart",
        )
    return show(talk, model, target, scheme or "int8", {"calibration": data, "weights": weights}, draw)


def _compare(talk: Talk, first: str, second: str, below: float, data: str | None) -> int:
    import msgspec

    from edgekit.artifact import Artifact, open_model
    from edgekit.inspection import divergence, words

    a, b = open_model(Path(first)), open_model(Path(second))
    artifacts = [x for x in (a, b) if isinstance(x, Artifact)]
    artifact = next(iter(artifacts), None)
    if artifacts:
        warn_of_strangers(talk, artifacts)
    if data and artifact is None:
        raise RequestError("files alone do not say how images become what they take", hint="leave --data out")
    found = divergence.compare(a, b, pictures_for(talk, artifact, data) if artifact else None, below=below)
    if talk.json:
        talk.result("", msgspec.to_builtins(found))
        return 0
    echo(f"A  {found.first}\nB  {found.second}")
    rows, shown = _layers(found), _telling(found, len(found.layers) if talk.verbose else LISTED)
    echo(table([rows[i] for i in shown], header=("SQNR", "layer of A", "layer of B", "")))
    if len(shown) < len(rows):
        echo(f"of {len(rows)} layers those that diverge most, and the answers; -v lists all")
    echo(f"on {found.fed}; each channel up to a factor, which int8 files may have moved to the next layer")
    for name in found.unmatched[: None if talk.verbose else UNMATCHED]:
        echo(f"no partner: {name}")
    if len(found.unmatched) > UNMATCHED and not talk.verbose:
        echo(f"no partner: {len(found.unmatched) - UNMATCHED} more (-v names them)")
    echo(words.verdict(found))
    return 0


def _telling(found: "Divergence", count: int) -> list[int]:
    """The `count` layers that are farthest apart, where the files diverge, and their answers, in the order of the network."""
    by_distance = sorted(range(len(found.layers)), key=lambda i: _sqnr(found, i))
    answers = range(len(found.layers) - found.answers, len(found.layers))
    marked = [i for i in (found.steepest, found.first_below) if i is not None]
    return sorted({*by_distance[:count], *marked, *answers})


def _sqnr(found: "Divergence", layer: int) -> float:
    db = found.layers[layer].sqnr_db
    return math.inf if db is None else db


def _layers(found: "Divergence") -> list[tuple[str, str, str, str]]:
    marks = {found.steepest: ["largest drop"]}
    marks.setdefault(found.first_below, []).append(f"first below {found.below:g} dB")
    return [
        (
            "equal" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f} dB",
            layer.first,
            layer.second,
            ", ".join(marks.get(i, [])),
        )
        for i, layer in enumerate(found.layers)
    ]


def _inspect(talk: Talk, name: str, layers: bool, kernels: bool, delegate: "Delegate | None") -> int:
    from edgekit import inspection
    from edgekit.artifact import Artifact, open_model
    from edgekit.inspection.delegates import delegation
    from edgekit.inspection.kernels import kernels as run_by
    from edgekit.inspection.words import int8_lines

    given = open_model(Path(name))
    warn_of_refused(talk, given)
    opened = given if isinstance(given, Artifact) else None
    seen = inspection.inspect(given.model_file)
    run = run_by(given.model_file) if kernels else None
    taken = delegation(given.model_file, delegate) if delegate else None
    if talk.json:
        talk.result("", _document(opened, seen, run, taken))
        return 0
    if opened:
        echo(table(_facts(opened)) + "\n")
    echo(f"{given.model_file}  {megabytes(seen.bytes)}")
    ports = [("takes", port) for port in seen.inputs] + [("answers", port) for port in seen.outputs]
    if ports and not opened:
        echo(table([(what, port.name, port.dtype, port.size) for what, port in ports], indent="  "))
    if seen.operators:
        echo(table(_operators(seen), header=("operator", "computes in", "count", "weights"), indent="  "))
    for line in int8_lines(seen):
        echo(line)
    if layers and seen.layers:
        echo(table(_heaviest(seen), header=("layer", "operator", "computes in", "weights"), indent="  "))
    if run:
        named = (f"{k.name} {k.precision} {k.count}".replace("  ", " ") for k in run.kernels)
        echo(f"in {run.runtime}: {', '.join(named)}")
    if taken:
        echo(f"{taken.delegate} leaves {taken.stay} of {taken.operators} operators to the CPU's own kernels, says")
        echo(f"  {taken.source}")
        if taken.left:
            echo(table([(x.operator, str(x.count), x.why) for x in taken.left], indent="  "))
    for name in seen.stays_float:
        talk.detail(f"stays float: {name}")
    return 0


def _document(
    artifact: "Artifact | None", seen: "Inspection", run: "Kernels | None", taken: "Delegation | None"
) -> dict[str, Any]:
    import msgspec

    manifest = artifact.manifest if artifact else None
    return {
        name: msgspec.to_builtins(part)
        for name, part in (("file", seen), ("kernels", run), ("delegate", taken), ("manifest", manifest))
    }


def _facts(artifact: "Artifact") -> list[tuple[str, str]]:
    """What the manifest says."""
    from edgekit import parity
    from edgekit.readme import answers

    m = artifact.manifest
    size = "x".join(map(str, m.preprocess.input_size))
    pixels = "pixels as 0..1" if m.input.scale == 255 else "raw pixels 0..255"
    where = m.made_on.get("cpu_class", "an unknown CPU class")
    known = m.title if m.architecture in m.title else f"{m.model} ({m.architecture})"
    return [
        ("model", f"{known}, {m.scheme} for {m.target}: {m.scheme_reason}"),
        ("weights", f"{m.weights.source} ({m.weights.why}); knows {m.weights.knows}"),
        ("input", f"{m.input.dtype} {size} {m.input.layout}, {pixels if m.folded else 'normalised'}"),
        ("output", f"{m.outputs[0].dtype}, {answers(m)}{f', laid out for {m.layout.name}' if m.layout else ''}"),
        ("proof", f"{parity.describe(m.proof, m.preprocess.units)}, in {m.proof.runtime}"),
        (
            "calibration",
            f"{many(m.calibration.pictures, 'images')}: {m.calibration.source}" if m.calibration else "none needed",
        ),
        ("golden", m.golden.words),
        ("oldest", "; ".join(f"{k}: {v}" for k, v in m.oldest_interpreter.items()) or "not known"),
        ("made on", ", ".join([where, *(f"{k} {v}" for k, v in m.made_with.items())])),
    ]


def _operators(seen: "Inspection") -> list[tuple[str, ...]]:
    return [
        (o.name, o.precision, str(o.count), megabytes(o.weight_bytes) if o.weight_bytes else "") for o in seen.operators
    ]


def _heaviest(seen: "Inspection") -> list[tuple[str, ...]]:
    heaviest = sorted(seen.layers, key=lambda layer: -layer.weight_bytes)[:HEAVIEST]
    return [(x.name, x.operator, x.precision, megabytes(x.weight_bytes)) for x in heaviest]
