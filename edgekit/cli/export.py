"""edgekit export"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import Talk, common, megabytes, table
from edgekit.errors import EdgekitError, RecipeError

if TYPE_CHECKING:
    from edgekit.recipe import Recipe
    from edgekit.schemes import Advice

SCHEMES = ("fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only")


class Size(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """`224` or `224x192` (height x width)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        parts = str(value).lower().split("x")
        if len(parts) not in (1, 2) or not all(p.isdigit() for p in parts):
            self.fail(f"'{value}' is not a size such as 224 or 224x192", param, ctx)
        return int(parts[0]), int(parts[-1])


class Triple(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """`0.5` or `0.485,0.456,0.406`."""

    name = "rgb"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            numbers = tuple(float(p) for p in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 3):
            self.fail(f"'{value}' is not one number or three with commas between them", param, ctx)
        return numbers * 3 if len(numbers) == 1 else numbers


def preprocessing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what the model wants to see, in place of what it says itself."""
    for option in (
        click.option("--std", type=Triple(), metavar="R,G,B", help="Standard deviation on the 0..1 scale."),
        click.option("--mean", type=Triple(), metavar="R,G,B", help="Mean on the 0..1 scale."),
        click.option("--crop-pct", type=float, metavar="S", help="Share of an image's side to look at; 1: all."),
        click.option("--input-size", type=Size(), metavar="N|HxW", help="Pixels the model takes."),
    ):
        command = option(command)
    return command


@click.command(short_help="Turn a model into a file, and prove it.")
@click.argument("model")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="tflite, onnx, openvino or torch; several with commas; all: every one but torch.  [default: tflite]",
)
@click.option("--int8", is_flag=True, help="The best int8 scheme known for this model and target.")
@click.option("--fp16", is_flag=True, help="Half-precision weights.")
@click.option("--scheme", metavar="S", help=f"One of {', '.join(SCHEMES)}; int8 is --int8.")
@click.option(
    "--keep-float",
    multiple=True,
    metavar="PATTERN",
    help="Layers that stay in float: a regular expression on module paths, such as head; may be repeated.",
)
@click.option(
    "--weights", metavar="W", help="auto, imagenet, package, bundled, random, a file or a run.  [default: auto]"
)
@click.option("--calibration", metavar="DIR", help="A folder of images, for int8 and the proof.  [default: built in]")
@click.option(
    "--golden",
    type=click.Choice(["public", "own"]),
    help="Images that go with the file, to verify copies; own: four of yours.  [default: public]",
)
@click.option("--samples", type=int, metavar="N", help="How many images calibrate.  [default: 128]")
@click.option(
    "--input", "input", type=click.Choice(["auto", "uint8", "int8", "float32"]), help="The file's input type."
)
@click.option(
    "--fold/--no-fold",
    default=None,
    help="The file takes pixels and normalises them, or takes normalised floats.  [default: fold; no-fold for onnx]",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "classification", "embedding", "segmentation", "detection", "raw"]),
    help="What the answers mean.  [default: auto, from the network and its answers]",
)
@click.option(
    "--layout",
    type=click.Choice(["mediapipe", "model-api", "ultralytics"]),
    help="Detectors: outputs as this tool reads them.",
)
@click.option("--tokens", flag_value=True, default=None, type=bool, help="Embeddings: answer the patches' vectors too.")
@click.option("--l2", flag_value=True, default=None, type=bool, help="Embeddings: vectors of length 1.")
@click.option("--softmax", flag_value=True, default=None, type=bool, help="Answer probabilities instead of logits.")
@click.option(
    "--scores",
    type=click.Choice(["auto", "logits", "probabilities", "log-probabilities"]),
    help="What the network's scores are.  [default: auto, from its operators and its answers]",
)
@click.option(
    "--multi-label",
    flag_value=True,
    default=None,
    type=bool,
    help="An image can have several labels, or none; also for one score.",
)
@click.option(
    "--threshold",
    type=float,
    metavar="P",
    help="--multi-label: a label holds from this probability on.  [default: 0.5]",
)
@click.option(
    "--dynamic-batch", flag_value=True, default=None, type=bool, help="onnx, openvino: any number of images at once."
)
@click.option(
    "--ort", flag_value=True, default=None, type=bool, help="onnx: model.ort, for ONNX Runtime's builds for phones."
)
@click.option("--opset", type=int, metavar="N", help="onnx: version of the operator set.  [default: 20]")
@click.option(
    "--int8-for",
    type=click.Choice(["any", "vnni"]),
    help="onnx, openvino: CPUs on which int8 answers rightly; vnni: finer weights, but only x86 with VNNI, and ARM.  [default: any]",
)
@preprocessing
@click.option(
    "--crop-mode",
    type=click.Choice(["center", "squash", "letterbox"]),
    help="Crop the middle, or show the whole image: squashed, or with bars.",
)
@click.option("--channels", type=click.Choice(["1", "3"]), help="1: the model takes grey images.  [default: 3]")
@click.option("--frames", type=int, metavar="N", help="The model takes clips of so many frames, [n, 3, t, h, w].")
@click.option("--frame-rate", type=float, metavar="R", help="How many of a clip's frames are a second.")
@click.option(
    "--channel-order",
    type=click.Choice(["rgb", "bgr"]),
    help="YOLOX with --weights FILE: what these were trained on.  [default: bgr, as the published ones]",
)
@click.option("--labels", metavar="FILE", help="Names of the classes: lines, JSON or YAML.")
@click.option("--seed", type=int, metavar="N", help="Seed of random weights and of the choice of images.  [default: 0]")
@click.option("--recipe", "recipe_file", metavar="FILE", help="Start from a recipe file; flags override it.")
@click.option("-o", "--output", metavar="DIR", help="Where the artifact goes.  [default: build/MODEL-TARGET-SCHEME]")
@click.option(
    "--strict",
    is_flag=True,
    help="Exit code 1 where the scheme is known to gain nothing, a limit is missed, or no proof could judge the file.",
)
@click.option(
    "--for-cpu",
    type=click.Choice(["arm-dotprod", "arm", "x86-vnni", "x86"]),
    help="CPU class: what int8 is known to gain there is said.  [default: this machine's]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--print-recipe", is_flag=True, help="Print the recipe file that the flags equal, and stop.")
@common
def export(
    talk: Talk,
    model: str,
    targets: tuple[str, ...],
    int8: bool,
    fp16: bool,
    scheme: str | None,
    recipe_file: str | None,
    output: str | None,
    strict: bool,
    for_cpu: str | None,
    dry_run: bool,
    print_recipe: bool,
    **flags: Any,
) -> int:
    """Turn MODEL into a file for a device, and prove that the file answers like it.

    MODEL is a name from `edgekit list models`, timm:NAME, smp:NET/ENCODER, py:module:function, py:file.py:function,
    a folder of `edgekit train`, or a recipe: a file (.toml), or a name from `edgekit list recipes`.

    \b
    Examples:
      edgekit export mobilenetv2 --int8 --target tflite
      edgekit export efficientnet_lite0 --int8 --calibration my_photos/
      edgekit export mobilenetv2 --int8 --target all
      edgekit export timm:resnet18 --fp16 --dry-run
      edgekit export timm:vit_small_patch14_dinov2 --int8
      edgekit export py:nets:unet --task segmentation --labels roads.txt --int8
      edgekit export py:shop.nets:build --weights best.pth --labels names.txt
      edgekit export mobilenetv2-tflite-int8
    """
    from edgekit import registry
    from edgekit.recipe import one_scheme

    scheme = one_scheme(int8, fp16, scheme)
    names = registry.targets_named(targets) or (None,)
    recipes = [recipe_of(model, target, scheme, recipe_file, flags) for target in names]
    if output is not None and len(recipes) > 1:
        raise RecipeError("one -o for several targets", hint="export one target at a time, or leave -o out")
    if output is not None and not (output and Path(output).absolute().name):
        raise RecipeError(f"-o '{output}' names no folder", hint="-o some/folder, or leave it out")
    if print_recipe:
        _print_recipes(talk, recipes)
        return 0
    out = Path(output) if output else None
    from edgekit.verbs.exporting import glance

    talk.loading()
    lacking = registry.lacking([r.target for r in recipes]) if "all" in ",".join(targets).split(",") else {}
    for target, missing in lacking.items():
        talk.warn(f"{target}: {missing}")
    recipes = [recipe for recipe in recipes if recipe.target not in lacking]
    for recipe in recipes:
        glance(recipe, out)
    # torch's idle threads spin: on a busy machine that can cost more than the export itself
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from edgekit.devices import host

    cpu, make = for_cpu or host.cpu_class(), _intend if dry_run else _make
    documents, failures = [_unmade(target, missing) for target, missing in lacking.items()], []
    for recipe in recipes:
        try:
            documents.append(make(talk, recipe, out, cpu))
        except EdgekitError as error:
            if len(recipes) == 1:
                raise
            talk.warn(f"{recipe.target}: {error}")  # the other targets do not depend on it
            failures.append(error)
            documents.append(_unmade(recipe.target, error))
    made = [document["artifact"] for document in documents if "artifact" in document]
    if talk.json:
        talk.result("", documents)
    elif made:
        talk.next(["edgekit", "bench", *made])
    against = [(line, d.get("artifact")) for d in documents for line in d["missed"] if strict]
    for line, folder in against:
        talk.warn(f"--strict: {line}" + (f"; the artifact is kept: {folder}" if folder else ""))
    if failures:
        return failures[0].exit_code
    return 1 if against else 0


def _unmade(target: str, error: EdgekitError) -> dict[str, Any]:
    return {"target": target, "error": error.message, "hint": error.hint, "missed": []}


def _intend(talk: Talk, recipe: "Recipe", out: Path | None, cpu: str) -> dict[str, Any]:
    """Print what would be made; return the same as data."""
    from edgekit import pipeline, schemes

    intent = pipeline.plan(recipe, out)
    known, quantize = intent.plan, intent.recipe.quantize
    task = known.task if recipe.asks == "auto" else recipe.asks
    rows = [
        ("model", f"{recipe.model} ({known.architecture})"),
        *([("task", task)] if task else []),
        ("weights", f"{known.choice.source}: {known.choice.why}"),
        ("scheme", f"{quantize.scheme}: {intent.reason}"),
        ("images", intent.pictures),
        ("input", f"{intent.recipe.input_type} {'x'.join(map(str, known.preprocess.extent))}"),
        ("output", str(intent.out)),
    ]
    advice = schemes.advise(known.family, known.architecture, recipe.target, quantize.scheme, cpu, task)
    missed = _reservations(advice, quantize.int8_for, cpu)
    if not talk.json:
        talk.result(table([*rows, *(("but", line) for line in missed)]), None)
    return {
        "model": recipe.model,
        "architecture": known.architecture,
        "target": recipe.target,
        "task": task or None,
        "weights": {"source": known.choice.source, "why": known.choice.why},
        "scheme": {"name": quantize.scheme, "why": intent.reason},
        "images": intent.pictures,
        "input": {"dtype": intent.recipe.input_type, "size": known.preprocess.input_size},
        "output": str(intent.out),
        "missed": missed,
    }


def _make(talk: Talk, recipe: "Recipe", out: Path | None, cpu: str) -> dict[str, Any]:
    from edgekit import pipeline

    talk.say(f"exporting {recipe.model} to {recipe.target}")
    talk.detail(f"recipe digest {recipe.digest()}")
    return _report(talk, recipe, pipeline.export(recipe, out, say=talk.say), cpu)


def _print_recipes(talk: Talk, recipes: list[Any]) -> None:
    import msgspec

    from edgekit.recipe import dump

    if talk.json:
        talk.result("", [msgspec.to_builtins(r) for r in recipes])
    elif len(recipes) > 1:
        raise RecipeError("a recipe file has one target", hint="print one --target at a time, or use --json")
    else:
        talk.result(dump(recipes[0]).rstrip("\n"), None, verbatim=True)


def recipe_of(
    model: str, target: str | None, scheme: str | None, recipe_file: str | None, flags: dict[str, Any]
) -> Any:
    """The recipe that the arguments equal."""
    import msgspec

    from edgekit.recipe import Recipe, amended, in_channels, load, shipped

    if model.endswith(".toml") or (model in shipped() and not Path(model).exists()):
        if recipe_file:
            raise RecipeError(f"two recipes: {model} and {recipe_file}", hint="name one of them")
        base = load(Path(model))
    elif recipe_file:
        base = msgspec.structs.replace(load(Path(recipe_file)), model=model)
    else:
        base = Recipe(model=model, target="tflite")
    changes = {k: v for k, v in flags.items() if v not in (None, ())}
    if "channels" in changes:
        changes["channels"] = int(changes["channels"])
        for name in {"mean", "std"} & changes.keys():
            changes[name] = in_channels(changes[name], changes["channels"])
    return amended(base, scheme, target=target, **changes)


def _reservations(advice: "Advice | None", int8_for: str, cpu: str) -> list[str]:
    """What is known against a scheme on a class of CPUs."""
    overflows = "x86 without VNNI gives wrong answers here: int8 additions overflow; --int8-for any is right there too"
    return [*([advice.text] if advice else []), *([overflows] if (int8_for, cpu) == ("vnni", "x86") else [])]


def _report(talk: Talk, recipe: "Recipe", artifact: Any, cpu: str) -> dict[str, Any]:
    """Print what was made, but for what was said meanwhile; return all as data."""
    import msgspec

    from edgekit import parity, schemes, zoo
    from edgekit.readme import answers
    from edgekit.tasks import caution, name_of

    m = artifact.manifest
    size = artifact.model_bytes
    knows = f"knows {m.weights.knows}" if m.labels else answers(m)
    told = [
        f"scheme: {m.scheme} ({m.scheme_reason})",
        f"weights: {m.weights.source} ({m.weights.why})",
        *m.notes,
        *([f"golden.npz holds {m.golden.words}"] if m.golden.own else []),
    ]
    lines = [f"{artifact.model_file}  {megabytes(size)}", f"  proof: {parity.describe(m.proof, m.preprocess.units)}"]
    known = zoo.figures().get(recipe.model)
    if (
        recipe.weights == "auto" and m.weights.source == "bundled" and known and known.licence
    ):  # the hub has better ones
        lines.insert(0, f"careful: it {knows} and nothing else; --weights imagenet takes ImageNet's, with a network")
    else:
        lines.append(f"  {knows}")
    missed = []
    if m.proof.advisory:
        if m.weights.source == "random":
            lines.append("  the weights are random: the limits above were advisory")
        if not m.proof.within_limits:
            sure = "with trained weights" if m.weights.source == "random" else "where more is found"
            missed.append(f"its answers miss these limits; {sure} such a file is refused")
        elif unjudged := caution(m.proof.measures):
            missed.append(f"not judged: {unjudged}")
    advice = schemes.advise(m.family, m.architecture, m.target, m.scheme, cpu, name_of(m.task))
    missed += _reservations(advice, m.recipe["quantize"]["int8_for"], cpu)
    lines += [f"  {line}" for line in missed]
    lines += [f"  {line}" for line in talk.unsaid(told) if not any(line in other for other in missed)]
    talk.detail(f"weights sha256 {m.weights.sha256}")
    talk.detail(f"made with {', '.join(f'{k} {v}' for k, v in m.made_with.items())}")
    if not talk.json:
        talk.result("\n".join(lines), None)
    return {
        "artifact": str(artifact.folder),
        "bytes": size,
        "advice": msgspec.to_builtins(advice),
        "missed": missed,
        "manifest": msgspec.to_builtins(m),
    }
