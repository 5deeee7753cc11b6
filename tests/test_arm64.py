"""The emulated cores for real: `edgekit doctor --setup arm64` comes first (make does it)."""

import importlib
import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import GOLDEN_FILES, ROOT, run_edgekit

from edgekit import artifact, registry
from edgekit.devices import Job, cache, opened

pytestmark = [
    pytest.mark.full,
    pytest.mark.slow,
    pytest.mark.skipif(
        cache.part("arm64") is None, reason="EDGEKIT_CACHE=.cache/devices, edgekit doctor --setup arm64"
    ),
]

FILES = [("tiny-tflite-int8", "litert"), ("tiny-onnx-int8", "onnxruntime")]


def job(name, runtime):
    return Job(str(GOLDEN_FILES / name), runtime)


@pytest.mark.parametrize("device", ["arm64:cortex-a76", "arm64:cortex-a53", "x86:haswell"])
@pytest.mark.parametrize(("name", "runtime"), FILES)
def test_int8_answers_are_the_same_to_the_last_bit(name, runtime, device):
    golden = artifact.load(GOLDEN_FILES / name).golden()
    answers = []
    for where in ("local", device):
        with opened(registry.device(where), job(name, runtime)) as worker:
            answers.append(worker.answer(golden.tensors))
            cpu = worker.ready.host["cpu_class"]
    np.testing.assert_array_equal(*answers)
    assert cpu == {"arm64:cortex-a76": "arm-dotprod", "arm64:cortex-a53": "arm", "x86:haswell": "x86"}[device]


def counted(device):
    """The fewest instructions of an inference, in a process of its own."""
    with opened(registry.device(device), job(*FILES[0])) as worker:
        return min(worker.count(4))


@pytest.fixture(scope="module")
def on_a76():
    return counted("arm64:cortex-a76")


def test_fresh_processes_count_the_same(on_a76):
    assert abs(on_a76 - counted("arm64")) < 500  # 1e-5 of MobileNetV2
    assert 100_000 < on_a76 < 200_000


def test_other_cores_need_other_instructions(on_a76):
    assert counted("arm64:cortex-a72") > 1.5 * on_a76  # no dot products
    assert counted("arm64:neoverse-n1") == pytest.approx(on_a76, rel=0.01)


def test_the_commands_say_where_they_ran():
    done = run_edgekit("verify", GOLDEN_FILES / "tiny-onnx-int8", "--on", "arm64")
    assert done.returncode == 0, done.stderr
    assert " on arm64:cortex-a76 (qemu-aarch64 " in done.stdout
    assert "give exact arithmetic" in done.stdout
    done = run_edgekit("verify", GOLDEN_FILES / "tiny-tflite-int8", "--on", "arm64", "--interpreter", "tflite-runtime")
    assert done.returncode == 2
    assert "is not installed on arm64:cortex-a76\n  try: arm64 has ai-edge-litert" in done.stderr


PURE = (
    "click",
    "rich",
    "pygments",
    "markdown_it",
    "mdurl",
    "tomli_w",
)  # what edgekit needs besides the device's wheels


def test_the_whole_command_line_runs_on_a_raspberry_pi(tmp_path):
    pi = registry.device("arm64:cortex-a72")
    python = pi.python(tmp_path, pi.parts())
    for name in PURE:
        (tmp_path / "edgekit" / name).symlink_to(Path(importlib.import_module(name).__file__).parent)
    file, picture = GOLDEN_FILES / "tiny-tflite-int8", ROOT / "edgekit" / "models" / "bundled" / "sample.png"

    again = tmp_path / "python"  # what workers are started with: this kernel cannot start a program of an ARM
    again.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, python))} "$@"\n')
    again.chmod(0o755)
    main = f"import sys; sys.executable = {str(again)!r}; from edgekit.cli import main; sys.exit(main())"

    def on_pi(*words):
        return subprocess.run([*python, "-c", main, *words], capture_output=True, text=True, timeout=300)

    seen = on_pi("predict", file, picture, "--json")
    assert seen.returncode == 0, seen.stderr
    here = run_edgekit("predict", file, picture, "--json")
    theirs, ours = (json.loads(done.stdout)["predictions"][0]["classes"] for done in (seen, here))
    assert [c["index"] for c in theirs] == [c["index"] for c in ours]
    for there, known in zip(theirs, ours, strict=True):  # numpy's exp differs in the last bit
        assert there["probability"] == pytest.approx(known["probability"], rel=1e-6)
    proven = on_pi("verify", file)
    assert proven.returncode == 0, proven.stderr
    measured = on_pi("bench", file, "--runs", "3", "--warmup", "1", "-o", tmp_path / "runs.jsonl")
    assert measured.returncode == 0, measured.stderr
    assert json.loads((tmp_path / "runs.jsonl").read_text())["host"]["cpu_class"] == "arm"
    blocked = on_pi("export", "mobilenetv2", "--int8")
    assert (blocked.returncode, "Traceback" in blocked.stderr) == (3, False), blocked.stderr
    assert "[tflite]" in blocked.stderr
