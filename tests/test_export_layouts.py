"""Detectors laid out for other tools, through the real converters: tensors as those tools' documentation has them."""

import ast
import io
import json
import zipfile

import ai_edge_litert.schema_py_generated as tflite
import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
import yaml
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import encode, number_types
from flatbuffers.table import Table
from nets import colour_boxes, walked

from edgekit import parity
from edgekit.exporters import _metadata_schema as metadata
from edgekit.exporters import ultralytics
from edgekit.exporters.export_wrapper import laid_out
from edgekit.exporters.tflite_file import with_files
from edgekit.layouts import layout_of
from edgekit.models.walked import Walked
from edgekit.recipe import LAYOUT_TARGETS
from edgekit.tensors import Tensor

pytestmark = pytest.mark.full
LABELS = ("red", "blue thing")


@pytest.fixture(scope="module")
def laid(exported, tmp_path_factory):
    """`laid("mediapipe", "tflite")`: 16 boxes and scores of two classes on images of 32 x 32."""
    labels = tmp_path_factory.mktemp("labels") / "things.txt"
    labels.write_text("\n".join(LABELS))

    def make(layout, target, scheme="fp32"):
        options = {"model": "py:nets:colour_boxes", "task": "detection", "labels": str(labels), "weights": "random"}
        return exported(scheme, target=target, layout=layout, **options)

    return make


def picture():
    return np.random.default_rng(5).integers(0, 256, (32, 32, 3), np.uint8)


def expected(pixels):
    """PyTorch's boxes and scores of one image, as one table: x y w h, scores."""
    x = (torch.from_numpy(pixels).float() / 255 - 0.5) / 0.25
    with torch.no_grad():
        boxes, scores = colour_boxes()(x.permute(2, 0, 1)[None])
    low, high = boxes.chunk(2, 2)
    return torch.cat([(low + high) / 2, high - low, scores], 2)[0].numpy()


@pytest.mark.parametrize("name", LAYOUT_TARGETS)
def test_what_the_file_adds_is_what_its_layout_reads(name):
    low = torch.rand(1, 5, 2) * 50
    boxes, scores = torch.cat([low, low + torch.rand(1, 5, 2) * 40], 2), torch.rand(1, 5, 3)
    outputs = [Tensor(r, tuple(t.shape), "float32", "NAC", role=r) for r, t in (("boxes", boxes), ("scores", scores))]
    for scale in ((1.0, 1.0), (64.0, 48.0)):
        given = laid_out(name, boxes, scores, scale)
        stored = given if isinstance(given, tuple) else (given,)
        layout = layout_of(name, outputs, ["a", "b"][: len(stored)], scale)
        for back, was in zip(layout.read(tuple(t.numpy() for t in stored)), (boxes, scores), strict=True):
            assert np.allclose(back, was, atol=1e-4)


