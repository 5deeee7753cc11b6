"""What `edgekit train` leaves: a folder with weights.safetensors and run.toml, which says how to make the model again.

run.toml             the Card below
weights.safetensors  of the best epoch on the validation images
calibration/         a few of the training images, for int8 and the proof, where they were not unwanted
metrics.jsonl        a line for each epoch; curve.svg draws it
training.pt          the whole state, while the run is not finished
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import msgspec.toml
from torch import nn

from edgekit import reading
from edgekit.errors import UnsupportedError, WeightsError
from edgekit.manifest import TrainedOn
from edgekit.models import checkpoints, functions, heads, networks, shapes, weights
from edgekit.preprocess import Preprocess
from edgekit.tasks.iou import UNLABELLED
from edgekit.zoo import RUN_CARD

Kind = Literal["classification", "segmentation", "detection"]  # of a task that train knows
WEIGHTS, PICTURES = "weights.safetensors", "calibration"


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one split. Shares, by the task: top1; miou at the input's size; map and ap50, COCO's average precision over ten
    overlaps and at 0.5, in pixels of the input. loss: mean over images."""

    loss: float
    pictures: int
    unreadable: int = 0
    top1: float | None = None
    miou: float | None = None
    map: float | None = None
    ap50: float | None = None

    @property
    def share(self) -> float:
        """What the best epoch has most of."""
        return next((share for share in (self.top1, self.miou, self.map) if share is not None), 0.0)

    def __str__(self) -> str:
        if self.ap50 is not None:
            return f"mAP {self.share:.1%} (AP50 {self.ap50:.1%})"
        return f"{'mIoU' if self.top1 is None else 'top-1'} {self.share:.1%}"


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which images: `name` is the folder's own; a stamp changes when the images or their labels do."""

    name: str
    train: str
    train_pictures: int
    train_stamp: str
    val: str
    val_pictures: int
    val_stamp: str
    test: str = ""
    test_pictures: int = 0


class Pruned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `edgekit prune` did; pairs are of the whole network and of this one.

    model     what was cut, as it was named, and the digest of its weights
    asked     what was counted; keep: the share of it that was asked for, reached: that is left
    how       it was counted, and cpu_class: where
    met       False: no cut was deep enough, and this is the deepest
    macs      multiplications with additions for one image
    val_top1  of the whole network, after the cut, and with BatchNorm's statistics anew; all before fine-tuning
    """

    model: str
    model_sha256: str
    asked: str
    keep: float
    how: str
    reached: float
    met: bool
    macs: tuple[int, int]
    params: tuple[int, int]
    val_top1: tuple[float, float, float]
    cpu_class: str


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """run.toml. Everything that makes the model again, and where its numbers are from.

    architecture  timm's name, or py:package.module:function
    started_from  the weights that the first step began with
    settings      as `edgekit.training.Settings` has them
    finished      False: later epochs may be better
    pruned        its layers are narrower than the architecture's: the weights' shapes say how wide
    task          of the architecture's answers
    features      of a `py:` network that answers features, and has a head of ours behind it: how many; else 0
    """

    architecture: str
    weights_sha256: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    data: Data
    settings: dict[str, str | int | float | bool]
    command: str
    started_from: str
    made_with: dict[str, str]
    epoch: int
    epochs: int
    cpu_seconds: float
    val: Score
    finished: bool
    test: Score | None = None
    pruned: Pruned | None = None
    licence: str = ""
    trained_on: TrainedOn | None = None
    task: Kind = "classification"
    features: int = 0
    schema: Literal[1] = 1

    @property
    def trained_for(self) -> str:
        return f"{len(self.labels)} classes of {self.data.name}"

    @property
    def ignored(self) -> int | None:
        """The value of a mask's pixels without a label. Cards of classifiers, and older ones, say nothing of it."""
        value = int(self.settings.get("ignore", UNLABELLED))
        return value if value >= 0 else None


def read(folder: Path) -> Card:
    """Raises WeightsError for a card that this version does not understand."""
    path = folder / RUN_CARD
    try:
        return reading.toml(path, Card)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}", hint="a folder that edgekit train made"
        ) from None
    except reading.Malformed as error:
        raise WeightsError(f"{path}: {error}", hint="train it again, or a newer edgekit") from None


def beside(file: Path) -> TrainedOn | None:
    """What the weights of a run have learned from, where a file of weights is one's."""
    is_run = file.name == WEIGHTS and (file.parent / RUN_CARD).is_file()
    return read(file.parent).trained_on if is_run else None


def encode(card: Card) -> bytes:
    """As TOML, without what is not there (TOML has no null)."""
    return msgspec.toml.encode(_without_none(msgspec.to_builtins(card)))


def bare(card: Card) -> nn.Module:
    """The module without its numbers."""
    if card.architecture.startswith("py:"):
        made = functions.make(card.architecture, empty=True)
        if card.features:
            return heads.Headed(made, card.features, len(card.labels))
        with suppress(UnsupportedError):  # no head that another can take the place of: it has learned with its own
            return heads.set_classes(made, len(card.labels)) if card.task == "classification" else made
        return made
    return networks.create(card.architecture, card.preprocess.input_size, num_classes=len(card.labels))


def fill(module: nn.Module, folder: Path, card: Card) -> None:
    """Load the run's weights. Raises WeightsError where they are not those of the card."""
    state = checkpoints.read_state(folder / WEIGHTS)
    if card.pruned:
        shapes.resize(module, state)
    weights.load_into(module, state, str(folder / WEIGHTS))
    if weights.digest(module.float()) != card.weights_sha256:
        raise WeightsError(
            f"{folder / WEIGHTS} is not what {RUN_CARD} was written for",
            hint="a copy of the whole folder; a run that was cut short goes on with edgekit train ... --resume",
        )


def _without_none(value: Any) -> Any:
    return {k: _without_none(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value
