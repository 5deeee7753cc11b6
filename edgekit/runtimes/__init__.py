"""A Runtime opens an artifact's file and answers. Each module here is one runtime; none needs torch but `torch`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from numpy.typing import NDArray

from edgekit.errors import RequestError, UnsupportedError
from edgekit.tensors import Arrays

if TYPE_CHECKING:
    from edgekit.artifact import Model


T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What a session is opened with.

    threads      of the runtime's own pool
    interpreter  which package runs a TFLite file; None takes the first installed
    profile      keep time by operator, where the runtime can (see Session.profile)
    exact        integers are computed as the operators are defined, not by this CPU's kernels (onnxruntime only)
    accelerator  of a phone: "gpu", "npu"
    """

    threads: int = 1
    interpreter: str | None = None
    exact: bool = False
    profile: bool = False
    accelerator: str = "cpu"


def check_interpreter(interpreter: str | None, targets: Iterable[str]) -> None:
    """Raises RequestError for an interpreter of .tflite files where no file is one."""
    targets = sorted(targets)
    if interpreter and "tflite" not in targets:
        raise RequestError(f"--interpreter runs .tflite files, and this is for {targets[0]}", hint="leave it out")


@dataclass(frozen=True)
class InputSpec:
    """The input of an opened file, as the file has it; -1 stands for a size that it leaves open.

    Real value = scale * (stored - zero_point) where scale is given.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class OperatorTime:
    """Nanoseconds that the operators of one type took in one inference."""

    operator: str
    count: int
    nanoseconds: int


def sole(found: Sequence[T], what: str, file: Path) -> T:
    """The one input of a file. Raises UnsupportedError for files with several."""
    if len(found) != 1:
        raise UnsupportedError(f"{file} has {len(found)} {what}s; edgekit runs files with one")
    return found[0]


class Session(Protocol):
    """An opened file. `run` takes the whole input tensor and returns every output, all as the file has them, in its order.

    `facts` says what really runs (runtime and version, threads, precision, delegate). A session that can time its
    operators also has `profile() -> list[OperatorTime]`, of the inferences since it was opened.
    """

    def input_spec(self) -> InputSpec: ...
    def run(self, tensor: NDArray[Any]) -> Arrays: ...
    def facts(self) -> dict[str, str]: ...
    def close(self) -> None: ...


class Runtime(Protocol):
    """A runtime whose packages are imported only when it opens a file also has `imports(options)`, which imports them:
    the time of that is no file's. A plugin's also has `suffixes`, a set: of its model files, as in ".pte"."""

    name: str
    targets: frozenset[str]

    def version(self) -> str: ...
    def open(self, artifact: "Model", options: Options = Options()) -> Session: ...
