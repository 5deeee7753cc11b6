"""What litert-torch makes of a network: where it reads, what its operators are called, and what it cannot follow itself."""

import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn
from torch.nn import functional

from edgekit.errors import ExportError, RecipeError
from edgekit.exporters import onnx_graph, tflite_convert, tflite_file, tflite_graph, tflite_quantize
from edgekit.exporters.export_wrapper import ExportWrapper
from edgekit.inspection.tflite import read
from edgekit.preprocess import Preprocess
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full
SIDE = 6


class Pyramid(nn.Module):
    """Two levels that become one of an odd size, and a head for each in a list."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, 2)
        self.heads = nn.ModuleList(nn.ModuleList([nn.Conv2d(4, n, 1)]) for n in (2, 3))

    def forward(self, x):
        size = (SIDE - 1, SIDE + 1)
        a, b = (
            functional.interpolate(f(x), size, mode=m) for f, m in ((self.fine, "nearest"), (self.coarse, "nearest"))
        )
        c = functional.interpolate(self.fine(x), size, mode="nearest-exact")
        return self.heads[0][0](a + b), self.heads[1][0](c)


@pytest.fixture(scope="module")
def pyramid():
    torch.manual_seed(0)
    return Pyramid().eval()


@pytest.fixture(scope="module")
def file(pyramid, tmp_path_factory):
    made = tmp_path_factory.mktemp("made") / "float.tflite"
    made.write_bytes(
        tflite_file.mend(tflite_convert.convert(pyramid, torch.float32, (3, SIDE, SIDE), made.parent / "log"))
    )
    return made


@torch.no_grad()
def check_file(model, net, x):
    """That a file, its path or its bytes, answers as a network does."""
    run = Interpreter(**{"model_content" if isinstance(model, bytes) else "model_path": model})
    run.allocate_tensors()
    run.set_tensor(run.get_input_details()[0]["index"], x.permute(0, 2, 3, 1).contiguous().numpy())
    run.invoke()
    for wanted, detail in zip(net(x), run.get_output_details(), strict=True):
        torch.testing.assert_close(torch.from_numpy(run.get_tensor(detail["index"])), wanted, atol=1e-4, rtol=1e-4)


def test_maps_grow_to_any_size_as_torch_lets_them(pyramid, file):
    check_file(str(file), pyramid, torch.randn(1, 3, SIDE, SIDE))


class Detector(nn.Module):
    """What detectors have: sizes that are checked (D-FINE), positions in 64-bit floats (RT-DETR) and of cells (YOLOX),
    maps of length 1 (SSD300), the greatest of each row of a map (D-FINE)."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.register_buffer("sizes", torch.tensor([[SIDE, SIDE]]))

    def forward(self, x):
        torch._check_tensor_all(self.sizes.prod(1).sum() == x[0, 0].numel())
        torch._check(self.sizes.sum().item() == 2 * SIDE)
        torch._assert(self.sizes.min() > 0, "empty")
        torch._assert_async(x.sum() < 1e9, "too bright")
        steps = 1 / 10000 ** (torch.arange(SIDE, dtype=torch.float64) / SIDE)
        cells = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"), -1).to(x.dtype)
        made = self.second(functional.normalize(self.first(x))) + steps.sin().to(x.dtype) + cells.sum(-1)
        return made, made.topk(3, -1)[0]


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    made = ExportWrapper(Detector(), Preprocess((SIDE, SIDE)), Recipe("detector", "tflite"), traced_type=torch.float32)
    return made.eval()


def test_checks_doubles_normalised_maps_and_rows_are_converted(detector, tmp_path):
    file = tflite_convert.convert(detector, torch.float32, (3, SIDE, SIDE), tmp_path / "log")
    tflite_file.check_kernels(file)
    check_file(file, detector, torch.rand(1, 3, SIDE, SIDE))
    (tmp_path / "model.tflite").write_bytes(file)
    assert "BROADCAST_TO" not in {
        one.name for one in read(tmp_path / "model.tflite").operators
    }  # no GPU delegate takes it


