"""A run that goes on: what is saved of it, and whether it is the run that is asked for."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.data import Splits
from edgekit.errors import RequestError
from edgekit.models import trained
from edgekit.models.trained import Card
from edgekit.places import output_errors
from edgekit.training import folder
from edgekit.training.learner import Learner
from edgekit.training.settings import Settings, differences, plain
from edgekit.training.setup import Setup, TrainingProgress

State = dict[str, Any]  # what training.pt holds


def earlier(out: Path) -> Card | State:
    """The card of a finished run, or the last state of one that is not."""
    return folder.load_state(out) if (out / folder.STATE).is_file() else trained.read(out)


def check_same(out: Path, before: Card | State, settings: Settings, splits: Splits) -> None:
    """Raises RequestError that names what differs from the run that is to go on."""
    if isinstance(before, Card):
        asked, stamps = before.settings, [before.data.train_stamp, before.data.val_stamp]
    else:
        asked, stamps = before["settings"], before["stamps"]
    changed = differences(asked, plain(settings))
    if stamps != _stamps(splits):
        changed.append("the images or their labels have changed")
    if changed:
        raise RequestError(
            f"{out} was begun with other settings: {'; '.join(changed)}",
            hint="the same settings, or --fresh to start over",
        )


def go_on(setup: Setup, learner: Learner, state: State) -> TrainingProgress:
    """Where the run was saved last."""
    learner.restore(state["learner"])
    reached = TrainingProgress(**state["standing"])
    if reached.best and "top1" in reached.best:  # of an edgekit that trained classifiers alone
        reached.best["share"] = reached.best.pop("top1")
    if setup.world.first:
        with output_errors(), (setup.out / folder.METRICS).open("ab") as file:  # lines of steps that are done again
            file.truncate(reached.logged)
    setup.say(f"resumed at step {reached.step:,} of {setup.settings.epochs * setup.steps:,}")
    return reached


def save(setup: Setup, learner: Learner, reached: TrainingProgress) -> None:
    """All that the next step depends on."""
    if setup.world.first:
        state = {
            "schema": 1,
            "settings": plain(setup.settings),
            "stamps": _stamps(setup.splits),
            "learner": learner.state(),
            "standing": asdict(reached),
        }
        folder.save_state(setup.out, state)


def _stamps(splits: Splits) -> list[str]:
    return [splits.train.stamp, splits.val.stamp]
