"""The files that a command names: opened, with a word where one should not be trusted."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli.output import Talk
from edgekit.errors import DataError, RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.artifact import Artifact, Model


def load(talk: Talk, folder: str) -> "Artifact":
    """An artifact; that export refused it is said."""
    from edgekit import artifact

    opened = artifact.load(Path(folder))
    warn_of_refused(talk, opened)
    return opened


def warn_of_strangers(talk: Talk, artifacts: Sequence["Artifact"]) -> None:
    """Files that are held against each other should be of one model."""
    first, *others = artifacts
    for other in others:
        if (there := other.manifest.architecture) != (here := first.manifest.architecture):
            talk.warn(f"{first.folder} is {here}, {other.folder} is {there}: these are not files of one model")


def warn_of_refused(talk: Talk, artifact: "Model") -> None:
    """A file that export refused can be looked at, but not without a word."""
    from edgekit.artifact import Artifact
    from edgekit.parity import describe

    if isinstance(artifact, Artifact) and (proof := artifact.manifest.proof) and not proof.passed:
        said = describe(proof)
        talk.warn(f"{artifact.folder} was refused at export, it answers differently from PyTorch: {said}")


def check_interpreter(interpreter: str | None, targets: Iterable[str]) -> None:
    """Raises RequestError for --interpreter where no file is for it."""
    targets = sorted(targets)
    if interpreter and "tflite" not in targets:
        raise RequestError(f"--interpreter runs .tflite files, and this is for {targets[0]}", hint="leave it out")


def pictures_for(talk: Talk, artifact: "Artifact", data: str | None) -> "NDArray[np.uint8]":
    """The pictures of a folder, or else the artifact's golden ones, as its model sees them: uint8 [n, h, w, 3]."""
    import numpy as np
    from PIL import Image

    from edgekit.data import picture_files, read_pictures
    from edgekit.preprocess import fit

    spec = artifact.manifest.preprocess
    if not data:
        return np.stack([fit(Image.fromarray(image), spec) for image in artifact.golden().images])
    read = [pixels for _, pixels in read_pictures(picture_files(Path(data)), spec)]
    fitted = [pixels for pixels in read if not isinstance(pixels, DataError)]
    if len(fitted) < len(read):
        talk.warn(f"{len(read) - len(fitted)} of {len(read)} pictures cannot be read")
    if not fitted:
        raise DataError(f"none of the pictures in {data} can be read", hint="--data another/folder")
    return np.stack(fitted)
