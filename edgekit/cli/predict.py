"""edgekit predict"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.artifacts import check_interpreter, load
from edgekit.cli.options import on_option, runtime_options, timeout_option
from edgekit.cli.output import Talk, common, echo, table
from edgekit.errors import DataError

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.prediction import Class


@click.command(short_help="The exported file answers, with labels.")
@click.argument("artifact")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-k", "--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to show.")
@on_option
@runtime_options
@timeout_option
@common
def predict(
    talk: Talk,
    artifact: str,
    images: tuple[str, ...],
    top: int,
    device: str,
    threads: int,
    interpreter: str | None,
    timeout: float,
) -> int:
    """The exported file answers, with labels.

    \b
    Examples:
      edgekit predict build/mobilenetv2-tflite-int8 photo.jpg
      edgekit predict build/efficientnet_lite0-tflite-int8 *.jpg -k 1 --json
    """
    from edgekit import registry
    from edgekit.prediction import predict as answer
    from edgekit.runtimes import Options

    place = registry.device(device)
    opened = load(talk, artifact)
    check_interpreter(interpreter, [opened.target])
    documents: list[dict[str, Any]] = []
    skipped: list[DataError] = []
    asked = Options(threads, interpreter)
    for path, found in answer(opened, asked, [Path(i) for i in images], top, place, timeout):
        if isinstance(found, DataError):
            skipped.append(found)
            if len(images) > 1:
                talk.warn(f"skipped {found.message}")
            continue
        documents.append(_document(opened, path, found))
        if not talk.json:
            talk.result(_text(opened, path, found), None)
    if skipped and not documents:
        message = skipped[0].message if len(images) == 1 else f"none of the {len(images)} pictures can be read"
        raise DataError(message, hint="give a picture file: .jpg, .png, .webp, ...")
    if talk.json:
        unread = [error.message for error in skipped]
        talk.result("", {"knows": opened.manifest.weights.knows, "predictions": documents, "skipped": unread})
    elif not talk.quiet:
        echo(_knows(opened))
    return 0


def _document(artifact: "Artifact", path: Path, found: "Sequence[Class]") -> dict[str, Any]:
    classes = [{"label": c.label, "index": c.index, "probability": c.probability} for c in found]
    holding = {} if _threshold(artifact) is None else {"labels": [c.label for c in found if c.holds]}
    return {"image": str(path), "classes": classes, **holding}


def _text(artifact: "Artifact", path: Path, found: "Sequence[Class]") -> str:
    title, threshold = str(path), _threshold(artifact)
    if threshold is not None:
        holding = ", ".join(c.label for c in found if c.holds)
        title += ": " + (holding or f"none from {threshold:.0%} on")
    return f"{title}\n{table([(f'{c.probability:6.1%}', c.label) for c in found], indent='  ')}"


def _knows(artifact: "Artifact") -> str:
    """What the model can say at all: a reader may take a guess among its labels for a find."""
    names, threshold = "whatever else it sees, it names one of them", _threshold(artifact)
    if threshold is not None:
        names = f"each by itself, and a label holds from {threshold:.0%} on"
    return f"this model knows {artifact.manifest.weights.knows}; {names}"


def _threshold(artifact: "Artifact") -> float | None:
    """Of labels that do not exclude each other: the probability from which one holds."""
    from edgekit.tasks import Classification

    task = artifact.manifest.task
    return task.threshold if isinstance(task, Classification) and task.independent else None
