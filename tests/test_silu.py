"""SiLU between depthwise convolutions, and decoders behind detectors: what stays in float, and what has channels of its own."""

import copy

import onnx
import openvino
import pytest
import torch
from torch import nn

from edgekit.exporters import onnx_graph, onnx_quantize, tflite_convert, tflite_quantize
from edgekit.exporters.export_wrapper import ExportWrapper
from edgekit.exporters.folding import fold_batch_norm
from edgekit.exporters.functional import as_modules
from edgekit.exporters.silu import ScaledSiLU, equalize_silu
from edgekit.exporters.tflite_gates import Smooth
from edgekit.inspection.tflite import kind, load
from edgekit.preprocess import Preprocess
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full
SIZE = 64


class Conv(nn.Sequential):
    def __init__(self, i, o, kernel=1, stride=1, groups=1):
        conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(o), nn.SiLU())


class Detector(nn.Module):
    """With every joint that a factor meets: depthwise, sums, concatenation, pools, a gate, upsampling; and a decoder."""

    def __init__(self):
        super().__init__()
        self.stem, self.deep, self.flat = Conv(3, 8, 3, 4), Conv(8, 8, 3, groups=8), Conv(8, 8)
        self.down, self.out = Conv(16, 8, 3, 2), Conv(16, 12)
        self.squeeze, self.excite = Conv(8, 4), nn.Conv2d(4, 8, 1)
        self.boxes, self.scores = (nn.ModuleList([nn.Conv2d(12, n, 1)]) for n in (4, 3))

    def forward(self, x):
        a = self.stem(x)
        b = a + self.flat(self.deep(a))
        c = self.down(torch.cat([b, nn.functional.max_pool2d(a, 3, 1, 1)], 1))
        c = c * torch.sigmoid(self.excite(self.squeeze(c.mean((2, 3), keepdim=True))))
        d = self.out(torch.cat([nn.functional.interpolate(c, scale_factor=2.0), b], 1))
        boxes, scores = (head[0](d).flatten(2).transpose(1, 2) for head in (self.boxes, self.scores))
        half = boxes[..., 2:].exp() * 8
        return torch.cat([boxes[..., :2] * 16 - half, boxes[..., :2] * 16 + half], 2), scores.sigmoid()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
@torch.no_grad()
def net(pictures):
    """Folded, with live statistics and channels as unlike as trained ones are."""
    torch.manual_seed(0)
    made = Detector()
    made(pictures)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight.copy_(torch.logspace(-1.5, 0.7, len(norm.weight))[torch.randperm(len(norm.weight))])
            norm.bias.uniform_(-2, 1)
            norm.momentum = None
            norm.reset_running_stats()
    for _ in range(2):
        made(pictures)
    return fold_batch_norm(made.eval(), pictures)


@torch.no_grad()
def test_equalising_through_silu_is_exact_in_float(net, pictures):
    even = copy.deepcopy(net)
    assert equalize_silu(even, pictures)
    assert any(isinstance(m, ScaledSiLU) for m in even.modules())
    for wanted, got in zip(net(pictures), even(pictures), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=0)
    factors = {name: 1 / m.inverse.flatten() for name, m in even.named_modules() if isinstance(m, ScaledSiLU)}
    assert ("stem.2" in factors) == ("flat.2" in factors)  # they are added up
    for factor in factors.values():  # the constant is whole in 8 bits
        steps = 255 / factor
        torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)


@torch.no_grad()
def test_what_does_not_bear_a_factor_is_left(pictures):
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.head = nn.Conv2d(3, 8, 1), nn.SiLU(), nn.Conv2d(8, 2, 1)
            self.conv.weight *= torch.logspace(-2, 1, 8).view(-1, 1, 1, 1)

        def forward(self, x):
            y = self.act(self.conv(x))
            return self.head(y * y)

    assert not equalize_silu(Squared().eval(), pictures)


class Joined(nn.Module):
    """A concatenation, or a gated answer, to which another activation is added; and an activation that stands alone."""

    def __init__(self, *, gated):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(3, 8 if gated else 16, 1)
        self.deep, self.head = nn.Conv2d(self.c.out_channels, 16, 1), nn.Conv2d(16, 2, 1)
        self.acts, self.gated = nn.ModuleList(nn.SiLU() for _ in range(4)), gated
        for conv in (self.a, self.b, self.c, self.deep):
            conv.weight *= torch.logspace(-2, 1, conv.out_channels).view(-1, 1, 1, 1)

    def forward(self, x):
        a, c = self.acts[0](self.a(x)), self.acts[2](self.c(x))
        both = a * torch.sigmoid(self.b(a)) if self.gated else torch.cat([a, self.acts[1](self.b(a))], 1)
        return self.head(self.acts[3](self.deep(both + c)))


