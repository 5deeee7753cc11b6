"""What a runtime makes of a file, and what the readers of files foresaw."""

import json

import pytest
from conftest import ask_edgekit

from edgekit import inspection
from edgekit.inspection.kernels import kernels

pytestmark = pytest.mark.full


def counts(made):
    return {(k.name, k.precision): k.count for k in kernels(made.model_file).kernels}


def test_xnnpack_takes_everything_but_the_conversion_of_the_input(exported):
    assert counts(exported("int8-static")).keys() == {("XNNPACK", ""), ("QUANTIZE", "")}
    assert counts(exported("fp32")).keys() == {("XNNPACK", "")}


def test_onnx_runtime_fuses_what_the_reader_counts_as_int8(exported):
    made = exported("int8-static", target="onnx")
    seen = {(o.name, o.precision): o.count for o in inspection.inspect(made.model_file).operators}
    assert counts(made)["QLinearConv", ""] == seen["Conv", "int8"] == 3


def test_openvino_runs_in_int8_what_the_reader_counts_as_int8(exported):
    made = exported("int8-static", target="openvino")
    seen = inspection.inspect(made.model_file)
    found = counts(made)
    assert (
        found["Convolution", "u8"]
        == sum(o.count for o in seen.operators if "Conv" in o.name and o.precision == "int8")
        == 3
    )
    assert (seen.int8_macs, seen.stays_float) == (1, ())
    assert seen.overflow == (), "its weights are pair-safe; those of the depthwise layer add in 32 bits"


@pytest.mark.parametrize("target", ["tflite", "onnx", "openvino"])
def test_every_layer_is_listed_with_its_weights(exported, target):
    seen = inspection.inspect(exported("int8-static", target=target).model_file)
    assert [layer.precision for layer in seen.layers] == ["int8"] * 4
    assert seen.int8_macs == 1
    sizes = [3 * 9 * 16, 9 * 16, 16 * 32, 32 * 5]
    beside = 4 * 2 * 32 + 32  # biases and what else is beside the weights: scales, zero points
    assert all(n <= layer.weight_bytes <= n + beside for n, layer in zip(sizes, seen.layers, strict=True))


def test_the_command_shows_both(exported):
    made = exported("int8-static")
    done = ask_edgekit("inspect", made.folder, "--layers", "--kernels")
    assert done.returncode == 0, done.stderr
    assert "FULLY_CONNECTED    int8         0.00 MB" in done.stdout.split("100.0% of the multiply-adds in int8")[1]
    assert "XNNPACK" in done.stdout
    document = json.loads(ask_edgekit("inspect", made.folder, "--kernels", "--json").stdout)
    assert document["kernels"]["kernels"][0]["name"] == "XNNPACK"
    assert len(document["file"]["layers"]) == 4
    done = ask_edgekit("inspect", "--compare", made.folder, made.folder, "--layers")
    assert (done.returncode, "look into one file" in done.stderr) == (2, True)