def test_checks_are_left_out_of_an_onnx_graph(detector, tmp_path):
    recipe = Recipe("detector", "onnx")
    made = onnx_graph.build(detector, torch.float32, recipe, (3, SIDE, SIDE), ["map", "greatest"], tmp_path / "log")
    kinds = {node.op_type for node in made.graph.node}
    assert "Conv" in kinds
    assert not kinds & {"Equal", "Greater", "Less", "ReduceProd", "ReduceMin", "ReduceSum"}


@torch.no_grad()
def test_only_the_mean_over_both_sides_of_images_is_a_pool(tmp_path):
    class Means(nn.Module):
        def forward(self, x):
            clip, rows = x.unflatten(1, (3, 4)), x.flatten(2)
            return x.mean((2, 3), keepdim=True), clip.mean((-1, -2), keepdim=True), rows.mean((-1, -2), keepdim=True)

    recipe, names, x = Recipe("means", "onnx"), ["images", "clip", "rows"], torch.rand(1, 12, SIDE, SIDE)
    made = onnx_graph.build(Means().eval(), torch.float32, recipe, x.shape[1:], names, tmp_path / "log")
    assert [node.op_type for node in made.graph.node if "Pool" in node.op_type] == ["GlobalAveragePool"]
    answers = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {made.graph.input[0].name: x.numpy()})
    for wanted, got in zip(Means()(x), answers, strict=True):
        torch.testing.assert_close(torch.from_numpy(got), wanted)


def test_a_check_still_speaks_outside_of_a_file(detector):
    with pytest.raises(RuntimeError, match="Expected cond to be True"):
        detector.model(torch.zeros(1, 3, SIDE + 1, SIDE))


def test_layers_in_lists_are_called_by_their_paths(file):
    assert {"heads/0/0", "heads/1/0", "fine", "coarse"} <= {layer.name for layer in read(file).layers}


@pytest.mark.parametrize(("pattern", "kept"), [(r"heads/\d/0$", {"heads/0/0", "heads/1/0"}), ("^coarse$", {"coarse"})])
def test_layers_in_lists_stay_in_float_where_a_recipe_says_so(file, pattern, kept):
    recipe = Recipe("pyramid", "tflite", quantize=Quantize("int8-weight-only", keep_float=(pattern,)))
    made = file.with_name("int8.tflite")
    made.write_bytes(tflite_quantize.quantize(file, recipe, lambda: iter(())))
    assert {layer.name for layer in read(made).layers if layer.precision == "float32"} == kept


def test_a_pattern_that_finds_no_layer_is_refused(file):
    recipe = Recipe("pyramid", "tflite", quantize=Quantize("int8-weight-only", keep_float=("tails",)))
    with pytest.raises(RecipeError, match="no operator is named like 'tails'"):
        tflite_quantize.quantize(file, recipe, lambda: iter(()))


def test_weights_that_lie_otherwise_in_memory_are_not_taken_for_each_other(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Conv2d(4 if i else 3, 4, 3, padding=1) for i in range(24))).eval()
    net = net.to(memory_format=torch.channels_last)
    model = tflite_file.mend(tflite_convert.convert(net, torch.float32, (3, SIDE, SIDE), tmp_path / "log"))
    check_file(model, lambda x: (net(x),), torch.rand(1, 3, SIDE, SIDE))
    run = Interpreter(model_content=model)
    weights = [d["index"] for d in run.get_tensor_details() if tuple(d["shape"]) == (4, 3, 3, 4)]
    assert len({run.get_tensor(at).tobytes() for at in weights}) == 23


class Folds(nn.Module):
    """A constant of 64 bits that is read, and of which another is made that is read."""

    def forward(self, x):
        at = torch.arange(SIDE, dtype=torch.float64)
        low = at / SIDE
        return x * low.float() + low.floor().float() + torch.sin(low).float()


@pytest.mark.parametrize(
    "net",
    [
        Folds(),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.CircularPad2d(1),
    ],
)
def test_constants_of_which_others_are_made_are_folded(net, tmp_path):
    model = tflite_file.mend(tflite_convert.convert(net.eval(), torch.float32, (3, SIDE, SIDE), tmp_path / "log"))
    check_file(model, lambda x: (net(x),), torch.rand(1, 3, SIDE, SIDE))


