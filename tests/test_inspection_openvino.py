"""OpenVINO IR, as openvino 2026.4 and nncf write it, is read without a package."""

import numpy as np
import pytest
from conftest import ask_edgekit

from edgekit import inspection
from edgekit.errors import ArtifactError

TYPES = {"float32": "f32", "float16": "f16", "int8": "i8", "uint8": "u8"}


class Writer:
    """Layers one after the other; each returns its number and its shape."""

    def __init__(self):
        self.layers, self.edges, self.blob = [], [], b""

    def layer(self, kind, answer, makers=(), precision="FP32", **data):
        number = len(self.layers)
        attributes = " ".join(f'{k}="{v}"' for k, v in data.items())
        inputs = "".join(f'<port id="{i}">{_dims(s)}</port>' for i, (_, s) in enumerate(makers))
        self.layers.append(
            f'<layer id="{number}" name="/{kind.lower()}{number}" type="{kind}"><data {attributes}/>'
            f'<input>{inputs}</input><output><port id="9" precision="{precision}">{_dims(answer)}</port></output></layer>'
        )
        self.edges += [
            f'<edge from-layer="{maker}" from-port="9" to-layer="{number}" to-port="{port}"/>'
            for port, (maker, _) in enumerate(makers)
        ]
        return number, answer

    def const(self, values):
        values = np.asarray(values)
        kind, offset = TYPES[values.dtype.name], len(self.blob)
        self.blob += values.tobytes()
        shape = ", ".join(map(str, values.shape))
        return self.layer(
            "Const",
            values.shape,
            precision=kind.upper(),
            element_type=kind,
            shape=shape,
            offset=offset,
            size=values.nbytes,
        )

    def picture(self, *shape, levels=256, low=0.0):
        bounds = [self.const(np.float32(b)) for b in (low, 6, low, 6)]
        return self.layer("FakeQuantize", shape, [self.layer("Parameter", shape), *bounds], levels=levels)

    def unpacked(self, values):
        floats = self.layer("Convert", values.shape, [self.const(values)], destination_type="f32")
        return self.layer("Multiply", values.shape, [floats, self.const(np.float32(0.01))])

    def save(self, folder):
        file = folder / "model.xml"
        layers, edges = "".join(self.layers), "".join(self.edges)
        file.write_text(
            f'<?xml version="1.0"?><net name="n" version="11"><layers>{layers}</layers><edges>{edges}</edges></net>'
        )
        file.with_suffix(".bin").write_bytes(self.blob)
        return file


def _dims(shape):
    return "".join(f"<dim>{n}</dim>" for n in shape)


def convolution(weights, *, kind="Convolution", **picture):
    net = Writer()
    channels = weights.shape[1] if kind == "Convolution" else weights.shape[0] * weights.shape[2]
    image = net.picture(-1, channels, 8, 8, **picture)
    net.layer(kind, (-1, 4, 8, 8), [image, net.unpacked(weights)])
    return net


def found(net, folder):
    seen = inspection.inspect(net.save(folder))
    return None if seen.overflow is None else [(o.channels, o.of, o.worst) for o in seen.overflow]


def test_a_file_of_nncf(tmp_path):
    net = convolution(np.full((4, 3, 3, 3), 64, np.int8))
    pool = net.layer("Reshape", (-1, 4), [net.picture(-1, 4)])
    net.layer("MatMul", (-1, 5), [pool, net.unpacked(np.full((5, 4), 64, np.int8))], transpose_b="true")
    net.layer("MatMul", (-1, 5), [pool, net.unpacked(np.ones((5, 4), np.float16))], transpose_b="true")
    seen = inspection.inspect(net.save(tmp_path))
    assert {(o.name, o.precision): (o.count, o.weight_bytes) for o in seen.operators} == {
        ("Convolution", "int8"): (1, 4 * 27),
        ("MatMul", "int8"): (1, 20),
        ("MatMul", "float32, float16 weights"): (1, 40),
        ("FakeQuantize", "conversion"): (2, 0),
        ("Reshape", "float32"): (1, 0),
    }
    macs = 64 * 4 * 27
    assert seen.int8_macs == pytest.approx((macs + 20) / (macs + 40))
    assert len(seen.stays_float) == 1
    assert seen.overflow == ()
    assert seen.bytes == (tmp_path / "model.xml").stat().st_size + (tmp_path / "model.bin").stat().st_size