@torch.no_grad()
@pytest.mark.parametrize("gated", [True, False])
def test_what_is_added_to_a_joint_shares_its_factors_or_none_has_any(pictures, gated):
    torch.manual_seed(0)
    net = Joined(gated=gated).eval()
    even = copy.deepcopy(net)
    assert equalize_silu(even, pictures)
    assert isinstance(even.acts[3], ScaledSiLU)
    assert isinstance(even.acts[0], ScaledSiLU) is isinstance(even.acts[2], ScaledSiLU) is gated
    torch.testing.assert_close(even(pictures), net(pictures), atol=1e-4, rtol=1e-4)


def feed(pictures, *, last):
    def pixels():
        for picture in pictures:
            yield (picture.permute(1, 2, 0) if last else picture)[None].numpy()

    return pixels


def test_openvino_reads_channels_by_themselves_and_decodes_in_float(net, pictures, tmp_path):
    recipe = Recipe(model="net", target="onnx", quantize=Quantize(scheme="int8-static"))
    spec = Preprocess(input_size=(SIZE, SIZE))
    wrapped = ExportWrapper(net, spec, recipe, traced_type=torch.float32).eval()
    graph = onnx_graph.build(wrapped, torch.float32, recipe, (3, SIZE, SIZE), ["boxes", "scores"], tmp_path / "log")
    grids = onnx_quantize.Grids([], pair_safe=True)
    every, inputs = (
        onnx_quantize.quantize(
            copied(graph),
            recipe,
            None,
            feed(pictures, last=False),
            grids,
            tmp_path,
            place,
            decodes=True,
            by_channel=alone,
            floats=[net.boxes[0].weight.detach().numpy()] if alone else [],
        )
        for place, alone in (("every operator", False), ("layers' inputs", True))
    )
    operators = openvino.Core().read_model(inputs.SerializeToString()).get_ops()
    (depthwise,) = (o for o in operators if o.get_type_name() == "GroupConvolution")
    ranges = depthwise.input_value(0).get_node()
    while ranges.get_type_name() != "FakeQuantize":  # behind it, integers become floats again
        ranges = ranges.input_value(0).get_node()
    assert list(ranges.input_value(1).shape) == list(ranges.input_value(2).shape) == [1, 8, 1, 1]
    assert _reads(every, "boxes") == {"DequantizeLinear"}
    assert "DequantizeLinear" not in _reads(inputs, "boxes")
    assert _reads(inputs, "scores") == {"DequantizeLinear"}
    for made in (every, inputs):
        assert all(output.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for output in made.graph.output)
        quantized = {n.input[0] for n in made.graph.node if n.op_type == "QuantizeLinear"}
        decoded = {o for n in made.graph.node if n.op_type == "Exp" for o in n.output}
        heads = [n.output[0] for n in made.graph.node if n.op_type == "Conv"][-2:]
        assert decoded
        assert not quantized & {*(output.name for output in made.graph.output), *decoded}
        if made is every:  # each head's answers have a scale of their own
            scales = {n.input[1] for n in made.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in heads}
            assert len(scales) == 2


def _reads(graph, answer):
    """What makes the inputs of the last convolutions that an answer comes of."""
    wanted, makers, read = {answer}, {o: n.op_type for n in graph.graph.node for o in n.output}, set()
    for node in reversed(graph.graph.node):
        if wanted & set(node.output):
            if node.op_type == "Conv":
                read.add(makers[node.input[0]])
            else:
                wanted |= set(node.input)
    return read


def copied(graph):
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    return made


def test_tflite_decodes_in_float_and_cuts_what_sigmoids_read(net, pictures, tmp_path):
    even = copy.deepcopy(net)
    equalize_silu(even, pictures)
    file = tmp_path / "float.tflite"
    file.write_bytes(tflite_convert.convert(even, torch.float32, (3, SIZE, SIZE), tmp_path / "log"))
    smooth = Smooth(file)
    assert len(smooth.silus) == 6
    scaled = sum(isinstance(m, ScaledSiLU) for m in even.modules())
    assert sum(len(inverse) > 1 for inverse in smooth.silus.values()) == scaled
    assert smooth.found(dict.fromkeys(smooth.gates, (-50.0, 3.0))) == dict.fromkeys(smooth.gates, (-8.0, 3.0))
    recipe = Recipe(model="net", target="tflite", fold=False, quantize=Quantize(scheme="int8-static"))
    made = tmp_path / "int8.tflite"
    made.write_bytes(tflite_quantize.quantize(file, recipe, feed(pictures, last=True), decodes=True))
    model = load(made)
    graph = model.subgraphs[0]
    given = {kind(model, o): [graph.tensors[i].type for i in o.inputs] for o in graph.operators}
    float32, int8 = 0, 9
    assert {graph.tensors[i].type for i in graph.outputs} == {float32}
    assert set(given["EXP"]) == {float32}
    weights = [graph.tensors[o.inputs[1]] for o in graph.operators if kind(model, o) == "CONV_2D"]
    assert {(int(w.shape[0]), w.type) for w in weights[-2:]} == {(4, float32), (3, int8)}  # boxes, scores
    assert {w.type for w in weights[:-2]} == {int8}


