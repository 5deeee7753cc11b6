"""A training run from its settings to its folder: one straight function, to be read aloud."""

import itertools
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

import msgspec
import torch
from PIL import Image

from edgekit.data import DataSet, Splits
from edgekit.errors import RequestError, TrainingError, many
from edgekit.models import LoadedModel, trained
from edgekit.models.trained import Card
from edgekit.tasks import Detection, Segmentation
from edgekit.training import curve, fitting, folder, lessons, objective, quantized, randomness, resuming, world
from edgekit.training.boxes import Boxes
from edgekit.training.frozen import Frozen, ends_in_its_head
from edgekit.training.learner import Learner, in_plain_words
from edgekit.training.masks import Masks
from edgekit.training.settings import Settings, check
from edgekit.training.setup import Say, Setup, TrainingProgress, splits_of

Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many steps; called for each
CALIBRATING = 8  # batches
ENOUGH = 0.005  # of top-1: what nobody would train for


def no_progress(total: int) -> AbstractContextManager[Callable[[], None]]:
    return nullcontext(lambda: None)


@randomness.apart()
def train(
    settings: Settings,
    out: Path,
    *,
    resume: bool = False,
    fresh: bool = False,
    command: str = "edgekit.training.train",
    say: Say = lambda line: None,
    progress: Progress = no_progress,
) -> Card:
    """Train the model that the settings name, keep the epoch that is best on the validation images, report on the test.

    The folder `out` is a model afterwards (see models/trained.py), from the first epoch on. On a CPU the same settings
    give the same bits, also when the run was killed and resumed, with the same versions and number of threads.

    Raises RequestError, DataError, WeightsError before anything is written; TrainingError where the loss is not a number.
    """
    check(settings)
    folder.check_apart(out, settings.model, settings.weights, settings.distill)
    folder.check_destination(out, resume=resume, fresh=fresh)
    splits = splits_of(settings)
    earlier = resuming.earlier(out) if resume else None
    if earlier is not None:
        resuming.check_same(out, earlier, settings, splits)
    if isinstance(earlier, Card):
        say(f"{out} is finished")
        return earlier
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with world.join() as here, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # preprocess.MAX_PIXELS is our limit
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more readers than cores: as asked
        say = say if here.first else lambda line: None
        _check_size(splits.train, settings, here)
        model = fitting.model(settings, splits, say)
        asked = _objective(settings, model, splits, here)
        frozen = _frozen(settings, model, asked, here)
        setup = Setup(settings, out, splits, model, asked, command, here, say, frozen)
        with (
            folder.alone(out) if here.first else nullcontext(),
            closing(
                Learner(model.module, asked, settings, setup.steps, here, of_features=frozen is not None)
            ) as learner,
        ):
            for line in (*splits.notes, _parts(splits)):
                say(line)
            reached = resuming.go_on(setup, learner, earlier) if earlier else _begin(setup, learner)
            if learner.grid and reached.step == 0:
                _say_what_rounding_loses(setup, learner)
            total = settings.epochs * setup.steps - reached.step
            with progress(total) if here.first else nullcontext(lambda: None) as tick:
                try:
                    while reached.step < settings.epochs * setup.steps and not _stale(setup, reached):
                        _epoch(setup, learner, reached, tick)
                except RuntimeError as error:
                    if said := in_plain_words(error, settings):
                        raise said from error
                    raise
            return _finish(setup, learner, reached)


def _objective(settings: Settings, model: LoadedModel, splits: Splits, here: world.World) -> objective.Objective:
    if isinstance(model.task, Segmentation):
        return Masks(settings, model.preprocess, model.task, len(splits.labels))
    if isinstance(model.task, Detection):
        taught = lessons.of(model.module, settings.model, model.preprocess.input_size)
        return Boxes(settings, model.preprocess, model.task, taught, len(splits.labels))
    teacher = (
        objective.teacher(settings.distill, splits.labels, model.preprocess, here.device) if settings.distill else None
    )
    if model.preprocess.is_clip:
        return objective.Clips(settings, model.preprocess)
    return objective.Classes(settings, model.preprocess, teacher)


def _frozen(settings: Settings, model: LoadedModel, asked: objective.Objective, here: world.World) -> Frozen | None:
    """Where neither body nor views change, and nothing follows the head, the body is asked once about each image."""
    once = settings.freeze and settings.augment == "none" and not settings.distill
    if not once or model.preprocess.is_clip or not ends_in_its_head(model.module, model.preprocess.shape):
        return None
    return Frozen(model.module, asked, settings, here)


def _check_size(data: DataSet, settings: Settings, here: world.World) -> None:
    if settings.batch < 2 * here.size or len(data) < 2 * here.size:
        raise RequestError(
            f"{len(data)} {data.source.units}, {settings.batch} in a step, do not give {here.size} processes two each",
            hint="a larger --batch, or fewer processes",
        )


def _parts(splits: Splits) -> str:
    held = f"{len(splits.test):,} to report on" if splits.test else "none to report on: no split 'test'"
    return f"{len(splits.labels)} classes; {len(splits.train):,} {splits.train.source.units} to learn from, {len(splits.val):,} to select on, {held}"


def _begin(setup: Setup, learner: Learner) -> TrainingProgress:
    reached = TrainingProgress()
    if setup.world.first:
        folder.clear(setup.out)
        folder.save_pictures(setup.out, setup.splits.train, setup.model.preprocess, setup.settings)
        resuming.save(setup, learner, reached)
    setup.world.wait()
    return reached


