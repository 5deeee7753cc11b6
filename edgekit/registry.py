"""From a name to a plugin: the only door to heavy imports.

Built-ins register through the same entry points as third parties: `edgekit.exporters`, `edgekit.runtimes`,
`edgekit.devices` and `edgekit.engines` (see pyproject.toml). Nothing is imported until a plugin is asked for by name.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from edgekit.errors import (
    EdgekitError,
    MissingExtraError,
    RequestError,
    UnknownNameError,
    UnsupportedError,
    kind_and_reason,
)
from edgekit.extras import EXTRAS, RUNNERS, needs

if TYPE_CHECKING:
    from edgekit.devices import Device
    from edgekit.exporters import Exporter
    from edgekit.runtimes import Runtime
    from edgekit.sweep.engines import Engine


def exporter(target: str) -> "Exporter":
    plugin: Exporter = _load("target", "edgekit.exporters", target)
    return plugin


def runtime(name: str) -> "Runtime":
    plugin: Runtime = _load("runtime", "edgekit.runtimes", name)
    return plugin


def device(name: str) -> "Device":
    """`local`, or `arm64:cortex-a76`: a plugin, and which of its devices."""
    kind, _, which = name.partition(":")
    plugin: Device = _load("device", "edgekit.devices", kind, which or None)
    return plugin


def engine(name: str, workers: int) -> "Engine":
    """Who runs the rows of a sweep."""
    plugin: Engine = _load("engine", "edgekit.engines", name, workers)
    return plugin


def targets() -> list[str]:
    return sorted(p.name for p in entry_points(group="edgekit.exporters"))


def files_for_devices() -> list[str]:
    """The targets that "all" means: torch's file is the reference, and none for a device."""
    return [target for target in targets() if target != "torch"]


def targets_named(said: Iterable[str]) -> list[str]:
    """Each target once that words name: "tflite", "tflite,onnx", "all". Raises UnknownNameError, RequestError."""
    names = [name.strip() for words in said for name in words.split(",")]
    if "" in names:
        raise RequestError("a target is empty", hint=f"--target {','.join(files_for_devices())}")
    for name in names:
        if name not in (*targets(), "all"):
            raise UnknownNameError("target", name, [*targets(), "all"])
    return list(dict.fromkeys(t for name in names for t in (files_for_devices() if name == "all" else [name])))


def lacking(names: Sequence[str]) -> dict[str, EdgekitError]:
    """Of several targets those whose extra is not installed, and what to install, or whose plugin is broken. Raises the first of
    these errors where all are such."""
    found = {}
    for name in names:
        try:
            exporter(name)
        except EdgekitError as error:
            found[name] = error
    if found and len(found) == len(names):
        raise next(iter(found.values()))
    return found


def devices() -> list[str]:
    return sorted(p.name for p in entry_points(group="edgekit.devices"))


def runtimes() -> list[str]:
    return sorted(p.name for p in entry_points(group="edgekit.runtimes"))


def opening(target: str) -> Iterator[str]:
    """The installed runtimes that open files of a target, one at a time: looking at all would import torch for a .tflite."""
    return (name for name in runtimes() if _importable(name) and target in runtime(name).targets)


def runtime_for(target: str) -> "Runtime":
    """The first runtime that opens files of a target; the fake one only where nothing else does."""
    for name in opening(target):
        return runtime(name)
    if target in RUNNERS:
        raise MissingExtraError(RUNNERS[target], EXTRAS[RUNNERS[target]])
    raise UnknownNameError("target", target, targets())


def runtime_named(name: str | None, target: str) -> "Runtime":
    """The one that is asked for, or else the first that opens files of the target. Raises UnsupportedError."""
    if name is None:
        return runtime_for(target)
    if target not in runtime(name).targets:
        raise UnsupportedError(f"{name} does not open {target} files", hint="leave --runtime out")
    return runtime(name)


def _load(kind: str, group: str, name: str, *arguments: Any) -> Any:
    plugins = _plugins(group)
    if name not in plugins:
        raise UnknownNameError(kind, name, plugins)
    try:
        with needs(name if group == "edgekit.exporters" and name in ("tflite", "onnx", "openvino") else None):
            return plugins[name].load()(*arguments)
    except EdgekitError:
        raise
    except Exception as error:  # whatever a plugin raises where it does not fit what it stands on
        whose = f" of {dist.name}" if (dist := plugins[name].dist) else ""
        raise UnsupportedError(
            f"the {kind} {name}{whose} cannot be loaded: {kind_and_reason(error)}",
            hint="--debug shows the whole traceback",
        ) from error


@cache
def _plugins(group: str) -> dict[str, EntryPoint]:
    """Looked for once: the plan of a large sweep asks for a plugin with every row."""
    return {p.name: p for p in entry_points(group=group)}


def _importable(name: str) -> bool:
    """Whether it is there; of one that is broken a warning, so that the others still open their files."""
    try:
        runtime(name)
    except MissingExtraError:
        return False
    except EdgekitError as error:
        warnings.warn(f"{error.message}; it is left out", stacklevel=2)
        return False
    return True