def test_a_failure_is_in_the_log(tmp_path):
    class Fails(nn.Module):
        def forward(self, x):
            return torch.sort(x.flatten(1), stable=True).values if x.sum() > 0 else x

    with pytest.raises(ExportError):
        tflite_convert.convert(Fails(), torch.float32, (3, SIDE, SIDE), tmp_path / "log")
    assert "Traceback" in (tmp_path / "log").read_text("utf-8")


def test_a_large_convolution_keeps_a_scale_for_each_output(tmp_path):
    """VGG has one; the quantizer goes through more than 32 MiB in parts. Weights that are integers already lose nothing."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 1024, 1), nn.Conv2d(1024, 1024, 3)).eval()
    for layer in net:
        steps = torch.logspace(-5, -3, 1024)[:, None, None, None]
        layer.weight.data = (
            torch.randint(-127, 128, layer.weight.shape).float().index_fill(1, torch.tensor(0), 127) * steps
        )
    file = tmp_path / "float.tflite"
    file.write_bytes(tflite_convert.convert(net, torch.float32, (3, 3, 3), tmp_path / "log"))
    recipe = Recipe("large", "tflite", quantize=Quantize("int8-weight-only"))
    made = tflite_quantize.quantize(file, recipe, lambda: iter(()))
    assert len(made) < 2 * 1024 * 1024 * 9
    check_file(made, lambda x: (net(x),), torch.rand(1, 3, 3, 3))


GROWING = {
    "the usual decoder's": ((8, 3, 2, 1, 1), {}),
    "odd sides": ((6, (3, 5), (2, 3), (1, 0), (1, 2)), {}),
    "a whole number beyond": ((8, 5, 3, 1, 2), {"bias": False}),
    "beyond the whole": ((4, 3, 3, (0, 1), 2), {}),
    "a group for each": ((16, 4, 2, 1), {"groups": 8}),
    "groups, cropped": ((8, 3, 2, 1, 1), {"groups": 2}),
}


@pytest.mark.parametrize(("sizes", "named"), GROWING.values(), ids=GROWING)
def test_a_transposed_convolution_is_one_operator(sizes, named, tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.ConvTranspose2d(8, *sizes, **named)).eval()
    model = tflite_file.mend(tflite_convert.convert(net, torch.float32, (3, SIDE, SIDE + 1), tmp_path / "log"))
    check_file(model, lambda x: (net(x),), torch.rand(1, 3, SIDE, SIDE + 1))
    (tmp_path / "model.tflite").write_bytes(model)
    [one] = [one for one in read(tmp_path / "model.tflite").operators if one.name == "TRANSPOSE_CONV"]
    assert (one.count, one.precision) == (1, "float32")


def test_a_wide_transposed_convolution_of_groups_is_a_few(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite_graph, "DENSE", 4)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 16, 3, 2, 1, 1, groups=4)).eval()
    model = tflite_file.mend(tflite_convert.convert(net, torch.float32, (3, SIDE, SIDE), tmp_path / "log"))
    check_file(model, lambda x: (net(x),), torch.rand(1, 3, SIDE, SIDE))
    (tmp_path / "model.tflite").write_bytes(model)
    assert {one.name: one.count for one in read(tmp_path / "model.tflite").operators}["TRANSPOSE_CONV"] == 2


def test_a_transposed_convolution_that_tflite_has_not_is_refused_in_one_line(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 4, 3, 2, dilation=2)).eval()
    with pytest.raises(ExportError, match=r"no operator for convolution as it is here \(--target onnx\)$"):
        tflite_convert.convert(net, torch.float32, (3, SIDE, SIDE), tmp_path / "log")


def test_a_mean_over_windows_that_pads_nothing_is_a_pool(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)).eval()
    model = tflite_convert.convert(net, torch.float32, (3, SIDE, SIDE), tmp_path / "log")
    check_file(model, lambda x: (net(x),), torch.rand(1, 3, SIDE, SIDE))
    (tmp_path / "model.tflite").write_bytes(model)
    assert "AVERAGE_POOL_2D" in {one.name for one in read(tmp_path / "model.tflite").operators}
