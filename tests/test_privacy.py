"""Nothing is reported to anybody, and nothing is left in the user's folders: watched from outside, in real processes."""

import os
import subprocess
import sys

import pytest
from conftest import GOLDEN_FILES, HERE, ROOT

from edgekit import privacy

TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"
ONCE = ("--runs", "1", "--launches", "1", "--warmup", "0", "--no-save")
COMMANDS = {
    "litert": ("predict", TFLITE, ROOT / "edgekit" / "models" / "bundled" / "sample.png"),
    "onnxruntime": ("verify", ONNX),
    "openvino": ("bench", ONNX / "model.onnx", "--runtime", "openvino", *ONCE),
}
EDGEKIT = "from edgekit.cli import main; main()"
PYTHON = (
    "import edgekit, sys; print(edgekit.load(sys.argv[1])); import onnxruntime, openvino, ai_edge_litert.interpreter"
)
XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
# what would otherwise show the tests' own environment to the process
KEPT = ("PATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "EDGEKIT_CACHE")


def watched(folder, home, *command, cwd=None):
    """Run Python code with a HOME that is `fresh`, with `none`, or with a plain `file`; its stderr, and the files it left."""
    place = folder / "home"
    place.touch() if home == "file" else place.mkdir()
    env = {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONPATH": str(HERE)}
    env |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")  # what is sent gets nowhere
    if home != "none":
        env["HOME"] = str(place)
    if home != "fresh":
        env |= {name: str(folder / name) for name in XDG}
    done = subprocess.run(
        [sys.executable, "-c", *map(str, command)], env=env, cwd=cwd or folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr, [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.stat().st_size and path.is_file()
    ]


@pytest.mark.parametrize("home", ["fresh", "none", "file"])
@pytest.mark.parametrize("runtime", COMMANDS)
def test_a_command_and_its_worker_leave_nothing_behind(tmp_path, runtime, home):
    assert watched(tmp_path, home, EDGEKIT, *COMMANDS[runtime], "-q") == ("", [])


@pytest.mark.parametrize("home", ["fresh", "none", "file"])
def test_python_leaves_nothing_behind(tmp_path, home):
    assert watched(tmp_path, home, PYTHON, ONNX) == ("", [])


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_library_that_was_imported_first_is_named_and_silenced(tmp_path, name):
    told, left = watched(tmp_path, "fresh", f"import {name}, edgekit")
    assert left, f"{name} reports nothing any more: edgekit need not say so"
    assert f"{name} was imported before edgekit" in told
    assert "cannot be taken back" in told


def test_a_library_that_was_silent_already_is_not_named(tmp_path):
    code = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime, edgekit"
    assert watched(tmp_path, "fresh", code) == ("", [])


def test_switches_hold_against_the_user_s_own_and_reach_workers(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ, ORT_DISABLE_TELEMETRY="0"))
    privacy.switch_off()
    assert privacy.SWITCHES.items() <= os.environ.items()
