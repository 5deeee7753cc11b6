"""The last touch on a .tflite file: weights inside the flatbuffer, honest operator versions, metadata, the floor."""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter

from edgekit.errors import ExportError, reason
from edgekit.exporters import _metadata_schema as metadata
from edgekit.exporters import mediapipe, ultralytics
from edgekit.exporters.export_wrapper import SCOPE
from edgekit.inspection.tflite import kind, module_paths, short_name
from edgekit.models import LoadedModel
from edgekit.recipe import Recipe
from edgekit.tasks import Classification, Detection, Segmentation

BECOMES = {"STABLEHLO_SORT": " (torch's sort and argsort become it)"}
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same input gives the same bytes


def finish(model: bytes, loaded: LoadedModel, recipe: Recipe) -> tuple[bytes, dict[str, str]]:
    """The finished file and the oldest interpreter it is right on, by CPU class."""
    graph = tflite.ModelT.InitFromPackedBuf(model, 0)
    inline_buffers(graph, model)
    graph.description = f"edgekit: {loaded.name}, {recipe.quantize.scheme}".encode()
    per_channel = refuse_on_old_runtimes(graph)
    shorten_names(graph)
    attach(graph, describe(loaded, recipe))
    packed = pack(graph, b"TFL3")
    return with_files(packed, associated(loaded, recipe)), floor(recipe.quantize.scheme, per_channel=per_channel)


def mend(model: bytes) -> bytes:
    """Put right what litert-torch writes wrongly."""
    graph = tflite.ModelT.InitFromPackedBuf(model, 0)
    mends = {"TRANSPOSE_CONV": _mend_bias, "RESIZE_NEAREST_NEIGHBOR": _mend_nearest}
    mended = False
    for sub in graph.subgraphs:
        for operator in sub.operators:
            mend_one = mends.get(kind(graph, operator))
            mended |= mend_one is not None and mend_one(sub, operator)
    if not mended:
        return model
    inline_buffers(graph, model)
    return pack(graph, b"TFL3")


def _mend_bias(sub: Any, operator: Any) -> bool:
    """Give the bias of a TRANSPOSE_CONV one axis. Returns whether it had more.

    It has [1, 1, 1, n] where a BatchNorm was folded: ai-edge-quantizer then writes n scales along an axis of 1, which no
    interpreter opens.
    """
    if len(operator.inputs) <= 3 or operator.inputs[3] < 0:
        return False
    bias = sub.tensors[operator.inputs[3]]
    several = len(bias.shape) > 1
    bias.shape = np.asarray([np.prod(bias.shape)], np.int32)
    return several


def _mend_nearest(sub: Any, operator: Any) -> bool:
    """Let it read where torch's "nearest" reads: from the corner of a place, not from its middle. Returns whether it did not.

    The two are the same only where a side grows by a whole factor: a feature pyramid of an odd size came at 5 dB. torch's
    "nearest-exact", which does read from the middle, does not become this operator.
    """
    options = operator.builtinOptions
    from_middle = bool(options.halfPixelCenters)
    options.halfPixelCenters = False
    return from_middle


def check_kernels(model: bytes) -> None:
    """Raises ExportError for an operator that the converter writes and the interpreter has no kernel for."""
    try:
        Interpreter(model_content=model)
    except (ValueError, RuntimeError) as error:
        missing = re.search(r"(?:builtin opcode|custom op:?) '?(\w+)", str(error))
        if missing is None:
            raise ExportError(f"litert does not open what litert-torch made of this model: {reason(error)}") from error
        becomes = BECOMES.get(missing[1], "")
        raise ExportError(
            f"litert has no kernel for {missing[1]}{becomes}, which stands in {_place(model, missing[1])}"
        ) from error


def _place(model: bytes, missing: str) -> str:
    """The modules that an operator came from, by the names of what it makes."""
    graph = tflite.ModelT.InitFromPackedBuf(model, 0)
    paths = {
        path
        for sub in graph.subgraphs
        for operator in sub.operators
        if kind(graph, operator) == missing
        for output in operator.outputs
        for path in module_paths(sub.tensors[output].name)
    }
    inside = {path.removeprefix(SCOPE).strip("/").replace("/", ".") or "the model itself" for path in paths}
    return ", ".join(sorted(inside)[:3]) or "the model itself"


