"""PyTorch to TFLite: litert-torch converts, ai-edge-quantizer quantizes; edgekit chooses, corrects and finishes."""

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edgekit.calibration import Pictures
from edgekit.errors import MissingExtraError
from edgekit.exporters import Exported, Say, answers, assigned, given_as
from edgekit.exporters.export_wrapper import ExportWrapper
from edgekit.exporters.frames import as_pictures
from edgekit.exporters.on_pixels import as_pixels
from edgekit.exporters.preparing import first, prepare
from edgekit.extras import installed
from edgekit.models import LoadedModel
from edgekit.preprocess import normalise
from edgekit.quiet import silenced
from edgekit.recipe import Recipe
from edgekit.tasks import Detection
from edgekit.tensors import Axes, Tensor

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
image = numpy.zeros({shape}, "{dtype}")                     # see manifest.json for size, crop and pixels
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
interpreter.invoke()
{answers} = [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
```

```kotlin
// app/build.gradle.kts: implementation("com.google.ai.edge.litert:litert:2.1.0"), aaptOptions.noCompress("tflite")
val interpreter = org.tensorflow.lite.Interpreter(modelBuffer)  // the mapped asset model.tflite
val answers = mapOf<Int, Any>({arrays})
interpreter.runForMultipleInputsOutputs(arrayOf(pixels), answers)  // pixels: direct ByteBuffer, native order, NHWC
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
        prepared = prepare(model, recipe, calibration, say, pixels=static and recipe.folds and recipe.unit == 1)
        one, edge = first(calibration, model.preprocess)[:1], prepared.edge
        module = as_pictures(prepared.module, edge(as_pixels(one, model.preprocess)) if edge else one)
        wrapper = ExportWrapper(module, model.preprocess, recipe, traced_type=traced, edge=edge).eval()
        say("converting with litert-torch")
        with silenced():  # ten seconds of imports, which a wrong request must not wait for
            from edgekit.exporters import mediapipe, tflite_convert, tflite_file, tflite_hardswish, tflite_quantize
        last = _channels_last(model)
        shape = model.preprocess.shape
        converted = tflite_convert.convert(wrapper, traced, shape, out / "converter.log", last=last)
        converted = tflite_file.mend(converted)
        tflite_file.check_kernels(converted)
        if static:
            converted = tflite_hardswish.with_products(converted)
        if scheme != "fp32":
            say(f"quantizing: {scheme}")
            float_file = out / "float.tflite"
            float_file.write_bytes(converted)
            feed = lambda: _feed(calibration, model, recipe)  # noqa: E731
            with silenced():
                decodes = isinstance(model.task, Detection)
                converted = tflite_quantize.quantize(float_file, recipe, feed, decodes=decodes)
            float_file.unlink()
        finished, floor = tflite_file.finish(converted, model, recipe)
        file = out / "model.tflite"
        file.write_bytes(finished)
        (out / "converter.log").unlink()
        interpreter = Interpreter(str(file))
        given = _input(interpreter.get_input_details()[0], given_as(model.preprocess, last=True))
        if recipe.unit != 1:
            given = msgspec.structs.replace(given, scale=recipe.unit)
        outputs, layout = answers(model, recipe, [o["name"] for o in interpreter.get_output_details()], 1)
        outputs = tuple(_turned(tensor) if i in last else tensor for i, tensor in enumerate(outputs))
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        own = layout.outputs if layout else outputs
        arrays = ", ".join(f"{i} to {_kotlin_array(tensor.shape)}" for i, tensor in enumerate(own))
        how = HOW_TO_LOAD.format(shape=list(given.shape), dtype=given.dtype, answers=assigned(own), arrays=arrays)
        notes = prepared.notes
        if recipe.layout == "mediapipe" and model.preprocess.crop_mode != "squash":
            say(mediapipe.STRETCHES)
            notes = (*notes, mediapipe.STRETCHES)
        return Exported(file, given, outputs, versions, floor, how, notes, layout)


def _kotlin_array(shape: Sequence[int]) -> str:
    """`Array(1) { FloatArray(5) }`"""
    *outer, last = shape
    return "".join(f"Array({n}) {{ " for n in outer) + f"FloatArray({last})" + " }" * len(outer)


def _channels_last(model: LoadedModel) -> list[int]:
    """Which answers the file gives as [n, h, w, c], as apps read them: those that a task knows the axes of."""
    return [i for i, shape in enumerate(model.answer_shapes) if len(shape) == 4 and model.task.roles]


def _turned(tensor: Tensor) -> Tensor:
    n, c, h, w = tensor.shape
    return msgspec.structs.replace(tensor, shape=(n, h, w, c), layout="NHWC")


def _feed(pictures: Pictures, model: LoadedModel, recipe: Recipe) -> Iterator[NDArray[np.float32]]:
    """The calibration images as the float file takes them: [1, h, w, c]."""
    for pixels in pictures:
        folded = pixels.astype(np.float32) / np.float32(recipe.unit)
        yield (folded if recipe.folds else normalise(pixels, model.preprocess))[None]


def _input(details: Mapping[str, Any], axes: Axes) -> Tensor:
    """What an interpreter tells of the file's input."""
    dtype, (scale, zero_point) = np.dtype(details["dtype"]).name, details["quantization"]
    if dtype == "float32":
        scale, zero_point = None, None
    elif not scale:  # the graph casts it itself: it is the pixel, or the pixel minus 128
        scale, zero_point = 1.0, -128 if dtype == "int8" else 0
    else:
        scale, zero_point = float(scale), int(zero_point)
    return Tensor(details["name"], tuple(map(int, details["shape"])), dtype, axes, scale, zero_point)
