"""edgekit takes a PyTorch image model to the device: export, quantize, prove, measure.

    import edgekit
    artifact = edgekit.export(edgekit.Recipe(model="mobilenetv2", target="tflite"))

The public verbs are resolved on first use (PEP 562), so that `import edgekit` stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

from edgekit import privacy

__version__ = "0.1.0"
privacy.switch_off()

if TYPE_CHECKING:
    from edgekit.artifact import Artifact as Artifact
    from edgekit.artifact import load as load
    from edgekit.errors import EdgekitError as EdgekitError
    from edgekit.parity import verify as verify
    from edgekit.pipeline import export as export
    from edgekit.pruning import prune as prune
    from edgekit.recipe import Quantize as Quantize
    from edgekit.recipe import Recipe as Recipe

_HOME = {
    "Artifact": "artifact",
    "EdgekitError": "errors",
    "Quantize": "recipe",
    "Recipe": "recipe",
    "export": "pipeline",
    "load": "artifact",
    "prune": "pruning",
    "verify": "parity",
}
__all__ = ["Artifact", "EdgekitError", "Quantize", "Recipe", "__version__", "export", "load", "prune", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    from edgekit.extras import needs

    with needs():  # without torch, `edgekit.export` says which extra to install
        return getattr(importlib.import_module(f"edgekit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
