import json
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from edgekit import models, zoo
from edgekit.errors import DataError, RequestError, UnknownNameError, UnsupportedError, WeightsError
from edgekit.models import weights
from edgekit.recipe import Recipe

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    """No test waits for a network; the hub's own switch is what a user would set too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def recipe(model="mobilenetv2_050", **options):
    return Recipe(model=model, target="tflite", **options)


def load(r):
    return models.load(r, models.plan(r))


def test_every_alias_is_a_timm_model_with_weights():
    import timm

    for alias, name in zoo.ALIASES.items():
        config = timm.get_pretrained_cfg(name)
        assert config is not None, alias
        assert config.hf_hub_id, alias


def test_random_weights_follow_the_seed():
    a, b, c = (load(recipe(weights="random", seed=s)) for s in (1, 1, 2))
    assert a.weights.sha256 == b.weights.sha256 != c.weights.sha256
    assert a.labels[0] == "class 0" or len(a.labels) == 1000
    assert "random" in a.weights.knows


def test_auto_takes_the_package_when_there_is_no_hub_and_says_why():
    choice = models.plan(recipe("efficientnet_lite0")).choice
    assert choice.source == "package"
    assert "hub" in choice.why
    assert "package" in choice.why


def test_auto_takes_what_is_bundled_last():
    planned = models.plan(recipe("mobilenetv2"))
    assert planned.choice.source == "bundled"
    assert planned.preprocess.input_size == (224, 224)
    loaded = models.load(recipe("mobilenetv2"), planned)
    assert "clothes" in loaded.weights.knows
    assert loaded.labels[9] == "Ankle boot"


def test_auto_prefers_the_hub_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "hub_cache", lambda hub_id: tmp_path / "model.safetensors")
    choice = models.plan(recipe("efficientnet_lite0")).choice
    assert (choice.source, choice.path) == ("imagenet", tmp_path / "model.safetensors")


def test_a_cached_checkpoint_loads_through_timm(monkeypatch, tmp_path):
    import timm

    torch.manual_seed(3)
    cached = tmp_path / "model.safetensors"
    save_file(timm.create_model("mobilenetv2_050").state_dict(), cached)
    monkeypatch.setattr(weights, "hub_cache", lambda hub_id: cached)
    loaded = load(recipe())
    assert loaded.weights.source == "imagenet"
    assert loaded.labels[285] == "Egyptian cat"
    assert loaded.weights.sha256 != load(recipe(weights="random")).weights.sha256


def test_auto_never_ends_at_random():
    with pytest.raises(WeightsError, match="no weights for mobilenetv2_050") as caught:
        models.plan(recipe())
    assert "--weights random" in caught.value.hint


def test_imagenet_never_falls_back():
    with pytest.raises(WeightsError, match="cannot be had") as caught:
        models.plan(recipe("mobilenetv2", weights="imagenet"))
    assert "--weights bundled" in caught.value.hint


def test_a_hub_that_does_not_answer_costs_three_seconds_at_most(monkeypatch):
    import time

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: time.sleep(5))
    assert weights.hub_trouble("timm/x") == "the hub did not answer within 0 s"


def test_unknown_models_offer_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        models.plan(recipe("efficientnet_lite9"))
    assert "efficientnet_lite" in caught.value.hint
    with pytest.raises(UnknownNameError) as caught:
        models.plan(recipe("timm:resnet81"))
    assert "resnet18" in caught.value.hint


def test_families():
    names = {"mobilenetv2": "cnn", "mobilenetv3_small": "hardswish", "vit_tiny": "attention", "swin_tiny": "attention"}
    for name, family in names.items():
        assert models.plan(recipe(name, weights="random")).family == family


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The state dict of a mobilenetv2_050 with four classes, and a folder to save it in."""
    import timm

    torch.manual_seed(5)
    return timm.create_model("mobilenetv2_050", num_classes=4).state_dict(), tmp_path_factory.mktemp("weights")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {"state_dict_ema": s, "state_dict": {k: v * 0 for k, v in s.items()}},
        lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
    ],
)
def test_training_wrappers_are_understood(trained, wrap):
    state, folder = trained
    path = folder / "wrapped.pth"
    torch.save(wrap(state), path)
    loaded = load(recipe(weights=str(path)))
    assert len(loaded.labels) == 4
    torch.testing.assert_close(loaded.module.state_dict()["classifier.weight"], state["classifier.weight"])


