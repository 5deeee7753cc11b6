"""edgekit export as a user types it: what is refused, what is said, what is left behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from conftest import HERE, TINY, ask_edgekit, start

import edgekit
from edgekit import registry
from edgekit.errors import MissingExtraError

pytestmark = pytest.mark.full
TARGETS = ("onnx", "openvino", "tflite")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["mobilenetv3"], 2, "mobilenetv3_small"),
        (["mobilenetv2", "--target", "tflit"], 2, "did you mean tflite"),
        (["mobilenetv2", "--target", "torch", "--int8"], 2, "torch cannot hold the scheme int8"),
        (["mobilenetv2", "--target", "torch", "--fp16"], 2, "torch cannot hold the scheme fp16"),
        (["mobilenetv2", "--calibration", "nowhere"], 2, "there is no folder"),
        (["mobilenetv2", "--weights", "nowhere.pth"], 2, "there is no weights file"),
        (["mobilenetv2", "--weights", "imagenet"], 3, "switched off"),
        (["efficientnet_b0"], 3, "no weights for"),
        (["timm:nonsense"], 2, "unknown timm model"),
        (["mobilenetv2", "--weights", "bundeld"], 2, "did you mean bundled?"),
        (["mobilenetv2", "--samples", "64"], 2, "--samples means nothing for fp32"),
        ([*TINY, "--target", "tflite", "--target", "torch", "-o", "x"], 2, "one -o for several targets"),
        (["mobilenetv2", "--target", "tflite,onxx"], 2, "unknown target 'onxx'"),
        (["mobilenetv2", "--target", "tflite,"], 2, "a target is empty"),
        (["mobilenetv2", "--target", "all", "--ort"], 2, "ort means nothing for openvino"),
    ],
)
def test_a_wrong_request_says_what_to_type_and_leaves_nothing(tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = ask_edgekit("export", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_dry_run_says_what_would_be_done_and_does_nothing(tmp_path):
    done = ask_edgekit("export", "mobilenetv2", "--int8", "--dry-run", "--json", cwd=tmp_path)
    (plan,) = json.loads(done.stdout)
    assert plan["scheme"]["name"] == "int8-static"
    assert plan["weights"]["source"] == "bundled"
    assert plan["input"] == {"dtype": "uint8", "size": [224, 224]}
    assert "Fashion-MNIST" in plan["images"]
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_name_of_timm_is_told_without_its_imports():
    code = (
        "import sys; from edgekit.cli import main\n"
        "try: main(['export', 'timm:mobilenetv2_10'])\nexcept SystemExit: pass\n"
        "print('MODULES', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "error: unknown timm model 'mobilenetv2_10'\n  try: did you mean mobilenetv2_100" in done.stderr
    assert not {"torch", "timm"} & set(done.stderr.partition("MODULES")[2].split())


def test_every_name_of_timm_passes_the_look_at_its_code():
    """All architectures, and old names that stand for another."""
    import timm

    from edgekit import zoo

    for name in [*timm.list_models()[::40], "efficientnet_b0.ra_in1k", "tv_resnet50", "mobilenetv3_large_100"]:
        zoo.check_name(f"timm:{name}")


def test_what_was_made_is_told_once_with_one_next_command(tmp_path, pictures):
    done = ask_edgekit("export", *TINY, "--target", "torch", "--calibration", pictures, "-o", "my net", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = [line.strip() for line in (done.stderr + done.stdout).splitlines()]
    assert [told.count(line) for line in told] == [1] * len(told)
    assert sum("scheme: " in line for line in told) == sum("weights: " in line for line in told) == 1
    assert told[-1] == "next: edgekit bench 'my net'"
    quiet = ask_edgekit(
        "export", *TINY, "--target", "torch", "--calibration", pictures, "-o", "my net", "-q", cwd=tmp_path
    )
    assert quiet.stderr == ""
    assert "scheme: fp32 (as asked)" in quiet.stdout
    assert "next:" not in quiet.stdout


def test_a_classifier_of_clothes_in_place_of_imagenets_says_so_first(tmp_path, monkeypatch):
    """`--weights bundled`, which asks for it, does not: the README's session."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = ask_edgekit("export", "mobilenetv2", "--target", "torch", "--input-size", "32", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("careful: it knows 10 kinds of clothes (Fashion-MNIST, ")
    assert "and nothing else; --weights imagenet takes ImageNet's" in done.stdout.splitlines()[0]
    assert done.stdout.count("10 kinds of clothes") == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["vit_micro", "--target", "tflite"], "x86 gains nothing from int8-dynamic"),
        (["mobilenetv2", "--target", "onnx", "--int8-for", "vnni"], "x86 without VNNI gives wrong answers here"),
    ],
)
def test_strict_knows_before_anything_is_made(tmp_path, flags, says):
    done = ask_edgekit("export", *flags, "--int8", "--for-cpu", "x86", "--dry-run", "--strict", cwd=tmp_path)
    assert (done.returncode, f"warning: --strict: {says}" in done.stderr) == (1, True), done.stderr
    assert f"but      {says}" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_printed_recipe_is_what_the_flags_equal(tmp_path):
    done = ask_edgekit("export", *TINY, "--int8", "--samples", "9", "--softmax", "--print-recipe")
    (tmp_path / "r.toml").write_text(done.stdout)
    again = ask_edgekit("export", tmp_path / "r.toml", "--print-recipe")
    assert again.stdout == done.stdout
    assert "softmax = true" in done.stdout


