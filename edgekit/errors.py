"""Every error that edgekit raises on purpose.

    EdgekitError                 exit code
    +- RequestError              2   the request is wrong: type something else
    |  +- RecipeError                a recipe file or a combination of flags that means nothing
    |  +- UnknownNameError           no model, target or runtime of that name (did you mean ...)
    |  +- UnsupportedError           it exists, but this target, scheme or platform cannot do it
    |  +- MissingError               no file or folder at a path that was named, whatever should lie there
    |  +- DataError                  no images, labels that do not fit
    |     +- UnreadableError     4       images or videos that are there, and damaged
    +- MissingExtraError         3   a package is not installed: pip install "...[EXTRA]"
    +- WeightsError              3   weights not reachable, not of these shapes, not a safe file
    +- HubError                  3   the Hugging Face hub or Sigstore is not reachable, or refuses
    +- DeviceError               3   no such phone, no such emulator
    +- ArtifactError             4   not an artifact, or a file of it is damaged
    +- TrainingError             4   the loss is not a number, or memory ran out
    +- ExportError               4   the converter failed
    +- ParityError               4   converted, but the file answers differently
    +- WorkerError               4   the runtime failed on this file
    +- OutputError               4   no permission, disk full

A message says what happened with the value in it; `hint` says what to type next. Exit code 1 (a stated limit is
missed) and 5 (inconclusive) are results, not exceptions; 130 is an interrupt.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from edgekit.harmless import harmless
from edgekit_vision import install


class EdgekitError(Exception):
    exit_code = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message, self.hint = harmless(message), harmless(hint)  # they quote names and files from anywhere
        super().__init__(self.message)

    def __str__(self) -> str:
        """In one line: what is wrong, and what to write instead."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class RequestError(EdgekitError):
    exit_code = 2


class RecipeError(RequestError):
    pass


class UnknownNameError(RequestError):
    """A name that is not in a known list; offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        hint = did_you_mean(name, names) or hint
        super().__init__(f"unknown {kind} '{name}'", hint=hint or f"known: {', '.join(names)}")


class UnsupportedError(RequestError):
    pass


class MissingError(RequestError):
    """No file or folder where one was named: an artifact, a model file, weights. What is there and cannot be used is another
    error: ArtifactError, WeightsError."""


class DataError(RequestError):
    pass


class UnreadableError(DataError):
    exit_code = 4


class MissingExtraError(EdgekitError):
    exit_code = 3

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"the package '{module}' is not installed", hint=install(extra))


class WeightsError(EdgekitError):
    exit_code = 3


class HubError(EdgekitError):
    exit_code = 3


class DeviceError(EdgekitError):
    exit_code = 3


class ArtifactError(EdgekitError):
    pass


class TrainingError(EdgekitError):
    pass


class ExportError(EdgekitError):
    pass


class ParityError(EdgekitError):
    pass


class WorkerError(EdgekitError):
    pass


class OutputError(EdgekitError):
    pass


def many(number: int, what: str) -> str:
    """ "1 image", "1,234 images": what is given in the plural."""
    return f"{number:,} {what.removesuffix('es' if what.endswith('sses') else 's') if number == 1 else what}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean bench?`, or "" where nothing begins so or is spelled like it."""
    import difflib  # only where something is wrong: it takes as long to import as all of this

    names = list(known)
    longer = [other for other in names if len(name) > 2 and other.startswith(name)]
    near = list(dict.fromkeys([*longer, *difflib.get_close_matches(name, names, n=3, cutoff=0.6)]))[:3]
    return f"did you mean {' or '.join(near)}?" if near else ""


def reason(error: BaseException) -> str:
    """The first line that an exception says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def kind_and_reason(error: BaseException) -> str:
    """`ValueError: no such head`"""
    return f"{type(error).__name__}: {reason(error)}" if str(error).strip() else type(error).__name__


def as_path(said: object, what: str) -> Path:
    """A path as a caller of the Python API gives it, a str or any os.PathLike of one. Raises RequestError."""
    path = os.fspath(said) if isinstance(said, os.PathLike) else said
    if not isinstance(path, str) or not path:
        raise RequestError(f"{what} is {said!r:.80}, not a path", hint="a str or a pathlib.Path")
    return Path(path)
