"""Answers to several images: a line each, and as a table."""

import csv
import io
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli import predictions
from edgekit.cli.output import Talk, echo
from edgekit.cli.predictions import counted, each, held_labels, named, shown_score, threshold_of, value_range
from edgekit.errors import DataError, UnreadableError, many
from edgekit.harmless import in_a_line
from edgekit.places import check_file, output_errors, replacing

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.cli.predictions import Answer
    from edgekit.data.video import Frame

RANGE = ("min", "max", "mean")  # of plain numbers
PATH = 40  # letters of an image's name in a line, on a terminal
CLOCK = " 0:00:00.00"  # after the name of a video


class Lines:
    """A line for each of several images. On a terminal a long name loses its beginning, so that a line fits."""

    def __init__(self, artifact: "Artifact", files: Sequence[Path], films: Collection[Path], top: int) -> None:
        self.artifact, self.top, self.labels = artifact, top, artifact.labels()
        longest = max(len(in_a_line(str(path))) + len(CLOCK) * (path in films) for path in files)
        self.width = min(longest, PATH) if sys.stdout is not None and sys.stdout.isatty() else longest

    def line(self, image: "Path | Frame", found: "Answer") -> str:
        name = in_a_line(str(image))
        if len(name) > self.width:
            name = f"...{name[3 - self.width :]}"
        return f"{name.ljust(self.width)}  {self.said(found)}"

    def said(self, found: "Answer") -> str:
        from edgekit.prediction import Nearest
        from edgekit.tasks import Boxes, Classes, Mask, Vector

        labels = self.labels
        match found:
            case Boxes():
                return counted(found, labels) or f"nothing from {shown_score(self.artifact):.0%} on"
            case Classes():
                if (threshold := threshold_of(self.artifact)) is not None:
                    return ", ".join(held_labels(found, labels)) or f"none from {threshold:.0%} on"
                return ", ".join(f"{p:6.1%}  {labels[i]}" for i, p in found.best(self.top))
            case Nearest(_, near):
                return ", ".join(f"{similarity:6.3f}  {in_a_line(str(other))}" for other, similarity in near)
            case Vector(values):
                return f"{len(values)} numbers: {' '.join(f'{v:.3g}' for v in values[:4])} ..."
            case Mask():
                shares = found.shares(len(labels))
                order = sorted(range(len(labels)), key=lambda i: -shares[i])[: max(self.top, 3)]
                return ", ".join(f"{shares[i]:.1%} {labels[i]}" for i in order if shares[i] >= predictions.COVERED)
        return ", ".join(f"{name} {'x'.join(map(str, v.shape))}" for name, v in named(self.artifact, found))


class Telling:
    """What a command says of images as they are answered: a block of one, a line of each of several; or a table, or JSON.

    films     how many frames are asked about of each video among the files
    csv_file  where the table goes; "-" is stdout

    Raises OutputError, RequestError for a place that cannot be written.
    """

    def __init__(
        self,
        talk: Talk,
        artifact: "Artifact",
        files: Sequence[Path],
        films: Mapping[Path, int],
        top: int,
        writing: predictions.Writing,
        csv_file: str | None,
        *,
        gallery: bool,
    ) -> None:
        self.talk, self.artifact, self.files, self.top, self.writing = talk, artifact, files, top, writing
        self.csv_file, self.rows = csv_file, Listing(artifact, top, gallery=gallery, films=bool(films))
        self.several = len(files) > 1 or bool(films)
        self.shows = not talk.json and csv_file != "-"
        self.lines = Lines(artifact, files, films, top)
        self.asked = len(files) - len(films) + sum(films.values())
        self.unit = "frames" if len(films) == len(files) else artifact.manifest.preprocess.files
        self.answered = 0
        self.documents: list[dict[str, Any]] = []
        self.skipped: list[DataError] = []
        if csv_file and csv_file != "-":
            check_file(Path(csv_file), "--csv elsewhere.csv")

    def tell(self, answers: "Iterable[tuple[Path | Frame, Answer | DataError]]") -> None:
        """Raises DataError where no image can be read, OutputError."""
        hidden = self.several and not self.shows
        with self.talk.progress(self.asked, "answering", self.unit) if hidden else nullcontext(None) as tick:
            for image, found in answers:
                if isinstance(found, DataError):
                    self._skip(image, found)
                else:
                    self._answer(image, found)
                if tick:
                    tick()
        if not self.answered:
            if len(self.files) > 1:
                clips = self.artifact.manifest.preprocess.is_clip
                damaged = any(isinstance(error, UnreadableError) for error in self.skipped)
                raise (UnreadableError if damaged else DataError)(
                    f"none of the {len(self.files)} {'videos' if clips else 'images'} can be read",
                    hint="give other videos" if clips else "give .jpg, .png or .webp files",
                )
            (only,) = self.skipped
            raise type(only)(only.message, hint=only.hint or "an image file: .jpg, .png, .webp, ...")
        self._end()

    def _skip(self, image: "Path | Frame", error: DataError) -> None:
        self.skipped.append(error)
        self.rows.add_error(image, error)
        if len(self.files) > 1:
            self.talk.warn(f"skipped {in_a_line(error.message)}")

    def _answer(self, image: "Path | Frame", found: "Answer") -> None:
        self.answered += 1
        written = self.writing.write(image, found)
        if self.csv_file:
            self.rows.add(image, found)
        if self.talk.json:
            self.documents.append(_of(image) | predictions.document(self.artifact, found, self.top) | written)
        elif self.shows and self.several:
            echo(self.lines.line(image, found))
        elif self.shows:
            echo(predictions.text(self.artifact, image, found, self.top, written))

    def _end(self) -> None:
        if self.csv_file == "-":
            echo(self.rows.csv().rstrip("\n"))
        elif self.csv_file and not self.talk.keep(self.rows.save, Path(self.csv_file)):
            self.csv_file = None
        if self.talk.json:
            unread = [error.message for error in self.skipped]
            knows = self.artifact.manifest.weights.knows
            self.talk.result("", {"knows": knows, "predictions": self.documents, "skipped": unread})
        elif self.shows and not self.talk.quiet:
            if self.several:
                echo(self._summary())
            if said := predictions.limits(self.artifact):
                echo(said)

    def _summary(self) -> str:
        lost = f", {len(self.skipped)} cannot be read" if self.skipped else ""
        places = [*self.writing.said(), *([self.csv_file] if self.csv_file else [])]
        written = f"; written to {', '.join(places)}" if places else ""
        return f"{self.answered:,} of {many(self.answered + len(self.skipped), self.unit)} answered{lost}{written}"


