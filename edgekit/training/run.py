"""A training run from its settings to its folder: one straight function, to be read aloud."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save as serialise

from edgekit import __version__, models
from edgekit.artifact import output_errors
from edgekit.data import DataSet, Lessons, open_lessons
from edgekit.errors import DataError, RequestError, TrainingError
from edgekit.models import LoadedModel, heads, trained
from edgekit.models import weights as numbers
from edgekit.models.trained import Card, Score
from edgekit.training import batches, curve, folder, objective, randomness, world
from edgekit.training.learner import Learner, in_plain_words, score
from edgekit.training.settings import Settings, check, differences, plain
from edgekit.zoo import RUN_CARD

Say = Callable[[str], None]
State = dict[str, Any]  # what training.pt holds
Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]  # of so many steps; called for each


@dataclass
class Standing:
    """Where a run stands.

    step, loss, seen, unreadable   steps done; of the epoch at hand: sum of losses, pictures, what could not be read
    best_epoch, best               counted from 1; 0: none yet
    logged                         bytes of metrics.jsonl that belong to the steps done
    """

    step: int = 0
    loss: float = 0.0
    seen: int = 0
    unreadable: list[str] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, float] | None = None
    logged: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Course:
    """What does not change in a run."""

    settings: Settings
    out: Path
    lessons: Lessons
    model: LoadedModel
    command: str
    world: world.World
    say: Say

    @property
    def steps(self) -> int:
        """In an epoch."""
        return batches.steps_of(len(self.lessons.train), self.settings.batch)

    def batches(self, epoch: int, skip: int) -> Iterator[batches.Batch]:
        """This process's share of an epoch's batches, from one on."""
        spec, asked, train = self.model.preprocess, self.settings, self.lessons.train
        parts = batches.lessons_of(len(train), asked, epoch)[skip:]
        mine = [part[self.world.rank :: self.world.size] for part in parts]
        seed = (asked.seed, randomness.VIEW, epoch)
        return batches.stream(train, mine, batches.random_view(spec, asked), spec.input_size, asked.workers, seed)

    def measure(self, module: torch.nn.Module, data: DataSet) -> Score:
        spec, asked = self.model.preprocess, self.settings
        parts = np.array_split(np.arange(len(data)), batches.steps_of(len(data), asked.batch))
        mine = parts[self.world.rank :: self.world.size]
        view = batches.plain_view(spec)
        stream = batches.stream(data, mine, view, spec.input_size, asked.workers, (asked.seed,)) if mine else iter(())
        self.world.agree(module)
        found = score(module, stream, self.world)
        if not found.pictures:
            raise DataError(f"none of the {len(data)} {data.what} can be read", hint="other --data")
        return found


def train(
    settings: Settings,
    out: Path,
    *,
    resume: bool = False,
    fresh: bool = False,
    command: str = "edgekit.training.train",
    say: Say = lambda line: None,
    progress: Progress = lambda total: nullcontext(lambda: None),
) -> Card:
    """Train the model that the settings name, keep the epoch that is best on the validation pictures, report on the test.

    The folder `out` is a model afterwards (see models/trained.py), from the first epoch on. On a CPU the same settings
    give the same bits, also when the run was killed and resumed, with the same versions and number of threads.

    Raises RequestError, DataError, WeightsError before anything is written; TrainingError where the loss is not a number.
    """
    check(settings)
    for name in (settings.model, settings.weights, settings.distill):
        if name and Path(name).resolve() == out.resolve():
            raise RequestError(f"{out} is read as well as written", hint="-o another/folder")
    folder.check_destination(out, resume=resume, fresh=fresh)
    lessons = open_lessons(
        Path(settings.data),
        labels_file=Path(settings.labels) if settings.labels else None,
        classes=models.read_labels(settings.classes) if settings.classes else None,
        val_share=settings.val_share,
        seed=settings.seed,
    )
    earlier = _earlier(out) if resume else None
    if earlier is not None:
        _check_same(out, earlier, settings, lessons)
    if isinstance(earlier, Card):
        say(f"{out} is finished")
        return earlier
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with world.join() as here, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # preprocess.MAX_PIXELS is our limit
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more readers than cores: as asked
        say = say if here.first else lambda line: None
        _check_size(len(lessons.train), settings, here)
        model = _model(settings, lessons.labels, say)
        asked = objective.Objective(
            settings,
            objective.teacher(settings.distill, lessons.labels, model.preprocess, here.device)
            if settings.distill
            else None,
        )
        course = Course(settings, out, lessons, model, command, here, say)
        learner = Learner(model.module, asked, settings, course.steps, here)
        for note in lessons.notes:
            say(note)
        say(_parts(lessons))
        standing = _go_on(course, learner, earlier) if earlier else _begin(course, learner)
        total = settings.epochs * course.steps - standing.step
        with progress(total if here.first else 0) as tick:
            try:
                while standing.step < settings.epochs * course.steps and not _stale(course, standing):
                    _epoch(course, learner, standing, tick)
            except RuntimeError as error:
                if said := in_plain_words(error, settings):
                    raise said from error
                raise
        return _finish(course, learner, standing)


def _model(settings: Settings, labels: tuple[str, ...], say: Say) -> LoadedModel:
    """The model with a head for these classes; its own where it already knows them."""
    recipe = settings.recipe()
    planned = models.plan(recipe)
    say(f"weights: {planned.choice.source} ({planned.choice.why})")
    model = models.load(recipe, planned)
    unnamed = model.labels[0] == "class 0" and len(model.labels) == len(labels)
    if model.labels != labels and not unnamed:
        heads.set_classes(model.module, len(labels), seed=settings.seed, anew=True)
        say(f"a new head for {len(labels)} classes")
    return model


def _check_size(pictures: int, settings: Settings, here: world.World) -> None:
    if settings.batch < 2 * here.size or pictures < 2 * here.size:
        raise RequestError(
            f"{pictures} pictures, {settings.batch} in a step, do not give {here.size} processes two each",
            hint="a larger --batch, or fewer processes",
        )


def _parts(lessons: Lessons) -> str:
    held = f"{len(lessons.test):,} to report on" if lessons.test else "none to report on: no split 'test'"
    return f"{len(lessons.labels)} classes; {len(lessons.train):,} pictures to learn from, {len(lessons.val):,} to select on, {held}"


def _begin(course: Course, learner: Learner) -> Standing:
    standing = Standing()
    if course.world.first:
        folder.clear(course.out)
        folder.save_pictures(course.out, course.lessons.train, course.model.preprocess, course.settings.seed)
        _save(course, learner, standing)
    course.world.wait()
    return standing


def _earlier(out: Path) -> Card | State:
    """The card of a finished run, or the last state of one that is not."""
    return folder.load_state(out) if (out / folder.STATE).is_file() else trained.read(out)


def _check_same(out: Path, before: Card | State, settings: Settings, lessons: Lessons) -> None:
    """Raises RequestError that names what differs from the run that is to go on."""
    if isinstance(before, Card):
        asked, stamps = before.settings, [before.data.train_stamp, before.data.val_stamp]
    else:
        asked, stamps = before["settings"], before["stamps"]
    changed = differences(asked, plain(settings))
    if stamps != _stamps(lessons):
        changed.append("the pictures or their labels have changed")
    if changed:
        raise RequestError(
            f"{out} was begun with other settings: {'; '.join(changed)}",
            hint="the same settings, or --fresh to start over",
        )


def _go_on(course: Course, learner: Learner, state: State) -> Standing:
    """Where the run was saved last."""
    learner.restore(state["learner"])
    standing = Standing(**state["standing"])
    if course.world.first:
        with output_errors(), (course.out / folder.METRICS).open("ab") as file:  # lines of steps that are done again
            file.truncate(standing.logged)
    course.say(f"resumed at step {standing.step:,} of {course.settings.epochs * course.steps:,}")
    return standing


def _stamps(lessons: Lessons) -> list[str]:
    return [lessons.train.stamp, lessons.val.stamp]


def _save(course: Course, learner: Learner, standing: Standing) -> None:
    if course.world.first:
        state = {
            "schema": 1,
            "settings": plain(course.settings),
            "stamps": _stamps(course.lessons),
            "learner": learner.state(),
            "standing": asdict(standing),
        }
        folder.save_state(course.out, state)


def _stale(course: Course, standing: Standing) -> bool:
    """Whether patience is at its end. Asked between epochs and, after a resume, inside one."""
    epoch, patience = standing.step // course.steps, course.settings.patience
    return bool(patience) and epoch - standing.best_epoch >= patience


def _epoch(course: Course, learner: Learner, standing: Standing, tick: Callable[[], None]) -> None:
    """What is left of an epoch, and the look at the validation pictures after it."""
    epoch, done = divmod(standing.step, course.steps)
    clock = time.process_time()
    for batch in course.batches(epoch, done):
        try:
            loss, count = learner.step(batch, standing.step)
        except TrainingError as error:
            kept = f"; {course.out} keeps epoch {standing.best_epoch}" if standing.best_epoch else ""
            raise TrainingError(f"{error.message} (epoch {epoch + 1}){kept}", hint=error.hint) from None
        standing.step += 1
        standing.loss += loss * count
        standing.seen += count
        standing.unreadable += batch.unreadable
        tick()
        if standing.step % course.settings.save_every == 0 and standing.step % course.steps:
            standing.cpu_seconds, clock = standing.cpu_seconds + time.process_time() - clock, time.process_time()
            standing.unreadable = course.world.gather(standing.unreadable)
            _save(course, learner, standing)
    found = course.measure(learner.kept, course.lessons.val)
    unreadable = course.world.gather(standing.unreadable)
    standing.cpu_seconds += time.process_time() - clock
    best = standing.best is None or (found.top1, -found.loss) > (standing.best["top1"], -standing.best["loss"])
    line = curve.Epoch(
        epoch + 1, standing.step, learner.rate, standing.loss / max(standing.seen, 1), found.loss, found.top1, best,
        len(unreadable), round(standing.cpu_seconds, 2),
    )  # fmt: skip
    if best:
        standing.best_epoch, standing.best = epoch + 1, {"top1": found.top1, "loss": found.loss}
    if course.world.first:
        standing.logged = _log(course.out, line)
        if best:
            _keep(course, learner, _card(course, learner, standing, found))
    course.say(
        f"epoch {epoch + 1}/{course.settings.epochs}  loss {line.train_loss:.4f}  validation {found.loss:.4f}, "
        f"top-1 {found.top1:.1%}{'  best' if best else ''}"
    )
    if unreadable and epoch == 0:
        named = "; ".join(unreadable[:3])
        course.say(
            f"{len(unreadable)} pictures cannot be read and do not count: {named}{'; ...' * (len(unreadable) > 3)}"
        )
    standing.loss, standing.seen, standing.unreadable = 0.0, 0, []
    _save(course, learner, standing)


def _log(out: Path, line: curve.Epoch) -> int:
    """Append a line, draw the curve again; the bytes that the file now has."""
    path = out / folder.METRICS
    with output_errors(), path.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")
    epochs = [msgspec.json.decode(text, type=curve.Epoch) for text in path.read_bytes().splitlines()]
    with folder.replacing(out / folder.CURVE) as partial:
        partial.write_text(curve.draw(epochs), "utf-8")
    return path.stat().st_size


def _keep(course: Course, learner: Learner, card: Card) -> None:
    state = {k: v.detach().cpu().contiguous() for k, v in learner.kept.state_dict().items()}
    with folder.replacing(course.out / trained.WEIGHTS) as partial:
        partial.write_bytes(serialise(state))
    _write(course.out, card)


def _write(out: Path, card: Card) -> None:
    with folder.replacing(out / RUN_CARD) as partial:
        partial.write_bytes(trained.encode(card))


def _card(course: Course, learner: Learner, standing: Standing, val: Score) -> Card:
    lessons, model = course.lessons, course.model
    data = trained.Data(
        name=Path(course.settings.data).absolute().name,
        train=lessons.train.what,
        train_pictures=len(lessons.train),
        train_stamp=lessons.train.stamp,
        val=lessons.val.what,
        val_pictures=len(lessons.val),
        val_stamp=lessons.val.stamp,
        test=lessons.test.what if lessons.test else "",
        test_pictures=len(lessons.test) if lessons.test else 0,
    )
    return Card(
        architecture=model.architecture.partition(".")[0]
        if not model.architecture.startswith("py:")
        else model.architecture,
        weights_sha256=numbers.digest(learner.kept),
        labels=lessons.labels,
        preprocess=model.preprocess,
        data=data,
        settings=plain(course.settings),
        command=course.command,
        started_from=f"{model.weights.source}, sha256 {model.weights.sha256}",
        made_with={"edgekit": __version__, "torch": str(torch.__version__), "timm": timm.__version__},
        epoch=standing.best_epoch,
        epochs=standing.step // course.steps,
        cpu_seconds=round(standing.cpu_seconds, 2),
        val=val,
        finished=False,
        licence=model.weights.licence,
    )


def _finish(course: Course, learner: Learner, standing: Standing) -> Card:
    """Measure the best epoch's weights on the test pictures, and close the run."""
    course.world.wait()
    card = trained.read(course.out)
    if standing.step < course.settings.epochs * course.steps:
        course.say(f"no better epoch in {course.settings.patience}: stopped after {standing.step // course.steps}")
    trained.fill(learner.kept, course.out, card)
    test = course.measure(learner.kept, course.lessons.test) if course.lessons.test else None
    card = msgspec.structs.replace(
        card,
        test=test,
        finished=True,
        epochs=standing.step // course.steps,
        cpu_seconds=round(standing.cpu_seconds, 2),
    )
    course.world.wait()  # others may still read
    if course.world.first:
        _write(course.out, card)
        (course.out / folder.STATE).unlink()
    return card
