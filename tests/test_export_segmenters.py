"""Maps of scores, and several answers, through every exporter: on the real converters and runtimes."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from edgekit import registry
from edgekit.calibration import Pictures
from edgekit.devices import Job, opened
from edgekit.exporters import ranges, tflite_quantize
from edgekit.exporters.onnx_quantize import LAYERS
from edgekit.exporters.ranges import pixel_range
from edgekit.manifest import Weights
from edgekit.models import LoadedModel
from edgekit.models.tracing import trace
from edgekit.preprocess import Preprocess, normalise
from edgekit.recipe import Quantize, Recipe
from edgekit.tasks import Raw, Segmentation
from edgekit.tensors import Signature

pytestmark = pytest.mark.full
SPEC = Preprocess((32, 48), 1.0, "squash", mean=(0.5, 0.4, 0.3), std=(0.25, 0.25, 0.25))


class Segmenter(nn.Module):
    """Halves, doubles by a transposed convolution with BatchNorm, joins, BatchNorm of its own and PReLU: 3 classes."""

    def __init__(self, answers: int = 1) -> None:
        super().__init__()
        self.answers = answers
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 6, 2, 2, bias=False)
        self.up_norm = nn.BatchNorm2d(6)
        self.norm, self.act = nn.BatchNorm2d(9), nn.PReLU(9)
        self.head = nn.Conv2d(9, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        up = self.up_norm(self.up(self.down(x))).relu()
        scores = self.head(self.act(self.norm(torch.cat([x, up], 1))))
        return (scores, up.mean((2, 3)), scores.flatten(2).mT)[: self.answers] if self.answers > 1 else scores


def model(answers=1, spec=SPEC):
    torch.manual_seed(7)
    net = Segmenter(answers).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.2, 1.5)
    names = ("scores", "features", "rows")[:answers]
    return LoadedModel(
        "segmenter", "Segmenter", "cnn", net, spec, ("a", "b", "c") if answers == 1 else (),
        Weights("file", "", "", "0" * 64), trace(net, spec.input_size),
        task=Segmentation() if answers == 1 else Raw(), outputs=names,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Smooth ones, of all brightnesses."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (12, 3, 4, 6)))
    smooth = nn.functional.interpolate(coarse, size=(32, 48), mode="bicubic").clamp(0, 255)
    pixels = smooth.permute(0, 2, 3, 1).numpy().astype(np.uint8)
    file = tmp_path_factory.mktemp("pictures") / "pixels"
    file.write_bytes(pixels.tobytes())
    return Pictures("drawn", file, (32, 48, 3), len(pixels), "")


def export(target, scheme, pictures, out, loaded, **options):
    recipe = Recipe(model="segmenter", target=target, quantize=Quantize(scheme=scheme), **options)
    out.mkdir(exist_ok=True)
    return recipe, registry.exporter(target).export(loaded, recipe, pictures, out, lambda line: None)


def both(loaded, recipe, made, pictures):
    """PyTorch's answers and the file's: tuples of [n, ...], channels first."""
    signature = Signature(made.file, made.input, made.outputs, loaded.preprocess, recipe.folds)
    job = Job(str(made.file), registry.runtime_for(recipe.target).name)
    with opened(registry.device("local"), job) as worker:
        got = [signature.decode(worker.answer(signature.encode(pixels[None]))) for pixels in pictures]
    x = torch.from_numpy(normalise(pictures.array(), loaded.preprocess).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        answer = loaded.module(x)
    wanted = answer if isinstance(answer, tuple) else (answer,)
    return [w.numpy() for w in wanted], [np.concatenate(g) for g in zip(*got, strict=True)]


def decibels(wanted, got):
    return 10 * np.log10(np.square(wanted).sum() / max(np.square(wanted - got).sum(), 1e-20))


@pytest.mark.parametrize(
    ("target", "scheme"), [("tflite", "fp32"), ("onnx", "fp32"), ("onnx", "int8-static"), ("openvino", "int8-static")]
)
def test_a_map_of_scores_is_answered_by_every_target(target, scheme, pictures, tmp_path):
    loaded = model()
    recipe, made = export(target, scheme, pictures, tmp_path, loaded)
    (output,) = made.outputs
    assert output.role == "scores"
    assert (output.layout, output.shape) == (
        ("NHWC", (1, 32, 48, 3)) if target == "tflite" else ("NCHW", (1, 3, 32, 48))
    )
    (wanted,), (got,) = both(loaded, recipe, made, pictures)
    assert got.shape == wanted.shape
    assert decibels(wanted, got) > (80 if scheme == "fp32" else 20)


@pytest.mark.parametrize(
    ("target", "scheme"), [("tflite", "int8-static"), ("onnx", "int8-static"), ("openvino", "fp32"), ("torch", "fp32")]
)
def test_several_answers_keep_their_names_shapes_and_order(target, scheme, pictures, tmp_path):
    loaded = model(3)
    recipe, made = export(target, scheme, pictures, tmp_path, loaded)
    assert [o.shape for o in made.outputs] == [(1, 3, 32, 48), (1, 6), (1, 1536, 3)]
    assert [o.role for o in made.outputs] == ["scores", "features", "rows"]
    for wanted, got in zip(*both(loaded, recipe, made, pictures), strict=True):
        assert decibels(wanted, got) > (80 if scheme == "fp32" else 20)


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_probabilities_are_over_the_channels(target, pictures, tmp_path):
    loaded = model()
    recipe, made = export(target, "int8-static", pictures, tmp_path, loaded, softmax=True)
    (wanted,), (got,) = both(loaded, recipe, made, pictures)
    assert abs(got.sum(1) - 1).max() < 1e-5
    assert abs(np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True) - got).max() < 0.1


def test_a_transposed_convolution_is_stored_in_integers_with_a_scale_for_each_output(pictures, tmp_path):
    _, made = export("onnx", "int8-static", pictures, tmp_path, model())
    graph = onnx.load(made.file).graph
    (layer,) = [n for n in graph.node if n.op_type == "ConvTranspose"]
    (unpack,) = [n for n in graph.node if layer.input[1] in n.output]
    scale = next(i for i in graph.initializer if i.name == unpack.input[1])
    assert unpack.op_type == "DequantizeLinear"
    assert (list(scale.dims), unpack.attribute[0].i) == ([6], 1)
    assert "ConvTranspose" in LAYERS


def test_between_prelus_only_the_inputs_of_layers_are_integers(pictures, tmp_path):
    _, made = export("onnx", "int8-static", pictures, tmp_path, dataclasses.replace(model(), family="prelu"))
    graph = onnx.load(made.file).graph
    integers = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    quantized = {n.name: all(name in integers for name in n.input[:2]) for n in graph.node if n.op_type in LAYERS}
    alone = [name for name, in_integers in quantized.items() if not in_integers]
    assert (len(quantized), len(alone)) == (4, 1)
    assert "norm" in alone[0]  # the BatchNorm of its own
    assert not any(name in integers for n in graph.node if n.op_type == "PRelu" for name in n.input[:1])


def test_the_input_range_is_that_of_the_images_and_a_small_one_is_said(pictures, tmp_path):
    (low, high), said = pixel_range(pictures, SPEC)
    seen = normalise(pictures.array(), SPEC)
    assert low == pytest.approx(seen.min())
    assert high == pytest.approx(seen.min() + np.ptp(seen) * 255 / 254)
    assert said == ""
    dark = [np.full((32, 48, 3), value, np.uint8) for value in (0, 40)]
    (low, high), said = pixel_range(dark, SPEC)
    assert high - low < 1.6
    assert "reach -2 to -0.573 of the -2 to 2.8 that mean and std make of pixels" in said
    assert pixel_range([dark[1]], Preprocess((32, 48), mean=(0, 0, 0), std=(1, 1, 1)))[0][1] > 40 / 255


def test_a_float_file_is_looked_at_some_activations_at_a_time(monkeypatch):
    file = Path(__file__).parent / "golden" / "tiny3-detection-tflite-fp32" / "model.tflite"
    shape = Interpreter(str(file)).get_input_details()[0]["shape"]
    fed = np.random.default_rng(0).random((3, *shape), np.float32)
    recipe = Recipe(model="x", target="tflite", quantize=Quantize("int8-static", ranges="minmax"), fold=False)

    def collected():
        return tflite_quantize.collect_ranges(file, recipe, lambda: iter(fed))

    shown, showing = [], tflite_quantize._showing
    monkeypatch.setattr(tflite_quantize, "_showing", lambda m, names: shown.append(names) or showing(m, names))
    whole = collected()
    monkeypatch.setattr(ranges, "FETCHED", 1)
    assert whole == collected()
    assert shown == [list(whole), *([name] for name in whole)]
    assert all(ends["min"] < ends["max"] for ends in whole.values())
