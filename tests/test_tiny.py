"""The whole tool in a minute: a network of one's own becomes a proven int8 file, which answers, is measured and verified."""

import json

import pytest
from conftest import TINY, ask_edgekit, run_edgekit

pytestmark = pytest.mark.full


def test_export_predict_bench_verify_inspect(tmp_path, pictures):
    labels = tmp_path / "labels.txt"
    labels.write_text("ant\nbee\ncat\ndog\nelk\n")
    for scheme in ("--int8", "--scheme=fp32"):
        export = run_edgekit if scheme == "--int8" else ask_edgekit
        done = export(
            "export", *TINY, scheme, "--calibration", pictures, "--labels", labels, "--target", "tflite", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert "proof: SQNR" in done.stdout
        assert "5 labels of labels.txt, 'ant' to 'elk'" in done.stdout
    int8, fp32 = (tmp_path / f"build/nets-tiny-tflite-{s}" for s in ("int8", "fp32"))

    assert str(tmp_path) not in (int8 / "manifest.json").read_text()  # nobody learns where the user keeps things

    answer = json.loads(run_edgekit("predict", int8, next(pictures.rglob("*.png")), "--json").stdout)
    assert {c["label"] for c in answer["predictions"][0]["classes"]} == {"ant", "bee", "cat", "dog", "elk"}
    assert abs(sum(c["probability"] for c in answer["predictions"][0]["classes"]) - 1) < 1e-5

    row = json.loads(run_edgekit("bench", int8, fp32, "--runs", "6", "--launches", "2", "--json", "--no-save").stdout)[
        "rows"
    ][1]
    assert row["time_ratio"]["value"] > 0

    verified = run_edgekit("verify", int8)
    assert verified.returncode == 0, verified.stderr
    assert "to the bit" in verified.stdout

    seen = run_edgekit("inspect", int8)
    assert "CONV_2D" in seen.stdout
    assert "int8" in seen.stdout
