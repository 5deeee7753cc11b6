"""The float ONNX graph: torch.onnx writes it, then it gets names to read, and nothing of the building machine."""

import json
import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from edgekit.errors import ExportError
from edgekit.exporters import ultralytics
from edgekit.exporters.diagnose import diagnose
from edgekit.models import LoadedModel
from edgekit.preprocess import Preprocess
from edgekit.quiet import silenced
from edgekit.recipe import Recipe
from edgekit.tasks import Classification, Detection, Segmentation, Task

SIZES = 1024  # numbers of a constant that may say a shape


def build(
    module: torch.nn.Module,
    dtype: torch.dtype,
    recipe: Recipe,
    shape: tuple[int, ...],
    names: Sequence[str],
    log: Path,
) -> onnx.ModelProto:
    """NCHW, as PyTorch has it and as every consumer of ONNX files expects. Raises ExportError.

    shape: of an image, [c, h, w], or of a clip, [c, t, h, w]. names: of the outputs. Example tensors have a batch of two where the batch is dynamic:
    the tracer takes a batch of one for a constant.
    """
    example = torch.zeros(2 if recipe.dynamic_batch else 1, *shape).to(dtype)
    try:
        with silenced(log):
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                optimize=True,
                verbose=False,
                opset_version=recipe.opset,
                input_names=["image"],
                output_names=list(names),
                dynamic_shapes=({0: torch.export.Dim("batch")},) if recipe.dynamic_batch else None,
            )
        assert program is not None
        model = program.model_proto
    except Exception as error:  # whatever the tracer and its passes raise
        with silenced():
            why = diagnose(error, module, example)
        raise ExportError(f"torch.onnx cannot export this model: {why}") from error
    _tidy(model)
    _pool(model)
    return model


def _tidy(model: onnx.ModelProto) -> None:
    """Name every node after its module; drop stack traces, which hold the paths of the building machine."""
    taken: set[str] = set()
    for node in model.graph.node:
        name = base = "/".join(filter(None, (_path(node), node.op_type)))
        for number in range(1, len(model.graph.node) + 1):
            if name not in taken:
                break
            name = f"{base}_{number}"
        taken.add(name)
        node.name = name
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.graph.name, model.graph.doc_string = "edgekit", ""
    model.producer_name, model.producer_version = "edgekit", ""


def _path(node: onnx.NodeProto) -> str:
    """`model/blocks/0/conv_dw`: the module that a node came from."""
    props = {p.key: p.value for p in node.metadata_props}
    scopes = re.findall(r"'([^']*)'", props.get("pkg.torch.onnx.name_scopes", ""))
    return scopes[-2].replace(".", "/") if len(scopes) > 1 else ""


def _pool(model: onnx.ModelProto) -> None:
    """A mean over both sides of an image is a GlobalAveragePool, which has an integer kernel; ReduceMean has none."""
    constants = {i.name: i for i in model.graph.initializer}
    known = (*model.graph.input, *model.graph.value_info)
    images = {value.name for value in known if len(value.type.tensor_type.shape.dim) == 4}
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type != "ReduceMean" or not ("keepdims" not in attributes or attributes["keepdims"].i):
            continue
        if len(node.input) > 1 and node.input[1] in constants:
            axes = numpy_helper.to_array(constants[node.input[1]]).tolist()
        else:
            axes = list(attributes["axes"].ints) if "axes" in attributes else []
        if node.input[0] in images and sorted(a % 4 for a in axes) == [2, 3]:
            node.op_type = "GlobalAveragePool"
            node.name = node.name.replace("ReduceMean", "GlobalAveragePool")
            del node.input[1:], node.attribute[:]
    drop_unread(model)


def put(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """The nodes in place of a graph's own, without those that nobody reads any more."""
    wanted = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))