def pack(table: Any, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(0)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(memoryview(builder.Bytes)[builder.Head() :])  # Output would copy it once more


def inline_buffers(graph: Any, model: bytes) -> None:
    """Pull weights that lie behind the flatbuffer into it: the C API of TFLite 2.16 does not find them there."""
    for buffer in graph.buffers:
        if buffer.offset and buffer.size and (buffer.data is None or len(buffer.data) == 0):
            buffer.data = np.frombuffer(model, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def shorten_names(graph: Any) -> None:
    """Name tensors by the paths of their modules alone, as `inspect` reads them: with all classes on the way, as litert-torch
    has it, names are a quarter of YOLOX-Nano's int8 file."""
    for sub in graph.subgraphs:
        ends = {*sub.inputs, *sub.outputs}
        counted: Counter[str] = Counter()
        for i, tensor in enumerate(sub.tensors):
            if i in ends or b"/" not in (tensor.name or b""):
                continue
            paths = ";".join(dict.fromkeys([short_name(tensor.name), *module_paths(tensor.name)]))
            tensor.name = f"{paths};{counted[paths]}".encode()
            counted[paths] += 1


# Dynamic FULLY_CONNECTED with a scale per channel: tflite-runtime 2.14 answers zeros, TFLite 2.16.1 on arm64 forgets the
# scales; both without a word, because the quantizer leaves the operator at version 5. Version 12 is the one that has
# this feature: tflite-runtime 2.14 (which knows up to 10) and TFLite 2.16.1 (11) refuse it, LiteRT 1.0.1 and later (13)
# answer rightly. Tried with files of every version from 5 to 15.
PER_CHANNEL_VERSION = 12


def refuse_on_old_runtimes(graph: Any) -> bool:
    """Give dynamic per-channel FULLY_CONNECTED layers an operator version that interpreters which get them wrong refuse.

    Returns whether the graph has such layers. Layers of other kinds that share the operator code keep their version.
    """
    fully_connected = tflite.BuiltinOperator.FULLY_CONNECTED
    new_code: int | None = None
    for sub in graph.subgraphs:
        for operator in sub.operators:
            code = graph.operatorCodes[operator.opcodeIndex]
            if code.builtinCode != fully_connected:
                continue
            given, weight = (sub.tensors[i] for i in operator.inputs[:2])
            scales = weight.quantization.scale if weight.quantization is not None else None
            dynamic = given.type == tflite.TensorType.FLOAT32 and weight.type == tflite.TensorType.INT8
            if not dynamic or scales is None or len(scales) < 2:
                continue
            if new_code is None:
                raised = tflite.OperatorCodeT()
                raised.builtinCode = raised.deprecatedBuiltinCode = fully_connected
                raised.version = max(code.version, PER_CHANNEL_VERSION)
                graph.operatorCodes.append(raised)
                new_code = len(graph.operatorCodes) - 1
            operator.opcodeIndex = new_code
    return new_code is not None


def floor(scheme: str, *, per_channel: bool) -> dict[str, str]:
    """CPU class -> the oldest interpreter the file is right on."""
    if per_channel:
        return {"x86-64": "LiteRT 1.0.1", "arm64": "LiteRT 1.2"}
    if scheme == "fp16":  # LiteRT 1.1 and 1.2 refuse half-precision depthwise convolutions, aloud
        return {
            "x86-64": "tflite-runtime 2.14 (not LiteRT 1.1 and 1.2)",
            "arm64": "TFLite 2.16.1 (not LiteRT 1.1 and 1.2)",
        }
    return {"x86-64": "tflite-runtime 2.14", "arm64": "TFLite 2.16.1"}


def describe(loaded: LoadedModel, recipe: Recipe) -> Any:
    """TFLite metadata: the normalisation that REMAINS to be done by the caller, on the 0..255 scale; labels; names.

    Follows https://ai.google.dev/edge/litert/models/metadata, so that readers of any make find it.
    """
    spec = loaded.preprocess
    mean = [0.0] * spec.channels if recipe.folds else [255 * v for v in spec.mean]
    std = [recipe.unit] * spec.channels if recipe.folds else [255 * v for v in spec.std]
    norm = metadata.NormalizationOptionsT()
    norm.mean, norm.std = mean, std
    unit = metadata.ProcessUnitT()
    unit.optionsType, unit.options = metadata.ProcessUnitOptions.NormalizationOptions, norm
    image = metadata.TensorMetadataT()
    colours = "RGB" if spec.channels == 3 else "grey"
    image.name, image.description = "image", f"{colours} image, resized and cropped as the manifest says"
    image.processUnits = [unit]
    image.content = metadata.ContentT()
    image.content.contentPropertiesType = metadata.ContentProperties.ImageProperties
    image.content.contentProperties = metadata.ImagePropertiesT()
    image.content.contentProperties.colorSpace = (
        metadata.ColorSpaceType.RGB if spec.channels == 3 else metadata.ColorSpaceType.GRAYSCALE
    )
    image.stats = metadata.StatsT()
    image.stats.min = [-m / s for m, s in zip(mean, std, strict=True)]
    image.stats.max = [(255 - m) / s for m, s in zip(mean, std, strict=True)]

    graph = metadata.SubGraphMetadataT()
    graph.inputTensorMetadata = [image]
    match loaded.task:
        case Classification():
            graph.outputTensorMetadata = [_scores(loaded, loaded.task)]
        case Segmentation():
            graph.outputTensorMetadata = [_mask(loaded)]
            graph.customMetadata = [_segmenter_options(loaded.task, channels=loaded.answer_shapes[0][1])]
        case Detection() if recipe.layout == "mediapipe":
            graph.outputTensorMetadata = [mediapipe.location(spec.input_size), _each(loaded, loaded.task)]
            graph.customMetadata = [mediapipe.options(loaded)]
    model = metadata.ModelMetadataT()
    model.name, model.version, model.minParserVersion = loaded.name, "1", "1.0.0"
    model.description = f"{loaded.architecture}, {recipe.quantize.scheme}"
    model.license = loaded.weights.licence
    model.subgraphMetadata = [graph]
    return model


def _scores(loaded: LoadedModel, task: Classification) -> Any:
    """What the output of a classifier is."""
    each = ", each by itself" if task.independent else ""
    name = {"logits": "logit", "probabilities": "probability"}.get(task.scores, "log-probability")
    scores = _labelled(name, f"one per class{each}: {loaded.weights.knows}", "FeatureProperties")
    if task.independent and task.scores == "probabilities":
        scores.processUnits = [_threshold(task.threshold)]
    return scores


def _each(loaded: LoadedModel, task: Detection) -> Any:
    """What the output of scores of boxes is, as MediaPipe's metadata writer has it."""
    scores = _labelled("score", f"one per box and class: {loaded.weights.knows}", "FeatureProperties")
    scores.processUnits = [_threshold(task.threshold)]
    return scores


def _mask(loaded: LoadedModel) -> Any:
    """What the output of a segmenter is, as MediaPipe's metadata writer has it."""
    mask = _labelled("segmentation_masks", f"scores of each pixel: {loaded.weights.knows}", "ImageProperties")
    mask.content.contentProperties.colorSpace = metadata.ColorSpaceType.GRAYSCALE
    return mask


def _labelled(name: str, description: str, properties: Literal["FeatureProperties", "ImageProperties"]) -> Any:
    """An output with one value for each label."""
    tensor = metadata.TensorMetadataT()
    tensor.name, tensor.description = name, description
    tensor.associatedFiles = [_labels_file()]
    tensor.content = metadata.ContentT()
    tensor.content.contentPropertiesType = getattr(metadata.ContentProperties, properties)
    tensor.content.contentProperties = getattr(metadata, f"{properties}T")()
    return tensor


def _segmenter_options(task: Segmentation, channels: int) -> Any:
    """Which activation MediaPipe's ImageSegmenter applies: nothing, a sigmoid of one channel, a softmax over several.

    A table ImageSegmenterOptions: https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/image_segmenter_metadata_schema.fbs
    """
    none, sigmoid, softmax = range(3)
    applied = none if task.scores == "probabilities" else sigmoid if channels == 1 else softmax
    builder = flatbuffers.Builder(64)
    builder.StartObject(2)
    builder.PrependInt8Slot(0, applied, none)
    builder.Finish(builder.EndObject(), file_identifier=b"V001")
    options = metadata.CustomMetadataT()
    options.name, options.data = "SEGMENTER_METADATA", list(builder.Output())
    return options


def _labels_file() -> Any:
    labels = metadata.AssociatedFileT()
    labels.name, labels.type = "labels.txt", metadata.AssociatedFileType.TENSOR_AXIS_LABELS
    return labels


def _threshold(probability: float) -> Any:
    """From which score on readers of the metadata name a label."""
    unit = metadata.ProcessUnitT()
    unit.optionsType = metadata.ProcessUnitOptions.ScoreThresholdingOptions
    unit.options = metadata.ScoreThresholdingOptionsT()
    unit.options.globalScoreThreshold = probability
    return unit


def attach(graph: Any, description: Any) -> None:
    blob = tflite.BufferT()
    blob.data = np.frombuffer(pack(description, b"M001"), np.uint8)
    graph.buffers.append(blob)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(graph.buffers) - 1
    graph.metadata = [e for e in graph.metadata or [] if e.name != b"TFLITE_METADATA"] + [entry]


def associated(loaded: LoadedModel, recipe: Recipe) -> dict[str, str]:
    """The texts that readers look for behind the flatbuffer, by their names; Ultralytics' tools read the first."""
    files = (
        {"metadata.json": ultralytics.as_json(ultralytics.metadata(loaded))} if recipe.layout == "ultralytics" else {}
    )
    return files | ({"labels.txt": "\n".join(loaded.labels)} if loaded.labels else {})


def with_files(packed: bytes, files: Mapping[str, str]) -> bytes:
    """Associated files are a zip archive behind the flatbuffer."""
    if not files:
        return packed
    out = io.BytesIO(packed)
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text)
    return out.getvalue()