def test_every_shipped_recipe_can_be_planned():
    from edgekit import pipeline, recipe

    shipped = json.loads(ask_edgekit("list", "recipes", "--json").stdout)
    assert len(shipped) >= 18
    for row in shipped:
        loaded = recipe.load(Path(row["recipe"]))
        assert recipe.load(Path(row["name"])) == recipe.load(Path(f"{row['name']}.toml")) == loaded
        assert row["name"] == loaded.folder_name
        intent = pipeline.plan(msgspec.structs.replace(loaded, weights="random"))
        assert intent.recipe.quantize.scheme.startswith("int8-")


def test_ctrl_c_leaves_nothing_behind(tmp_path, pictures):
    child = start(
        [sys.executable, "-m", "edgekit", "export", *TINY, "--int8", "--calibration", pictures],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    for line in child.stderr:
        if "converting" in line:
            break
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_all_is_every_target_for_devices_and_one_that_fails_stops_no_other(tmp_path, pictures):
    done = ask_edgekit(
        "export", *TINY, "--target", "all", "--dry-run", "--json", "--calibration", pictures, cwd=tmp_path
    )
    assert [Path(plan["output"]).name for plan in json.loads(done.stdout)] == [f"nets-tiny-{t}-fp32" for t in TARGETS]
    asked = ["--target", "torch,onnx", "--int8", "--calibration", pictures]
    done = ask_edgekit("export", *TINY, *asked, "--dry-run", "--json", cwd=tmp_path)
    refused, made = json.loads(done.stdout)
    assert (done.returncode, refused["target"], refused["error"]) == (2, "torch", "torch cannot hold the scheme int8")
    assert "warning: torch: torch cannot hold the scheme int8" in done.stderr
    assert made["output"].startswith("build/nets-tiny-onnx-int8")


def test_all_leaves_out_what_is_not_installed(tmp_path, pictures, monkeypatch):
    load = registry.exporter

    def without_onnx(target):
        if target == "onnx":
            raise MissingExtraError("onnxscript", "onnx")
        return load(target)

    monkeypatch.setattr(registry, "exporter", without_onnx)
    asked = ["export", *TINY, "--calibration", pictures, "--dry-run", "--json", "--target"]
    done = ask_edgekit(*asked, "all", cwd=tmp_path)
    missing, *plans = json.loads(done.stdout)
    assert (done.returncode, missing["target"]) == (0, "onnx")
    assert [plan["target"] for plan in plans] == [target for target in TARGETS if target != "onnx"]
    assert "warning: onnx: the package 'onnxscript' is not installed" in done.stderr
    done = ask_edgekit(*asked, "torch,onnx", cwd=tmp_path)  # which is asked for by its name
    assert (done.returncode, json.loads(done.stdout)["error"]) == (3, "the package 'onnxscript' is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "files_for_devices", lambda: ["torch", "onnx"])
    said = []
    made = edgekit.export("py:nets:tiny", target="all", calibration=pictures, input_size=32, say=said.append)
    assert [artifact.target for artifact in made] == ["torch"]
    assert any(line.startswith("onnx: the package") for line in said)


def test_one_that_fails_leaves_a_next_command_for_the_others(tmp_path, pictures):
    asked = ["--target", "torch,onnx", "--scheme", "int8-dynamic", "--calibration", pictures]
    done = ask_edgekit("export", *TINY, *asked, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        2,
        "next: edgekit bench build/nets-tiny-onnx-int8-dynamic",
    )


def test_in_python_a_list_of_targets_gives_a_list(tmp_path, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"calibration": pictures, "input_size": 32, "mean": 0.5, "std": 0.25}
    made = edgekit.export("py:nets:tiny", target=["torch", "onnx"], **options)
    assert [artifact.target for artifact in made] == ["torch", "onnx"]
    with pytest.raises(edgekit.EdgekitError, match="one out for several targets"):
        edgekit.export("py:nets:tiny", "build/x", target="all", **options)
    with pytest.raises(
        edgekit.EdgekitError, match=r"target is one name, not 'torch,onnx' \(target=\['torch', 'onnx'\]"
    ):
        edgekit.export("py:nets:tiny", target="torch,onnx", **options)


def test_strict_ends_with_1_where_the_scheme_gains_nothing_and_keeps_the_file(tmp_path, pictures):
    asked = ["--scheme", "int8-dynamic", "--target", "onnx", "--calibration", pictures, "-o", tmp_path / "made"]
    done = ask_edgekit("export", *TINY, *asked, "--for-cpu", "x86", "--strict", "--json")
    assert done.returncode == 1, done.stderr
    assert "--strict: x86 gains nothing from int8-dynamic" in done.stderr
    assert (tmp_path / "made" / "manifest.json").is_file()
    assert json.loads(done.stdout)[0]["advice"]["better"] == "int8-static for onnx"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path, pictures, monkeypatch):
    from edgekit import pipeline
    from edgekit.errors import OutputError
    from edgekit.recipe import Recipe

    def full(folder, manifest):
        Path("/dev/full").write_bytes(b"x" * 9999)

    monkeypatch.setattr(pipeline, "save_manifest", full)
    recipe = Recipe(model="py:nets:tiny", target="torch", calibration=str(pictures), input_size=(32, 32))
    with pytest.raises(OutputError, match="No space left"):
        pipeline.export(recipe, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
