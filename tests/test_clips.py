"""Networks that take clips: told apart, moved to layers of images, exported to every target, in float and int8."""

import nets
import numpy as np
import pytest
import torch
from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffer
from conftest import ask_edgekit
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torchvision.models import video

from edgekit import calibration
from edgekit.errors import ExportError, RecipeError, RequestError, UnsupportedError
from edgekit.exporters import preparing, tflite_convert, tflite_quantize
from edgekit.exporters.equalizing import equalize
from edgekit.exporters.folding import fold_batch_norm
from edgekit.exporters.frames import as_pictures
from edgekit.exporters.on_pixels import as_pixels, read_pixels
from edgekit.exporters.onnx_circles import write_out_circles
from edgekit.exporters.rounding import _patches, round_weights
from edgekit.exporters.tflite_graph import write_out_pools
from edgekit.inspection.tflite import kind
from edgekit.models.clips import takes_clips, usual
from edgekit.motion import MOTIONS, moving_crop
from edgekit.parity import verify
from edgekit.pipeline import export
from edgekit.preprocess import Preprocess, fit
from edgekit.recipe import Quantize, Recipe, amended

pytestmark = pytest.mark.full
SPEC = Preprocess((24, 24), crop_pct=1.0, frames=8, rate=8.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Normalised ones, [8, 3, 8, 24, 24]."""
    chosen = calibration.choose("default", 8, 0, SPEC, None, tmp_path_factory.mktemp("clips"))
    return preparing.first(chosen.calibration, SPEC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`made("tflite", "int8-static")`: a network of clips, exported by the real pipeline, once."""
    known = {}

    def make(target, scheme, model="py:nets:clips"):
        if (target, scheme, model) not in known:
            recipe = Recipe(
                model, target, quantize=Quantize(scheme), input_size=(24, 24), frames=8, frame_rate=8.0, samples=16
            )
            known[target, scheme, model] = export(recipe, tmp_path_factory.mktemp("made") / f"clips-{target}-{scheme}")
        return known[target, scheme, model]

    return make


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv3d(4, 6, (1, 3, 3), (2, 2, 1), (0, 1, 2), (1, 2, 1)),
        nn.Conv3d(4, 6, (3, 1, 1), (2, 1, 2), (1, 0, 1), (2, 1, 1), bias=False),
        nn.Conv3d(4, 6, (3, 1, 1), padding="same"),
        nn.Conv3d(4, 6, (3, 5, 3), (2, 2, 2), (2, 1, 0), (1, 1, 2)),
        nn.Conv3d(4, 8, 3, padding=1, groups=4),
        nn.Conv3d(4, 6, 1, padding=(1, 0, 0)),
        nn.MaxPool3d((2, 3, 3), (2, 2, 2), (1, 1, 1), ceil_mode=True),
        nn.MaxPool3d((3, 1, 1), (1, 1, 1), (1, 0, 0)),
        nn.AvgPool3d(3, 2, 1),
        nn.AvgPool3d((1, 2, 2), count_include_pad=False),
        nn.AdaptiveAvgPool3d((None, 1, 1)),
        nn.Sequential(nn.BatchNorm3d(4), nn.Dropout3d(), nn.PReLU(4)),
        nn.Conv3d(4, 6, 3, padding=(2, 1, 1), padding_mode="circular"),
        nn.Conv3d(4, 6, (3, 1, 1), (1, 2, 1), padding=(2, 0, 1), padding_mode="replicate", bias=False),
        nn.Conv3d(4, 6, (3, 3, 5), padding=(2, 1, 2), padding_mode="reflect"),
        nn.Conv3d(4, 6, (2, 3, 4), padding="same", dilation=(3, 1, 1)),
        nn.MaxPool3d((2, 3, 3), (1, 2, 1), (1, 1, 0), dilation=(2, 1, 2)),
        nn.AdaptiveAvgPool3d((7, 2, 3)),
        nn.BatchNorm3d(4, track_running_stats=False),
        nn.ConstantPad3d((1, 0, 2, 1, 3, 0), 0.5),
        weight_norm(nn.Conv3d(4, 6, 3)),
    ],
    ids=lambda layer: str(layer).replace("\n", ""),
)
@torch.no_grad()
def test_a_layer_over_time_is_layers_of_images(layer):
    clip = torch.randn(1, 4, 7, 10, 12, generator=torch.Generator().manual_seed(1))
    net = nn.Sequential(nn.ReLU(), layer).eval()
    made = as_pictures(net, clip)
    assert not takes_clips(made)
    assert torch.allclose(made(clip), net(clip), atol=1e-5)


