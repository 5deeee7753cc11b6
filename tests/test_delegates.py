"""`edgekit inspect --delegate`: what an accelerator would leave to the CPU."""

import json

import flatbuffers
import pytest
from conftest import GOLDEN, GOLDEN_FILES, ask_edgekit

from edgekit.errors import UnsupportedError
from edgekit.inspection import tflite
from edgekit.inspection.delegates import CONDITIONS, GPU, Left, delegation

MODEL = GOLDEN / "model.tflite"


@pytest.fixture
def edited(tmp_path):
    """The file after a change of its flatbuffer, which only has to be read, not run."""

    def made(change):
        model = tflite.load(MODEL)
        change(model)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        file = tmp_path / "edited.tflite"
        file.write_bytes(builder.Output())
        return file

    return made


def operator(model, name):
    return next(o for o in model.subgraphs[0].operators if tflite.kind(model, o) == name)


def renamed(name, number):
    def change(model):
        code = model.operatorCodes[operator(model, name).opcodeIndex]
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)

    return change


def test_a_plain_network_goes_to_the_gpu_whole():
    found = delegation(MODEL, "gpu")
    assert (found.operators, found.stay, found.left) == (10, 0, ())
    assert "gpu_compatibility.cc" in found.source


def test_an_operator_that_the_list_lacks_stays(edited):
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    found = delegation(edited(renamed("MUL", BuiltinOperator.BROADCAST_TO)), "gpu")
    assert found.left == (Left("BROADCAST_TO", 1, "not in its list"),)


def test_every_listed_name_is_one_of_the_schemas():
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    assert vars(BuiltinOperator).keys() >= GPU >= CONDITIONS.keys()


def test_an_operator_of_somebodys_own_stays_with_its_name(edited):
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    def change(model):
        renamed("MUL", BuiltinOperator.CUSTOM)(model)
        model.operatorCodes[operator(model, "CUSTOM").opcodeIndex].customCode = "Own"

    assert delegation(edited(change), "gpu").left == (Left("CUSTOM", 1, "not in its list: Own"),)


def test_conditions_of_listed_operators(edited):
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    def computed_axes(model):
        graph = model.subgraphs[0]
        graph.tensors[operator(model, "MEAN").inputs[1]].buffer = 0  # the empty one

    assert delegation(edited(computed_axes), "gpu").left == (Left("MEAN", 1, "its axes are computed"),)
    cast = delegation(edited(renamed("QUANTIZE", BuiltinOperator.CAST)), "gpu")
    assert cast.left == (Left("CAST", 1, "from uint8 to int8"),)
    gathered = delegation(edited(renamed("ADD", BuiltinOperator.GATHER)), "gpu")
    assert gathered.left == (Left("GATHER", 1, "its indices are no int32 vector"),)

    def five_dimensions(model):
        pad = operator(model, "PAD")
        model.subgraphs[0].tensors[pad.inputs[1]].shape = [5, 2]

    assert delegation(edited(five_dimensions), "gpu").left == (Left("PAD", 1, "it does not pad 3 or 4 dimensions"),)


def test_xnnpack_is_asked_itself():
    """Which operators it takes is the runtime's own business: that they add up is ours."""
    found = delegation(MODEL, "xnnpack")
    assert found.operators == delegation(MODEL, "gpu").operators
    assert found.stay < found.operators
    assert found.source.startswith("XNNPACK in ai-edge-litert ")


def test_the_command():
    done = ask_edgekit("inspect", GOLDEN, "--delegate", "gpu")
    assert "gpu leaves 0 of 10 operators to the CPU's own kernels" in done.stdout
    document = json.loads(ask_edgekit("inspect", GOLDEN, "--delegate", "xnnpack", "--json").stdout)
    assert document["delegate"]["delegate"] == "xnnpack"
    wrong = ask_edgekit("inspect", GOLDEN_FILES / "tiny-onnx-int8", "--delegate", "gpu")
    assert (wrong.returncode, "model.onnx" in wrong.stderr) == (2, True)
    with pytest.raises(UnsupportedError):
        delegation(GOLDEN_FILES / "tiny-onnx-int8" / "model.onnx", "gpu")
