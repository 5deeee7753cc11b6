"""edgekit benchmark of a network: two targets, made once."""

import json

import pytest
from conftest import HERE, TINY, ask_edgekit

pytestmark = pytest.mark.full


def test_a_network_is_made_for_each_target_once(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    asked = ["benchmark", *TINY, "--calibration", pictures, "--target", "torch,onnx", "--scheme", "fp32"]
    asked += ["--runs", "2", "--launches", "1", "--json"]
    done = ask_edgekit(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {c["name"]: c["error"] for c in told["candidates"]} == {"torch fp32": None, "onnx fp32": None}
    assert (tmp_path / "build/tiny-benchmark/nets-tiny-onnx-fp32/manifest.json").is_file()
    again = ask_edgekit(*asked, cwd=tmp_path)
    assert "exporting" not in again.stderr
    assert json.loads(again.stdout)["candidates"] == told["candidates"]