class Causal(nn.Conv3d):
    def forward(self, x):
        return super().forward(functional.pad(x, (1, 1, 1, 1, 2, 0)))


class Doubling(nn.MaxPool3d):
    def forward(self, x):
        return 2 * super().forward(x)


class Functions(nn.Module):
    def __init__(self):
        super().__init__()
        self.causal, self.layer, self.pool = Causal(4, 4, 3), nn.Conv3d(4, 4, 3), Doubling(2)
        self.norm, self.mean = nn.BatchNorm3d(4), nn.AdaptiveAvgPool3d((3, 1, 1))

    def forward(self, x):
        x = self.causal(x)
        x = torch.cat([x, -x, x], 1)[:, 2:6] + self.causal(x)  # the same layer, and the same clip, twice
        x = functional.conv3d(x, 2 * self.layer.weight, self.layer.bias, padding=1)
        x = functional.batch_norm(x, self.norm.running_mean, self.norm.running_var, self.norm.weight)
        x = functional.avg_pool3d(functional.max_pool3d(x, (1, 2, 2)), (2, 1, 1), 1)
        return torch.cat(
            [self.mean(x), self.mean(x[:, :, 1:4]), self.mean(self.pool(x))], 2
        )  # pooled from 6, 3 and 3 frames


@torch.no_grad()
def test_it_does_not_matter_how_a_layer_over_time_is_called():
    clip = torch.randn(1, 4, 7, 10, 12, generator=torch.Generator().manual_seed(1))
    net = Functions().eval()
    net.norm.running_mean.uniform_()
    net.norm.running_var.uniform_(0.5, 2)
    made = as_pictures(net, clip)
    assert not takes_clips(made)
    assert not any(node.target in (functional.conv3d, functional.max_pool3d) for node in made.graph.nodes)
    assert torch.allclose(made(clip), net(clip), atol=1e-5)
    assert sum(isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) for m in made.modules()) == 2


@torch.no_grad()
def test_what_fails_only_where_it_runs_is_refused_in_one_line(clips, capfd, monkeypatch):
    def fail(self, x):
        raise RuntimeError("no such size\nmore")

    monkeypatch.setattr("edgekit.exporters.frames.Stacked.forward", fail)
    with pytest.raises(UnsupportedError, match=r"without three-dimensional layers: no such size \(--target"):
        as_pictures(nn.Sequential(nn.Conv3d(3, 4, 3)).eval(), clips[:1])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("pool", "sides"),
    [
        (nn.MaxPool2d((2, 3), 2, 1, 2, ceil_mode=True), (10, 9)),
        (nn.MaxPool2d(3, dilation=(2, 1)), (9, 9)),
        (nn.MaxPool3d((3, 2, 2), (2, 2, 2), (1, 0, 0), ceil_mode=True), (7, 9, 8)),
    ],
)
def test_a_pool_that_has_no_kernel_in_integers_is_written_out(pool, sides):
    x = torch.randn(1, 2, *sides, generator=torch.Generator().manual_seed(1))
    program = torch.export.export(pool, (x,))
    write_out_pools(program.graph)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    assert "max_pool" not in str(program.graph)
    assert torch.equal(program.module()(x), pool(x))


def test_an_operator_that_runs_a_graph_again_and_again_stays_in_float(tmp_path, monkeypatch):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), Windows(), nn.Conv2d(8, 4, 3)).eval()
    file = tmp_path / "float.tflite"
    file.write_bytes(tflite_convert.convert(net, torch.float32, (3, 12, 12), tmp_path / "log"))
    model = flatbuffer.read_model(str(file))
    assert "STABLEHLO_REDUCE_WINDOW" in {kind(model, operator) for operator in model.subgraphs[0].operators}
    feed = lambda: iter(np.random.default_rng(0).random((2, 1, 12, 12, 3), np.float32))  # noqa: E731
    recipe = Recipe("py:nets:tiny", "tflite", quantize=Quantize("int8-static"))
    assert b"TFL3" in tflite_quantize.quantize(file, recipe, feed)
    monkeypatch.setattr("edgekit.exporters.tflite_quantize._repeated", lambda model: ())
    with pytest.raises(ExportError, match=r"no range for \w+ in \S+ \(--keep-float"):
        tflite_quantize.quantize(file, recipe, feed)


