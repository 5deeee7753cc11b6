"""A run apart from its numbers: what does not change in it, and where it stands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import numpy as np
import timm
import torch
from torch import nn

from edgekit import __version__, zoo
from edgekit.data import DataSet, Splits, open_splits, stamps
from edgekit.data.boxes import boxed_in
from edgekit.data.files import below, is_video
from edgekit.data.labels import read_names
from edgekit.data.masks import masked_in
from edgekit.data.training_splits import open_boxed_splits, open_clip_splits, open_masked_splits
from edgekit.data.video import WINDOWS
from edgekit.errors import RequestError, UnreadableError
from edgekit.manifest import TrainedOn
from edgekit.models import LoadedModel, heads, trained
from edgekit.models.trained import Card, Score
from edgekit.models.weights import digest
from edgekit.tasks import name_of
from edgekit.training import batches, randomness
from edgekit.training.batches import Batch
from edgekit.training.frozen import Frozen
from edgekit.training.learner import score
from edgekit.training.objective import Objective
from edgekit.training.settings import Settings, plain
from edgekit.training.world import World

Say = Callable[[str], None]


def held_in(settings: Settings) -> Literal["masks", "boxes", "classes", "clips"]:
    """What the data say of each image; "clips": they are videos, with a class each."""
    data = Path(settings.data)
    if takes_clips(settings):
        return "clips"
    if settings.labels is None and data.is_dir():
        if masked_in(data):
            return "masks"
        if boxed_in(data):
            return "boxes"
    return "classes"


def takes_clips(settings: Settings) -> bool:
    """As the settings say, or the run that they go on from."""
    runs = (name for name in (settings.model, settings.weights) if zoo.is_run(name))
    return bool(settings.frames) or any(trained.read(Path(run)).preprocess.is_clip for run in runs)


def splits_of(settings: Settings) -> Splits:
    """The images that the settings name, with a class, a mask or boxes each. Raises DataError, RequestError."""
    named = read_names(Path(settings.classes), "--classes") if settings.classes else None
    said = (named.said(str(settings.classes)),) if named else ()
    data, held = Path(settings.data), held_in(settings)
    if held == "masks":
        splits = open_masked_splits(
            data,
            named.names if named else _names_of_masks(settings.model),
            ignore=settings.ignore if settings.ignore >= 0 else None,
            val_share=settings.val_share,
            seed=settings.seed,
        )
    elif held == "boxes":
        splits = open_boxed_splits(
            data, named.names if named else None, val_share=settings.val_share, seed=settings.seed
        )
    else:
        if held == "classes":
            _check_no_videos(data)
        splits = (open_clip_splits if held == "clips" else open_splits)(
            data,
            labels_file=Path(settings.labels) if settings.labels else None,
            classes=named.names if named else None,
            val_share=settings.val_share,
            seed=settings.seed,
        )
    return replace(splits, notes=(*said, *splits.notes))


def _check_no_videos(data: Path) -> None:
    """Say how videos are learned from, where there is nothing else. Raises RequestError."""
    if not data.is_dir():
        return
    files = (path for path in below(data) if path.is_file())
    if (first := next(files, None)) and is_video(first) and all(map(is_video, files)):
        raise RequestError(
            f"{data} holds videos", hint="--frames 8 --frame-rate 8, with a network that takes clips; else images"
        )


def _names_of_masks(model: str) -> tuple[str, ...]:
    """Those of an earlier run. Raises RequestError."""
    if zoo.is_run(model):
        return trained.read(Path(model)).labels
    raise RequestError(
        "masks hold the numbers of classes, and nothing names them", hint="--classes FILE: of 0, 1, 2 ... a line each"
    )


@dataclass
class TrainingProgress:
    """Where a run stands.

    step, loss, seen, unreadable   steps done; of the epoch at hand: sum of losses, images, what could not be read
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
class Setup:
    """What does not change in a run.

    frozen  of a body that does not learn: it is asked once about each image
    """

    settings: Settings
    out: Path
    splits: Splits
    model: LoadedModel
    objective: Objective
    command: str
    world: World
    say: Say
    frozen: Frozen | None = None

    @property
    def steps(self) -> int:
        """In an epoch."""
        return batches.steps_of(len(self.splits.train), self.settings.batch)

    @cached_property
    def trained_on(self) -> TrainedOn:
        """With what the weights, and the teacher, had learned from before. Reads every image once."""
        asked, splits = self.settings, self.splits
        own = stamps.stamp(splits.train, splits.val, asked.val_share, asked.seed)
        teacher = trained.read(Path(asked.distill)).trained_on if asked.distill else None
        return stamps.united(own, self.model.trained_on, teacher)

    def batches(self, epoch: int, skip: int) -> Iterator[Batch]:
        """This process's share of an epoch's batches, from one on."""
        asked, train, objective = self.settings, self.splits.train, self.objective
        parts = batches.epoch_batches(len(train), asked, epoch)[skip:]
        mine = [part[self.world.rank :: self.world.size] for part in parts]
        if self.frozen:
            return self.frozen.batches(train, mine)
        seed = (asked.seed, randomness.VIEW, epoch)
        return batches.stream(train, mine, objective.random, objective.nothing, asked.workers, seed)

    def looks(self, data: DataSet) -> Iterator[Batch]:
        """This process's share of all images, as the exported model will see them."""
        asked, objective = self.settings, self.objective
        at_once = max(1, asked.batch // (WINDOWS if self.model.preprocess.is_clip else 1))
        parts = np.array_split(np.arange(len(data)), batches.steps_of(len(data), at_once))
        mine = parts[self.world.rank :: self.world.size]
        if not mine:
            return iter(())
        if self.frozen:
            return self.frozen.batches(data, mine)
        return batches.stream(data, mine, objective.plain, objective.nothing, asked.workers, (asked.seed,))

    def measure(self, module: nn.Module, data: DataSet) -> Score:
        self.world.agree(module)
        judged = heads.head(module) if self.frozen else module
        found = score(judged, self.objective, self.looks(data), self.world)
        if not found.pictures:
            raise UnreadableError(f"none of the {len(data)} {data.what} can be read", hint="other --data")
        return found

    def card(self, kept: nn.Module, reached: TrainingProgress, val: Score) -> Card:
        """What is written down of the best epoch so far."""
        splits, model = self.splits, self.model
        data = trained.Data(
            name=Path(self.settings.data).absolute().name,
            train=splits.train.what,
            train_pictures=len(splits.train),
            train_stamp=splits.train.stamp,
            val=splits.val.what,
            val_pictures=len(splits.val),
            val_stamp=splits.val.stamp,
            test=splits.test.what if splits.test else "",
            test_pictures=len(splits.test) if splits.test else 0,
        )
        return Card(
            architecture=model.architecture.partition(".")[0]
            if not model.architecture.startswith("py:")
            else model.architecture,
            weights_sha256=digest(kept),
            labels=splits.labels,
            preprocess=model.preprocess,
            data=data,
            settings=plain(self.settings),
            command=self.command,
            started_from=f"{model.weights.source}, sha256 {model.weights.sha256}",
            made_with={"edgekit": __version__, "torch": str(torch.__version__), "timm": timm.__version__},
            epoch=reached.best_epoch,
            epochs=reached.step // self.steps,
            cpu_seconds=round(reached.cpu_seconds, 2),
            val=val,
            finished=False,
            pruned=model.pruned,
            licence=model.weights.licence,
            trained_on=self.trained_on,
            task=cast(trained.Kind, name_of(model.task)),
            features=heads.features(model.module),
        )
