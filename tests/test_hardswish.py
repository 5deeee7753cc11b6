"""Hard-swish as sums and products: exact in float, in integers from end to end, however it was written."""

from collections import Counter

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from torch import nn
from torch.nn import functional

from edgekit.exporters import tflite_convert, tflite_hardswish, tflite_quantize
from edgekit.exporters.tflite_gates import Smooth
from edgekit.inspection.tflite import kind
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full
SIZE = 32


def conv(i, o, kernel=1, groups=1):
    return nn.Conv2d(i, o, kernel, padding=kernel // 2, groups=groups)


class Net(nn.Module):
    """Hard-swish as a module, a function and by hand, where a factor meets padding, sums, gates, joints and pools; and where
    it may not go: into a layer that runs twice, a tanh, and the answer."""

    def __init__(self):
        super().__init__()
        self.stem, self.deep, self.flat = nn.Conv2d(3, 8, 3, 2, 1), conv(8, 8, 3, 8), conv(8, 8)
        self.out, self.squeeze, self.excite, self.gated = conv(8, 8), conv(8, 4), conv(4, 8), conv(8, 8)
        self.twice, self.joined = conv(8, 8), conv(16, 8)
        self.bent, self.last = conv(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        a = nn.Hardswish()(self.stem(x))
        b = a + self.flat(functional.relu(self.deep(a)))  # the sum has the factor, because `flat` takes it too
        c = functional.hardswish(self.out(b))
        c = c * functional.hardsigmoid(self.excite(functional.relu(self.squeeze(c.mean((2, 3), keepdim=True)))))
        y = self.twice(self.gated(c))
        d = y * functional.relu6(y + 3) / 6
        y = self.twice(d)
        e = torch.tanh(y * torch.clamp(y + 3, 0, 6) / 6)
        y = self.joined(torch.cat([functional.hardswish(self.bent(e)), functional.hardswish(e)], 1))
        return functional.hardswish(self.last(functional.hardswish(y).mean((2, 3))))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = Net().eval()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data *= 2
            layer.bias.data.uniform_(-1, 1)
    return net


@pytest.fixture(scope="module")
def converted(net, tmp_path_factory):
    return tflite_convert.convert(net, torch.float32, (3, SIZE, SIZE), tmp_path_factory.mktemp("net") / "log")


@pytest.fixture(scope="module")
def written(converted):
    return tflite_hardswish.with_products(converted)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).normal(0, 1, (4, 1, SIZE, SIZE, 3)).astype(np.float32)


def answer(file, picture):
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def operators(file):
    model = schema.ModelT.InitFromPackedBuf(file, 0)
    return model, model.subgraphs[0].operators


def counted(file):
    model, found = operators(file)
    return Counter(kind(model, o) for o in found)


def test_the_answers_stay(net, converted, written, pictures):
    assert counted(converted)["HARD_SWISH"] == 8
    assert counted(written)["HARD_SWISH"] == 0
    for picture in pictures:
        expected = net(torch.from_numpy(picture).permute(0, 3, 1, 2)).detach().numpy()
        assert np.allclose(answer(converted, picture), expected, atol=1e-5 * np.abs(expected).max())
        assert np.allclose(answer(written, picture), expected, atol=1e-5 * np.abs(expected).max())


def test_the_sixth_goes_into_weights_where_they_bear_it(written):
    model, found = operators(written)
    graph = model.subgraphs[0]
    constant = [
        o
        for o in found
        if kind(model, o) == "MUL" and any(model.buffers[graph.tensors[i].buffer].data is not None for i in o.inputs)
    ]
    assert len(constant) == 3  # what `twice` reads, what tanh reads, the answer
    assert counted(written)["ADD"] == 8 + 1


def test_a_file_without_hard_swish_is_left_alone(tmp_path):
    net = nn.Sequential(conv(3, 8), nn.ReLU6(), conv(8, 2)).eval()
    file = tflite_convert.convert(net, torch.float32, (3, 8, 8), tmp_path / "log")
    assert tflite_hardswish.with_products(file) is file


def test_static_files_are_integers_from_end_to_end(written, pictures, tmp_path):
    file = tmp_path / "float.tflite"
    file.write_bytes(written)
    smooth = Smooth(file)
    assert len(smooth.hard) == 7  # what tanh answers, a convolution reads too
    name = next(iter(smooth.hard))
    assert smooth.found({name: (-30.0, 6.0)}) == {name: (-3.0, 6.0)}, "hard-swish is nothing below -3"
    recipe = Recipe(model="net", target="tflite", fold=False, quantize=Quantize(scheme="int8-static"))
    made = tflite_quantize.quantize(file, recipe, lambda: iter(pictures))
    model, found = operators(made)
    tensors = model.subgraphs[0].tensors
    float32 = schema.TensorType.FLOAT32
    floats = {
        kind(model, o) for o in found if any(tensors[i].type == float32 for i in (*o.inputs, *o.outputs) if i >= 0)
    }
    assert floats <= {"QUANTIZE", "DEQUANTIZE"}
    assert counted(made)["DEQUANTIZE"] == 1
    for picture in pictures:
        wanted, got = answer(written, picture), answer(made, picture)
        assert np.square(got - wanted).sum() < 0.05 * np.square(wanted).sum()