class Windows(nn.Module):
    def forward(self, x):
        return functional.avg_pool3d(x[None], (1, 2, 2), divisor_override=3)[0]


@pytest.mark.parametrize("sides", [(1, 2, 0, 1), (0, 0, 3, 0)])
@torch.no_grad()
def test_circular_padding_is_written_out_for_openvino(sides):
    x = torch.randn(1, 2, 5, 6, generator=torch.Generator().manual_seed(1))
    pads = numpy_helper.from_array(np.array([0, 0, sides[2], sides[0], 0, 0, sides[3], sides[1]]), "pads")
    typed = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Pad", ["x", "pads"], ["y"], mode="wrap")], "g", typed[:1], typed[1:], [pads]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    write_out_circles(model)
    assert "Pad" not in {node.op_type for node in model.graph.node}
    (got,) = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    assert np.array_equal(got, functional.pad(x, sides, mode="circular").numpy())


@torch.no_grad()
def test_a_whole_network_answers_alike_and_keeps_its_names(clips):
    net = nets.clips().eval()
    made = as_pictures(net, clips[:1])
    assert not takes_clips(made)
    assert torch.allclose(made(clips[:1]), net(clips[:1]), rtol=1e-4, atol=1e-5)
    names = {name for name, layer in net.named_modules() if isinstance(layer, nn.Conv3d)}
    assert names <= {name for name, _ in made.named_modules()}
    assert as_pictures(nets.tsm(), clips[:1]).__class__ is nets._Shifted  # which has none


def test_what_cannot_be_moved_is_refused_with_another_target(clips):
    with pytest.raises(
        UnsupportedError, match=r"cannot be written without three-dimensional layers.*--target openvino"
    ):
        as_pictures(nn.Sequential(Choosing()).eval(), clips[:1])


class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv3d(3, 4, 3)

    def forward(self, x):
        return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)


@torch.no_grad()
def test_what_another_operator_reads_is_a_clip_again(clips):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv3d(3, 4, 3)

        def forward(self, x):
            x = functional.relu(self.layer(x))
            return (
                torch.cat([x.flip(2), x], 2).amax((3, 4)).sum((1, 2)).unsqueeze(1)
                + x.mean((3, 4)).mean((1, 2))[:, None]
            )

    net = Turned().eval()
    made = as_pictures(net, clips[:1])
    assert not takes_clips(made)
    assert torch.allclose(made(clips[:1]), net(clips[:1]), atol=1e-4)


