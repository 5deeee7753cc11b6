"""`edgekit prune`: cut, fine-tune, and once more for every step. What it leaves is a run like those of `edgekit train`."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import torch
from torch import Tensor, nn

from edgekit import models, zoo
from edgekit.data import Splits
from edgekit.data.classes import unlike
from edgekit.devices import host
from edgekit.errors import DataError, RequestError, UnsupportedError
from edgekit.models import LoadedModel, answers, shapes, trained
from edgekit.models.trained import Card, Pruned
from edgekit.models.weights import load_into
from edgekit.pruning import costs, goal, statistics
from edgekit.pruning.cutting import cut
from edgekit.pruning.goal import Goal
from edgekit.pruning.search import Found, search
from edgekit.pruning.steps import Steps
from edgekit.training import Settings, batches, folder, randomness, train, world
from edgekit.training.objective import Classes
from edgekit.training.run import Progress, no_progress
from edgekit.training.settings import check, plain
from edgekit.training.setup import Say, Setup, TrainingProgress, held_in, splits_of
from edgekit.training.world import World


@randomness.apart()
def prune_run(
    asked: Goal,
    settings: Settings,
    out: Path,
    *,
    steps: int = 1,
    tune: bool = True,
    distill: bool = False,
    resume: bool = False,
    fresh: bool = False,
    command: str = "edgekit.pruning",
    say: Say = lambda line: None,
    progress: Progress = no_progress,
) -> Card:
    """Cut the model that the settings name until it costs what is asked for, and fine-tune it as the settings say.

    steps    cut a part, fine-tune, cut again
    tune     False: no fine-tuning at all, only BatchNorm's statistics
    distill  the whole network, a run, is the teacher

    The folder `out` is a model afterwards. What is between lies in `<out>.steps`, from which a killed run goes on, and is
    removed at the end. A goal that cannot be met is no error: the card says so, and the smallest network is kept.

    Raises RequestError, DataError, UnsupportedError, WeightsError before anything is written; TrainingError.
    """
    goal.check(asked)
    check(settings)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RequestError("a network is pruned by one process", hint="without torchrun; edgekit train takes several")
    if distill and not zoo.is_run(settings.model):
        raise RequestError(f"{settings.model} is no run to learn from", hint="edgekit train first, then prune its run")
    folder.check_apart(out, settings.model)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    folder.check_destination(out, resume=False, fresh=fresh or resume)
    kept = Steps(out)
    kept.check(settings.model, resume=resume, fresh=fresh)
    if (held := held_in(settings)) != "classes":
        raise RequestError(
            f"edgekit prune cuts classifiers, and --data holds {held}", hint="edgekit train with a narrower network"
        )
    splits, whole = splits_of(settings), _load(settings)
    _check_classes(whole, splits, settings.model)
    written = {
        **plain(settings),
        "model_sha256": whole.weights.sha256,
        "counted": _words(asked),
        "keep": asked.keep,
        "steps": steps,
        "tune": tune,
        "distill": distill,
    }
    with folder.alone(kept.folder):
        if resume and (done := kept.go_on(written)):
            say(f"{out} is finished")
            return done
        current = settings.model
        for number in range(1, steps + 1):
            made = kept.cut(number)
            if resume and zoo.is_run(str(made)):
                say(f"{made} is there")
            else:
                module, card = _cut(goal.step(asked, number, steps), settings, whole, current, splits, command, say)
                if number == 1:
                    kept.begin(written)  # not earlier: a network that cannot be cut leaves nothing behind
                folder.clear(made)
                folder.save_pictures(made, splits.train, whole.preprocess, settings)
                folder.keep(made, module, card)
            current = str(made)
            if tune:
                tuned = out if number == steps else kept.tuned(number)
                teacher = settings.model if distill else None
                tuning = msgspec.structs.replace(settings, model=current, weights="auto", distill=teacher)
                go_on = resume and ((tuned / folder.STATE).is_file() or zoo.is_run(str(tuned)))
                train(tuning, tuned, resume=go_on, fresh=not go_on, command=command, say=say, progress=progress)
                current = str(tuned)
        if not tune:
            folder.copy(made, out)
        kept.remove()
    return trained.read(out)


def _cut(
    asked: Goal, settings: Settings, whole: LoadedModel, model: str, splits: Splits, command: str, say: Say
) -> tuple[nn.Module, Card]:
    """One cut of `model`, measured against the whole network, and the card of a run of no epochs."""
    current = whole if model == settings.model else _load(msgspec.structs.replace(settings, model=model))
    example = torch.rand(1, *whole.preprocess.shape, generator=torch.Generator().manual_seed(settings.seed))
    say(f"cutting {model} to {asked.keep:.3g} of the {_words(asked)} of {settings.model}")
    with TemporaryDirectory(prefix="edgekit-") as scratch:
        cost = costs.of(asked, whole, example, Path(scratch))
        found = search(lambda share: cut(current.module, example, share), cost.share, asked.keep, say)
    with world.join() as here:
        objective = Classes(settings, whole.preprocess)
        made = dataclasses.replace(current, module=found.module)
        setup = Setup(settings, Path(), splits, made, objective, command, here, say)
        scores = [setup.measure(here.place(module), splits.val) for module in (whole.module, found.module)]
        statistics.estimate(found.module, _pictures(setup, here))
        scores.append(setup.measure(found.module, splits.val))
        card = setup.card(found.module.cpu(), TrainingProgress(), scores[-1])
    pruned = Pruned(
        model=settings.model,
        model_sha256=whole.weights.sha256,
        asked=_words(asked),
        keep=asked.keep,
        how=cost.how,
        reached=round(found.reached, 4),
        met=found.met,
        macs=(costs.macs(whole.module.cpu(), example), costs.macs(found.module, example)),
        params=(costs.params(whole.module), costs.params(found.module)),
        val_top1=tuple(score.share for score in scores),  # type: ignore[arg-type]
        cpu_class=host.cpu_class(),
    )
    card = msgspec.structs.replace(card, pruned=pruned, finished=True)
    _check_it_can_be_made_again(card, found, example)
    whole_, cut_, anew = pruned.val_top1
    say(f"validation top-1 {whole_:.1%}; cut {cut_:.1%}, with its own statistics {anew:.1%}")
    return found.module, card


def _words(asked: Goal) -> str:
    """What is counted, without how much of it."""
    if asked.of != "latency":
        return {"macs": "multiplications", "params": "parameters"}[asked.of]
    return f"latency ({asked.scheme} {asked.target} on {asked.on})"


def _load(settings: Settings) -> LoadedModel:
    recipe = settings.recipe()
    model = models.load(recipe, models.plan(recipe))
    answers.check_logits(model.trace, settings.model)
    return model


def _check_classes(model: LoadedModel, splits: Splits, asked: str) -> None:
    if not model.has_labels(splits.labels):
        first = unlike(model.labels, splits.labels)
        anew = f"edgekit train {asked} on them first, then prune that run"
        numbered = len(model.labels) == len(splits.labels) and all(label.isdigit() for label in splits.labels)
        raise DataError(
            f"{model.name} knows {len(model.labels)} classes ({model.weights.knows}), the images show"
            f" {len(splits.labels)}, not the same ones ({first})",
            hint=f"--classes FILE with the names of the numbers, if they are the model's; or {anew}"
            if numbered
            else anew,
        )


def _pictures(setup: Setup, here: World) -> Iterator[Tensor]:
    """About statistics.PICTURES of the training images, as the exported model will see them."""
    asked, objective, train_ = setup.settings, setup.objective, setup.splits.train
    parts = batches.epoch_batches(len(train_), asked, 0)[: -(-statistics.PICTURES // asked.batch)]
    for batch in batches.stream(train_, parts, objective.plain, objective.nothing, asked.workers, (asked.seed,)):
        yield here.place(batch.images[batch.weight > 0])


def _check_it_can_be_made_again(card: Card, found: Found, example: Tensor) -> None:
    """A run is an architecture and weights; raises UnsupportedError where these do not suffice."""
    state = found.module.state_dict()
    try:
        again = trained.bare(card).eval()
        shapes.resize(again, state)
        load_into(again, state, "the pruned network")
        with torch.inference_mode():
            ours, theirs = again(example), found.module(example)
    except Exception as error:
        raise UnsupportedError(f"the pruned network cannot be made again from its weights: {error}") from error
    if (ours - theirs).abs().max() > 1e-3 * theirs.abs().max():  # not equal: other memory formats add in other orders
        raise UnsupportedError("the pruned network cannot be made again from its weights: it answers differently")
