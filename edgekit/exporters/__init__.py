"""An Exporter turns a loaded model into one file. Each module here is one target; exporters do not know each other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgekit.calibration import Pictures
from edgekit.recipe import Recipe
from edgekit.tensors import Tensor

if TYPE_CHECKING:
    from edgekit.models import LoadedModel

Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """What the exporter wrote.

    file                the file, inside the folder that was given
    oldest_interpreter  CPU class -> the oldest interpreter known to answer rightly
    versions            the packages that made it
    how_to_load         Markdown for the artifact's README
    """

    file: Path
    input: Tensor
    output: Tensor
    versions: dict[str, str]
    oldest_interpreter: dict[str, str]
    how_to_load: str = ""
    notes: tuple[str, ...] = ()


class Exporter(Protocol):
    target: str
    schemes: frozenset[str]

    def export(self, model: "LoadedModel", recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported: ...
