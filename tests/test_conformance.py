"""edgekit's own exporters, runtimes and devices pass the checks that are meant for plugins; what breaks a promise fails them."""

import ast
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import GOLDEN_FILES, ROOT

from edgekit import artifact, registry
from edgekit.errors import WorkerError
from edgekit.runtimes.litert import LitertRuntime, LitertSession
from edgekit.testing import _check_damaged, _check_made, check_device, check_exporter, check_runtime

RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
TFLITE = GOLDEN_FILES / "tiny3-detection-tflite-fp32"
EXAMPLE = ROOT / "examples/edgekit-executorch/edgekit_executorch.py"


@pytest.mark.full
@pytest.mark.parametrize("target", sorted(RUNTIMES))
def test_exporters_and_their_runtimes(target, tmp_path):
    for made in check_exporter(target, tmp_path, schemes=["fp32"]):
        check_runtime(RUNTIMES[target], made)


def test_every_built_in_is_tried():
    assert set(registry.targets()) - {"executorch"} == set(RUNTIMES)
    assert set(registry.runtimes()) - {"executorch"} == {
        *RUNTIMES.values(),
        "null",
        "reference",
    }  # two that only pretend


@pytest.mark.full
@pytest.mark.parametrize("which", ["arm64:cortex-a76", "x86:haswell"])
def test_emulated_devices(which):
    check_device(which, artifact.load(TFLITE), "litert")


class Reuses(LitertSession):
    """Answers with its own buffer, which the next answer overwrites."""

    def run(self, tensor):
        answers = super().run(tensor)
        self.buffers = getattr(self, "buffers", answers)
        for buffer, answer in zip(self.buffers, answers, strict=True):
            buffer[...] = answer
        return self.buffers


class Spoils(LitertSession):
    def run(self, tensor):
        answers = super().run(tensor)
        tensor[...] = 0
        return answers


class Cuts(LitertSession):
    def run(self, tensor):
        return super().run(tensor)[:1]


class Doubles(LitertSession):
    def run(self, tensor):
        return tuple(answer.astype(np.float64) for answer in super().run(tensor))


class Silent(LitertSession):
    def facts(self):
        return {}


@pytest.mark.parametrize(
    ("session", "promise"),
    [
        (Reuses, "run returns copies"),
        (Spoils, "leaves the tensor"),
        (Cuts, "a tuple of 2"),
        (Doubles, "float64"),
        (Silent, "one is `runtime`"),
    ],
)
def test_a_runtime_that_breaks_a_promise_fails(monkeypatch, session, promise):
    monkeypatch.setattr(LitertRuntime, "open", lambda self, model, options: session(model, options))
    with pytest.raises(AssertionError, match=promise):
        check_runtime("litert", artifact.load(TFLITE))


def test_a_runtime_that_hangs_on_half_a_file_fails(monkeypatch):
    hanging = Mock(start=Mock(side_effect=WorkerError("litert hangs: no answer for 120 s, so its process was ended")))
    monkeypatch.setattr(registry, "device", lambda which: hanging)
    with pytest.raises(AssertionError, match="half of a file is refused, and litert hangs"):
        _check_damaged("litert", artifact.load(GOLDEN_FILES / "tiny-tflite-int8"))


def test_a_file_for_another_target_than_asked_for_fails():
    with pytest.raises(AssertionError, match="asked for int8-static for onnx, and made int8-static for tflite"):
        _check_made(artifact.load(GOLDEN_FILES / "tiny-tflite-int8"), "onnx", "int8-static")


def test_other_answers_than_the_golden_ones_fail():
    made = artifact.load(TFLITE)
    other = replace(made, manifest=made.manifest)
    golden = made.golden()
    object.__setattr__(other, "golden", lambda: replace(golden, answers=tuple(a + 1 for a in golden.answers)))
    with pytest.raises(AssertionError, match="from the golden answers"):
        check_device("local", other, "litert")


def test_the_example_of_a_plugin_is_short_and_goes_through_public_doors():
    text = EXAMPLE.read_text("utf-8")
    assert len(text.splitlines()) <= 250
    taken = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in taken if node.module.split(".")[0] == "edgekit"]
    assert ours
    assert not [alias.name for node in ours for alias in node.names if alias.name.startswith("_")]
    assert Path(EXAMPLE).with_name("pyproject.toml").is_file()
