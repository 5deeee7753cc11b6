"""edgekit train"""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.export import preprocessing
from edgekit.cli.output import INTERRUPTED, Talk, common

if TYPE_CHECKING:
    from edgekit.models.trained import Card, Score


TRAINING_OPTIONS = (
    click.option(
        "--data",
        required=True,
        metavar="DIR",
        help="Class folders, idx or parquet files, or images/ beside masks/, or boxes; videos; with train/val/test or without.",
    ),
    click.option("-o", "--output", required=True, metavar="RUN", help="The folder that becomes the trained model."),
    click.option("--distill-weight", type=float, metavar="W", help="The teacher's share of the loss.  [default: 0.7]"),
    click.option("--temperature", type=float, metavar="T", help="Temperature that softens both answers.  [default: 3]"),
    click.option(
        "--channels",
        type=click.Choice(["1", "3"]),
        callback=lambda _, __, said: said and int(said),
        help="1: MODEL takes grey images.  [default: as MODEL says]",
    ),
    click.option("--labels", metavar="FILE", help="What is on the images: .csv, .json, .jsonl or .txt."),
    click.option("--classes", metavar="FILE", help="Names of the classes, in their order: lines, JSON or YAML."),
    click.option(
        "--val-share",
        type=float,
        metavar="S",
        help="Share of the training images to select the best epoch on.  [default: 0.1]",
    ),
    click.option("--batch", type=int, metavar="N", help="Images in a step.  [default: 64]"),
    click.option("--lr", type=float, metavar="R", help="Peak learning rate.  [default: 0.001]"),
    click.option("--optimizer", metavar="NAME", help="An optimizer of timm.  [default: adamw]"),
    click.option("--weight-decay", type=float, metavar="D", help="Weight decay.  [default: 0.05]"),
    click.option(
        "--schedule",
        type=click.Choice(["cosine", "poly", "tanh", "none"]),
        help="How the learning rate falls.  [default: cosine]",
    ),
    click.option(
        "--warmup", type=float, metavar="S", help="Share of steps in which the learning rate rises.  [default: 0.05]"
    ),
    click.option(
        "--augment",
        type=click.Choice(["none", "light", "strong"]),
        help="Crops; strong: RandAugment.  [default: light]",
    ),
    click.option("--flip/--no-flip", default=None, help="Mirror half of the images; not for text.  [default: flip]"),
    click.option("--smoothing", type=float, metavar="S", help="Label smoothing.  [default: 0.1]"),
    click.option(
        "--ema", type=float, metavar="D", help="Keep averaged weights, decay such as 0.999.  [default: 0, none]"
    ),
    click.option("--seed", type=int, metavar="N", help="Seed of weights, order and augmentation.  [default: 0]"),
    click.option(
        "--no-keep-images",
        "keep_images",
        flag_value=False,
        default=None,
        type=bool,
        help="Leave no training images in RUN; exports of it then want --calibration.",
    ),
    click.option("--workers", type=int, metavar="N", help="Processes that read images.  [default: 2]"),
    click.option("--threads", type=int, metavar="N", help="Threads that compute.  [default: as torch decides]"),
    click.option("--save-every", type=int, metavar="N", help="Steps between two saves of the state.  [default: 200]"),
    click.option("--resume", is_flag=True, help="Go on with the run in -o, with the same settings."),
    click.option("--fresh", is_flag=True, help="Replace the run in -o."),
)