@pytest.mark.parametrize("low", [0.0, -6 * 128 / 127], ids=["uint8", "int8"])
def test_channels_that_can_overflow_are_counted(tmp_path, low):
    weights = np.zeros((4, 4, 1, 3), np.int8)
    weights[0, 1:3, 0, 1] = 127, 100  # neighbours among the input channels
    weights[1, 0, 0, :] = 127  # neighbours in the image: four input channels apart
    weights[2, 3, 0, 0] = weights[2, 0, 0, 1] = -127  # the last channel of one pixel, the first of the next
    assert found(convolution(weights, low=low), tmp_path) == [(2, 4, -254)]


def test_depthwise_convolutions_do_not_overflow_but_grouped_ones_do(tmp_path):
    """As measured with ONEDNN_MAX_CPU_ISA=AVX2."""
    for shape, expected in (((4, 1, 1, 3, 3), []), ((2, 2, 1, 3, 3), [(4, 4, 254)]), ((2, 2, 2, 1, 1), [(4, 4, 254)])):
        net = convolution(np.full(shape, 127, np.int8), kind="GroupConvolution")
        assert found(net, tmp_path) == expected, shape


@pytest.mark.parametrize("transposed", [True, False])
def test_matrices_are_added_along_k(tmp_path, transposed):
    weights = np.zeros((6, 3), np.int8)  # [K, N]
    weights[2:4, 0] = 100, 29
    weights[0] = 127  # neighbours along N do not meet
    net = Writer()
    packed = net.unpacked(weights.T if transposed else weights)
    net.layer("MatMul", (1, 3), [net.picture(1, 6), packed], transpose_b=str(transposed).lower())
    assert found(net, tmp_path) == [(1, 3, 129)]


def test_weights_only_is_float(tmp_path):
    weights = np.full((6, 3), 127, np.int8)
    for levels in (None, 255):  # without a FakeQuantize, or with one that is not of 8 bits
        net = Writer()
        image = net.picture(1, 6, levels=levels) if levels else net.layer("Parameter", (1, 6))
        net.layer("MatMul", (1, 3), [image, net.unpacked(weights)], transpose_b="false")
        seen = inspection.inspect(net.save(tmp_path))
        assert seen.operators[0].precision == "float32, int8 weights"
        assert (seen.int8_macs, seen.stays_float, seen.overflow) == (0, (), None)


def test_what_is_no_model_gets_one_line(tmp_path):
    file = convolution(np.ones((4, 3, 1, 1), np.int8)).save(tmp_path)
    assert ask_edgekit("inspect", file).returncode == 0
    whole, weights = file.read_text(), file.with_suffix(".bin")
    broken = {
        whole[: len(whole) // 2]: "damaged",
        "<html/>": "is not OpenVINO IR",
        whole.replace("<layers>", "<others>").replace("</layers>", "</others>"): "damaged",
        whole.replace('from-layer="0"', 'from-layer="7"'): "damaged",
    }
    for text, says in broken.items():
        file.write_text(text)
        done = ask_edgekit("inspect", file)
        assert (done.returncode, says in done.stderr) == (4, True), done.stderr
        assert "Traceback" not in done.stderr
    file.write_text(whole)
    weights.write_bytes(b"short")
    with pytest.raises(ArtifactError, match="do not belong together"):
        inspection.inspect(file)
    weights.unlink()
    with pytest.raises(ArtifactError, match=r"model\.bin, which is not there"):
        inspection.inspect(file)
