"""What a file says of one image, with the names of its labels; of each task a type of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit import drawing, prediction, tasks
from edgekit.artifact import Artifact
from edgekit.data.video import Frame
from edgekit.errors import RequestError
from edgekit.places import check_file, output_errors, replacing
from edgekit.preprocess import open_picture
from edgekit.tasks import Classification
from edgekit.verbs.asked import Place, verb

SHOWN = 3  # labels in a line


@dataclass(frozen=True)
class Label:
    """A label of an image. index: its number; score: its probability, 0 to 1."""

    label: str
    index: int
    score: float

    def __repr__(self) -> str:
        return f"Label({self.label} {self.score:.1%})"


@dataclass(frozen=True)
class Box:
    """A thing on an image. score: 0 to 1; box: x1 y1 x2 y2 in the image's own pixels."""

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]

    def __repr__(self) -> str:
        return "Box({} {:.1%} at {:.0f} {:.0f} {:.0f} {:.0f})".format(self.label, self.score, *self.box)


@dataclass(frozen=True, repr=False, eq=False)
class Of:
    """What every prediction knows: the artifact that made it, and of which image: its file, the frame of a video, or the
    image itself; of a clip in memory its first frame."""

    artifact: Artifact = field(kw_only=True)
    picture: Path | Frame | Image.Image = field(kw_only=True)

    @property
    def source(self) -> Path | None:
        """The image's file, or its video's; None of an image that came in memory."""
        if isinstance(self.picture, Frame):
            return self.picture.video
        return self.picture if isinstance(self.picture, Path) else None

    @property
    def seconds(self) -> float | None:
        """Of a frame of a video, since the video began; None of other images."""
        return self.picture.seconds if isinstance(self.picture, Frame) else None

    def opened(self) -> Image.Image:
        """The image in RGB. Raises DataError."""
        if isinstance(self.picture, Frame):
            return self.picture.picture
        return self.picture if isinstance(self.picture, Image.Image) else open_picture(self.picture)


@dataclass(frozen=True, repr=False, eq=False)
class Classes(Of, Sequence[Label]):
    """Of a classification: its labels, the most probable first.

    found  `probabilities` float32 [c] and `holds` bool [c], in the order of the artifact's labels
    """

    found: tasks.Classes

    @cached_property
    def _ordered(self) -> list[Label]:
        names = self.artifact.labels()
        return [Label(names[i], i, score) for i, score in self.found.best(len(names))]

    @overload
    def __getitem__(self, at: int) -> Label: ...
    @overload
    def __getitem__(self, at: slice) -> list[Label]: ...
    def __getitem__(self, at: int | slice) -> Label | list[Label]:
        return self._ordered[at]

    def __len__(self) -> int:
        return len(self.found.probabilities)

    @property
    def label(self) -> str:
        """The most probable one."""
        return self[0].label

    @property
    def score(self) -> float:
        """Its probability."""
        return self[0].score

    @property
    def holding(self) -> list[Label]:
        """Of labels that do not exclude each other, those whose probability is at least the artifact's threshold; else the
        best one."""
        return [label for label in self if self.found.holds[label.index]]

    def __repr__(self) -> str:
        task = self.artifact.manifest.task
        if isinstance(task, Classification) and task.independent:
            return f"Classes({_listed(self.holding) or f'none from {task.threshold:.0%} on'})"
        return f"Classes({_listed(self)})"


