"""edgekit prune"""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.export import SCHEMES
from edgekit.cli.output import INTERRUPTED, Talk, common, table
from edgekit.cli.train import kept_text, score_text, training_options

if TYPE_CHECKING:
    from edgekit.models.trained import Card

EPOCHS = 5
FILE = ("target", "int8", "scheme", "on")  # what only --keep-latency has a use for


@click.command(short_help="Make a model smaller, then fine-tune it.")
@click.argument("model")
@click.option("--keep-latency", type=float, metavar="R", help="Share of the time that the exported file may take.")
@click.option("--keep-macs", type=float, metavar="R", help="Share of the multiplications.")
@click.option("--keep-params", type=float, metavar="R", help="Share of the parameters, near that of the file's size.")
@click.option("--target", metavar="NAME", help="--keep-latency: tflite, onnx or openvino.  [default: tflite]")
@click.option("--int8", flag_value=True, default=None, type=bool, help="--keep-latency: measure the int8 file.")
@click.option(
    "--scheme", type=click.Choice(SCHEMES), help="--keep-latency: measure the file of this scheme.  [default: fp32]"
)
@click.option(
    "--on", metavar="DEVICE", help="--keep-latency: where; arm64:cortex-a76 counts instructions.  [default: local]"
)
@click.option(
    "--steps",
    type=click.IntRange(1, 20),
    metavar="N",
    default=1,
    show_default=True,
    help="How often to cut and fine-tune.",
)
@click.option(
    "--epochs",
    type=click.IntRange(0),
    metavar="N",
    default=EPOCHS,
    show_default=True,
    help="Epochs of each fine-tuning; 0: none at all.",
)
@click.option("--distill", is_flag=True, help="Learn from the whole network as well; MODEL must be a run.")
@training_options
@common
def prune(
    talk: Talk,
    model: str,
    output: str,
    resume: bool,
    fresh: bool,
    steps: int,
    epochs: int,
    distill: bool,
    keep_latency: float | None,
    keep_macs: float | None,
    keep_params: float | None,
    **flags: Any,
) -> int:
    """Make MODEL smaller: fewer channels, heads and hidden units, then fine-tune it on your images.

    MODEL is a run of `edgekit train`, or a name whose weights know the classes. How much is cut is found by trying: with
    --keep-latency each try is exported and timed beside the whole network. RUN is then a model for export, train and
    prune, and needs no pruning library. Exit code 1 where the goal cannot be met; the smallest network is kept then.

    Whole channels go, in multiples of 8, because scattered zeros save no time in these runtimes.

    \b
    Examples:
      edgekit prune runs/a --data photos/ --keep-latency 0.65 --int8 -o runs/small
      edgekit prune runs/vit --data photos/ --keep-macs 0.6 --distill -o runs/c
      edgekit prune runs/a --data photos/ --keep-latency 0.5 --on arm64 -o runs/d
    """
    from edgekit.verbs.learning import check_places, check_teaching, goal_of

    file = {name: flags.pop(name) for name in FILE}
    goal = goal_of(latency=keep_latency, macs=keep_macs, params=keep_params, **file)
    check_places(output, resume=resume, fresh=fresh)
    if not distill:
        check_teaching(flags)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as in train
    talk.loading()
    import msgspec

    from edgekit.pruning import Goal
    from edgekit.pruning.run import prune_run
    from edgekit.pruning.steps import ASKED, Steps
    from edgekit.training import Settings, folder

    settings = {k: v for k, v in flags.items() if v is not None} | {"epochs": max(epochs, 1)}
    try:
        card = prune_run(
            Goal(**goal),
            Settings(model=model, **settings),
            Path(output),
            steps=steps,
            tune=epochs > 0,
            distill=distill,
            resume=resume,
            fresh=fresh,
            command=shlex.join(["edgekit", *sys.argv[1:]]),
            say=talk.say,
            progress=lambda total: talk.progress(total, "training", "steps"),
        )
    except KeyboardInterrupt:
        saved = (Steps(Path(output)).folder / ASKED).is_file()
        talk.warn("interrupted; --resume goes on from the last save" if saved else "interrupted; nothing was saved yet")
        return INTERRUPTED
    assert card.pruned
    if not card.pruned.met:
        talk.warn(f"the goal cannot be met: this is the smallest, {card.pruned.reached:.3g} of the {card.pruned.how}")
    kept = {"run": output, "images_kept": folder.images_kept(Path(output))}
    talk.result(text(output, card), msgspec.to_builtins(card) | kept)
    talk.next(["edgekit", "export", output, "--int8", "--target", goal.get("target", "tflite")])
    return 0 if card.pruned.met else 1


def text(run: str, card: "Card") -> str:
    """What was cut, and what it costs in accuracy."""
    cut = card.pruned
    assert cut
    (macs, fewer_macs), (params, fewer_params) = cut.macs, cut.params
    whole, bare, anew = cut.val_top1
    rows = [
        ("multiplications", f"{macs / 1e6:,.1f} M -> {fewer_macs / 1e6:,.1f} M ({fewer_macs / macs:.2f})"),
        ("parameters", f"{params / 1e6:,.2f} M -> {fewer_params / 1e6:,.2f} M ({fewer_params / params:.2f})"),
        ("asked for", f"{cut.keep:.3g} of the {cut.asked}"),
        ("reached", f"{cut.reached:.3g} of the {cut.how} ({cut.cpu_class})"),
        ("validation", f"whole {whole:.1%}, cut {bare:.1%}, with its own statistics {anew:.1%}"),
    ]
    if card.epochs:
        rows.append(("fine-tuned", f"{score_text(card.val)} after {card.epochs} epochs"))
    if card.test:
        rows.append(("test", score_text(card.test)))
    return f"{run}  {card.architecture}, pruned\n{table(rows)}{kept_text(run)}"
