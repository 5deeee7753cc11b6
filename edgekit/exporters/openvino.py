"""PyTorch to OpenVINO's IR, by way of the ONNX graph that the ONNX target has too."""

import importlib.metadata
import re
from pathlib import Path

import msgspec
import openvino
from openvino import opset13 as ops
from openvino._offline_transformations import apply_moc_transformations
from openvino.preprocess import PrePostProcessor

from edgekit.calibration import Pictures
from edgekit.errors import ExportError, MissingExtraError
from edgekit.exporters import Exported, Say, answers, assigned, given_as, ultralytics
from edgekit.extras import installed
from edgekit.models import LoadedModel
from edgekit.preprocess import Preprocess
from edgekit.quiet import silenced
from edgekit.recipe import Recipe
from edgekit.tensors import Tensor

PACKAGES = ("torch", "timm", "onnx", "onnxscript", "onnxruntime", "openvino", "numpy", "pillow")

HOW_TO_LOAD = """\
```python
import numpy
import openvino                                               # pip install openvino
f32 = {{"INFERENCE_PRECISION_HINT": "f32"}}                     # the default is bfloat16 on CPUs that have it
model = openvino.Core().compile_model("model.xml", "CPU", f32)  # model.bin, the weights, lies beside it
image = numpy.zeros({shape}, "{dtype}")                     # see manifest.json for size and crop
{answers} = model([image]).values()
```
"""


class OpenvinoExporter:
    target = "openvino"
    schemes = frozenset({"fp32", "fp16", "int8-static", "int8-weight-only"})

    def __init__(self) -> None:
        for module in ("onnx", "onnxscript", "onnxruntime"):
            if not installed(module):
                raise MissingExtraError(module, "openvino")

    def export(self, model: LoadedModel, recipe: Recipe, calibration: Pictures, out: Path, say: Say) -> Exported:
        with silenced():  # seconds of imports, which a wrong request must not wait for
            from edgekit.exporters import onnx_circles, onnx_graph, onnx_source
        inner, notes = _inner(recipe, model)
        made = onnx_source.make(model, inner, calibration, out / "converter.log", say, "layers' inputs")
        say("converting with OpenVINO")
        try:
            onnx_circles.write_out_circles(made.graph)
            read = openvino.Core().read_model(made.graph.SerializeToString())
        except Exception as error:  # OpenVINO raises RuntimeError, and whatever its readers raise
            raise ExportError(f"OpenVINO cannot read the ONNX graph: {str(error).strip().splitlines()[-1]}") from error
        converted = _embed(_tidied(read), recipe, model.preprocess)
        _share_constants(converted)
        for key, value in onnx_graph.model_info(model, recipe, made.graph).items():
            converted.set_rt_info(value, ["model_info", key])
        _name(converted)
        file = out / "model.xml"
        if recipe.layout == "ultralytics":
            (out / "metadata.yaml").write_text(ultralytics.as_yaml(ultralytics.metadata(model)), "utf-8")
        openvino.save_model(converted, file, compress_to_fp16=recipe.quantize.scheme == "fp16")
        file.write_bytes(re.sub(rb">\s+<", b"><", file.read_bytes()))  # indented, a fifth of it was spaces
        batch, channels, *extent = made.input.shape
        last = recipe.folds and recipe.layout != "ultralytics"
        shape = (batch, *extent, channels) if last else made.input.shape
        scale = recipe.unit if recipe.unit != 1 else None
        given = Tensor(made.input.name, shape, recipe.input_type, given_as(model.preprocess, last=last), scale)
        outputs, layout = answers(model, recipe, [output.name for output in made.graph.graph.output], batch)
        versions = {name: importlib.metadata.version(name) for name in PACKAGES}
        how = HOW_TO_LOAD.format(
            shape=[1, *shape[1:]], dtype=recipe.input_type, answers=assigned(layout.outputs if layout else outputs)
        )
        cpus = "x86-64" if recipe.quantize.int8_for == "any" else "x86-64 with VNNI"
        floor = {cpus: f"OpenVINO {versions['openvino']} (none older was tried)"}
        return Exported(file, given, outputs, versions, floor, how, (*notes, *made.notes), layout)


def _inner(recipe: Recipe, model: LoadedModel) -> tuple[Recipe, tuple[str, ...]]:
    """What the ONNX graph is asked for, and what is done otherwise than the recipe says.

    Normalised floats go in, because OpenVINO puts the pixels in front itself; half precision is the way weights are
    saved. A trained transformer's few largest activations carry its answers: clipping them costs 6 dB.
    """
    quantize = recipe.quantize
    notes: tuple[str, ...] = ()
    if quantize.scheme == "fp16":
        quantize = msgspec.structs.replace(quantize, scheme="fp32", keep_float=())
    if quantize.scheme == "int8-static" and model.family == "attention" and quantize.ranges != "minmax":
        quantize = msgspec.structs.replace(quantize, ranges="minmax")
        notes = ('activations\' ranges are their true extremes (ranges = "minmax"): attention does not bear clipping',)
    return msgspec.structs.replace(recipe, fold=False, input="float32", quantize=quantize), notes