def _say_what_rounding_loses(setup: Setup, learner: Learner) -> None:
    """Before training: whether there is anything to win. The grid's ranges are those of a few training batches."""
    assert learner.grid
    kept = learner.kept
    learner.grid.train()
    with torch.no_grad():
        for batch in itertools.islice(setup.batches(0, 0), CALIBRATING):
            learner.grid.look(kept.eval(), setup.world.place(batch.images))
    drop = quantized.lost(kept, learner.judged, setup.looks(setup.splits.val), setup.world)
    said = f"{100 * drop.estimate:+.2f} points [{100 * drop.low:+.2f}, {100 * drop.high:+.2f}]"
    setup.say(f"rounding to 8 bits without training loses {said} on the validation images (simulated)")
    if drop.low <= 0 and drop.high < ENOUGH:
        setup.say("plain post-training quantization is as good: edgekit export --int8 needs no --qat here")
    else:  # benchmarks/results/qat-x86-vnni.md
        setup.say(
            "edgekit export --int8 spreads channels and rounds against images, which can win that back without training:"
            " measure that file first"
        )


def _stale(setup: Setup, reached: TrainingProgress) -> bool:
    """Whether patience is at its end. Asked between epochs and, after a resume, inside one."""
    epoch, patience = reached.step // setup.steps, setup.settings.patience
    return bool(patience) and epoch - reached.best_epoch >= patience


def _epoch(setup: Setup, learner: Learner, reached: TrainingProgress, tick: Callable[[], None]) -> None:
    """What is left of an epoch, and the look at the validation images after it."""
    epoch, done = divmod(reached.step, setup.steps)
    clock = time.process_time()
    for batch in setup.batches(epoch, done):
        try:
            loss, count = learner.step(batch, reached.step)
        except TrainingError as error:
            kept = f"; {setup.out} keeps epoch {reached.best_epoch}" if reached.best_epoch else ""
            raise TrainingError(f"{error.message} (epoch {epoch + 1}){kept}", hint=error.hint) from None
        reached.step += 1
        reached.loss += loss * count
        reached.seen += count
        reached.unreadable += batch.unreadable
        tick()
        if reached.step % setup.settings.save_every == 0 and reached.step % setup.steps:
            reached.cpu_seconds, clock = reached.cpu_seconds + time.process_time() - clock, time.process_time()
            reached.unreadable = setup.world.gather(reached.unreadable)
            resuming.save(setup, learner, reached)
    found = setup.measure(learner.judged, setup.splits.val)
    if not math.isfinite(found.loss):
        raise TrainingError(f"the validation loss is {found.loss} after epoch {epoch + 1}", hint="a smaller --lr")
    unreadable = setup.world.gather(reached.unreadable)
    reached.cpu_seconds += time.process_time() - clock
    best = reached.best is None or (found.share, -found.loss) > (reached.best["share"], -reached.best["loss"])
    line = curve.Epoch(
        epoch + 1, reached.step, learner.rate, reached.loss / max(reached.seen, 1), found.loss, best,
        len(unreadable), round(reached.cpu_seconds, 2), found.top1, found.miou, found.map,
        found.ap50,
    )  # fmt: skip
    if best:
        reached.best_epoch, reached.best = epoch + 1, {"share": found.share, "loss": found.loss}
    if setup.world.first:
        reached.logged = folder.log(setup.out, line)
        if best:
            made = learner.finished()
            folder.keep(setup.out, made, setup.card(made, reached, found))
    setup.say(
        f"epoch {epoch + 1}/{setup.settings.epochs}  loss {line.train_loss:.4f}  validation {found.loss:.4f}, "
        f"{found}{'  best' if best else ''}"
    )
    if unreadable and epoch == 0:
        named = "; ".join(unreadable[:3])
        lost = many(len(unreadable), setup.splits.train.source.units)
        setup.say(f"{lost} left out, unreadable: {named}{'; ...' * (len(unreadable) > 3)}")
    reached.loss, reached.seen, reached.unreadable = 0.0, 0, []
    resuming.save(setup, learner, reached)


def _most_frequent(data: DataSet) -> float:
    """The share of images that show the most frequent class."""
    shown = Counter(data.truths[position][0] for position in data.positions)  # type: ignore[index]
    return max(shown.values()) / len(data)


def _finish(setup: Setup, learner: Learner, reached: TrainingProgress) -> Card:
    """Measure the best epoch's weights on the test images, and close the run."""
    setup.world.wait()
    card = trained.read(setup.out)
    if reached.step < setup.settings.epochs * setup.steps:
        setup.say(f"no better epoch in {setup.settings.patience}: stopped after {reached.step // setup.steps}")
    trained.fill(learner.kept, setup.out, card)
    test = setup.measure(learner.judged, setup.splits.test) if setup.splits.test else None
    card = msgspec.structs.replace(
        card,
        test=test,
        finished=True,
        epochs=reached.step // setup.steps,
        cpu_seconds=round(reached.cpu_seconds, 2),
    )
    if card.val.top1 is not None and card.val.top1 <= (guessing := _most_frequent(setup.splits.val)):
        setup.say(
            f"no better than naming the most frequent class each time ({guessing:.1%} of the validation {setup.splits.val.source.units}):"
            " a smaller --lr, or more epochs"
        )
    setup.world.wait()  # others may still read
    if setup.world.first:
        folder.write_card(setup.out, card)
        (setup.out / folder.STATE).unlink()
    return card
