"""export(recipe) -> Artifact: one straight function, to be read aloud."""

import copy
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from edgekit import __version__, artifact, calibration, golden, models, parity, publishing, registry, schemes, zoo
from edgekit.artifact import Artifact, Golden
from edgekit.calibration import Pictures
from edgekit.devices import Job, Worker, host, opened
from edgekit.errors import (
    EdgekitError,
    ExportError,
    ParityError,
    RequestError,
    WeightsError,
    as_path,
    kind_and_reason,
    many,
)
from edgekit.exporters import Exported, preparing
from edgekit.manifest import (
    REJECTED,
    CalibrationRecord,
    GoldenRecord,
    Manifest,
    Proof,
    digest_of,
    file_record,
    save_manifest,
)
from edgekit.models import LoadedModel, answers, detecting, picking, readying, steady
from edgekit.preprocess import Pixels
from edgekit.readme import readme
from edgekit.recipe import Recipe, check, check_scheme, full
from edgekit.tasks import Classification, Detection, caution, name_of
from edgekit.tasks.likeness import Likeness, noise
from edgekit.tensors import Signature, Values

Say = Callable[[str], None]

SETTLED = 16  # images that random weights see at least: with the statistics of 4, EfficientNet-B7 blows up on others


@dataclass(frozen=True)
class Intent:
    """What an export would do, decided before anything expensive."""

    asked: Recipe
    recipe: Recipe  # resolved: its scheme is exact
    out: Path
    plan: models.Plan
    reason: str
    pictures: str

    def decided(self, task: str) -> tuple[Recipe, str]:
        """The recipe with an exact scheme, and why that was taken, now that the task is known."""
        return _resolved(self.asked, self.plan, task)


def plan(recipe: Recipe, out: Path | None = None, module: nn.Module | None = None) -> Intent:
    """Check a request and decide everything that can be decided without loading a model. Raises RequestError, WeightsError.

    module: to be exported in place of what recipe.model names
    """
    if not isinstance(recipe, Recipe):
        raise RequestError(f"the recipe is {recipe!r:.80}", hint='edgekit.Recipe(model="mobilenetv2", target="tflite")')
    if not isinstance(module, nn.Module | None):
        raise RequestError(f"module is {module!r:.80}, not a torch.nn.Module", hint="module=your_network")
    if module is None:
        zoo.check_name(recipe.model)
    exporter = registry.exporter(recipe.target)
    check_scheme(check(recipe), exporter.schemes)
    out = out or Path("build", recipe.folder_name)
    if not out.name:  # "-o ."
        out = out.absolute()
    for place in (out, _rejected(out)):
        publishing.check_destination(place)
    planned = models.plan(recipe, module)
    asked = msgspec.structs.replace(recipe, fold=recipe.folds)
    task = planned.task if recipe.asks == "auto" else recipe.asks
    resolved, reason = _resolved(asked, planned, task)
    if recipe.golden == "own" and not calibration.own(recipe.calibration, planned.pictures):
        units = planned.preprocess.units
        raise RequestError(f"golden own means {units} of yours, and none are named", hint="--calibration DIR as well")
    crowded = task == "detection"
    pictures = calibration.describe(
        recipe.calibration, recipe.samples, planned.pictures, crowded=crowded, moving=planned.preprocess.is_clip
    )
    return Intent(asked, resolved, out, planned, reason, pictures)


def _resolved(asked: Recipe, planned: models.Plan, task: str | None) -> tuple[Recipe, str]:
    unmeasured = getattr(registry.exporter(asked.target), "int8", None)
    return schemes.resolve(asked, planned.family, planned.architecture, planned.kind.because, task, unmeasured)


