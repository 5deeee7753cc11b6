"""edgekit tune"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.export import preprocessing
from edgekit.cli.output import INTERRUPTED, Talk, common, table

if TYPE_CHECKING:
    from edgekit.tuning import Tuned


@click.command(short_help="The best file under a budget.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL|RUN...")
@click.option("--data", required=True, metavar="DIR", help="Images with labels, as edgekit eval takes them.")
@click.option("--split", type=click.Choice(["test", "val", "train"]), help="Which part of the data.")
@click.option("--data-labels", metavar="FILE", help="What is on the images: .csv, .json, .jsonl or .txt.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="A seeded sample of so many images.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Several with commas.  [default: all]")
@click.option(
    "--max-loss",
    type=float,
    metavar="POINTS",
    help="Points of top-1, mIoU, mAP or 1-NN that may be lost against fp32.  [default: 0.5, without another limit]",
)
@click.option("--keep-latency", type=float, metavar="RATIO", help="CPU time over fp32's at most, on every device: 0.6.")
@click.option("--max-size", type=float, metavar="MB", help="Megabytes that the file may have.")
@click.option("--on", "devices", multiple=True, metavar="DEVICE", help="Several with commas.  [default: local]")
@click.option(
    "--evaluations",
    type=int,
    default=12,
    show_default=True,
    metavar="N",
    help="Files that are built for each target at most, beside fp32.",
)
@click.option("--hours", type=float, metavar="H", help="After so long no further file is begun.")
@click.option("--space", metavar="FILE.toml", help="More recipes to try (docs/tune.md).")
@click.option("--weights", metavar="W", help="As edgekit export takes them.  [default: auto]")
@click.option("--calibration", metavar="DIR", help="A folder of images, for int8 and the proof.  [default: built in]")
@click.option("--samples", type=click.IntRange(1), metavar="N", help="How many images calibrate.  [default: 128]")
@click.option("--labels", metavar="FILE", help="Names of the classes: lines, JSON or YAML.")
@preprocessing
@click.option("-o", "--output", metavar="DIR", help="Where everything goes.  [default: build/MODEL-tuned]")
@click.option("--retry", is_flag=True, help="Try once more what failed before.")
@common
def tune(talk: Talk, models: tuple[str, ...], output: str | None, **said: Any) -> int:
    """Find the quickest file that loses no more, takes no longer and is no larger than it may, for each target.

    Recipes are built and compared with fp32 on one half of the images; the few that are left are confirmed on the other half,
    whose figures alone are told. Further runs are weights to try: pruned, or trained with --qat. A second run builds nothing, a
    stopped one goes on. Exit code: 0 budgets met, 1 missed (the best is kept), 5 undecided.

    \b
    Examples:
      edgekit tune mobilenetv2 --data fashion-mnist/ --target tflite,onnx
      edgekit tune runs/mine --data photos/ --max-loss 1 --keep-latency 0.6
      edgekit tune runs/mine runs/qat --data photos/ --max-size 3 --evaluations 20
      edgekit tune runs/mine --data photos/ --on local,arm64:cortex-a76
    """
    from edgekit.tuning import page
    from edgekit.tuning.asking import tune as ask

    found, budget = ask(
        models,
        out=Path(output) if output else None,
        say=talk.say,
        steps=lambda total: talk.progress(total, "building and measuring", "files"),
        **said,
    )
    if found.cut:
        talk.warn("interrupted; what was made is kept, and the same command goes on from there")
        return INTERRUPTED
    talk.result(text(found), page.document(found, budget))
    for note in found.notes:
        talk.warn(note)
    return {"met": 0, "missed": 1, "undecided": 5}[found.verdict]


def text(found: "Tuned") -> str:
    """For each target the front, what is taken and why; then the recipe that serves all."""
    from edgekit.tuning import page

    lines = []
    for choice in found:
        if rows := page.rows(choice):
            lines.append(table(rows, header=page.header(choice, found.headline)))
        elif choice.error:
            lines.append(choice.target)
        lines += [f"  {part}" for part in page.sentence(choice, found.headline).split("; ")]
        if choice.verdicts:
            lines.append(f"  {page.budgets(choice)}")
        lines += [f"  {choice.artifact}" if choice.artifact else "", ""]
    if len(found) > 1:
        lines.append(
            f"one recipe for all: {found.one}" if found.one else "no one recipe meets every budget in every target"
        )
    lines += [str(found.report)] if found.report else []
    return "\n".join(lines).replace("\n\n\n", "\n\n")