def drop_unread(model: onnx.ModelProto) -> None:
    """Constants that nobody reads any more."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [i for i in model.graph.initializer if i.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without its constants."""
    made = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = model.graph
    made.graph.MergeFrom(
        onnx.GraphProto(
            name=graph.name, node=graph.node, input=graph.input, output=graph.output, value_info=graph.value_info
        )
    )
    return made


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the types and shapes of all tensors, and of its constants only those that shapes depend on: onnx copies
    what it infers from several times, and a VGG has 550 MB."""
    made = bare(model)
    for constant in model.graph.initializer:
        if math.prod(constant.dims) <= SIZES:
            made.graph.initializer.append(constant)
        else:
            made.graph.input.append(
                onnx.helper.make_tensor_value_info(constant.name, constant.data_type, constant.dims)
            )
    shown = onnx.shape_inference.infer_shapes(made)
    del shown.graph.input[len(model.graph.input) :]
    return shown


def looked_into(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session whose inner tensors are fetched. Not in the layouts of this CPU: with them each is there twice, and takes half as long again."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        file = Path(folder, "graph.onnx")
        onnx.save(model, file)
        del model  # ONNX Runtime has its weights twice while it reads them; a third time here, if the caller keeps none
        return onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])


def settle_versions(model: onnx.ModelProto) -> None:
    """Import only the sets of operators that are used, in the smallest version of the format that has them: an older
    runtime may know all operators of a file and refuse it for its format alone."""
    used = {node.domain for node in model.graph.node} | {node.domain for f in model.functions for node in f.node}
    imports = [known for known in model.opset_import if known.domain in used | {""}]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    model.ir_version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)


def describe(model: onnx.ModelProto, loaded: LoadedModel, recipe: Recipe) -> None:
    """Everything of `model_info`, the labels as they are, and what made the file."""
    entries = {f"model_info {key}": value for key, value in model_info(loaded, recipe, model).items()}
    if loaded.labels:
        entries["labels"] = json.dumps(loaded.labels, ensure_ascii=False)
    if recipe.layout == "ultralytics":
        entries |= ultralytics.as_texts(ultralytics.metadata(loaded))
    entries["edgekit"] = f"{loaded.name}, {recipe.quantize.scheme}"
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


# OpenVINO's Model API's names of how an image becomes as large as the input
RESIZES = {"center": "crop", "squash": "standard", "letterbox": "fit_to_window_letterbox"}


def model_info(loaded: LoadedModel, recipe: Recipe, graph: onnx.ModelProto) -> dict[str, str]:
    """Labels and the normalisation that REMAINS to be done, under the names that OpenVINO's Model API reads.

    Means and scales are on the 0..255 scale. A label's spaces become underscores, because spaces divide labels.
    The Model API makes probabilities itself: by a sigmoid where labels are many, else by a softmax where the graph does
    not end in one. Of a file that it would squash twice it is not told the kind, and refuses it.
    """
    spec = loaded.preprocess
    mean = [0.0] * spec.channels if recipe.folds else [255 * v for v in spec.mean]
    scale = [recipe.unit] * spec.channels if recipe.folds else [255 * v for v in spec.std]
    told = _detector(loaded.task, recipe, spec) if isinstance(loaded.task, Detection) else _kind(loaded.task, graph)
    if loaded.labels:
        told["labels"] = " ".join(label.replace(" ", "_") for label in loaded.labels)
    return told | {
        "mean_values": " ".join(f"{v:.9g}" for v in mean),
        "scale_values": " ".join(f"{v:.9g}" for v in scale),
        "resize_type": RESIZES[spec.crop_mode],
        "reverse_input_channels": "NO",
    }


def _detector(task: Detection, recipe: Recipe, spec: Preprocess) -> dict[str, str]:
    """By the name of the model with the same tensor, of two layouts; without a layout the Model API is told no kind."""
    if recipe.layout is None:
        return {}
    told = {
        "model_type": "YOLOv8",
        "confidence_threshold": f"{task.threshold:g}",
        "nms_execute": str(task.nms is not None),
        "nms_max_predictions": str(task.limit),
        "pad_value": str(spec.pad),
    }
    return told | ({"iou_threshold": f"{task.nms.iou:g}"} if task.nms else {})


def _kind(task: Task, graph: onnx.ModelProto) -> dict[str, str]:
    """What the Model API may make of the answers. A map of one channel it takes for classes, so it is not told of one."""
    if isinstance(task, Segmentation) and graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value > 1:
        return {"model_type": "Segmentation"}
    if not isinstance(task, Classification):
        return {}
    last = next(n.op_type for n in graph.graph.node if graph.graph.output[0].name in n.output)
    if task.independent:
        told = {"multilabel": "True", "confidence_threshold": f"{task.threshold:g}"}
        return told | ({"model_type": "Classification"} if task.scores == "logits" else {})
    return {"model_type": "Classification"} if task.scores != "probabilities" or last == "Softmax" else {}
