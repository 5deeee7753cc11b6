"""What predictions look like: in words, in JSON, and as files."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from edgekit.cli.output import table
from edgekit.errors import RequestError
from edgekit.harmless import in_a_line

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.data.video import Frame
    from edgekit.prediction import Nearest
    from edgekit.tasks import Prediction

    Answer = Union[Prediction, Nearest]  # noqa: UP007  a string elsewhere

COVERED = 0.0005  # of an image: a label that covers less is not told


def document(artifact: "Artifact", found: "Answer", top: int) -> dict[str, Any]:
    """As JSON has it."""
    from edgekit.prediction import Nearest
    from edgekit.tasks import Boxes, Classes, Mask, Vector

    labels = artifact.labels()
    match found:
        case Boxes():
            return {
                "boxes": [
                    {"label": labels[label], "index": label, "score": score, "box": box}
                    for box, score, label in each(found)
                ]
            }
        case Classes():
            best = [{"label": labels[i], "index": i, "probability": p} for i, p in found.best(top)]
            holding = {} if threshold_of(artifact) is None else {"labels": held_labels(found, labels)}
            return {"classes": best, **holding}
        case Nearest(vector, near):
            return {
                "nearest": [{"image": str(p), "similarity": s} for p, s in near],
                "embedding": vector.values.tolist(),
            }
        case Vector():
            return {"embedding": found.values.tolist()}
        case Mask():
            shares = found.shares(len(labels))
            height, width = found.labels.shape
            covered = [{"label": labels[i], "index": i, "share": float(s)} for i, s in enumerate(shares) if s]
            return {"width": width, "height": height, "labels": covered}
    return {"outputs": [{"name": n, "shape": list(v.shape)} | value_range(v) for n, v in named(artifact, found)]}


def text(artifact: "Artifact", image: "Path | Frame", found: "Answer", top: int, written: dict[str, Any]) -> str:
    """The image's name, and a row for each thing to say."""
    from edgekit.prediction import Nearest
    from edgekit.tasks import Boxes, Classes, Mask, Vector

    labels, title = artifact.labels(), in_a_line(str(image))
    rows: list[tuple[str, ...]]
    match found:
        case Boxes():
            title += f": {counted(found, labels) or f'nothing from {shown_score(artifact):.0%} on'}"
            rows = [
                (f"{score:6.1%}", labels[label], "{:.0f} {:.0f} {:.0f} {:.0f}".format(*box))
                for box, score, label in each(found)[:top]
            ]
            if len(found) > top:
                rows.append(("", f"and {len(found) - top} more", f"(-k {len(found)} shows them)"))
        case Classes():
            if (threshold := threshold_of(artifact)) is not None:
                title += ": " + (", ".join(held_labels(found, labels)) or f"none from {threshold:.0%} on")
            rows = [(f"{p:6.1%}", labels[i]) for i, p in found.best(top)]
        case Nearest(_, near):
            rows = [(f"{similarity:6.3f}", str(other)) for other, similarity in near]
        case Vector(values):
            shown = " ".join(f"{v:.3g}" for v in values[:4])
            rows = [("embedding", f"{len(values)} numbers: {shown} ...")]
        case Mask():
            shares = found.shares(len(labels))
            order = sorted(range(len(labels)), key=lambda i: -shares[i])
            rows = [(f"{shares[i]:6.1%}", labels[i]) for i in order if shares[i] >= COVERED]
        case _:
            rows = [
                (name, "x".join(map(str, v.shape)), "{min:.4g} to {max:.4g}, mean {mean:.4g}".format(**value_range(v)))
                for name, v in named(artifact, found)
            ]
    told = "".join(f"\n  written to {file}" for file in written.values())
    return "\n".join(filter(None, [title, table(rows, indent="  ")])) + told


def limits(artifact: "Artifact") -> str:
    """What the model can say at all: a reader may take a guess among its labels for a find."""
    from edgekit.tasks import Detection

    knows = artifact.manifest.weights.knows
    if not artifact.manifest.labels:
        return ""
    names, threshold = f"any {artifact.manifest.preprocess.units[:-1]} gets one of these labels", threshold_of(artifact)
    if isinstance(artifact.manifest.task, Detection):
        names = "other things it overlooks, or takes for one of these"
    if threshold is not None:
        names = f"each by itself, and a label holds from {threshold:.0%} on"
    return f"this model knows {knows}; {names}"


def each(found: Any) -> list[tuple[list[float], float, int]]:
    """Of boxes the corners, the score and the number of the label."""
    return list(zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True))


def counted(found: Any, labels: Sequence[str]) -> str:
    """ "2 person, 1 dog", as many as fit in a line; "" of none."""
    kinds = [f"{many} {labels[label]}" for label, many in Counter(found.labels.tolist()).most_common()]
    return ", ".join(kinds[:4]) + (f" and {len(kinds) - 4} other kinds" if len(kinds) > 4 else "")


def threshold_of(artifact: "Artifact") -> float | None:
    """Of labels that do not exclude each other: the probability from which one holds."""
    from edgekit.tasks import Classification

    task = artifact.manifest.task
    return task.threshold if isinstance(task, Classification) and task.independent else None


def shown_score(artifact: "Artifact") -> float:
    """The score from which on a detector's boxes are shown."""
    from edgekit.tasks import Detection

    task = artifact.manifest.task
    assert isinstance(task, Detection)
    return task.threshold


