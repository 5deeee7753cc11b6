"""Nothing is reported to anybody: `import edgekit` switches off what its libraries would tell their makers.

Most obey the environment, before they are imported, and worker processes inherit that. OpenVINO and NNCF do not: they
report through the package `openvino_telemetry` where they find it, so they do not find it.
"""

import contextlib
import os
import sys
import warnings
from typing import Any

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime, from 1.29 on: an id, and an event of every process
    "HF_HUB_DISABLE_TELEMETRY": "1",  # Hugging Face's hub and transformers
    "HF_XET_TELEMETRY_ENABLED": "0",  # the hub's downloads
    "ENABLE_RUNTIME_UPTIME_TELEMETRY": "0",  # jax, which litert-torch brings, on a TPU
    "DO_NOT_TRACK": "1",  # https://donottrack.sh
}
HIDDEN = "openvino_telemetry"


def switch_off() -> None:
    """Also where the user switched it on. Warns of libraries that were imported before and have reported that."""
    late = [*_late_onnxruntime(), *_late_openvino()]
    os.environ.update(SWITCHES)
    sys.modules[HIDDEN] = None  # type: ignore[assignment]  # "halt the search", says Python's reference
    if hub := sys.modules.get("huggingface_hub.constants"):
        hub.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]
    for name in late:
        warnings.warn(
            f"{name} was imported before edgekit and reports that to its maker, which cannot be taken back;"
            " later reports are switched off. Import edgekit first, and there are none",
            stacklevel=3,
        )


def _late_onnxruntime() -> list[str]:
    runtime: Any = sys.modules.get("onnxruntime")
    with contextlib.suppress(AttributeError, ValueError):  # not imported, not wholly, or of no plain version
        runtime.disable_telemetry_events()
        silent = os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in ("1", "true", "yes")
        if not silent and tuple(int(part) for part in runtime.__version__.split(".")[:2]) >= (1, 29):
            return ["onnxruntime"]
    return []


def _late_openvino() -> list[str]:
    reports: Any = sys.modules.get(HIDDEN)
    with contextlib.suppress(AttributeError, RuntimeError):  # not imported, or not in use
        sender = reports.Telemetry()
        agreed, sender.consent = sender.consent, False
        return ["openvino"] if agreed else []
    return []
