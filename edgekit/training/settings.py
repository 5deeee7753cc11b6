"""What a training run was asked to do; two runs with equal settings and data are equal."""

import math
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from edgekit.errors import RequestError, UnknownNameError
from edgekit.recipe import Recipe, full, in_channels
from edgekit.recipe import check as check_recipe

Augment = Literal["none", "light", "strong"]
Schedule = Literal["cosine", "poly", "tanh", "none"]
AUGMENTS: tuple[Augment, ...] = get_args(Augment)
PLACES = ("model", "weights", "data", "labels", "classes", "distill")  # what can be a file or a folder
# What changes how fast a run is, not what comes out. `threads` may change the last bits.
PACE = ("workers", "threads", "save_every")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    weights         as for export: auto, imagenet, package, bundled, random (from scratch), a file, a run
    channel_order   YOLOX with a file of weights: what these learned, as for export
    labels, classes   files: what is on the images; the names of the classes, one a line
    batch           images in a step, over all processes together
    optimizer       a name that timm knows
    lr, layer_decay   the peak rate; each layer further from the head has it multiplied by layer_decay once more
    warmup          share of all steps in which the rate rises
    smoothing       of labels, 0..1
    ema             decay of the averaged weights, which are then the ones kept; 0: none
    ignore          of masks: the value of pixels that nobody labelled; -1: there are none
    freeze          train the head alone
    qat             quantization-aware: learn with numbers rounded as an int8 file rounds them
    val_share       of the training images, where the data have no split "val"
    keep_images   160 of the training images in the run, for int8 and the proof of its exports
    patience        epochs without a better one that end the run; 0: never
    channels        1: the network takes grey images, as for export
    frames, frame_rate   of a network that takes clips, as for export; --data then holds videos
    distill         a run whose answers are learned too, with distill_weight, at a temperature
    workers         processes that read images, for each process that trains
    threads         that compute; 0: as torch decides
    save_every      steps between two saves of the whole state
    """

    model: str
    data: str
    weights: str = "auto"
    channel_order: Literal["rgb", "bgr"] | None = None
    labels: str | None = None
    classes: str | None = None
    epochs: int = 10
    batch: int = 64
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float | None = None
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    augment: Augment = "light"
    flip: bool = True
    smoothing: float = 0.1
    ema: float = 0.0
    ignore: int = 255
    freeze: bool = False
    qat: bool = False
    val_share: float = 0.1
    patience: int = 0
    seed: int = 0
    keep_images: bool = True
    input_size: tuple[int, int] | None = None
    crop_pct: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: Literal[1, 3] | None = None
    frames: int | None = None
    frame_rate: float | None = None
    distill: str | None = None
    distill_weight: float = 0.7
    temperature: float = 3.0
    workers: int = 2
    threads: int = 0
    save_every: int = 200

    def recipe(self, task: Literal["auto", "segmentation", "detection"] = "auto") -> Recipe:
        """The model that the first step begins with."""
        return Recipe(
            model=self.model,
            target="torch",
            task=task,
            weights=self.weights,
            channel_order=self.channel_order,
            seed=self.seed,
            input_size=self.input_size,
            crop_pct=self.crop_pct,
            mean=in_channels(self.mean, self.channels),
            std=in_channels(self.std, self.channels),
            channels=self.channels,
            frames=self.frames,
            frame_rate=self.frame_rate,
        )


LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, math.inf), "batch": (2, math.inf), "lr": (1e-12, 100), "weight_decay": (0, 100),
    "layer_decay": (1e-6, 1), "warmup": (0, 0.9), "smoothing": (0, 0.99), "ema": (0, 0.999999), "val_share": (1e-6, 0.9),
    "patience": (0, math.inf), "seed": (0, 2**32 - 1), "distill_weight": (0, 1), "temperature": (1e-3, 1000),
    "workers": (0, 64), "threads": (0, 1024), "save_every": (1, math.inf), "ignore": (-1, 255),
}  # fmt: skip


def check(settings: Settings) -> Settings:
    """Refuse what cannot be meant. Raises RequestError, UnknownNameError."""
    from timm.optim import list_optimizers

    check_recipe(settings.recipe())
    for name, (low, high) in LIMITS.items():
        value = getattr(settings, name)
        if value is not None and not low <= value <= high:
            flag = name.replace("_", "-")
            bounds = f"at least {low:g}" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise RequestError(f"--{flag} is {value}", hint=f"a number {bounds}")
    if settings.qat and (settings.freeze or settings.weights == "random"):
        raise RequestError(
            f"--qat comes after training, and --{'freeze' if settings.freeze else 'scratch'} is before it",
            hint="a first run without --qat, then edgekit train RUN --qat",
        )
    if settings.optimizer not in list_optimizers():
        raise UnknownNameError(
            "optimizer", settings.optimizer, list_optimizers(), hint="--optimizer adamw, sgd or lion"
        )
    return settings


def plain(settings: Settings) -> dict[str, Any]:
    """For TOML and for comparing: without what is not set; sizes as text."""
    said = {k: v for k, v in full(settings).items() if v is not None}
    return {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in said.items()}


def _place(name: str, value: Any) -> Any:
    """A folder is the same however it is spelled."""
    return Path(value).resolve() if name in PLACES and isinstance(value, str) else value


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """`lr 0.001, now 0.01`, for every setting that has a say in the result."""
    unsaid = {f.name: f.default for f in msgspec.structs.fields(Settings) if isinstance(f.default, int | float | str)}
    before = {k: v for k, v in unsaid.items() if k in now} | before  # a run of an edgekit that had fewer settings
    names = [k for k in before | now if k not in PACE and _place(k, before.get(k)) != _place(k, now.get(k))]
    return [f"{k} was {before.get(k, 'not set')}, now {now.get(k, 'not set')}" for k in names]
