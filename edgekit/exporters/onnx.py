"""PyTorch to ONNX: torch.onnx converts, ONNX Runtime's quantizer quantizes; edgekit chooses, corrects and finishes."""

import importlib.metadata
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.artifact import Tensor, encode
from edgekit.calibration import Pictures
from edgekit.errors import MissingExtraError
from edgekit.exporters import Exported, Say
from edgekit.exporters.deployed import Deployed
from edgekit.exporters.preparing import prepare
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
    schemes = frozenset({"fp32", "fp16", "int8-static", "int8-dynamic"})

    def __init__(self) -> None:
        for module in ("onnx", "onnxscript", "onnxruntime"):
            if not installed(module):
                raise MissingExtraError(module, "onnx")

    def export(self, model: LoadedModel, recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        scheme, dtype = recipe.quantize.scheme, getattr(torch, recipe.input_type)
        pair_safe = recipe.quantize.int8_for == "any"
        prepared = prepare(model, recipe, calibration, say, pair_safe=pair_safe)
        deployed = Deployed(prepared.module, model.preprocess, recipe, traced_type=dtype).eval()
        say("converting with torch.onnx")
        with quiet():  # seconds of imports, which a wrong request must not wait for
            from edgekit.exporters import onnx_graph, onnx_quantize
        log = out / "converter.log"
        graph = onnx_graph.build(deployed, dtype, recipe, model.preprocess.input_size, log)
        shape = (-1 if recipe.dynamic_batch else 1, 3, *model.preprocess.input_size)
        shifted = recipe.input_type == "int8"
        given = Tensor("image", shape, recipe.input_type, "NCHW", 1.0 if shifted else None, -128 if shifted else None)
        if scheme != "fp32":
            say(f"quantizing: {scheme}")
            layers = [
                (prepared.module.get_parameter(f"{name}.weight").detach().numpy(), steps.numpy())
                for name, steps in prepared.scales.items()
            ]
            grids = onnx_quantize.Grids(layers, pair_safe=pair_safe)
            with quiet(), tempfile.TemporaryDirectory(prefix="edgekit-") as work:
                feed = lambda: _feed(calibration, model, recipe, given)  # noqa: E731
                graph = onnx_quantize.quantize(graph, recipe, model.preprocess, feed, grids, Path(work))
        onnx_graph.describe(graph, model, recipe)
        file = out / "model.onnx"
        file.write_bytes(graph.SerializeToString(deterministic=True))
        log.unlink()
        answer = Tensor(graph.graph.output[0].name, (shape[0], len(model.labels)), "float32", "NC")
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        how = HOW_TO_LOAD.format(shape=[1, *shape[1:]], dtype=recipe.input_type)
        floor = {"any CPU": f"a runtime that knows opset {graph.opset_import[0].version}"}
        return Exported(file, given, answer, versions, floor, how, prepared.notes)


def _feed(pictures: Pictures, model: LoadedModel, recipe: Recipe, given: Tensor) -> Iterator[NDArray[Any]]:
    """The calibration pictures as the file takes them: [1, 3, h, w]."""
    for pixels in pictures:
        yield encode(np.asarray(pixels)[None], given, model.preprocess, folded=recipe.folds)
