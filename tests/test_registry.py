from functools import partial
from importlib.metadata import EntryPoint

import pytest

import edgekit_vision
from edgekit import extras, machine, registry, schemes
from edgekit.errors import MissingExtraError, UnknownNameError, UnsupportedError
from edgekit.recipe import Quantize, Recipe


def test_built_ins_come_through_the_public_door():
    assert {"litert", "null", "onnxruntime", "torch"} <= set(registry.runtimes())
    assert {"onnx", "tflite", "torch"} <= set(registry.targets())


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        registry.exporter("tflit")
    assert caught.value.hint == "did you mean tflite?"


def test_a_missing_package_names_its_extra():
    with pytest.raises(MissingExtraError) as caught, extras.needs():
        raise ModuleNotFoundError("No module named 'timm'", name="timm.layers")
    assert caught.value.hint == edgekit_vision.install("models")


def test_a_broken_plugin_looks_broken_not_uninstalled():
    with pytest.raises(ModuleNotFoundError), extras.needs():
        raise ModuleNotFoundError("No module named 'their_helper'", name="their_helper")


def test_a_torchvision_that_does_not_fit_torch_is_named():
    with pytest.raises(MissingExtraError, match="torchvision"), extras.needs():
        raise RuntimeError("operator torchvision::nms does not exist")


def test_the_runtime_of_a_target():
    assert registry.runtime_for("tflite").name == "litert"
    assert registry.runtime_for("onnx").name == "onnxruntime"
    assert registry.runtime_for("null").name == "null"


def test_a_runtime_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_importable", lambda name: name == "null")
    with pytest.raises(MissingExtraError) as caught:
        registry.runtime_for("onnx")
    assert caught.value.hint == edgekit_vision.install("run-onnx")
    with pytest.raises(UnknownNameError):
        registry.runtime_for("nowhere")


@pytest.fixture
def broken(monkeypatch):
    """A runtime, a target and a device whose import fails."""
    known = registry._plugins

    def plugins(group):
        return known(group) | {"aged": EntryPoint("aged", "plugin_of_another_time:Nothing", group)}

    monkeypatch.setattr(registry, "_plugins", plugins)
    for names in ("runtimes", "targets", "devices"):
        monkeypatch.setattr(registry, names, partial(list, ["aged", *getattr(registry, names)()]))


def test_a_broken_plugin_is_named_and_the_others_work(broken):
    with pytest.warns(UserWarning, match="runtime aged cannot be loaded: ModuleNotFoundError.*it is left out"):
        assert registry.runtime_for("null").name == "null"
    for load in (registry.runtime, registry.exporter, registry.device):
        with pytest.raises(UnsupportedError, match="aged cannot be loaded: ModuleNotFoundError: No module named"):
            load("aged")
    found = {check.what: check for check in (look() for look in machine.checks()) if "aged" in check.what}
    assert set(found) == {"target aged", "runtime aged", "device aged"}
    assert all(not check.ok and "cannot be loaded" in check.detail for check in found.values())


def test_every_extra_that_is_named_exists():
    """And the doctor looks for each, but for those that name others."""
    there = set(edgekit_vision.installed().metadata.get_all("Provides-Extra"))
    assert set(extras.KNOWN) == there - {"all", "dev", "openvino", "sign", "train"}


@pytest.mark.parametrize(
    ("family", "scheme"),
    [
        ("cnn", "int8-static"),
        ("attention", "int8-dynamic"),
        ("hardswish", "int8-static"),
        ("prelu", "int8-dynamic"),
        ("silu", "int8-static"),
    ],
)
def test_int8_means_the_scheme_of_the_table(family, scheme):
    recipe = Recipe(model="m", target="tflite", quantize=Quantize(scheme="int8"))
    resolved, why = schemes.resolve(recipe, family)
    assert resolved.quantize.scheme == scheme
    assert why


