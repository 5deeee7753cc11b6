"""edgekit eval"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.artifacts import load_or_run
from edgekit.cli.options import mask_options, on_option, runtime_options, timeout_option
from edgekit.cli.output import INTERRUPTED, Talk, common, table
from edgekit.errors import RequestError, many

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.data import DataSet
    from edgekit.evaluation import Evaluation


@click.command("eval", short_help="How often the exported file is right.")
@click.argument("artifact", metavar="ARTIFACT|RUN")
@click.option(
    "--data",
    required=True,
    metavar="DIR",
    help="Class folders, idx or parquet files, images, images/ beside masks/, or boxes (COCO, YOLO, VOC).",
)
@click.option("--reference", metavar="ARTIFACT", help="Compare with another file of the model, image by image.")
@click.option("--labels", metavar="FILE", help="What is on the images: .csv, .json, .jsonl or .txt.")
@mask_options
@click.option("--unlabelled", is_flag=True, help="The images have no labels: only compare the answers.")
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train"]),
    help="Which part of the data.  [default: the first that is there]",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="A seeded sample of so many images.")
@click.option("--part", metavar="K/N", help="One of N random parts of the images: 1/2 to choose on, 2/2 to report on.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of the sample, and of parts.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="POINTS",
    default=0.5,
    show_default=True,
    help="Points of top-1, mIoU, mAP or 1-NN that may be lost against the reference.",
)
@click.option(
    "--contact-sheet",
    metavar="FILE.png",
    help="Draw the images on which the two differ.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), metavar="N", default=2, show_default=True, help="Threads that decode."
)
@on_option
@timeout_option()
@click.option("--state", default="build/eval", show_default=True, metavar="DIR", help="Where answers are kept.")
@click.option(
    "-o", "--output", default="build/runs.jsonl", show_default=True, metavar="FILE", help="Append the figures to it."
)
@click.option("--no-save", is_flag=True, help="Do not keep the figures.")
@click.option("--csv", "csv_file", metavar="FILE", help="Classes: write the whole confusion matrix.")
@click.option("--fresh", is_flag=True, help="Forget the answers of an earlier run.")
@runtime_options
@common
def evaluate(
    talk: Talk,
    artifact: str,
    data: str,
    reference: str | None,
    labels: str | None,
    images: str | None,
    masks: str | None,
    ignore: int | str | None,
    unlabelled: bool,
    split: str | None,
    max_drop: float,
    contact_sheet: str | None,
    device: str,
    state: str,
    output: str,
    no_save: bool,
    csv_file: str | None,
    threads: int,
    interpreter: str | None,
    part: str | None,
    **how: Any,
) -> int:
    """How often the exported file is right, with 95 % intervals. With --reference: what it loses against another file.

    Classes: top-1. Masks: mIoU. Boxes: COCO's mAP. Embeddings: whether the nearest image is of the same class. An interrupted run goes on
    where it stopped. Without labels two files are compared by their answers alone.

    \b
    Examples:
      edgekit eval build/a-onnx-int8 --data photos/ --reference build/a-onnx-fp32
      edgekit eval build/a-tflite-int8 --data imagenet/val --limit 5000
      edgekit eval runs/mine --data photos/ --split val
      edgekit eval build/a-tflite-int8 --data photos/ --labels photos.csv --json
      edgekit eval INT8 --data photos/ --unlabelled --reference FP32
      edgekit eval INT8 --data camvid/ --reference FP32 --max-drop 1
      edgekit eval INT8 --data coco/ --reference FP32 --contact-sheet boxes.png
    """
    if contact_sheet and not reference:
        raise RequestError("--contact-sheet draws what differs from a reference", hint="--reference ARTIFACT")
    from edgekit import evaluation, registry, runs
    from edgekit.runtimes import Options

    beside = _Beside(*(Path(file) if file else None for file in (csv_file, contact_sheet)))
    beside.check_places()
    opened = [load_or_run(talk, folder, Path(state)) for folder in (artifact, reference) if folder]
    pictures = evaluation.open_for(
        opened[0],
        Path(data),
        labels_file=Path(labels) if labels else None,
        split=split,
        unlabelled=unlabelled,
        images=images,
        masks=masks,
        ignore=ignore,
    )
    beside.check(opened[0], pictures)
    if part:
        pictures = pictures.part(*evaluation.part_of(part), how["seed"])
    if not no_save:
        runs.append(Path(output), [])  # a place that cannot be written is said before anything is measured
    for note in pictures.notes:
        talk.warn(note)
    try:
        found = evaluation.evaluate(
            opened,
            pictures,
            device=registry.device(device),
            options=Options(threads, interpreter),
            state=Path(state),
            say=talk.say,
            progress=lambda total: talk.progress(total, "answering", pictures.source.units),
            **how,
        )
    except KeyboardInterrupt:
        talk.warn(f"interrupted; the answers so far are kept in {state}, and the same command goes on from there")
        return INTERRUPTED
    written: list[str] = []
    talk.keep(lambda: written.extend(beside.write(found, pictures)))
    saved = not no_save and talk.keep(runs.append, Path(output), evaluation.evaluated(opened, found, device))
    talk.result(
        "\n".join([text(found, max_drop / 100, verbose=talk.verbose), *written]), _document(found, max_drop / 100)
    )
    talk.next(["edgekit", "report", *([output] if output != "build/runs.jsonl" else [])] if saved else ())
    return 0


@dataclass(frozen=True)
class _Beside:
    """What is written beside the figures: which class is taken for which, and a contact sheet."""

    matrix: Path | None
    sheet: Path | None

    def check_places(self) -> None:
        """Raises RequestError, OutputError."""
        from edgekit.evaluation import contact_sheet
        from edgekit.places import check_file

        if self.matrix:
            check_file(self.matrix, "--csv elsewhere.csv")
        if self.sheet:
            contact_sheet.check(self.sheet)

    def check(self, artifact: "Artifact", pictures: "DataSet") -> None:
        """Raises RequestError for what no answers will be drawn of, or where no class will be taken for another."""
        from edgekit.evaluation import contact_sheet
        from edgekit.tasks import Classification

        if self.sheet:
            contact_sheet.check_task(artifact)
        if self.matrix and not isinstance(artifact.manifest.task, Classification):
            raise RequestError("--csv is for classes, and here are none", hint="leave it out")
        if self.matrix and not pictures.labelled:
            raise RequestError(f"--csv needs labels, and the {pictures.what} have none", hint="leave it out")

    def write(self, found: "Evaluation", pictures: "DataSet") -> list[str]:
        """What each file holds."""
        lines = [_matrix(found, self.matrix)] if self.matrix else []
        return [*lines, f"{self.sheet} {_drawn(found, pictures, self.sheet)}"] if self.sheet else lines


def _matrix(found: "Evaluation", place: Path) -> str:
    """Write which class is taken for which. Raises OutputError."""
    from edgekit.places import output_errors, replacing

    confusion = found.accuracies[0].confusion
    assert confusion
    with output_errors("--csv elsewhere.csv"):
        place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place, "--csv elsewhere.csv") as partial:
        partial.write_text(confusion.csv(), "utf-8", newline="")
    return f"{place} says which of {len(confusion.labels)} classes is taken for which"


def _drawn(found: "Evaluation", pictures: "DataSet", sheet: Path) -> str:
    """What the contact sheet shows."""
    from edgekit.evaluation import contact_sheet as sheets

    if found.paired:
        drawn = sheets.draw(found.paired.flips, pictures, sheet)
        return f"shows {drawn} of {many(len(found.paired.flips), 'images')} with other predictions"
    drawn = sheets.draw_apart(found.apart, pictures, sheet)
    if not drawn:
        return "is empty: the two find the same things on every image"
    return (
        f"shows the {drawn} images on which the two agree least: the reference's boxes in blue, the candidate's in red"
    )


def _document(found: "Evaluation", max_drop: float) -> dict[str, Any]:
    import msgspec

    from edgekit.evaluation.accuracy import drop_verdict

    document: dict[str, Any] = msgspec.to_builtins(found)
    if found.change:
        verdict = drop_verdict(found.paired, max_drop) if found.paired else found.change.verdict(max_drop)
        judged = found.paired or found.change
        needed = judged.needed(max_drop) if judged.drop else None
        document |= {"max_drop": max_drop, "verdict": verdict, "images_needed": needed}
    return document


def text(found: "Evaluation", max_drop: float = 0.005, *, verbose: bool = False) -> str:
    """All that the command says of an evaluation. `max_drop`: a share."""
    from edgekit.evaluation import words

    lines = words.unreadable(found, verbose=verbose)
    if found.results:
        lines.append(table([words.result(r) for r in found.results], header=words.header(found)))
        if (verbose or not found.change or not found.accuracies) and (
            parts := words.parts(found.results, verbose=verbose)
        ):
            named = words.part_header(found.results, "label" if verbose else "worst labels")
            lines.append(table(parts, header=named, indent="  "))
        if found.accuracies and (verbose or not found.change) and (confused := words.confused(found, verbose=verbose)):
            lines.append(table(confused, header=words.confused_header(found), indent="  "))
        if sizes := words.sizes(found.results):
            lines.append(table(sizes, header=words.part_header(found.results, "size"), indent="  "))
    if found.change:
        lines.append(f"against {found.change.reference}, CPU class {found.cpu_class}")
        rows = words.paired(found.paired, verbose=verbose) if found.paired else words.change(found.change)
        lines.append(table(rows, indent="  "))
    if found.paired and found.paired.flips and verbose:
        lines.append(table([words.flip(f) for f in found.paired.flips], header=words.flip_header(found), indent="  "))
    lines.append(words.sentence(found, max_drop))
    if found.learned and found.learned.pictures:
        lines.append(words.learned(found.learned, found.pictures, found.units))
    if found.suspicion:
        lines.append(f"careful: {found.suspicion}")
    return "\n".join(lines)
