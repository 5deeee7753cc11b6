"""PyTorch to TFLite: litert-torch converts, ai-edge-quantizer quantizes; edgekit chooses, corrects and finishes."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgekit.calibration import Pictures
from edgekit.errors import MissingExtraError
from edgekit.exporters import Exported, Say, answers
from edgekit.exporters.deployed import Deployed
from edgekit.exporters.preparing import prepare
from edgekit.extras import installed
from edgekit.models import LoadedModel
from edgekit.preprocess import normalise
from edgekit.quiet import quiet
from edgekit.recipe import Recipe
from edgekit.tensors import Tensor

PACKAGES = (
    "torch",
    "timm",
    "litert-torch",
    "litert-converter",
    "ai-edge-quantizer",
    "ai-edge-litert",
    "numpy",
    "pillow",
)


HOW_TO_LOAD = """\
```python
import numpy
from ai_edge_litert.interpreter import Interpreter            # pip install ai-edge-litert
interpreter = Interpreter("model.tflite")
interpreter.allocate_tensors()
picture = numpy.zeros({shape}, "{dtype}")                     # see manifest.json for size, crop and pixels
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
interpreter.invoke()
scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
```

```kotlin
// app/build.gradle.kts: implementation("com.google.ai.edge.litert:litert:2.1.0"), aaptOptions.noCompress("tflite")
val interpreter = org.tensorflow.lite.Interpreter(modelBuffer)  // the mapped asset model.tflite
val scores = Array(1) {{ FloatArray(labels.size) }}
interpreter.run(pixels, scores)                                // pixels: direct ByteBuffer, native order, NHWC
```
"""


class TfliteExporter:
    target = "tflite"
    schemes = frozenset({"fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only"})

    def __init__(self) -> None:
        for module in ("litert_torch", "ai_edge_quantizer", "flatbuffers"):
            if not installed(module):
                raise MissingExtraError(module, "tflite")

    def export(self, model: LoadedModel, recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        scheme = recipe.quantize.scheme
        static = scheme == "int8-static"
        # int8-static quantizes its own input; elsewhere an integer input is a cast inside the graph
        traced = torch.float32 if static else getattr(torch, recipe.input_type)
        prepared = prepare(model, recipe, calibration, say)
        deployed = Deployed(prepared.module, model.preprocess, recipe, traced_type=traced).eval()
        say("converting with litert-torch")
        with quiet():  # ten seconds of imports, which a wrong request must not wait for
            from edgekit.exporters import tflite_convert, tflite_file, tflite_quantize
        converted = tflite_convert.convert(deployed, traced, model.preprocess.input_size, out / "converter.log")
        converted = tflite_file.mend_transposed(converted)
        tflite_file.check_kernels(converted)
        if scheme != "fp32":
            say(f"quantizing: {scheme}")
            float_file = out / "float.tflite"
            float_file.write_bytes(converted)
            with quiet():
                converted = tflite_quantize.quantize(float_file, recipe, lambda: _feed(calibration, model, recipe))
            float_file.unlink()
        finished, floor = tflite_file.finish(converted, model, recipe)
        file = out / "model.tflite"
        file.write_bytes(finished)
        (out / "converter.log").unlink()
        interpreter = Interpreter(str(file))
        given = _input(interpreter.get_input_details()[0])
        outputs = answers(model, [output["name"] for output in interpreter.get_output_details()], 1)
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        how = HOW_TO_LOAD.format(shape=list(given.shape), dtype=given.dtype)
        return Exported(file, given, outputs, versions, floor, how, prepared.notes)


def _feed(pictures: Pictures, model: LoadedModel, recipe: Recipe) -> Iterator[NDArray[np.float32]]:
    """The calibration pictures as the float file takes them: [1, h, w, 3]."""
    for pixels in pictures:
        yield (pixels.astype(np.float32) if recipe.folds else normalise(pixels, model.preprocess))[None]


def _input(details: Mapping[str, Any]) -> Tensor:
    """What an interpreter tells of the file's input."""
    dtype, (scale, zero_point) = np.dtype(details["dtype"]).name, details["quantization"]
    if dtype == "float32":
        scale, zero_point = None, None
    elif not scale:  # the graph casts it itself: it is the pixel, or the pixel minus 128
        scale, zero_point = 1.0, -128 if dtype == "int8" else 0
    else:
        scale, zero_point = float(scale), int(zero_point)
    return Tensor(details["name"], tuple(map(int, details["shape"])), dtype, "NHWC", scale, zero_point)
