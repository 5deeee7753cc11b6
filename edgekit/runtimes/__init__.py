"""A Runtime opens an artifact's file and answers. Each module here is one runtime; none needs torch but `torch`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgekit.artifact import Artifact


@dataclass(frozen=True)
class Options:
    """What a session is opened with.

    threads      of the runtime's own pool
    interpreter  which package runs a TFLite file; None takes the first installed
    exact        integers are computed as the operators are defined, not by this CPU's kernels (onnxruntime only)
    """

    threads: int = 1
    interpreter: str | None = None
    exact: bool = False


class Session(Protocol):
    """An opened file. `run` takes the whole input tensor and returns the raw output tensor, both as the file has them."""

    def run(self, tensor: NDArray[Any]) -> NDArray[Any]: ...
    def facts(self) -> dict[str, str]: ...
    def close(self) -> None: ...


class Runtime(Protocol):
    name: str
    targets: frozenset[str]

    def version(self) -> str: ...
    def open(self, artifact: "Artifact", options: Options = Options()) -> Session: ...
