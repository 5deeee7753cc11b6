"""edgekit benchmark"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.export import preprocessing
from edgekit.cli.output import INTERRUPTED, Talk, common, table

if TYPE_CHECKING:
    from edgekit.candidates import Benchmark, Candidate


@click.command(short_help="Every target and scheme in one table.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL|RUN|ARTIFACT...")
@click.option(
    "--data", metavar="DIR", help="Images with labels, as edgekit eval takes them: how often is each file right?"
)
@click.option("--split", type=click.Choice(["test", "val", "train"]), help="Which part of the data.")
@click.option("--data-labels", metavar="FILE", help="What is on the images: .csv, .json, .jsonl or .txt.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="A seeded sample of so many images.")
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="As edgekit export takes them.  [default: all]"
)
@click.option("--scheme", "schemes", multiple=True, metavar="S", help="Several with commas.  [default: every one]")
@click.option(
    "--within",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="Name the quickest file that surely loses no more than so many points.",
)
@click.option("--weights", metavar="W", help="As edgekit export takes them.  [default: auto]")
@click.option("--calibration", metavar="DIR", help="A folder of images, for int8 and the proof.  [default: built in]")
@click.option("--samples", type=click.IntRange(1), metavar="N", help="How many images calibrate.  [default: 128]")
@click.option("--labels", metavar="FILE", help="Names of the classes: lines, JSON or YAML.")
@preprocessing
@click.option(
    "--runs", type=click.IntRange(1), metavar="N", default=100, show_default=True, help="Timed inferences of each."
)
@click.option(
    "--launches", type=click.IntRange(1), metavar="N", default=5, show_default=True, help="Fresh processes of each."
)
@click.option("-o", "--output", metavar="DIR", help="Where everything goes.  [default: build/MODEL-benchmark]")
@click.option("--retry", is_flag=True, help="Try once more what failed before.")
@click.option("--fresh", is_flag=True, help="Make everything anew.")
@common
def benchmark(talk: Talk, models: tuple[str, ...], data: str | None, output: str | None, **said: Any) -> int:
    """Export a model for every target in every scheme; prove, time and evaluate the files; show them in one table.

    Below it, and in a report, stands the best for each wish. Artifacts are compared as they are. A stopped run goes on,
    and a second one makes only what has changed. (Of a py: network it sees changes of that file, not of what the file
    imports: --fresh.)

    \b
    Examples:
      edgekit benchmark mobilenetv2 --data fashion-mnist/ --limit 1000
      edgekit benchmark runs/mine --data photos/ --split val --target tflite,onnx
      edgekit benchmark build/*-int8 build/*-fp32 --data photos/ --within 0.5
    """
    from edgekit.candidates import asking, page

    found = asking.benchmark(
        models,
        Path(data) if data else None,
        Path(output) if output else None,
        say=talk.say,
        steps=lambda total: talk.progress(total, "making, proving and timing", "steps"),
        **said,
    )
    talk.result(text(found), page.document(found))
    for note in found.notes:
        talk.warn(note)
    if found.cut:
        talk.warn("interrupted; what was made is kept, and the same command goes on from there")
        return INTERRUPTED
    talk.next(_surer(found, data, said))
    return 0 if found.made else 4


def _near(found: "Benchmark") -> "tuple[Candidate, Candidate] | None":
    """What to compare image by image: the quickest file that may be as right as the most accurate one, and that; None where
    they are one, or nothing was evaluated."""
    near, most = [*found.undecided, *list(found.best.values())[-1:]], found.best.get("most accurate")
    return (near[0], most) if most and near[0] is not most else None


def _surer(found: "Benchmark", data: str | None, said: dict[str, Any]) -> list[str]:
    """The command that compares these two image by image."""
    if not (data and found.document and (pair := _near(found))):
        return []
    options = {"--split": said["split"], "--labels": said["data_labels"], "--limit": said["limit"]}
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    near, most = (str(one.artifact) for one in pair)
    state = str(found.document.parent / "answers")
    drop = f"{found.within:g}"
    return ["edgekit", "eval", near, "--reference", most, "--data", data, *words, "--max-drop", drop, "--state", state]


def text(found: "Benchmark") -> str:
    """The table, what was not made, the best for each wish, and where it is written."""
    from edgekit.candidates import page

    about = [found.data] if found.data else []
    lines = [f"{found.title}: {', '.join([*about, f'CPU class {found.cpu_class}'])}"]
    lines.append(table(page.rows(found), header=page.header(found)))
    lines += page.failures(found)
    lines += ["", table(page.best(found))]
    lines += page.losses(found)
    if found.report:
        lines.append(f"\n{found.report}")
    return "\n".join(lines)
