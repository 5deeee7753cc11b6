"""edgekit predict"""

import sys
from pathlib import Path
from typing import Any

import click

from edgekit.cli import listing, predictions
from edgekit.cli.artifacts import check_interpreter, load
from edgekit.cli.options import on_option, runtime_options, timeout_option
from edgekit.cli.output import Talk, common
from edgekit.errors import RequestError


@click.command(short_help="Predictions for images, folders or videos.")
@click.argument("artifact")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|DIR...")
@click.option(
    "-k",
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="How many answers to show.  [default: 5; of several images 1]",
)
@click.option("--gallery", metavar="DIR", help="Embeddings: show the most similar images of this folder.")
@click.option("--draw", metavar="PNG", help="Masks, boxes: the image with them; of several images, a folder.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Boxes: the score from which on they are shown.  [default: as the file says]",
)
@click.option("--mask", metavar="PNG", help="Masks: the number of a label for each pixel, with a palette.")
@click.option("-o", "--output", metavar="NPZ", help="Embeddings, raw answers: write the numbers; of several, a folder.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write a table of the answers; - is stdout.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Images in one inference.  [default: the file's]")
@click.option(
    "--frame-rate",
    type=click.FloatRange(0.001, 1000),
    metavar="R",
    help="Videos: frames a second that are answered.  [default: 1]",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), metavar="N", default=2, show_default=True, help="Threads that decode."
)
@on_option
@runtime_options
@timeout_option()
@common
def predict(
    talk: Talk,
    artifact: str,
    images: tuple[str, ...],
    top: int | None,
    gallery: str | None,
    draw: str | None,
    threshold: float | None,
    mask: str | None,
    output: str | None,
    csv_file: str | None,
    batch: int | None,
    frame_rate: float | None,
    workers: int,
    device: str,
    threads: int,
    interpreter: str | None,
    timeout: float,
) -> int:
    """Predictions for images: labels, boxes, a mask, the most similar images, or numbers.

    IMAGE is an image, a folder (every image below it), a video (one frame a second), a pattern, or - for a list of
    these on stdin.

    \b
    Examples:
      edgekit predict build/mobilenetv2-tflite-int8 photo.jpg
      edgekit predict build/mobilenetv2-tflite-int8 photos/ --csv answers.csv
      edgekit predict build/efficientnet_lite0-tflite-int8 *.jpg -k 1 --json
      find photos -newer last | edgekit predict build/mobilenetv2-tflite-int8 -
      edgekit predict build/unet_micro-tflite-int8 photo.jpg --draw drawn.png
      edgekit predict build/yolox_nano-tflite-int8 a.jpg --draw drawn.png
      edgekit predict build/vit_small-tflite-int8 photo.jpg --gallery photos/
      edgekit predict build/yolox_nano-tflite-int8 a.mp4 --frame-rate 5 --csv -
      edgekit predict build/tsm-tflite-int8 clip.mp4 --json
    """
    from edgekit import prediction, registry
    from edgekit.data.listed import listed
    from edgekit.runtimes import Options

    if csv_file == "-" and talk.json:
        raise RequestError("--csv - and --json both want stdout", hint="--csv FILE")
    place = registry.device(device)
    opened = load(talk, artifact)
    check_interpreter(interpreter, [opened.target])
    if threshold is not None:
        opened = prediction.shown_from(opened, threshold)
    named = listed(images, lambda: sys.stdin or (), clips=opened.manifest.preprocess.is_clip)
    for note in named.notes:
        talk.warn(note)
    files, asked = named.files, Options(threads, interpreter)
    films = prediction.films(opened, files)
    if frame_rate and not films:
        what = "frames of videos for a model of images" if opened.manifest.preprocess.is_clip else "videos"
        raise RequestError(f"--frame-rate is for {what}, and none is named", hint="leave it out")
    rate = frame_rate or prediction.FRAME_RATE
    shown = top or (5 if len(files) == 1 and not films else 1)
    writing = predictions.Writing.check(opened, files, films, draw=draw, mask=mask, output=output)
    told = listing.Telling(
        talk, opened, files, prediction.frames_of(films, rate), shown, writing, csv_file, gallery=bool(gallery)
    )
    how: dict[str, Any] = {"batch": batch, "workers": workers, "frame_rate": rate}
    if gallery:
        answers: Any = prediction.nearest(opened, asked, files, Path(gallery), shown, place, timeout, **how)
    else:
        answers = prediction.predict(opened, asked, files, place, timeout, say=talk.warn, **how)
    told.tell(answers)
    return 0