def _of(image: "Path | Frame") -> dict[str, Any]:
    """What was asked about, as data; seconds: of a frame, since its video began."""
    return (
        {"image": str(image)}
        if isinstance(image, Path)
        else {"image": str(image.video), "seconds": round(image.seconds, 3)}
    )


class Listing:
    """Answers as a table: a row for each image, or of detections for each box. `error` says why an image has no answer."""

    def __init__(self, artifact: "Artifact", top: int, *, gallery: bool, films: bool = False) -> None:
        from edgekit.tasks import Classification, Detection, Embedding, Segmentation

        self.artifact, self.top, self.rows = artifact, top, list[dict[str, Any]]()
        self.labels = artifact.labels()
        numbered = [str(i) for i in range(1, top + 1)]
        match artifact.manifest.task:
            case Detection():
                names = ["label", "score", "x1", "y1", "x2", "y2"]
            case Classification():
                names = ["labels"] if threshold_of(artifact) is not None else []
                names += [f"{what}_{n}" for n in numbered for what in ("label", "probability")]
            case Embedding() if gallery:
                names = [f"{what}_{n}" for n in numbered for what in ("nearest", "similarity")]
            case Embedding():
                names = [f"v{i}" for i in range(artifact.manifest.outputs[0].shape[-1])]
            case Segmentation():
                names = list(dict.fromkeys(self.labels))
            case _:
                names = [f"{o.role or o.name}_{what}" for o in artifact.manifest.outputs for what in RANGE]
        self.header = ["image", *(["seconds"] if films else []), *names, "error"]

    def add(self, image: "Path | Frame", found: "Answer") -> None:
        self.rows += [_of(image) | row for row in self._rows(found)]

    def add_error(self, image: "Path | Frame", error: Exception) -> None:
        self.rows.append(_of(image) | {"error": error.args[0]})

    def _rows(self, found: Any) -> list[dict[str, Any]]:
        from edgekit.prediction import Nearest
        from edgekit.tasks import Boxes, Classes, Mask, Vector

        match found:
            case Boxes():
                corners = ("x1", "y1", "x2", "y2")
                boxes: list[dict[str, Any]] = [
                    {"label": self.labels[label], "score": f"{score:.6g}"}
                    | dict(zip(corners, (f"{x:.2f}" for x in box), strict=True))
                    for box, score, label in each(found)
                ]
                return boxes or [{}]  # an image on which nothing was found is answered, too
            case Classes():
                holding = (
                    {}
                    if threshold_of(self.artifact) is None
                    else {"labels": "; ".join(held_labels(found, self.labels))}
                )
                best = [(self.labels[i], p) for i, p in found.best(self.top)[: self.top]]
                return [holding | _numbered(best, "label", "probability")]
            case Nearest(_, near):
                return [_numbered(near, "nearest", "similarity")]
            case Vector(values):
                return [{f"v{i}": f"{v:.7g}" for i, v in enumerate(values)}]
            case Mask():
                return [dict(zip(self.labels, (f"{s:.6g}" for s in found.shares(len(self.labels))), strict=True))]
        return [
            {f"{n}_{what}": f"{x:.7g}" for n, v in named(self.artifact, found) for what, x in value_range(v).items()}
        ]

    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.DictWriter(out, self.header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    def save(self, place: Path) -> None:
        """Raises OutputError."""
        with output_errors("--csv elsewhere.csv"):
            place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place, "--csv elsewhere.csv") as partial:
            partial.write_text(self.csv(), "utf-8", newline="")


def _numbered(found: Sequence[tuple[Any, float]], what: str, how_much: str) -> dict[str, str]:
    """ "label_1", "probability_1", "label_2", ..."""
    return {
        name: said
        for n, (one, value) in enumerate(found, 1)
        for name, said in ((f"{what}_{n}", str(one)), (f"{how_much}_{n}", f"{value:.6g}"))
    }
