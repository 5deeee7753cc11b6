"""`train` and `prune`: a model learns your images, and becomes smaller."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, Unpack, overload

import msgspec

from edgekit.errors import RequestError, as_path
from edgekit.extras import needs
from edgekit.recipe import Scheme
from edgekit.verbs.asked import Place, Progress, Say, plain, silent, verb
from edgekit.verbs.asked import steps as in_steps
from edgekit.verbs.exporting import is_network

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgekit.models.trained import Card
    from edgekit.pruning import Found

QAT = {"epochs": 3, "lr": 1e-4}  # where nothing else is said
FREEZE = {"augment": "none", "epochs": 50}
TUNED = 5  # epochs after a cut
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Learning(TypedDict, total=False):
    """Fields of edgekit.training.Settings that `train` and `prune` share."""

    labels: Place
    classes: Place
    batch: int
    optimizer: str
    lr: float
    weight_decay: float
    schedule: Literal["cosine", "poly", "tanh", "none"]
    warmup: float
    augment: Literal["none", "light", "strong"]
    flip: bool
    smoothing: float
    ema: float
    val_share: float
    seed: int
    keep_images: bool
    input_size: int | tuple[int, int]
    crop_pct: float
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    channels: Literal[1, 3]
    distill_weight: float
    temperature: float
    workers: int
    threads: int
    save_every: int


class Training(Learning, total=False):
    """And those of `train` alone."""

    weights: Place
    channel_order: Literal["rgb", "bgr"]
    epochs: int
    layer_decay: float
    ignore: int
    frames: int
    frame_rate: float
    freeze: bool
    qat: bool
    patience: int
    distill: Place


@dataclass(frozen=True, repr=False)
class Trained:
    """A trained model: a folder that `export`, `train` and `prune` take for one, and what its run.toml says."""

    folder: Path
    card: "Card"

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        card = self.card
        cut = card.pruned
        smaller = f", {cut.reached:.3g} of the {cut.how}{'' if cut.met else ' (MORE than asked for)'}" if cut else ""
        tested = f", test {card.test}" if card.test else ""
        return f"Trained({str(self.folder)!r}: {card.architecture}, {card.trained_for}{smaller}, validation {card.val}{tested})"


@verb
def train(
    model: Place,
    data: Place,
    out: Place,
    *,
    scratch: bool = False,
    resume: bool = False,
    fresh: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **wishes: Unpack[Training],
) -> Trained:
    """Train a model on classes of your own, of images, of pixels (masks), of things (boxes) or of videos (frames).

    model    a name (`edgekit list models`, timm:NAME, py:package.module:function), or an earlier run
    data     class folders, idx or parquet files, images/ beside masks/, boxes, or videos in class folders; with
             train/val/test or without
    out      the folder that becomes the trained model
    scratch  start from random weights
    resume, fresh  go on with the run in `out`, with the same settings; or replace it
    wishes   epochs=5, lr=3e-4, augment="strong", freeze=True, qat=True, distill="runs/teacher", ... as
             edgekit.training.Settings has them
    say, progress  say(line); progress(done, total) in steps

    Ctrl-C leaves what was saved: `resume=True` goes on. Raises RequestError, DataError, WeightsError, MissingExtraError
    before anything is written; TrainingError.
    """
    place = _place(out, resume=resume, fresh=fresh)
    asked = settings_of(scratch=scratch, **plain(wishes, channels=3))
    with needs("train"):
        from edgekit.training import Settings
        from edgekit.training import train as run
    settings = Settings(model=os.fspath(model), data=os.fspath(data), **asked)
    card = run(
        settings,
        place,
        resume=resume,
        fresh=fresh,
        command="edgekit.train",
        say=say or silent,
        progress=in_steps(progress),
    )
    return Trained(place, card)


@overload
def prune(
    model: "nn.Module",
    examples: "Tensor",
    *,
    keep_macs: Share | None = ...,
    keep_params: Share | None = ...,
    keep_latency: Share | None = ...,
    target: str | None = ...,
    int8: bool | None = ...,
    scheme: Scheme | Literal["int8"] | None = ...,
    on: str | None = ...,
    say: Say | None = ...,
) -> "Found": ...
@overload
def prune(
    model: Place,
    *,
    data: Place,
    out: Place,
    keep_macs: Share | None = ...,
    keep_params: Share | None = ...,
    keep_latency: Share | None = ...,
    target: str | None = ...,
    int8: bool | None = ...,
    scheme: Scheme | Literal["int8"] | None = ...,
    on: str | None = ...,
    steps: Annotated[int, msgspec.Meta(ge=1, le=20)] = ...,
    epochs: Annotated[int, msgspec.Meta(ge=0)] = ...,
    distill: bool = ...,
    resume: bool = ...,
    fresh: bool = ...,
    say: Say | None = ...,
    progress: Progress | None = ...,
    **wishes: Unpack[Learning],
) -> Trained: ...
@verb
def prune(
    model: "nn.Module | str | os.PathLike[str]",
    examples: "Tensor | None" = None,
    *,
    data: Place | None = None,
    out: Place | None = None,
    keep_macs: Share | None = None,
    keep_params: Share | None = None,
    keep_latency: Share | None = None,
    target: str | None = None,
    int8: bool | None = None,
    scheme: Scheme | Literal["int8"] | None = None,
    on: str | None = None,
    steps: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1,
    epochs: Annotated[int, msgspec.Meta(ge=0)] = TUNED,
    distill: bool = False,
    resume: bool = False,
    fresh: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **wishes: Unpack[Learning],
) -> "Trained | Found":
    """Make a model smaller: fewer channels, heads and hidden units, never scattered zeros, which save no time.

    Of a network of yours: a smaller copy, to be fine-tuned by you (`module` of what is returned), from `examples`, float32
    [n, 3, h, w], on which BatchNorm's statistics are estimated anew. Of a run of `train`, or a name whose weights know the
    classes: cut and fine-tuned on `data`, and written to `out` as a run.

    keep_...  exactly one: the share of the multiplications, of the parameters, or of the time that the exported file takes
    target, int8, scheme, on  latency: which file, and on which device ("arm64:cortex-a76" counts instructions)
    steps     how often to cut and fine-tune; epochs: of each fine-tuning, 0: none
    distill   learn from the whole network as well
    wishes    as for `train`

    A goal that cannot be met is no exception: the smallest network is kept, and `met` (`card.pruned.met` of a run) is False.
    Raises RequestError, UnsupportedError, DataError, MissingExtraError.
    """
    goal = goal_of(
        macs=keep_macs, params=keep_params, latency=keep_latency, target=target, int8=int8, scheme=scheme, on=on
    )
    share, file = {f"keep_{goal['of']}": goal["keep"]}, {k: v for k, v in goal.items() if k not in ("of", "keep")}
    if examples is not None or is_network(model):
        if data is not None or out is not None or wishes:
            raise RequestError("a network in hand is fine-tuned by you", hint="prune(network, examples, keep_macs=0.5)")
        with needs("prune"):
            from edgekit import pruning
        return pruning.prune(model, examples, **share, **file, say=say or silent)  # type: ignore[arg-type]
    if data is None or out is None:
        raise RequestError("a run is pruned with images to fine-tune on", hint='data="photos", out="runs/small"')
    place, asked = _place(out, resume=resume, fresh=fresh), plain(wishes, channels=3)
    if not distill:
        check_teaching(asked)
    with needs("prune"):
        from edgekit.pruning import Goal
        from edgekit.pruning.run import prune_run
        from edgekit.training import Settings
    name = os.fspath(as_path(model, "the model"))
    card = prune_run(
        Goal(**goal),
        Settings(model=name, data=os.fspath(data), epochs=max(epochs, 1), **asked),
        place,
        steps=steps,
        tune=epochs > 0,
        distill=distill,
        resume=resume,
        fresh=fresh,
        command="edgekit.prune",
        say=say or silent,
        progress=in_steps(progress),
    )
    return Trained(place, card)


def settings_of(*, scratch: bool = False, **said: Any) -> dict[str, Any]:
    """Fields of training.Settings, None where nothing was said. Raises RequestError for what excludes each other."""
    if scratch and said.get("weights"):
        raise RequestError("--scratch and --weights exclude each other", hint="keep one of them")
    if not said.get("distill"):
        check_teaching(said)
    asked = {name: value for name, value in said.items() if value is not None}
    for unsaid in [QAT] * bool(said.get("qat")) + [FREEZE] * bool(said.get("freeze")):
        asked = unsaid | asked
    return asked | ({"weights": "random"} if scratch else {})


def check_teaching(said: Mapping[str, Any]) -> None:
    """Where there is no teacher. Raises RequestError."""
    for name in ("distill_weight", "temperature"):
        if said.get(name) is not None:
            raise RequestError(f"--{name.replace('_', '-')} means nothing without --distill", hint="--distill as well")


def check_places(out: str, *, resume: bool, fresh: bool) -> None:
    """Raises RequestError."""
    if resume and fresh:
        raise RequestError("--resume and --fresh exclude each other", hint="keep one of them")
    if not (out and Path(out).absolute().name):
        raise RequestError(f"-o '{out}' names no folder", hint="-o runs/first")


def goal_of(*, macs: float | None, params: float | None, latency: float | None, **file: Any) -> dict[str, Any]:
    """Fields of pruning.Goal: exactly one share, and for latency alone the file that is measured. Raises RequestError."""
    shares = {"latency": latency, "macs": macs, "params": params}
    said = {of: keep for of, keep in shares.items() if keep is not None}
    if len(said) != 1:
        raise RequestError("how small?", hint="one of --keep-latency 0.65, --keep-macs 0.5 and --keep-params 0.5")
    file = {name: value for name, value in file.items() if value is not None}
    if file and "latency" not in said:
        raise RequestError(f"--{next(iter(file))} means nothing without --keep-latency", hint="--keep-latency 0.65")
    if "int8" in file:
        if "scheme" in file:
            raise RequestError("--int8 and --scheme exclude each other", hint="keep one of them")
        file["scheme"] = "int8" if file.pop("int8") else "fp32"
    ((of, keep),) = said.items()
    return {"keep": keep, "of": of, **file}


def _place(out: Place, *, resume: bool, fresh: bool) -> Path:
    check_places(os.fspath(out), resume=resume, fresh=fresh)
    return Path(out)