@torch.no_grad()
def test_patches_of_a_convolution_over_time_are_what_its_weights_are_multiplied_with(clips):
    for layer in (
        nn.Conv3d(3, 5, (2, 3, 3), (1, 2, 1), (1, 0, 1), (2, 1, 2), bias=False),
        nn.Conv3d(3, 6, 3, groups=3, bias=False),
    ):
        answers = layer(clips).detach()
        patches = _patches(layer, clips, torch.Generator().manual_seed(0), 16)
        groups = layer.groups
        weights = layer.weight.reshape(groups, len(layer.weight) // groups, -1)
        got = (weights @ patches).flatten(0, 1)  # [outputs, clips x places]
        places = answers.flatten(2)
        chosen = torch.randperm(places.shape[2], generator=torch.Generator().manual_seed(0))[
            : got.shape[1] // len(clips)
        ]
        wanted = places[:, :, chosen].transpose(0, 1).flatten(1)
        assert torch.allclose(got, wanted, atol=1e-4)


@torch.no_grad()
def test_weights_over_time_are_rounded_against_clips(clips):
    net = nets.clips().eval()
    folded = fold_batch_norm(net, clips)
    assert folded is not None
    assert not any(isinstance(m, nn.BatchNorm3d) for m in folded.modules())
    rounded = round_weights(folded, clips, static=True)
    assert set(rounded.scales) >= {"split.0", "split.3", "whole", "grouped"}
    whole = folded.whole.weight / rounded.scales["whole"].view(-1, 1, 1, 1, 1)
    assert torch.allclose(whole, whole.round(), atol=1e-3)
    assert whole.abs().amax() == pytest.approx(127, abs=1e-3)


@torch.no_grad()
def test_channels_are_equalised_through_a_shift_in_time(clips):
    net = nets.tsm().eval()
    scale = torch.logspace(-1.5, 1.5, 16).view(-1, 1, 1, 1)
    for block in net.blocks:  # channels of the residual stream as unlike as a trained network's
        block[4].weight *= scale
        block[0].weight /= scale.view(1, -1, 1, 1)
    net.stem = nn.Sequential(net.stem, nn.Conv2d(16, 16, 1))
    net.stem[1].weight *= scale
    net.last[0].weight /= scale.view(1, -1, 1, 1)
    reach = lambda module: [x.abs().amax((0, 2, 3)) for x in streams(module)]  # noqa: E731

    def streams(module):
        seen = []
        handles = [b[4].register_forward_hook(lambda m, given, answer: seen.append(answer)) for b in module.blocks]
        module(clips)
        for handle in handles:
            handle.remove()
        return seen

    expected, before = net(clips), reach(net)
    assert equalize(net, clips)
    assert torch.allclose(net(clips), expected, atol=1e-3 * float(expected.abs().max()))
    for uneven, even in zip(before, reach(net), strict=True):
        assert even.max() / even.min() < 0.5 * uneven.max() / uneven.min()


def test_a_moving_crop_moves_as_it_is_asked_to():
    picture = Image.effect_noise((240, 200), 90).convert("RGB").resize((480, 400))
    spec = Preprocess((64, 64), frames=8, rate=8.0)
    for motion in MOTIONS:
        clip = moving_crop(picture, spec, np.random.default_rng(3), motion)
        assert clip.shape == (8, 64, 64, 3)
        assert len({frame.tobytes() for frame in clip}) == 8, motion  # never one image repeated
        again = moving_crop(picture, spec, np.random.default_rng(3), motion)
        assert np.array_equal(clip, again)


@pytest.mark.parametrize(
    ("target", "shape", "dtype"),
    [
        ("tflite", (1, 8, 24, 24, 3), "uint8"),
        ("onnx", (1, 3, 8, 24, 24), "float32"),
        ("openvino", (1, 8, 24, 24, 3), "uint8"),
    ],
)
def test_a_file_takes_clips_in_float_and_int8(made, target, shape, dtype):
    exact = made(target, "fp32").manifest
    assert exact.proof.sqnr_db is None or exact.proof.sqnr_db >= 80
    opened = made(target, "int8-static")
    m = opened.manifest
    assert (m.input.shape, m.input.dtype) == (shape, dtype)
    assert m.input.layout == ("NCTHW" if target == "onnx" else "NTHWC")
    assert (m.preprocess.frames, m.preprocess.rate) == (8, 8)
    assert m.proof.sqnr_db > 18
    assert m.calibration.source.startswith("moving crops of")
    assert verify(opened).passed
    golden = opened.golden()
    for image, tensor in zip(golden.images, golden.tensors, strict=True):  # frame by frame as an image, to the bit
        frames = np.stack([fit(Image.fromarray(frame), m.preprocess) for frame in image])
        assert np.array_equal(opened.encode(frames[None])[0], tensor)


def test_a_two_dimensional_network_of_clips_is_exported_as_it_is(made):
    opened = made("tflite", "int8-static", "py:nets:tsm")
    assert opened.manifest.proof.sqnr_db > 18
    scales = _scales(opened)
    joined = [(set(given), made) for kind, given, made in scales if kind == "CONCATENATION"]
    assert joined
    assert all(
        given == {made} for given, made in joined
    )  # what a shift takes apart is not rounded again where it is joined


def test_no_pixel_is_rounded_before_the_first_layer_over_time(made):
    scales = _scales(made("tflite", "int8-static"))
    before = [kind for kind, *_ in scales].index("CONV_2D")
    assert {scale for *_, scale in scales[:before]} == {1.0}


def _scales(opened):
    """Of every operator of a .tflite what it is, and the steps of what it reads and of what it makes."""
    model = flatbuffer.read_model(str(opened.model_file))
    graph = model.subgraphs[0]

    def step(index):
        found = graph.tensors[index].quantization
        return None if found is None or found.scale is None else round(float(found.scale[0]), 6)

    return [
        (
            kind(model, o),
            [step(i) for i in o.inputs if model.buffers[graph.tensors[i].buffer].data is None],
            step(o.outputs[0]),
        )
        for o in graph.operators
    ]


@torch.no_grad()
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv3d(3, 6, (3, 5, 3), (1, 2, 2), (1, 2, 0)), (10, 28, 24, 3)),
        (nn.Conv3d(3, 6, (1, 3, 3), bias=False), (8, 24, 24, 3)),
        (None, (26, 26, 3)),
    ],
)
def test_the_first_layer_reads_pixels(clips, layer, shape):
    net = (
        nn.Sequential(nn.Identity(), layer, nn.ReLU()).eval() if layer else _Framewise(nn.Conv2d(3, 6, 3, 2, 1)).eval()
    )
    wanted, pixels = net(clips), as_pixels(clips, SPEC)
    edge = read_pixels(net, clips, SPEC)
    assert torch.equal(pixels, pixels.round())
    assert tuple(edge.filled.shape) == shape
    assert torch.allclose(net(edge(pixels)), wanted, atol=1e-4)