def test_safetensors_load(trained):
    state, folder = trained
    save_file(state, folder / "w.safetensors")
    assert load(recipe(weights=str(folder / "w.safetensors"))).weights.source == "file"


def test_other_shapes_name_the_first_tensors(trained):
    state, folder = trained
    save_file(state, folder / "other.safetensors")
    with pytest.raises(
        WeightsError, match=re.escape("conv_stem.weight: the file has [16, 3, 3, 3], the model [32, 3, 3, 3]")
    ):
        load(recipe("mobilenetv2", weights=str(folder / "other.safetensors")))


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_a_pickle_with_code_is_refused_with_the_reason(tmp_path, capsys):
    path = tmp_path / "bomb.pth"
    path.write_bytes(pickle.dumps({"state_dict": Bomb()}))
    with pytest.raises(WeightsError, match=r"wants to run code|not a checkpoint"):
        load(recipe(weights=str(path)))
    torch.save({"state_dict": Bomb()}, path)
    with pytest.raises(WeightsError, match=r"wants to run code \(.*print.*\)"):
        load(recipe(weights=str(path)))
    assert "boom" not in capsys.readouterr().out


def test_truncated_and_foreign_files_are_said_in_one_line(trained, tmp_path):
    state, folder = trained
    whole = folder / "whole.safetensors"
    save_file(state, whole)
    for name, blob in (
        ("cut.safetensors", whole.read_bytes()[:-5000]),
        ("text.pth", b"hello"),
        ("empty.pt", b""),
        ("json.pt", json.dumps({"a": 1}).encode()),
    ):
        (tmp_path / name).write_bytes(blob)
        with pytest.raises(WeightsError, match=re.escape(name)) as caught:
            load(recipe(weights=str(tmp_path / name)))
        assert "\n" not in caught.value.message
    with pytest.raises(WeightsError, match="there is no weights file"):
        models.plan(recipe(weights=str(tmp_path / "none.pth")))


def test_weights_that_are_not_numbers_are_refused(trained, tmp_path):
    state = {k: v.clone() for k, v in trained[0].items()}
    state["conv_stem.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="not numbers"):
        load(recipe(weights=str(tmp_path / "nan.safetensors")))


def test_a_module_of_ones_own(tmp_path):
    r = recipe("py:nets:tiny", input_size=(32, 32), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    loaded = load(r)
    assert (loaded.family, len(loaded.labels)) == ("cnn", 5)
    assert loaded.preprocess.mean == (0.1, 0.2, 0.3)
    save_file({k: v + 1 for k, v in loaded.module.state_dict().items()}, tmp_path / "w.safetensors")
    changed = load(
        Recipe(model="py:nets:tiny", target="tflite", weights=str(tmp_path / "w.safetensors"), input_size=(32, 32))
    )
    assert changed.weights.sha256 != loaded.weights.sha256


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("py:nets:none", "no function 'none'"),
        ("py:no_such_module:f", "no module 'no_such_module'"),
        ("py:nets:not_a_module", "returned str"),
    ],
)
def test_a_wrong_function_is_said(name, says):
    with pytest.raises(RequestError, match=says):
        models.plan(recipe(name))


def test_models_that_do_not_classify_are_refused():
    with pytest.raises(UnsupportedError, match="classifiers"):
        load(recipe("py:nets:segmenter", input_size=(32, 32)))
    with pytest.raises(UnsupportedError, match="32x32"):
        load(recipe("py:nets:takes_one_channel", input_size=(32, 32)))


def test_labels_must_fit(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    with pytest.raises(DataError, match="2 lines, the model 5 classes"):
        load(recipe("py:nets:tiny", input_size=(32, 32), labels=str(labels)))
