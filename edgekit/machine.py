"""What works on this machine, and what to install for the rest: the data behind `edgekit doctor` and `edgekit list`."""

import importlib.metadata
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from edgekit import registry, schemes
from edgekit.errors import DeviceError, EdgekitError, MissingExtraError, RequestError, kind_and_reason
from edgekit.extras import KNOWN
from edgekit_vision import install

# where litert-converter 0.5 has wheels
CONVERTS = {("Linux", "x86_64"), ("Darwin", "arm64")}


class Check(msgspec.Struct, frozen=True):
    what: str
    ok: bool
    detail: str


def checks() -> list[Callable[[], Check]]:
    """What is to be looked at. To load what makes files takes seconds."""
    return [
        *(partial(_extra, extra) for extra in KNOWN),
        *(partial(_plugin, "target", name, registry.exporter) for name in registry.targets()),
        *(partial(_plugin, "runtime", name, registry.runtime) for name in registry.runtimes()),
        *(partial(_device, name) for name in registry.devices()),
    ]


def _extra(extra: str) -> Check:
    what, distribution, _ = KNOWN[extra]
    try:
        return Check(what, True, f"{distribution} {importlib.metadata.version(distribution)}")
    except importlib.metadata.PackageNotFoundError:
        if extra == "tflite" and (platform.system(), platform.machine()) not in CONVERTS:
            return Check(what, False, "litert-converter has no wheel for this system: export elsewhere")
        return Check(what, False, install(extra))


def _plugin(kind: str, name: str, load: Callable[[str], Any]) -> Check:
    return _looked(f"{kind} {name}", lambda: "loads" if load(name) else "")


def _device(name: str) -> Check:
    return _looked(f"device {name}", lambda: registry.device(name).state())


def _looked(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, True, look())
    except (MissingExtraError, DeviceError) as error:
        return Check(what, False, error.hint)
    except EdgekitError as error:
        return Check(what, False, f"{error.message}: {error.hint}")
    except Exception as error:  # a plugin's
        return Check(what, False, kind_and_reason(error))


def set_up(name: str, say: Callable[[str], None]) -> str:
    """Fetch what a device needs; what runs there then. Raises RequestError, DeviceError, OutputError."""
    device = registry.device(name)
    if not hasattr(device, "set_up"):
        raise RequestError(f"{device.name} needs no set-up", hint="edgekit doctor")
    device.set_up(say)
    return device.state()


class Int8(msgspec.Struct, frozen=True):
    """What --int8 takes for a family of networks and a target.

    models  how names start that alone it is about; empty: all of the family
    task    the one that it is about; None: all
    gain    time of fp32 over that of the scheme, by CPU class, where it was measured
    """

    family: str
    models: tuple[str, ...]
    task: str | None
    target: str
    scheme: str
    gain: dict[str, float]


def int8_schemes() -> list[Int8]:
    return [Int8(row.family, row.models, row.task, row.target, row.scheme, row.gain) for row in schemes.table()]
