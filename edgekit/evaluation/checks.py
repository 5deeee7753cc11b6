"""What cannot be measured is refused before anything runs."""

from collections.abc import Sequence

from edgekit.artifact import Artifact
from edgekit.data import DataSet
from edgekit.errors import DataError, RequestError, UnsupportedError, many
from edgekit.tasks import Classification, Embedding, Raw, name_of
from edgekit.tensors import decoded_shape

WANTED = {"segmentation": "masks", "detection": "boxes"}  # of tasks that are judged by other truths than classes


def check(artifacts: Sequence[Artifact], data: DataSet) -> None:
    """Refuse what cannot be measured, before anything runs. Raises RequestError, DataError."""
    for artifact in artifacts:
        takes, spec = artifact.manifest.input, artifact.manifest.preprocess
        if takes.shape[1:] != (spec.shape if takes.layout.startswith("NC") else (*spec.extent, spec.channels)):
            raise RequestError(f"{artifact.name} takes {list(takes.shape)} {takes.layout}, not a {spec.words}")
        _check_task(artifact)
    first, *others = artifacts
    for other in others:
        if name_of(other.manifest.task) != name_of(first.manifest.task):
            raise RequestError(
                f"{other.name} is a {name_of(other.manifest.task)}, {first.name} a {name_of(first.manifest.task)}",
                hint="two files of one model",
            )
        if other.labels() != first.labels():
            raise RequestError(f"{other.name} knows other classes than {first.name}", hint="two files of one model")
        here, there = (list(map(decoded_shape, a.manifest.outputs)) for a in (first, other))
        if here != there:
            raise RequestError(f"{other.name} answers {there}, {first.name} {here}", hint="two files of one model")
    task = name_of(first.manifest.task)
    wanted = WANTED.get(task, "classes")
    if data.labelled and wanted != data.told_by:
        raise RequestError(f"{first.name} is a {task}, judged by {wanted}, and the {data.what} have {data.told_by}")
    if not data.labelled and len(artifacts) == 1:
        raise DataError(
            f"nothing says what is on the {data.what}",
            hint=f"{'--labels FILE' if wanted == 'classes' else wanted}, or --reference ARTIFACT to compare without labels",
        )
    if not len(data):
        raise DataError(f"no image is left of the {data.what}", hint="; ".join(data.notes))


def check_sample(artifact: Artifact, data: DataSet, positions: Sequence[int]) -> None:
    """The same of a sample of the images. Raises DataError."""
    if isinstance(artifact.manifest.task, Embedding) and data.truths is not None:
        check_neighbours([data.truths[position][0] for position in positions])


def check_neighbours(classes: Sequence[int]) -> None:
    """Of each image its class. Raises DataError where each is the only one of its class, so that no neighbour can be right."""
    if len(set(classes)) == len(classes):
        raise DataError(
            f"no image has another of its class among the {many(len(classes), 'images')}, and an embedding is judged by neighbours",
            hint="more images of each class, a larger --limit, or --unlabelled with --reference ARTIFACT",
        )


def _check_task(artifact: Artifact) -> None:
    task, hint = (
        artifact.manifest.task,
        "edgekit verify ARTIFACT --against ANOTHER --data DIR compares the {} of two files",
    )
    if isinstance(task, Raw):
        raise UnsupportedError(
            f"{artifact.name} answers {task}, and nothing says what is right", hint=hint.format("answers")
        )
    if isinstance(task, Classification) and task.independent:
        raise UnsupportedError(
            f"{artifact.name} answers each label by itself, and accuracy is counted of one class an image",
            hint=hint.format("labels"),
        )
