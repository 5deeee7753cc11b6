"""The images that a file can be judged on, by its task: with classes, masks or boxes."""

from pathlib import Path

from edgekit.artifact import Artifact
from edgekit.data import DataSet, open_boxes, open_clips, open_data, open_masks
from edgekit.errors import RequestError
from edgekit.tasks import Detection, Segmentation, name_of

AS_IN_THE_FILE = "auto"
PARTS = 100  # at most


def part_of(said: str) -> tuple[int, int]:
    """`1/2`: the first of two. Raises RequestError."""
    number, _, of = said.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= PARTS):
        raise RequestError(f"--part {said} is no part", hint="--part 1/2, and --part 2/2 for the other half")
    return int(number), int(of)


def open_for(
    artifact: Artifact,
    folder: Path,
    *,
    labels_file: Path | None = None,
    split: str | None = None,
    unlabelled: bool = False,
    images: str | None = None,
    masks: str | None = None,
    ignore: int | str | None = AS_IN_THE_FILE,
) -> DataSet:
    """Of a segmentation `open_masks`, of a detection `open_boxes`, of what takes clips `open_clips`, of other tasks `open_data`; images alone where they are `unlabelled`.

    An embedding has no labels: the classes are the images' own. Raises RequestError for what is of another task, and as those.
    """
    task, labels = artifact.manifest.task, artifact.labels()
    trained = artifact.manifest.trained_on
    if artifact.manifest.preprocess.is_clip:
        return open_clips(
            folder, labels or None, labels_file=labels_file, split=split, unlabelled=unlabelled, trained=trained
        )
    if isinstance(task, Segmentation) and not unlabelled:
        if labels_file:
            raise _labels_are_of_pictures("a segmentation wants masks", "--masks DIR")
        ignored = task.ignore if isinstance(ignore, str) else ignore
        return open_masks(folder, labels, ignore=ignored, images=images, masks=masks, split=split)
    if images or masks or ignore != AS_IN_THE_FILE:
        flag = "--images" if images else "--masks" if masks else "--ignore"
        why = "--unlabelled" if unlabelled else f"a {name_of(task)}"
        raise RequestError(f"{flag} is about masks, and this is {why}", hint="leave it out")
    if isinstance(task, Detection) and not unlabelled:
        if labels_file:
            raise _labels_are_of_pictures("a detection wants boxes", "leave it out")
        return open_boxes(folder, labels, split=split)
    return open_data(
        folder, labels or None, labels_file=labels_file, split=split, unlabelled=unlabelled, trained=trained
    )


def _labels_are_of_pictures(wanted: str, hint: str) -> RequestError:
    return RequestError(f"--labels says what is on an image, and {wanted}", hint=hint)
