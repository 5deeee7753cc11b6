"""The Python API as a caller holds it wrong: every mistake is an EdgekitError, and a path may be a str."""

from pathlib import Path

import pytest
from conftest import GOLDEN

import edgekit
from edgekit.errors import RecipeError, RequestError


def test_the_public_names_are_listed_and_paths_may_be_strings():
    assert set(edgekit.__all__) <= set(dir(edgekit))
    opened = edgekit.load(str(GOLDEN))
    assert opened.labels() == edgekit.load(GOLDEN).labels()
    assert edgekit.verify(str(GOLDEN)).passed
    assert edgekit.verify(opened).passed


@pytest.mark.parametrize("said", [3, None, b"build/x", "", ["build/x"]])
def test_what_is_no_path_is_said(said):
    with pytest.raises(RequestError, match="not a path") as caught:
        edgekit.load(said)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"input_size": 64}, "input_size is 64"),
        ({"input_size": (64, 64.5)}, "input_size"),
        ({"model": 3}, "model is 3"),
        ({"target": None}, "target is None"),
        ({"quantize": "int8"}, "quantize is 'int8'"),
        ({"samples": "many"}, "samples is 'many'"),
        ({"mean": 0.5}, r"mean is 0\.5"),
        ({"input": "uint7"}, "input is 'uint7'"),
        ({"fold": 1}, "fold is 1"),
    ],
    ids=str,
)
def test_a_recipe_refuses_what_no_file_could_say(fields, says):
    with pytest.raises(RecipeError, match=says) as caught:
        edgekit.Recipe(**({"model": "mobilenetv2", "target": "tflite"} | fields))
    assert caught.value.hint


def test_a_scheme_that_does_not_exist_names_those_that_do():
    with pytest.raises(RecipeError, match="scheme is 'int9'") as caught:
        edgekit.Quantize(scheme="int9")
    assert "int8-static" in caught.value.hint


def test_a_recipe_takes_paths_and_lists_as_people_write_them():
    said = edgekit.Recipe("py:m:f", "onnx", input_size=[64, 96], calibration=Path("photos"), labels=Path("a.txt"))
    assert (said.input_size, said.calibration, said.labels) == ((64, 96), "photos", "a.txt")