@dataclass(frozen=True, repr=False, eq=False)
class Boxes(Of, Sequence[Box]):
    """Of a detection: the things, the surest first.

    found  `boxes` float32 [k, 4], `scores` float32 [k], `labels` int64 [k]
    """

    found: tasks.Boxes

    @overload
    def __getitem__(self, at: int) -> Box: ...
    @overload
    def __getitem__(self, at: slice) -> list[Box]: ...
    def __getitem__(self, at: int | slice) -> Box | list[Box]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        index, (x1, y1, x2, y2) = int(self.found.labels[at]), self.found.boxes[at].tolist()
        return Box(self.artifact.labels()[index], index, float(self.found.scores[at]), (x1, y1, x2, y2))

    def __len__(self) -> int:
        return len(self.found)

    @verb
    def draw(self, out: Place | None = None) -> Image.Image:
        """The image with the boxes, each with its label; written to `out`, a .png, too. Raises DataError, OutputError."""
        return _kept(prediction.drawn(self.artifact, self.opened(), self.found), out)

    def __repr__(self) -> str:
        names = self.artifact.labels()
        numbers, counts = np.unique(self.found.labels, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        kinds = [f"{counts[i]} {names[numbers[i]]}" for i in order]
        more = f" and {len(kinds) - SHOWN} other kinds" if len(kinds) > SHOWN else ""
        return f"Boxes({', '.join(kinds[:SHOWN]) or 'nothing'}{more})"


@dataclass(frozen=True, repr=False, eq=False)
class Mask(Of):
    """Of a segmentation: a label for every pixel of the image.

    found  `labels` uint8 [height, width], their numbers
    """

    found: tasks.Mask

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The number of a label for each pixel, [height, width]."""
        return self.found.labels

    @property
    def shares(self) -> dict[str, float]:
        """Of the image that each label covers, those that cover most first; others are left out."""
        names = self.artifact.labels()
        shares = self.found.shares(len(names))
        return {names[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable") if shares[i]}

    @verb
    def draw(self, out: Place | None = None) -> Image.Image:
        """The image under the colours of its labels, with a legend; written to `out`, a .png, too. Raises DataError, OutputError."""
        return _kept(prediction.drawn(self.artifact, self.opened(), self.found), out)

    @verb
    def image(self, out: Place | None = None) -> Image.Image:
        """The labels' numbers as pixels, with a palette, as data sets of masks have them; written to `out`, a .png, too."""
        return _kept(drawing.mask_picture(self.found, prediction.palette(self.artifact)), out)

    def __repr__(self) -> str:
        height, width = self.found.labels.shape
        return f"Mask({width}x{height}: {_listed([Label(name, 0, share) for name, share in self.shares.items()])})"


@dataclass(frozen=True, repr=False, eq=False)
class Vector(Of):
    """Of an embedding: `values`, float32 [d]."""

    found: tasks.Vector

    @property
    def values(self) -> NDArray[np.float32]:
        return self.found.values

    @verb
    def similarity(self, other: "Vector") -> float:
        """The cosine of two images' vectors, -1 to 1. Raises RequestError."""
        if not isinstance(other, Vector) or other.values.shape != self.values.shape:
            raise RequestError(f"{other!r:.80} is no vector of {len(self.values)} numbers", hint="two of one artifact")
        return float(self.found.similarity(other.values[None])[0])

    def __repr__(self) -> str:
        shown = " ".join(f"{value:.3g}" for value in self.values[:SHOWN])
        return f"Vector({len(self.values)} numbers: {shown} ...)"


@dataclass(frozen=True, repr=False, eq=False)
class Tensors(Of):
    """Of a raw file: `values`, float32 arrays by the name of the output, channels first."""

    found: tasks.Tensors

    @property
    def values(self) -> dict[str, NDArray[np.float32]]:
        names = (output.role or output.name for output in self.artifact.manifest.outputs)
        return dict(zip(names, self.found.values, strict=True))

    def __repr__(self) -> str:
        said = [f"{name} {'x'.join(map(str, value.shape)) or 'a number'}" for name, value in self.values.items()]
        return f"Tensors({', '.join(said)})"


Prediction = Classes | Boxes | Mask | Vector | Tensors
KINDS: dict[type, Any] = {
    tasks.Classes: Classes,
    tasks.Boxes: Boxes,
    tasks.Mask: Mask,
    tasks.Vector: Vector,
    tasks.Tensors: Tensors,
}


def named(found: tasks.Prediction, made_by: Artifact, picture: Path | Frame | Image.Image) -> Prediction:
    """A task's answer with the names of its labels."""
    made: Prediction = KINDS[type(found)](found, artifact=made_by, picture=picture)
    return made


def _listed(labels: Sequence[Label]) -> str:
    told = [f"{label.label} {label.score:.1%}" for label in labels[:SHOWN]]
    return ", ".join([*told, "..."] if len(labels) > SHOWN else told)


def _kept(image: Image.Image, out: Place | None) -> Image.Image:
    """The image, and a file of it. Raises RequestError, OutputError."""
    if out is None:
        return image
    place = Path(out)
    if place.suffix.lower() != ".png":
        raise RequestError(f"{place} does not end in .png", hint=f'out="{place.with_suffix(".png")}"')
    check_file(place, "-o another/image.png")
    with output_errors():
        place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as partial:
        image.save(partial, "PNG")
    return image