def export(
    recipe: Recipe,
    out: str | os.PathLike[str] | None = None,
    *,
    module: nn.Module | None = None,
    say: Say = lambda line: None,
) -> Artifact:
    """Make the artifact that a recipe asks for, prove it in its runtime, and put it in place in one step.

    module  any network of your own that takes float32 [n, 3, h, w]; recipe.model is then merely its name. The
            recipe says what it wants to see (input_size, crop_pct, mean, std) and where images are (calibration)

    Raises RequestError, WeightsError, ExportError; ParityError when the file answers differently, and then keeps what
    was made as `<out>.rejected`.
    """
    intent = plan(recipe, None if out is None else as_path(out, "out"), module)
    recipe, reason, out = intent.recipe, intent.reason, intent.out
    exporter, runtime = registry.exporter(recipe.target), registry.runtime_for(recipe.target)
    say(f"weights: {intent.plan.choice.source} ({intent.plan.choice.why})")
    say(f"scheme: {recipe.quantize.scheme} ({reason})")
    model = models.load(recipe, intent.plan)
    say(f"task: {name_of(model.task)} ({model.why})")
    recipe, reason = intent.decided(name_of(model.task))
    if recipe != intent.recipe:
        say(f"scheme: {recipe.quantize.scheme} ({reason})")
    known = model.notes
    with calibration.scratch_folder() as scratch, publishing.staging(out) as stage:
        spec = model.preprocess
        pictures = calibration.choose(
            recipe.calibration,
            recipe.samples,
            recipe.seed,
            spec,
            model.pictures,
            Path(scratch),
            crowded=isinstance(model.task, Detection),
        )
        for warning in _warnings(recipe, pictures.calibration):
            say(f"calibration: {warning}")
        if pictures.unreadable:
            say(f"{spec.files} that cannot be read: {'; '.join(pictures.unreadable[:3])}")
        record, shown = golden.choose(recipe, pictures, model.pictures, spec, Path(scratch))
        if pictures.own:
            say(f"golden.npz holds {record.words}")
        seen = preparing.first(pictures.calibration, spec, least=max(4, SETTLED // spec.frames))
        model = readying.settled(model, seen)
        steady.check_steady(model.module, seen[:1], model.trace.random)
        answered = (_torch_answers(model, pixels) for pixels in pictures.proof)
        own: Sequence[Values] | None = list(answered) if _is_small(model) else None
        _check_answers(model, own or answered, pictures.proof)
        if isinstance(model.task, Classification):
            assert own
            scores = np.concatenate([values[0] for values in own])
            task, why = answers.classification(
                answers.ending(model.trace), scores, recipe, named=model.has_names or recipe.task == "classification"
            )
            say(f"scores: {task} ({why})")
            model, recipe, own = _with_softmax(model, recipe, task, own, say)
        model = readying.ready(model, seen[:2])
        for note in model.notes[len(known) :]:
            say(note)
        try:
            exported = exporter.export(model, recipe, pictures.calibration, stage, say)
        except ExportError as error:
            _keep_log(stage, out, error)
            raise
        except (EdgekitError, OSError, MemoryError):
            raise
        except Exception as error:  # whatever converters, quantizers and the runtimes inside them raise
            failed = ExportError(
                f"{recipe.target}, {recipe.quantize.scheme}: this model cannot be exported: {kind_and_reason(error)}",
                hint="--debug shows the whole traceback",
            )
            _keep_log(stage, out, failed)
            raise failed from error

        say(f"checking against PyTorch in {runtime.name} on {_words(len(pictures.proof), spec.units)}")
        signature = Signature(exported.file, exported.input, exported.outputs, spec, recipe.folds, exported.layout)
        with opened(registry.device("local"), Job(str(exported.file), runtime.name)) as worker:
            signature.check_input(worker.ready.input_spec.shape, worker.ready.input_spec.dtype)
            examples, stride = golden.make(signature, worker, shown)
            proof = parity.prove(
                model.task,
                recipe.quantize.scheme,
                _both(model, own, signature, worker, pictures.proof),
                runtime=worker.ready.facts["runtime"],
                source=pictures.proof.source,
                untrained=model.weights.source == "random",
                rounding_db=partial(_rounding_db, model, pictures.proof),
            )
        if low := parity.lowered(proof, recipe.quantize.scheme):
            say(low)
            model = replace(model, notes=(*model.notes, low))
        examples.save(stage / "golden.npz")
        if model.labels:
            (stage / "labels.txt").write_text("".join(f"{label}\n" for label in model.labels), "utf-8")
        record = msgspec.structs.replace(record, stride=stride)
        manifest = _manifest(recipe, reason, model, exported, pictures.calibration, record, proof, examples)
        (stage / "README.md").write_text(readme(manifest, exported.file.name, exported.how_to_load), "utf-8")
        records = {p.name: file_record(p) for p in sorted(stage.iterdir())}
        manifest = msgspec.structs.replace(manifest, files=records)
        save_manifest(stage, manifest)
        if not proof.passed:
            rejected = _rejected(out)
            publishing.publish(stage, rejected)
            instead = schemes.finer(recipe, model.family, model.architecture, exporter.schemes, name_of(model.task))
            if recipe.calibrated and recipe.calibration == "default" and model.pictures is None:
                instead += f", and so may {spec.units} of your own: --calibration DIR"
            if low:
                instead = f"rounding may be all of it, or {instead}"
            same = proof.advisory or proof.within_limits  # then its fault is another
            fault = f"gives every {spec.units[:-1]} the same answer" if same else "answers differently from PyTorch"
            raise ParityError(
                f"the {recipe.quantize.scheme} file {fault}: {parity.describe(proof, spec.units)}",
                hint=f"kept as {rejected}; {instead}",
            )
        if publishing.recipe_digest(out) not in (None, manifest.recipe_digest):
            say(f"{out} was made from another recipe, and is replaced; -o another/folder keeps both")
    return artifact.load(out)


def _words(pictures: int, units: str) -> str:
    few = calibration.PROOF_PICTURES
    return f"{few} {units}, or up to {pictures} where little is found" if pictures > few else many(pictures, units)


def _rejected(out: Path) -> Path:
    """Where a file that answers differently is kept."""
    return out.with_name(f"{out.name}{REJECTED}")


def _keep_log(stage: Path, out: Path, error: ExportError) -> None:
    """A converter that failed leaves its log beside the output."""
    log = stage / "converter.log"
    if log.is_file():
        kept = out.with_name(f"{out.name}.converter.log")
        log.replace(kept)
        error.hint = "; ".join(filter(None, [error.hint, f"its log is kept as {kept}"]))


def _warnings(recipe: Recipe, pictures: Pictures) -> tuple[str, ...]:
    """What is wrong with the calibration images, where the scheme uses them."""
    return pictures.warnings if recipe.calibrated else ()


def _torch_answers(model: LoadedModel, pixels: Pixels) -> Values:
    """PyTorch's to one image, without what the recipe adds."""
    x = preparing.tensor(pixels[None], model.preprocess)
    with torch.inference_mode():
        return tuple(a.float().numpy() for a in picking.each(model.module(x)))


def _rounding_db(model: LoadedModel, pictures: Pictures) -> float:
    """SQNR of PyTorch's answers against its own in float64; inf where the network does not run in float64."""
    likeness = None
    try:
        exact = copy.deepcopy(model.module).double()
        for pixels in itertools.islice(pictures, calibration.PROOF_PICTURES):
            x = preparing.tensor(pixels[None], model.preprocess)
            with torch.inference_mode():
                reference = tuple(a.numpy() for a in picking.each(exact(x.double())))
            alike = Likeness(noise(reference, _torch_answers(model, pixels)))
            likeness = likeness + alike if likeness else alike
    except RuntimeError:  # numbers of float32 in its code
        return math.inf
    return likeness.sqnr_db if likeness else math.inf


def _is_small(model: LoadedModel) -> bool:
    """Whether PyTorch's answers to all proof images are kept; of maps they would take gigabytes."""
    return all(len(shape) == 2 for shape in model.answer_shapes)


def _both(
    model: LoadedModel, own: Sequence[Values] | None, signature: Signature, worker: Worker, pictures: Pictures
) -> Iterator[tuple[Values, Values]]:
    """PyTorch's answers and the file's to one image after the other, so that large ones are never all in memory."""
    for i, pixels in enumerate(pictures):
        reference = own[i] if own else _torch_answers(model, pixels)
        yield reference, signature.decode(worker.answer(signature.encode(pixels[None])))


def _with_softmax(
    model: LoadedModel, recipe: Recipe, own: Classification, answered: Sequence[Values], say: Say
) -> tuple[LoadedModel, Recipe, Sequence[Values]]:
    """The model with the task that its file will have, and the reference for it. Raises RequestError."""
    if not recipe.softmax:
        return replace(model, task=own), recipe, answered
    if own.independent:
        raise RequestError(
            f"--softmax makes classes exclude each other, and these are {own}",
            hint="leave it out: predict and the app make each score a probability",
        )
    if own.scores == "probabilities":
        say("--softmax adds nothing: the network answers probabilities already")
        recipe = msgspec.structs.replace(recipe, softmax=False)
    probabilities = [(own.probabilities(scores),) for (scores,) in answered]
    return replace(model, task=Classification("probabilities")), recipe, probabilities


def _check_answers(model: LoadedModel, answers: Iterable[Values], pictures: Pictures) -> None:
    """Raises WeightsError for a model that answers every image alike: nothing can be proven with it. Raises RequestError."""
    spread = parity.Spread()
    for values in answers:
        detecting.check_scores(model.task, values)
        spread.add(values)
        if spread.pictures > 1 and spread.varies:
            return
    if len({p.tobytes() for p in pictures}) > 1:
        longer = (
            f"edgekit train for more epochs: this run has learned nothing yet that tells {model.preprocess.units} apart"
        )
        random = "--weights FILE, trained; or --weights random, which makes untrained ones compute"
        raise WeightsError(
            f"the model gives {spread.pictures} {model.preprocess.units} the same answer, so a proof of its file would prove nothing",
            hint=longer if model.weights.source == "trained" else random,
        )


def _manifest(
    recipe: Recipe,
    reason: str,
    model: LoadedModel,
    exported: Exported,
    pictures: Pictures,
    shown: GoldenRecord,
    proof: Proof,
    examples: Golden,
) -> Manifest:
    """Whole but for its files, of which README.md is made from it."""
    record = CalibrationRecord(pictures.source, len(pictures), pictures.sha256, pictures.warnings)
    # The recipe without the paths of this machine; the digests of what they led to make it whole again.
    plain = full(recipe) | {
        "model": model.name,
        "weights": model.weights.source,
        "calibration": "default" if recipe.calibration == "default" else "folder",
        "labels": "file" if recipe.labels else None,
    }
    tolerances = parity.tolerances(recipe.quantize.scheme, examples.answers)
    return Manifest(
        model=model.name,
        architecture=model.architecture,
        family=model.family,
        target=recipe.target,
        scheme=recipe.quantize.scheme,
        scheme_reason=reason,
        task=model.task,
        inputs=(exported.input,),
        outputs=tuple(
            msgspec.structs.replace(output, tolerance=tolerance)
            for output, tolerance in zip(exported.outputs, tolerances, strict=True)
        ),
        layout=exported.layout,
        preprocess=model.preprocess,
        folded=recipe.folds,
        labels=len(model.labels),
        weights=model.weights,
        proof=proof,
        golden=shown,
        recipe=plain,
        recipe_digest=digest_of(plain, model.weights.sha256, record.sha256 if recipe.calibrated else "", model.labels),
        files={},
        made_with={"edgekit": __version__, **exported.versions},
        made_on=host.facts(),
        calibration=record if recipe.calibrated else None,
        oldest_interpreter=exported.oldest_interpreter,
        trained_on=model.trained_on,
        notes=(*model.notes, *exported.notes, *filter(None, [caution(proof.measures)])),
    )
