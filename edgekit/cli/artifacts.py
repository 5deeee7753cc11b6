"""The files that a command names: opened, with a word where one should not be trusted."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli.output import Talk

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


def load_or_run(talk: Talk, word: str, state: Path) -> "Artifact":
    """An artifact; a run of `edgekit train` as PyTorch's own file of it, which is made in `state`. Raises MissingExtraError."""
    from edgekit.zoo import RUN_CARD

    folder = Path(word)
    if (folder / "manifest.json").exists() or not (folder / RUN_CARD).is_file():
        return load(talk, word)
    from edgekit.extras import needs
    from edgekit.recipe import Recipe

    with needs("models"):
        from edgekit import pipeline
    recipe = Recipe(word, "torch")
    talk.say(f"{word} is a run: its network is asked in PyTorch")
    return pipeline.export(recipe, state / f"{folder.resolve().name}-torch", say=talk.detail)


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
        said = describe(proof, artifact.manifest.preprocess.units)
        talk.warn(f"{artifact.folder} was refused at export, it answers differently from PyTorch: {said}")


def check_interpreter(interpreter: str | None, targets: Iterable[str]) -> None:
    """As `runtimes.check_interpreter`, which is imported when a command runs."""
    from edgekit.runtimes import check_interpreter as check

    check(interpreter, targets)


def pictures_for(talk: Talk, artifact: "Artifact", data: str | None) -> "NDArray[np.uint8]":
    """As `prediction.fitted`; that some cannot be read is said."""
    from edgekit.prediction import fitted

    pixels, lost = fitted(artifact, Path(data) if data else None)
    if lost:
        talk.warn(lost)
    return pixels
