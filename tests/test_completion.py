"""What a shell completes: asked as its script asks, and in a real bash."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ask_edgekit


def offered(words, cwd):
    """(kind, value) of each, for the last of the words; "" stands for one that is not begun."""
    env = os.environ | {
        "_EDGEKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["edgekit", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = "from edgekit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.stderr == ""
    return [tuple(line.split(",", 1)) for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["ga"], [("plain", "gate")]),
        (["bench", "--thr"], [("plain", "--threads")]),
        (["bench", "buil"], [("file", "buil")]),
        (["predict", "artifact", "phot"], [("file", "phot")]),
        (["export", "mobilenetv2_0"], [("plain", f"mobilenetv2_{size}") for size in ("035", "050", "075")]),
        (["export", "mobilenetv2-tf"], [("plain", "mobilenetv2-tflite-int8")]),
        (["export", "runs/"], [("file", "runs/")]),
        (["export", "m", "--target", "t"], [("plain", "tflite"), ("plain", "torch")]),
        (["export", "m", "--target", "onnx,tf"], [("plain", "onnx,tflite")]),
        (["export", "m", "--scheme", "fp"], [("plain", "fp32"), ("plain", "fp16")]),
        (["export", "m", "--task", "d"], [("plain", "detection")]),
        (["export", "m", "--weights", "bu"], [("plain", "bundled")]),
        (["export", "m", "--weights", "best.s"], [("file", "best.s")]),
        (["export", "m", "--calibration", "ph"], [("dir", "ph")]),
        (["bench", "x", "--on", "ar"], [("plain", "arm64")]),
        (["tune", "m", "--on", "local,ar"], [("plain", "local,arm64")]),
        (["benchmark", "vit_m"], [("plain", "vit_micro")]),
        (["benchmark", "m", "--scheme", "int8-s"], [("plain", "int8-static")]),
        (["hub", "pus"], [("plain", "push")]),
        (["android", "add", "buil"], [("file", "buil")]),
        (["list", "sch"], [("plain", "schemes")]),
        (["zzz", "buil"], []),
    ],
    ids=lambda given: " ".join(given) if given and isinstance(given[0], str) else "",
)
def test_what_is_offered(tmp_path, words, offers):
    assert offered(words, tmp_path) == offers


def test_all_commands_are_offered_in_the_order_of_work(tmp_path):
    from edgekit.cli import COMMANDS

    assert offered([""], tmp_path) == [("plain", name) for name in COMMANDS]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell):
    script = ask_edgekit("completion", shell).stdout
    assert f"_EDGEKIT_COMPLETE={shell}_complete" in script
    assert "edgekit" in script


def typed(keys, cwd, until, seconds=60):
    """What a bash that has the script shows once it shows `until`."""
    bash, terminal = pty.fork()
    if not bash:
        os.chdir(cwd)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        os.execvpe(
            "bash",
            ["bash", "--norc", "-i"],
            os.environ | {"PATH": path, "PS1": "ready> ", "TERM": "dumb", "HISTFILE": ""},
        )
    shown, deadline = "", time.monotonic() + seconds
    try:
        os.write(terminal, b'eval "$(edgekit completion bash)"; echo have-$((1))\n')
        for awaited, answer in (("have-1", keys), (until, None)):
            while not re.search(awaited, shown):
                ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
                assert ready, shown
                shown += os.read(terminal, 65536).decode()
            if answer:
                shown = ""
                os.write(terminal, answer.encode())
        return shown
    finally:
        os.kill(bash, 9)
        os.waitpid(bash, 0)
        os.close(terminal)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("edgekit bench buil\t", r"edgekit bench build/"),
        ("edgekit predict build/my-n\t imag\t", r"edgekit predict build/my-net/ image\.jpg "),
        ("edgekit export efficientnet_lite4\t--tar\top\t", r"edgekit export efficientnet_lite4 --target openvino "),
        ("edgekit ins\tbuild/my-net/mod\t", r"edgekit inspect build/my-net/model\.tflite "),
    ],
)
def test_a_real_bash_completes(tmp_path, keys, line):
    (tmp_path / "build" / "my-net").mkdir(parents=True)
    (tmp_path / "build" / "my-net" / "model.tflite").touch()
    (tmp_path / "image.jpg").touch()
    assert typed(keys, tmp_path, line)
