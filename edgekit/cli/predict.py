"""edgekit predict"""

from pathlib import Path
from typing import Any

import click

from edgekit.cli import predictions
from edgekit.cli.artifacts import check_interpreter, load
from edgekit.cli.options import on_option, runtime_options, timeout_option
from edgekit.cli.output import Talk, common, echo
from edgekit.errors import DataError


@click.command(short_help="The exported file answers pictures.")
@click.argument("artifact")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-k", "--top", type=click.IntRange(1), default=5, show_default=True, help="How many answers to show.")
@click.option("--gallery", metavar="DIR", help="Embeddings: show the most similar pictures of this folder.")
@click.option("--draw", metavar="PNG", help="Masks, boxes: the picture with them; of several pictures, a folder.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Boxes: the score from which on they are shown.  [default: as the file says]",
)
@click.option("--mask", metavar="PNG", help="Masks: the number of a label for each pixel, with a palette.")
@click.option("-o", "--output", metavar="NPZ", help="Embeddings, raw answers: write the numbers; of several, a folder.")
@on_option
@runtime_options
@timeout_option
@common
def predict(
    talk: Talk,
    artifact: str,
    images: tuple[str, ...],
    top: int,
    gallery: str | None,
    draw: str | None,
    threshold: float | None,
    mask: str | None,
    output: str | None,
    device: str,
    threads: int,
    interpreter: str | None,
    timeout: float,
) -> int:
    """The exported file answers pictures: labels, boxes, a mask, the most similar pictures, or numbers.

    \b
    Examples:
      edgekit predict build/mobilenetv2-tflite-int8 photo.jpg
      edgekit predict build/efficientnet_lite0-tflite-int8 *.jpg -k 1 --json
      edgekit predict build/unet_micro-tflite-int8 photo.jpg --draw drawn.png
      edgekit predict build/yolox_nano-tflite-int8 street.jpg --draw out.png --threshold 0.5
      edgekit predict build/vit_small-tflite-int8 photo.jpg --gallery photos/
      edgekit predict build/tsm-tflite-int8 clip.mp4 --json
    """
    from edgekit import prediction, registry
    from edgekit.runtimes import Options

    place = registry.device(device)
    opened = load(talk, artifact)
    check_interpreter(interpreter, [opened.target])
    if threshold is not None:
        opened = prediction.shown_from(opened, threshold)
    files, asked = [Path(i) for i in images], Options(threads, interpreter)
    writing = predictions.Writing.check(opened, files, draw=draw, mask=mask, output=output)
    if gallery:
        answers: Any = prediction.nearest(opened, asked, files, Path(gallery), top, place, timeout)
    else:
        answers = prediction.predict(opened, asked, files, place, timeout, talk.warn)
    documents: list[dict[str, Any]] = []
    skipped: list[DataError] = []
    for path, found in answers:
        if isinstance(found, DataError):
            skipped.append(found)
            if len(images) > 1:
                talk.warn(f"skipped {found.message}")
            continue
        written = writing.write(path, found)
        documents.append({"image": str(path)} | predictions.document(opened, found, top) | written)
        if not talk.json:
            talk.result(predictions.text(opened, path, found, top, written), None)
    if skipped and not documents:
        clips = opened.manifest.preprocess.is_clip
        what = "videos" if clips else "pictures"
        message = skipped[0].message if len(images) == 1 else f"none of the {len(images)} {what} can be read"
        hint = (
            "a video: .mp4, .mov, .avi, ...; or a folder of its frames"
            if clips
            else "give a picture file: .jpg, .png, .webp, ..."
        )
        raise DataError(message, hint=(skipped[0].hint if len(images) == 1 else "") or hint)
    if talk.json:
        unread = [error.message for error in skipped]
        talk.result("", {"knows": opened.manifest.weights.knows, "predictions": documents, "skipped": unread})
    elif not talk.quiet and (said := predictions.limits(opened)):
        echo(said)
    return 0