@torch.no_grad()
def test_a_network_that_looks_at_its_input_twice_gets_it_normalised(clips):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv3d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.layer(x) + x

    net = Twice().eval()
    wanted = net(clips)
    assert read_pixels(net, clips, SPEC) is None
    assert torch.equal(net(clips), wanted)


class _Framewise(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2).flatten(0, 1))


def test_who_takes_clips_is_asked_how_many_frames():
    said = ask_edgekit("export", "py:nets:clips", "--target", "onnx", "--dry-run")
    assert said.returncode == 2
    assert "py:nets:clips takes clips: --frames N" in said.stderr
    assert "edgekit export ... --frames 16 --frame-rate 15" in said.stderr
    said = ask_edgekit("export", "py:edgekit.models.tsm:micro", "--target", "onnx", "--input-size", "32")
    assert "the model takes clips of 8 frames, not images" in said.stderr
    said = ask_edgekit("export", "py:nets:tiny", "--frames", "8", "--frame-rate", "8", "--input-size", "32")
    assert said.returncode == 2
    assert "the model takes images, not clips of 8 frames" in said.stderr
    said = ask_edgekit(
        "export", "mobilenetv2_050", "--frames", "8", "--frame-rate", "8", "--weights", "random", "--dry-run"
    )
    assert "mobilenetv2_050 takes images, not clips" in said.stderr
    said = ask_edgekit("export", "py:nets:clips", "--frames", "8")
    assert "--frame-rate" in said.stderr
    said = ask_edgekit("export", "py:nets:clips", "--frames", "8", "--frame-rate", "8", "--input-size", "2")
    assert "the model does not take a clip of 8 frames of 2x2" in said.stderr


def test_torchvisions_networks_of_clips_are_asked_for_by_function():
    said = ask_edgekit("export", "r3d_18")
    assert "py:torchvision.models.video:r3d_18 --weights FILE --frames 16 --frame-rate 15" in said.stderr
    seen = usual(video.r2plus1d_18(num_classes=2))
    assert (seen.input_size, seen.crop_pct, seen.mean) == ((112, 112), 0.875, (0.43216, 0.394666, 0.37645))
    assert usual(nets.tsm()) is None


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 1}, {"frames": 1000}, {"frame_rate": 0.0}, {"frame_rate": 1e-9}, {"frames": 8, "dynamic_batch": True}],
)
def test_a_recipe_of_no_clip_is_refused(wrong):
    with pytest.raises(RecipeError):
        amended(Recipe("py:nets:clips", "onnx"), **wrong)


def test_clips_have_no_masks(tmp_path):
    recipe = Recipe("py:nets:clips", "onnx", input_size=(24, 24), frames=8, frame_rate=8.0, task="segmentation")
    with pytest.raises(RequestError, match="a segmentation is of an image"):
        export(recipe, tmp_path / "out")