class Ignored(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """0 to 255, or none: -1."""

    name = "number or none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "none":
            return -1
        if not str(value).isdecimal() or int(value) > 255:
            self.fail(f"{value} is not a number from 0 to 255, or none", param, ctx)
        return int(value)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a run learns from and how: the options of train, and of the fine-tuning after a cut."""
    command = preprocessing(command)
    for option in reversed(TRAINING_OPTIONS):
        command = option(command)
    return command


@click.command(short_help="Train a model on your own images.")
@click.argument("model")
@training_options
@click.option("--epochs", type=int, metavar="N", help="Times through the images.  [default: 10]")
@click.option(
    "--weights", metavar="W", help="Start from: auto, imagenet, package, bundled, a file or a run.  [default: auto]"
)
@click.option(
    "--channel-order",
    type=click.Choice(["rgb", "bgr"]),
    help="YOLOX with --weights FILE: what these were trained on.  [default: bgr, as the published ones]",
)
@click.option("--scratch", is_flag=True, help="Start from random weights.")
@click.option(
    "--freeze",
    flag_value=True,
    default=None,
    type=bool,
    help="Train the new head alone. Without --augment the body sees each image once, and 50 epochs take seconds.",
)
@click.option(
    "--qat",
    flag_value=True,
    default=None,
    type=bool,
    help="Quantization-aware: MODEL is a trained run; 3 epochs at 0.0001 where nothing else is said.",
)
@click.option("--distill", metavar="RUN", help="Learn from a teacher of the same classes as well.")
@click.option(
    "--patience", type=int, metavar="N", help="Stop after so many epochs without a better one.  [default: 0, never]"
)
@click.option(
    "--ignore",
    type=Ignored(),
    metavar="N",
    help="The value of a mask's pixels without a label, or none.  [default: 255]",
)
@click.option("--frames", type=int, metavar="N", help="MODEL takes clips of so many frames: --data holds videos.")
@click.option("--frame-rate", type=float, metavar="R", help="How many of a clip's frames are a second.")
@click.option(
    "--layer-decay",
    type=float,
    metavar="D",
    help="Decay of the learning rate from layer to layer; 0.75 suits a pretrained ViT.",
)
@common
def train(talk: Talk, model: str, output: str, scratch: bool, resume: bool, fresh: bool, **flags: Any) -> int:
    """Train MODEL on your own classes, of images, of pixels (masks), of things (boxes) or of videos: transfer learning, or from scratch.

    MODEL is a name from `edgekit list models`, timm:NAME, py:package.module:function, or an earlier run. The folder RUN
    is then a model: `edgekit export RUN`. A killed run goes on where it was saved, bit for bit on a CPU.

    \b
    Examples:
      edgekit train efficientnet_lite0 --data photos/ --epochs 5 -o runs/big
      edgekit train mobilenetv2_050 --data photos/ --distill runs/big -o runs/a
      edgekit train timm:resnet50 --data photos/ --freeze -o runs/head
      edgekit train unet_micro --data roads/ --classes roads.txt -o runs/roads
      edgekit train yolox_nano --data boxes/ --epochs 50 --batch 16 -o runs/boxes
      edgekit train py:nets:tsm --frames 8 --frame-rate 8 --data videos/ -o runs/c
      edgekit train vit_tiny --data photos/ --layer-decay 0.75 -o runs/vit
      torchrun --nproc-per-node 2 -m edgekit train vit_tiny --data photos/ -o two
    """
    from edgekit.verbs.learning import check_places, settings_of

    asked = settings_of(scratch=scratch, **flags)
    check_places(output, resume=resume, fresh=fresh)
    # torch's idle threads spin: on a busy machine that can cost more than the training itself
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    talk.loading()
    import msgspec

    from edgekit.training import Settings, folder
    from edgekit.training import train as run

    try:
        card = run(
            Settings(model=model, **asked),
            Path(output),
            resume=resume,
            fresh=fresh,
            command=shlex.join(["edgekit", *sys.argv[1:]]),
            say=talk.say,
            progress=lambda total: talk.progress(total, "training", "steps"),
        )
    except KeyboardInterrupt:
        saved = Path(output, folder.STATE).is_file()
        talk.warn(
            f"interrupted; --resume goes on from the last save in {output}"
            if saved
            else "interrupted; nothing was saved yet"
        )
        return INTERRUPTED
    if os.environ.get("RANK", "0") == "0":
        kept = {"run": output, "images_kept": folder.images_kept(Path(output))}
        talk.result(text(output, card), msgspec.to_builtins(card) | kept)
        talk.next(["edgekit", "export", output, "--int8", "--target", "tflite"])
    return 0


def text(run: str, card: "Card") -> str:
    """What was made, and how good it is."""
    units = card.preprocess.files
    said = f"  validation: {score_text(card.val, units)}, the best of {card.epochs} epochs (epoch {card.epoch})"
    if card.test:
        said += f"\n  test: {score_text(card.test, units)}"
    else:
        said += f"\n  no test {units}: the figure above chose the epoch, so it is too good"
    return f"{run}  {card.architecture}, {card.trained_for}\n{said}{kept_text(run, units)}"


def kept_text(run: str, units: str = "images") -> str:
    """Whose images whoever gets the run gets too."""
    from edgekit.training.folder import images_kept

    count = images_kept(Path(run))
    what = f"{count} training images" if units == "images" else f"windows of {count} training videos"
    kept = f"calibration/ holds copies of {what}, for exports:"
    return f"\n  {kept}\n  remove it before you pass the run on, or train with --no-keep-images" if count else ""


def score_text(score: "Score", units: str = "images") -> str:
    lost = f", {score.unreadable} cannot be read" if score.unreadable else ""
    return f"{score} of {score.pictures:,} {units}{lost}"