def test_ultralytics_onnx(laid):
    """https://docs.ultralytics.com/modes/export/: images as 0..1 in, [1, 4 + classes, boxes] out, pixels; names in the metadata."""
    made = laid("ultralytics", "onnx")
    session, pixels = onnxruntime.InferenceSession(str(made.model_file)), picture()
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("output0", [1, 6, 16])]
    given = (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    (answer,) = session.run(None, {session.get_inputs()[0].name: given})
    assert np.allclose(answer[0].T, expected(pixels), atol=1e-4)
    told = {p.key: p.value for p in onnx.load(made.model_file).metadata_props}
    assert ast.literal_eval(told["names"]) == dict(enumerate(LABELS))
    assert (told["task"], told["stride"], ast.literal_eval(told["imgsz"])) == ("detect", "32", [32, 32])
    assert told["model_info model_type"] == "YOLOv8"
    assert parity.verify(made).passed


def test_ultralytics_tflite_of_their_own_kind_of_network(exported):
    """As they document it: pixels in as 0..1 [1, h, w, 3], x y w h as shares of the input and scores out, names in metadata.json."""
    made = exported("fp32", model="py:nets:walked", layout="ultralytics", weights="random")
    net = Walked(walked()).eval()
    interpreter, pixels = Interpreter(str(made.model_file)), picture()
    interpreter.allocate_tensors()
    (takes,), (answers,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (list(takes["shape"]), list(answers["shape"])) == ([1, 32, 32, 3], [1, 7, 20])
    given = (pixels[None] / 255).astype(np.float32)
    interpreter.set_tensor(takes["index"], given)
    interpreter.invoke()
    with torch.no_grad():
        boxes, scores = net((torch.from_numpy(given).permute(0, 3, 1, 2) - 0.5) / 0.25)
    low, high = boxes.chunk(2, 2)
    wanted = torch.cat([(low + high) / 64, (high - low) / 32, scores], 2)[0].T
    assert np.allclose(interpreter.get_tensor(answers["index"])[0], wanted, atol=1e-4)
    told = json.loads(zipfile.ZipFile(made.model_file).read("metadata.json"))
    assert (told["names"], told["imgsz"], told["task"]) == ({"0": "a", "1": "b", "2": "c"}, [32, 32], "detect")
    assert parity.verify(made).passed


def test_model_api_openvino(laid):
    made = laid("model-api", "openvino")
    model = openvino.Core().read_model(made.model_file)
    assert [list(port.shape) for port in model.outputs] == [[1, 6, 16]]
    told = {
        key: model.get_rt_info(["model_info", key]).astype(str)
        for key in ("model_type", "labels", "resize_type", "iou_threshold")
    }
    assert told == {
        "model_type": "YOLOv8",
        "labels": "red blue_thing",
        "resize_type": "fit_to_window_letterbox",
        "iou_threshold": "0.65",
    }
    pixels = picture()
    answer = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels[None])[0]
    assert np.allclose(answer[0].T, expected(pixels), atol=1e-4)


def test_mediapipe_tflite_in_integers(laid):
    """Its two outputs are in float behind a core of integers; every anchor is the whole input, so boxes are shares of it."""
    made = laid("mediapipe", "tflite", "int8-static")
    interpreter = Interpreter(str(made.model_file))
    interpreter.allocate_tensors()
    assert [(list(o["shape"]), o["dtype"]) for o in interpreter.get_output_details()] == [
        ([1, 16, 4], np.float32),
        ([1, 16, 2], np.float32),
    ]
    pixels = picture()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    location, score = (interpreter.get_tensor(o["index"])[0] for o in interpreter.get_output_details())
    wanted = expected(pixels)
    assert np.allclose(location, wanted[:, [1, 0, 3, 2]], atol=0.5)
    assert np.allclose(score, wanted[:, 4:], atol=0.05)
    told = described(made.model_file)
    outputs = told.subgraphMetadata[0].outputTensorMetadata
    assert [o.name for o in outputs] == [b"location", b"score"]
    assert outputs[1].associatedFiles[0].type == metadata.AssociatedFileType.TENSOR_AXIS_LABELS
    (custom,) = told.subgraphMetadata[0].customMetadata
    assert custom.name == b"DETECTOR_METADATA"
    anchors, decoding = detector_options(bytes(custom.data))
    assert anchors == [(0, 0, 1, 1)] * 16
    assert decoding == ([2, 16, 4, 0, 0, 2], [32, 32, 32, 32])
    assert zipfile.ZipFile(made.model_file).read("labels.txt").decode().split("\n") == list(LABELS)


def described(file):
    """The metadata of a .tflite file."""
    model = tflite.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    (entry,) = (e for e in model.metadata if e.name == b"TFLITE_METADATA")
    return metadata.ModelMetadataT.InitFromPackedBuf(bytes(model.buffers[entry.buffer].data), 0)


def detector_options(blob):
    """Anchors (x, y, w, h), and numbers and scales of decoding, by MediaPipe's object_detector_metadata_schema.fbs."""

    def at(table, field, kind=None):
        offset = table.Offset(4 + 2 * field)
        if kind:
            return table.Get(kind, table.Pos + offset) if offset else 0
        return Table(blob, table.Indirect(table.Pos + offset))

    root = Table(blob, encode.Get(number_types.UOffsetTFlags.packer_type, blob, 0))
    fixed, decoding = at(at(root, 1), 0), at(root, 2)
    vector = fixed.Offset(4)
    first, count = fixed.Vector(vector), fixed.VectorLen(vector)
    anchors = (Table(blob, fixed.Indirect(first + 4 * i)) for i in range(count))
    floats, ints = number_types.Float32Flags, number_types.Int32Flags
    found = [tuple(at(anchor, i, floats) for i in range(4)) for anchor in anchors]
    return found, ([at(decoding, i, ints) for i in range(6)], [at(decoding, i, floats) for i in range(6, 10)])


def test_what_ultralytics_tools_read_is_the_first_file_behind_a_tflite():
    found = {"task": "detect", "imgsz": [32, 32], "names": {0: "red", 1: 'a "blue" thing'}}
    packed = with_files(b"TFL3", {"metadata.json": ultralytics.as_json(found), "labels.txt": "red"})
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["metadata.json", "labels.txt"]
        assert json.loads(archive.read("metadata.json"))["names"] == {"0": "red", "1": 'a "blue" thing'}
    assert yaml.safe_load(ultralytics.as_yaml(found)) == found
