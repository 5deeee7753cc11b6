"""`make privacy`: every command, one after the other, with a HOME that stays empty. Minutes, so it is no part of `make test`."""

import pytest
from conftest import GOLDEN_FILES, ROOT, TINY, paint
from test_privacy import EDGEKIT, ONCE, watched
from test_signing import keys

from edgekit.cli import main

SAMPLE = ROOT / "edgekit" / "models" / "bundled" / "sample.png"
TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"
FEW = ("--calibration", "photos", "--samples", "8")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("home", ["fresh", "none", "file"])
def test_every_command_leaves_nothing_behind(tmp_path, home):
    paint(tmp_path / "photos", 12)
    keys(tmp_path)
    done = set()
    for number, command in enumerate(
        [
            *(("export", *TINY, *FEW, "--int8", "--target", t, "-o", t) for t in ("tflite", "onnx", "openvino")),
            ("export", *TINY, "--target", "torch", "-o", "torch"),
            ("predict", "openvino", SAMPLE),
            ("verify", "onnx", "--against", "torch", "--data", "photos"),
            ("bench", "tflite", "onnx", "openvino", *ONCE[:-1], "-o", "runs.jsonl"),
            ("eval", "onnx", "--data", "photos", "--unlabelled", "--reference", "torch"),
            ("benchmark", "tflite", "onnx", "-o", "both"),
            ("sweep", "--model", "tflite", "--model", "onnx", "-o", "swept"),
            (
                "tune",
                *TINY,
                *FEW[:2],
                "--data",
                "photos",
                "--target",
                "onnx",
                "--max-loss",
                "50",
                "--evaluations",
                "1",
                "-o",
                "tuned",
            ),
            ("gate", "onnx", "--baseline", "onnx.json", "--update", "--no-times"),
            ("inspect", "onnx", "--kernels"),
            ("inspect", "--compare", "onnx", "tflite"),
            ("report", "runs.jsonl", "-o", "report.html"),
            ("history", "runs.jsonl"),
            ("train", "vit_micro", "--data", "photos", "--epochs", "1", "-o", "run"),
            ("train", "run", "--data", "photos", "--epochs", "1", "--qat", "-o", "qat"),
            ("prune", "run", "--data", "photos", "--keep-macs", "0.8", "--epochs", "1", "-o", "pruned"),
            ("reproduce", "onnx", "--calibration", "photos"),
            ("bundle", "onnx", "-o", "onnx.zip"),
            ("sign", "onnx", "--key", "key.pem"),
            ("verify", "onnx", "--key", "key.pub"),
            ("hub", "--help"),  # the rest of it is for the hub, and test_hub.py has one
            ("android", "list", "--app", ROOT / "android_demo"),
            ("list",),
            ("doctor",),
            ("completion", "bash"),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        told, left = watched(folder, home, EDGEKIT, *command, cwd=tmp_path)
        assert not [line for line in told.splitlines() if "elemetry" in line], told
        assert left == [], command
        done.add(command[0])
    assert set(main.list_commands(None)) == done
