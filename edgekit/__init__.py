"""edgekit takes a PyTorch image model to the device: export, quantize, prove, measure.

    import edgekit
    model = edgekit.export("mobilenetv2", target="tflite", int8=True)
    model.predict("photo.jpg")

The verbs are those of the command line (docs/python.md). They are resolved on first use (PEP 562), so that `import
edgekit` stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

from edgekit import privacy

__version__ = "0.1.0"
privacy.switch_off()

if TYPE_CHECKING:
    from edgekit.candidates import Benchmark as Benchmark
    from edgekit.errors import EdgekitError as EdgekitError
    from edgekit.recipe import Quantize as Quantize
    from edgekit.recipe import Recipe as Recipe
    from edgekit.tuning import Tuned as Tuned
    from edgekit.verbs.artifacts import Artifact as Artifact
    from edgekit.verbs.artifacts import load as load
    from edgekit.verbs.comparing import benchmark as benchmark
    from edgekit.verbs.comparing import tune as tune
    from edgekit.verbs.exporting import export as export
    from edgekit.verbs.judging import evaluate as evaluate
    from edgekit.verbs.judging import gate as gate
    from edgekit.verbs.learning import Trained as Trained
    from edgekit.verbs.learning import prune as prune
    from edgekit.verbs.learning import train as train
    from edgekit.verbs.predictions import Boxes as Boxes
    from edgekit.verbs.predictions import Classes as Classes
    from edgekit.verbs.predictions import Mask as Mask
    from edgekit.verbs.predictions import Tensors as Tensors
    from edgekit.verbs.predictions import Vector as Vector
    from edgekit.verbs.proving import compare as compare
    from edgekit.verbs.proving import verify as verify
    from edgekit.verbs.timing import Bench as Bench
    from edgekit.verbs.timing import bench as bench
    from edgekit.verbs.timing import report as report

_HOME = {
    "Artifact": "verbs.artifacts",
    "Bench": "verbs.timing",
    "Benchmark": "candidates",
    "Boxes": "verbs.predictions",
    "Classes": "verbs.predictions",
    "EdgekitError": "errors",
    "Mask": "verbs.predictions",
    "Quantize": "recipe",
    "Recipe": "recipe",
    "Tensors": "verbs.predictions",
    "Trained": "verbs.learning",
    "Tuned": "tuning",
    "Vector": "verbs.predictions",
    "bench": "verbs.timing",
    "benchmark": "verbs.comparing",
    "compare": "verbs.proving",
    "evaluate": "verbs.judging",
    "export": "verbs.exporting",
    "gate": "verbs.judging",
    "load": "verbs.artifacts",
    "prune": "verbs.learning",
    "report": "verbs.timing",
    "train": "verbs.learning",
    "tune": "verbs.comparing",
    "verify": "verbs.proving",
}
__all__ = [
    "Artifact",
    "Bench",
    "Benchmark",
    "Boxes",
    "Classes",
    "EdgekitError",
    "Mask",
    "Quantize",
    "Recipe",
    "Tensors",
    "Trained",
    "Tuned",
    "Vector",
    "__version__",
    "bench",
    "benchmark",
    "compare",
    "evaluate",
    "export",
    "gate",
    "load",
    "prune",
    "report",
    "train",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    from edgekit.extras import needs

    with needs():  # without torch, `edgekit.train` says which extra to install
        return getattr(importlib.import_module(f"edgekit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
