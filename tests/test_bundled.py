"""The checkpoints that come with edgekit: each is what its card says."""

import tomllib

import fashion
import numpy as np
import pytest
import torch
import train_detector
import train_segmenter
from PIL import Image

from edgekit import models, schemes, zoo
from edgekit.calibration import describe
from edgekit.preprocess import fit, normalise
from edgekit.recipe import Quantize, Recipe
from edgekit.tasks import Detection, Segmentation
from edgekit.tasks.average_precision import average_precision, mean

pytestmark = pytest.mark.full
CLASSIFIERS = sorted(p.stem for p in zoo.BUNDLED.glob("*.safetensors") if p.stem not in ("unet_micro", "yolox_micro"))
PICTURES = 200
LEAST = {"mobilenetv2": 0.92, "efficientnet_lite0": 0.92, "vit_micro": 0.88, "swin_micro": 0.88}


def card(name):
    return tomllib.loads((zoo.BUNDLED / f"{name}.toml").read_text("utf-8"))


def test_together_they_are_small():
    assert sum(p.stat().st_size for p in zoo.BUNDLED.iterdir()) < 20e6


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_checkpoint_is_as_good_as_its_card_says(name):
    recipe = Recipe(name, "torch", weights="bundled")
    model = models.load(recipe, models.plan(recipe))
    assert model.labels[9] == "Ankle boot"
    images, labels = (part[:PICTURES] for part in fashion.read("test"))
    right = 0
    with torch.inference_mode():
        for image, label in zip(images, labels, strict=True):
            pixels = fit(Image.fromarray(image).convert("RGB"), model.preprocess)
            x = torch.from_numpy(normalise(pixels, model.preprocess).transpose(2, 0, 1)[None].copy())
            right += int(model.module(x).argmax()) == label
    said = card(name)["test_top1"]
    assert said >= LEAST[name]
    assert abs(right / PICTURES - said) < 4 * np.sqrt(said * (1 - said) / PICTURES)


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if "measured" in card(name)])
def test_int8_as_it_is_chosen_loses_no_half_point_in_any_runtime(name):
    """As measured when the card was written: on all 10,000 test images."""
    measured = {(row["target"], row["scheme"]): row for row in card(name)["measured"]}
    planned = models.plan(Recipe(name, "torch", weights="bundled"))
    for target in ("tflite", "onnx", "openvino"):
        asked = Recipe(name, target, quantize=Quantize("int8"))
        chosen, _ = schemes.resolve(asked, planned.family, planned.architecture)
        assert measured[target, chosen.quantize.scheme]["drop"] <= 0.005
        assert abs(measured[target, "fp32"]["drop"]) <= 0.0005


def test_the_segmenter_is_as_good_as_its_card_says():
    """On the first of its test images: collages of items and photographs that it never saw."""
    recipe = Recipe("unet_micro", "torch", weights="bundled")
    model = models.load(recipe, models.plan(recipe))
    assert isinstance(model.task, Segmentation)
    assert (model.labels, model.task.background) == (tuple(train_segmenter.LABELS), 0)
    found = train_segmenter.ious(model.module, train_segmenter.held_out(), 64).mean()
    said = card("unet_micro")["test_miou"]
    assert said > 0.6
    assert abs(found - said) < 0.1
    assert (zoo.BUNDLED / "unet_micro.safetensors").stat().st_size < 1e6


def test_int8_of_the_segmenter_loses_less_than_a_point_in_any_runtime():
    """As measured when the card was written: on all its test images."""
    rows = {(row["target"], row["scheme"]): row for row in card("unet_micro")["measured"]}
    for target in ("tflite", "onnx", "openvino"):
        assert rows[target, "int8-static"]["drop_interval"][1] < 0.01
        assert rows[target, "int8-static"]["pixels"] >= 0.995
        assert rows[target, "fp32"]["pixels"] >= 0.9999


def test_the_detector_is_as_good_as_its_card_says():
    """On the first of its test images: items and photographs that it never saw."""
    recipe = Recipe("yolox_micro", "torch", weights="bundled")
    model = models.load(recipe, models.plan(recipe))
    assert isinstance(model.task, Detection)
    assert (model.labels, model.preprocess.crop_mode) == (tuple(train_detector.LABELS), "letterbox")
    pictures = train_detector.drawn(train_detector.held_out(), 64)
    found = average_precision(train_detector.matched(model.module, pictures), len(model.labels))
    assert abs(float(mean(found, 0)[0]) - card("yolox_micro")["test_ap50"]) < 0.1
    assert (zoo.BUNDLED / "yolox_micro.safetensors").stat().st_size < 2e6


def test_int8_of_the_detector_is_taken_in_every_runtime():
    """As measured when the card was written: on all its test images."""
    measured = card("yolox_micro")["measured"]
    assert not [row["refused"] for row in measured if "refused" in row]
    rows = {(row["target"], row["scheme"]): row for row in measured}
    assert rows["openvino", "int8-static"]["drop_interval"][1] < 0.01
    assert rows["tflite", "int8-static"]["drop_interval"][1] < 0.05
    assert rows["onnx", "int8-weight-only"]["drop_interval"][1] < 0.01


@pytest.mark.parametrize("name", ["unet_micro", "yolox_micro"])
def test_its_sheet_calibrates_with_whole_images(name):
    with Image.open(zoo.BUNDLED / f"{name}.webp") as sheet:
        assert sheet.size == (16 * 128, 10 * 128)
    planned = models.plan(Recipe(name, "torch", weights="bundled"))
    assert planned.pictures == zoo.BUNDLED / f"{name}.webp"
    assert describe("default", 128, planned.pictures).startswith("128 collages of Fashion-MNIST")
