"""PyTorch to ONNX: torch.onnx converts, ONNX Runtime's quantizer quantizes; edgekit chooses, corrects and finishes."""

import importlib.metadata
from pathlib import Path

from edgekit.artifact import Tensor
from edgekit.calibration import Pictures
from edgekit.errors import MissingExtraError
from edgekit.exporters import Exported, Say
from edgekit.models import LoadedModel
from edgekit.quiet import quiet
from edgekit.recipe import Recipe
from edgekit.registry import installed

PACKAGES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")

HOW_TO_LOAD = """\
```python
import numpy
import onnxruntime                                            # pip install onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
picture = numpy.zeros({shape}, "{dtype}")                     # see manifest.json for size, crop and normalisation
scores = session.run(None, {{"image": picture}})[0]
```
"""


class OnnxExporter:
    target = "onnx"
    schemes = frozenset({"fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only"})

    def __init__(self) -> None:
        for module in ("onnx", "onnxscript", "onnxruntime"):
            if not installed(module):
                raise MissingExtraError(module, "onnx")

    def export(self, model: LoadedModel, recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        with quiet():  # seconds of imports, which a wrong request must not wait for
            from edgekit.exporters import onnx_graph, onnx_source
        made = onnx_source.make(model, recipe, calibration, out / "converter.log", say)
        onnx_graph.describe(made.graph, model, recipe)
        file = out / "model.onnx"
        file.write_bytes(made.graph.SerializeToString(deterministic=True))
        shape = made.input.shape
        answer = Tensor(made.graph.graph.output[0].name, (shape[0], len(model.labels)), "float32", "NC")
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        how = HOW_TO_LOAD.format(shape=[1, *shape[1:]], dtype=recipe.input_type)
        floor = {"any CPU": f"a runtime that knows opset {made.graph.opset_import[0].version}"}
        return Exported(file, made.input, answer, versions, floor, how, made.notes)