def held_labels(found: Any, labels: Sequence[str]) -> list[str]:
    """The labels that hold, the most probable first."""
    return [labels[i] for i, _ in found.best(0) if found.holds[i]]


def named(artifact: "Artifact", found: Any) -> list[tuple[str, Any]]:
    names = [output.role or output.name for output in artifact.manifest.outputs]
    return list(zip(names, found.values, strict=True))


def value_range(values: Any) -> dict[str, float]:
    return {"min": float(values.min()), "max": float(values.max()), "mean": float(values.mean())}


@dataclass(frozen=True)
class Writing:
    """Where files of each image go: places by option ("drawn", "mask", "values") and image."""

    artifact: "Artifact"
    places: dict[str, dict[Path, Path]]

    @classmethod
    def check(
        cls,
        artifact: "Artifact",
        images: Sequence[Path],
        films: Sequence[Path] = (),
        *,
        draw: str | None,
        mask: str | None,
        output: str | None,
    ) -> "Writing":
        """films: of these a file for each frame. Raises RequestError for what a task cannot write, OutputError."""
        from edgekit.tasks import Classification, Detection, Segmentation

        task = artifact.manifest.task
        numbers = not isinstance(task, Classification | Segmentation | Detection)
        for option, asked, fits, of in (
            ("--draw", draw, isinstance(task, Segmentation | Detection), "masks and boxes"),
            ("--mask", mask, isinstance(task, Segmentation), "masks"),
            ("--output", output, numbers, "embeddings and raw answers"),
        ):
            if asked and not fits:
                raise RequestError(f"{option} is for {of}, and {artifact.name} answers {task}", hint="leave it out")
        places = {}
        for kind, option, asked, suffix in (
            ("drawn", "--draw", draw, ".png"),
            ("mask", "--mask", mask, ".png"),
            ("values", "-o", output, ".npz"),
        ):
            if asked:
                places[kind] = _places(Path(asked), images, films, option, suffix)
        return cls(artifact, places)

    def said(self) -> list[str]:
        """The folders that files of several images go to."""
        return sorted(
            {os.path.commonpath([place.parent for place in places.values()]) for places in self.places.values()}
        )

    def write(self, image: "Path | Frame", found: "Answer") -> dict[str, Any]:
        """What was written, by kind."""
        return {
            kind: str(self._written(kind, _place(places, image), image, found)) for kind, places in self.places.items()
        }

    def _written(self, kind: str, place: Path, image: "Path | Frame", found: Any) -> Path:
        import zipfile

        import numpy as np

        from edgekit import drawing, prediction
        from edgekit.places import output_errors, replacing
        from edgekit.preprocess import open_picture

        with output_errors():
            place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as partial:
            if kind == "values":
                values = (
                    named(self.artifact, found) if isinstance(found.values, tuple) else [("embedding", found.values)]
                )
                with zipfile.ZipFile(partial, "w") as packed:  # np.savez takes no tensor that is called "file"
                    for name, array in values:
                        with packed.open(f"{name}.npy", "w") as file:
                            np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
                return place
            if kind == "mask":
                drawing.mask_picture(found, prediction.palette(self.artifact)).save(partial, "PNG")
            else:
                picture = open_picture(image) if isinstance(image, Path) else image.picture
                prediction.drawn(self.artifact, picture, found).save(partial, "PNG")
        return place


def _place(places: dict[Path, Path], image: "Path | Frame") -> Path:
    """An image's; of a frame its video's, with the time: film-000012.50s.png."""
    if isinstance(image, Path):
        return places[image]
    place = places[image.video]
    return place.with_name(f"{place.stem}-{image.seconds:09.2f}s{place.suffix}")


def _places(asked: Path, images: Sequence[Path], films: Sequence[Path], option: str, suffix: str) -> dict[Path, Path]:
    """One file, or one in a folder for each image."""
    from edgekit.places import check_file

    if len(images) == 1 and not films and not asked.is_dir():
        if asked.suffix.lower() != suffix:
            raise RequestError(
                f"{option} {asked} does not end in {suffix}", hint=f"{option} {asked.with_suffix(suffix)}"
            )
        places = {images[0]: asked}
    else:
        if asked.is_file() or asked.suffix.lower() == suffix:
            many = f"{len(images)} images" if len(images) > 1 else "the frames of a video"
            raise RequestError(f"{option} {asked} is one file for {many}", hint=f"{option} a/folder")
        places = {image: asked / name for image, name in _names(images, suffix).items()}
    for place in places.values():
        check_file(place, f"{option} elsewhere")
    return places


def _names(images: Sequence[Path], suffix: str) -> dict[Path, Path]:
    """A file for each of several images: by its name, in folders as theirs where names are not enough."""
    plain = {image: Path(f"{image.stem}{suffix}") for image in images}
    if len(set(plain.values())) == len(plain):
        return plain
    whole = {image: image.absolute() for image in images}
    above = os.path.commonpath([path.parent for path in whole.values()])
    below = {image: path.relative_to(above) for image, path in whole.items()}
    many = Counter(path.with_suffix(suffix) for path in below.values())
    return {  # a.jpg and a.png of one folder keep their suffixes
        image: path.with_suffix(suffix)
        if many[path.with_suffix(suffix)] == 1
        else path.with_name(f"{path.name}{suffix}")
        for image, path in below.items()
    }