@pytest.mark.parametrize("few", [0.03, 1])
def test_in_onnx_a_sensitive_layer_reads_floats_if_few_weights_make_them(net, pictures, tmp_path, monkeypatch, few):
    """The depthwise convolution: what it reads is a SiLU's, and others read that as integers."""
    monkeypatch.setattr(onnx_quantize, "FEW", few)  # a tenth of the weights make what it reads
    recipe = Recipe(model="net", target="onnx", quantize=Quantize(scheme="int8-static"))
    wrapped = ExportWrapper(net, Preprocess(input_size=(SIZE, SIZE)), recipe, traced_type=torch.float32).eval()
    graph = onnx_graph.build(wrapped, torch.float32, recipe, (3, SIZE, SIZE), ["boxes", "scores"], tmp_path / "log")
    grids, given = onnx_quantize.Grids([], pair_safe=True), feed(pictures, last=False)
    held = [net.deep[0].weight.detach().numpy()]
    made = onnx_quantize.quantize(
        graph, recipe, None, given, grids, tmp_path, decodes=True, floats=held, sensitive=held
    )
    makers = {o: n for n in made.graph.node for o in n.output}
    convolutions = [n for n in made.graph.node if n.op_type == "Conv"]
    stem, deep = convolutions[:2]
    floats = [n for n in convolutions if n.input[1] not in makers]  # others unpack integers
    above = _above(makers, deep.input[0], stem.output[0])
    assert "Mul" in above
    if few == 1:
        assert floats == [stem, deep]
        assert not {"QuantizeLinear", "DequantizeLinear"} & above
        assert any(n.op_type == "QuantizeLinear" and n.input[0] == deep.input[0] for n in made.graph.node)
    else:
        assert floats == [deep]
        read = makers[deep.input[0]]  # see onnx_quantize._hide_floats
        assert (read.op_type, makers[read.input[0]].op_type) == ("Clip", "DequantizeLinear")


def _above(makers, name, end):
    """The kinds of operators between a tensor and one that it comes of."""
    found = set()
    todo = [name]
    while todo:
        name = todo.pop()
        if name != end and name in makers:
            found.add(makers[name].op_type)
            todo += makers[name].input
    return found


class Spelled(nn.Module):
    """A convolution with a SiLU in its own code, in some spelling, that a depthwise convolution reads."""

    def __init__(self, silu):
        super().__init__()
        self.wide, self.deep, self.silu = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), silu

    def forward(self, x):
        return self.deep(self.silu(self.wide(x)))


SPELLINGS = {
    "a function": nn.functional.silu,
    "a function in place": lambda x: nn.functional.silu(x, inplace=True),
    "a product": lambda x: x * torch.sigmoid(x),
    "a product, turned": lambda x: x.sigmoid().mul(x),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("how", SPELLINGS)
@torch.no_grad()
def test_a_silu_of_a_function_is_equalised_as_a_modules_is(pictures, how, inside):
    torch.manual_seed(0)
    net = Spelled(SPELLINGS[how]).eval()
    net.wide.weight *= torch.logspace(-1.5, 0.7, 8).view(-1, 1, 1, 1)
    wanted = net(pictures)
    made = as_modules(nn.Sequential(net) if inside else net, pictures)
    assert sum(type(m) is nn.SiLU for m in made.modules()) == 1
    assert equalize_silu(made, pictures)
    assert any(isinstance(m, ScaledSiLU) for m in made.modules())
    torch.testing.assert_close(made(pictures), wanted, atol=1e-5 * float(wanted.abs().max()), rtol=0)


@torch.no_grad()
def test_code_that_fx_cannot_follow_stays_as_it_is(pictures):
    net = nn.Sequential(Spelled(lambda x: nn.functional.silu(x) if x.sum() > -1e9 else x)).eval()
    child = net[0]
    assert as_modules(net, pictures)[0] is child