def _tidied(model: openvino.Model) -> openvino.Model:
    """Without what reading ONNX leaves behind, as OpenVINO's own converter writes files: half of an int8 graph is pairs that
    become one FakeQuantize, and shapes that are known. In place.

    It would also make one operator of an attention's products and softmax, which OpenVINO does anyhow when it compiles: a wall
    behind each softmax keeps them apart, so that the file says what is computed in integers.
    """
    softmaxes = [operator for operator in model.get_ordered_ops() if operator.get_type_name() == "Softmax"]
    walls = []
    for softmax in softmaxes:
        readers = softmax.output(0).get_target_inputs()
        walls.append(_Wall([softmax.output(0)]))
        for reader in readers:
            reader.replace_source_output(walls[-1].output(0))
    apply_moc_transformations(model, cf=False)
    for wall in walls:
        for reader in wall.output(0).get_target_inputs():
            reader.replace_source_output(wall.input_value(0))
    _fold_shapes(model)
    return model


class _Wall(openvino.Op):  # type: ignore[misc]
    """Answers what it reads. No pass knows it, so none looks behind it."""

    def __init__(self, inputs: list[openvino.Output] | None = None) -> None:
        super().__init__(self, inputs)

    def validate_and_infer_types(self) -> None:
        self.set_output_type(0, self.get_input_element_type(0), self.get_input_partial_shape(0))

    def clone_with_new_inputs(self, inputs: list[openvino.Output]) -> "_Wall":
        return _Wall(inputs)


def _fold_shapes(model: openvino.Model) -> None:
    """Constants that are reshaped (biases) become constants of that shape. In place. All that could be folded would make floats
    of integer weights."""
    for operator in model.get_ordered_ops():
        if operator.get_type_name() == "Reshape":
            given, shape = (source.get_node() for source in operator.input_values())
            if given.get_type_name() == shape.get_type_name() == "Constant":
                values = given.data.reshape(tuple(operator.get_output_shape(0)))
                _read_instead(operator, ops.constant(values, given.get_element_type(), name=given.get_friendly_name()))


def _share_constants(model: openvino.Model) -> None:
    """Of equal constants one is left, as of a FakeQuantize's ranges, which go in and come out the same. In place."""
    known: dict[tuple[str, tuple[int, ...], bytes], openvino.Node] = {}
    for operator in model.get_ordered_ops():
        if operator.get_type_name() == "Constant":
            kind = operator.get_element_type().get_type_name()
            first = known.setdefault((kind, tuple(operator.shape), operator.data.tobytes()), operator)
            if first is not operator:
                _read_instead(operator, first)


def _read_instead(operator: openvino.Node, other: openvino.Node) -> None:
    for reader in operator.output(0).get_target_inputs():
        reader.replace_source_output(other.output(0))


def _embed(model: openvino.Model, recipe: Recipe, spec: Preprocess) -> openvino.Model:
    """Pixels as decoders give them, uint8 NHWC, in front of the network: OpenVINO fuses all of it at no cost.

    Without folding the network stays as it is: normalised floats, NCHW. Readers of Ultralytics' files give 0..1, NCHW.
    """
    steps = PrePostProcessor(model)
    given = steps.input()
    depth = "D" if spec.is_clip else ""  # OpenVINO's word for frames
    given.model().set_layout(openvino.Layout(f"NC{depth}HW"))
    if recipe.folds:
        pixels = openvino.Type.u8 if recipe.input_type == "uint8" else openvino.Type.f32
        axes = "NCHW" if recipe.layout == "ultralytics" else f"N{depth}HWC"
        given.tensor().set_element_type(pixels).set_layout(openvino.Layout(axes))
        normalise = given.preprocess().convert_element_type(openvino.Type.f32)
        levels = 255 / recipe.unit
        normalise.mean([levels * v for v in spec.mean]).scale([levels * v for v in spec.std])
    return steps.build()


def _name(model: openvino.Model) -> None:
    """Name what OpenVINO numbered: its numbers go on through the life of a process, and the same request would give other bytes."""
    for number, operator in enumerate(model.get_ordered_ops()):
        if re.search(r"_\d+$", operator.get_friendly_name()):
            operator.set_friendly_name(f"{operator.get_type_name()}_{number}")