def test_an_exact_scheme_stays():
    recipe = Recipe(model="m", target="tflite", quantize=Quantize(scheme="fp16"))
    assert schemes.resolve(recipe, "cnn") == (recipe, "as asked")
    with pytest.raises(UnsupportedError):
        schemes.resolve(Recipe(model="m", target="torch", quantize=Quantize(scheme="int8")), "cnn")


@pytest.mark.parametrize(
    ("asked", "better"),
    [
        (("cnn", "mobilenetv2_100", "tflite", "int8-static", "x86"), "int8-static for openvino"),
        (("attention", "vit_tiny_patch16_224", "tflite", "int8-static", "arm-dotprod"), "int8-dynamic for tflite"),
        (("attention", "vit_tiny_patch16_224", "openvino", "int8-static", "x86"), "int8-dynamic for onnx"),
        (("cnn", "mobilenetv2_100", "tflite", "int8-weight-only", "arm"), None),
    ],
)
def test_who_gains_nothing_is_told_what_is_better(asked, better):
    advice = schemes.advise(*asked)
    assert advice.better == better
    assert f"{asked[-1]} gains nothing from {asked[3]}" in advice.text
    assert (better or "nothing there but size") in advice.text


def test_no_advice_where_there_is_a_gain_or_no_figure():
    assert schemes.advise("cnn", "mobilenetv2_100", "tflite", "int8-static", "x86-vnni") is None
    assert schemes.advise("cnn", "mobilenetv2_100", "tflite", "fp32", "x86") is None
    assert schemes.advise("hardswish", "mobilenetv3_large_100", "onnx", "int8-static", "x86") is None


def test_a_row_about_an_architecture_comes_before_its_family():
    gain = [
        schemes.measured(family, name, "tflite", "int8-static", "x86")
        for family, name in (("silu", "efficientnet_b0.ra_in1k"), ("cnn", "resnet18"))
    ]
    assert gain == [1.2, 0.86]


def test_a_row_about_a_task_comes_before_its_family(monkeypatch):
    rows = tuple(
        schemes.Row("attention", "onnx", scheme, gain={"x86": gain}, task=task)
        for scheme, gain, task in (("int8-weight-only", 1.0, "embedding"), ("int8-dynamic", 1.3, None))
    )
    monkeypatch.setattr(schemes, "_file", lambda: {"row": rows, "other": ()})
    recipe = Recipe(model="m", target="onnx", quantize=Quantize(scheme="int8"))
    for task, scheme in (("embedding", "int8-weight-only"), ("classification", "int8-dynamic"), (None, "int8-dynamic")):
        assert schemes.resolve(recipe, "attention", task=task)[0].quantize.scheme == scheme
        advice = schemes.advise("attention", "", "onnx", scheme, "x86", task)
        assert (advice is None) == (scheme == "int8-dynamic")


@pytest.mark.parametrize(
    ("family", "target", "failed", "instead"),
    [
        ("hardswish", "tflite", "int8-static", "int8-dynamic"),  # gains less, and is known to
        ("silu", "onnx", "int8-static", "int8-weight-only"),
        ("cnn", "openvino", "int8-static", "fp16"),
        ("hardswish", "tflite", "int8-dynamic", "fp16"),  # never one that rounds more
    ],
)
def test_what_is_named_where_a_file_fails_its_proof(family, target, failed, instead):
    recipe = Recipe(model="m", target=target, quantize=Quantize(scheme=failed))
    offered = ("fp32", "fp16", "int8-static", "int8-dynamic", "int8-weight-only")
    assert schemes.finer(recipe, family, "m", offered) == f"edgekit export --scheme {instead} loses less"


def test_a_classifier_with_silu_bears_what_a_detector_does_not():
    taken = [
        schemes.recommended("silu", "m", "onnx", task).scheme for task in ("classification", "detection", "embedding")
    ]
    assert taken == ["int8-static", "int8-weight-only", "int8-weight-only"]
