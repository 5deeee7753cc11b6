"""PyTorch to ONNX: torch.onnx converts, ONNX Runtime's quantizer quantizes; edgekit chooses, corrects and finishes.

On request the file is ONNX Runtime's own format, `.ort`, which its small builds for phones open, and only they.
"""

import importlib.metadata
from pathlib import Path

from edgekit.calibration import Pictures
from edgekit.errors import ExportError, MissingExtraError, reason
from edgekit.exporters import Exported, Say, answers, assigned
from edgekit.extras import installed
from edgekit.models import LoadedModel
from edgekit.quiet import silenced
from edgekit.recipe import Recipe

PACKAGES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")

# Operator set -> the first ONNX Runtime that ran its files, in float and in int8, of those on PyPI for Python 3.11 (1.15.0
# is the first of them). Tried, for its own table says too much: 1.15 knows of opset 19 and has no Reshape of it, 1.23 of
# opset 23 and has no QuantizeLinear of it.
OLDEST = {18: "1.15", 19: "1.16", 20: "1.17", 21: "1.18", 22: "1.21", 23: "1.24"}

HOW_TO_LOAD = """\
```python
import numpy
import onnxruntime                                            # pip install onnxruntime
session = onnxruntime.InferenceSession("{file}")
image = numpy.zeros({shape}, "{dtype}")                     # see manifest.json for size, crop and normalisation
{answers} = session.run(None, {{"image": image}})
```
"""


SLOWER_FLOATS = (
    "an .ort file leaves out the layouts of one kind of CPU: float convolutions need more time on x86 than in model.onnx "
    "(MobileNetV2 fp32 2.5 times as much, x86-vnni)"
)


class OnnxExporter:
    target = "onnx"
    schemes = frozenset({"fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only"})

    def __init__(self) -> None:
        for module in ("onnx", "onnxscript", "onnxruntime"):
            if not installed(module):
                raise MissingExtraError(module, "onnx")

    def export(self, model: LoadedModel, recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        with silenced():  # seconds of imports, which a wrong request must not wait for
            from edgekit.exporters import onnx_graph, onnx_source
        # a PReLU ends the chain of integers anyway, and what lies around it bears them badly (schemes.toml, "prelu")
        made = onnx_source.make(
            model,
            recipe,
            calibration,
            out / "converter.log",
            say,
            "layers' inputs" if model.family == "prelu" else "every operator",
        )
        onnx_graph.settle_versions(made.graph)
        onnx_graph.describe(made.graph, model, recipe)
        blob = made.graph.SerializeToString(deterministic=True)
        file = out / ("model.ort" if recipe.ort else "model.onnx")
        if recipe.ort:
            _save_ort(blob, file)
        else:
            file.write_bytes(blob)
        shape = made.input.shape
        outputs, layout = answers(model, recipe, [output.name for output in made.graph.graph.output], shape[0])
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        how = HOW_TO_LOAD.format(
            file=file.name,
            shape=[1, *shape[1:]],
            dtype=recipe.input_type,
            answers=assigned(layout.outputs if layout else outputs),
        )
        runtime = _oldest(made.graph.opset_import[0].version)
        if recipe.ort:
            runtime = f"ONNX Runtime {versions['onnxruntime']} (none older was tried)"
        floor = {"any CPU" if recipe.quantize.int8_for == "any" else "ARM, and x86-64 with VNNI": runtime}
        floats = recipe.ort and recipe.quantize.scheme != "int8-static" and model.family != "attention"
        notes = (*made.notes, *([SLOWER_FLOATS] if floats else []))
        return Exported(file, made.input, outputs, versions, floor, how, notes, layout)


def _oldest(opset: int) -> str:
    """`ONNX Runtime 1.17 (opset 20)`"""
    return f"ONNX Runtime {OLDEST[opset]} (opset {opset})" if opset in OLDEST else f"a runtime that knows opset {opset}"


def _save_ort(graph: bytes, file: Path) -> None:
    """As onnxruntime.tools.convert_onnx_models_to_ort does it, fused once and for all: an .ort file is not fused again
    where it is loaded. Level "extended" makes the integer kernels; level "all" would add layouts of this CPU alone."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    settings.optimized_model_filepath = str(file)
    settings.add_session_config_entry("session.save_model_format", "ORT")
    try:
        onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise ExportError(f"ONNX Runtime cannot write this graph as .ort: {reason(error)}") from error
