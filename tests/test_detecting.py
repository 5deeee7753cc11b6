"""Detectors: known ones are taken apart, any other must answer boxes and their scores; what does not is refused in words."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
import torchvision
from nets import walked
from torch import nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator

from edgekit import models
from edgekit.errors import RequestError, UnsupportedError
from edgekit.models import adapting, detecting
from edgekit.models.anchored import Anchored
from edgekit.models.steady import check_steady
from edgekit.models.tracing import look
from edgekit.models.walked import Walked
from edgekit.recipe import Quantize, Recipe, check
from edgekit.tasks import Detection, name_of

pytestmark = pytest.mark.full
SIDE = 64
SIZE = (SIDE, SIDE)
BOXES = torch.tensor([[[4.0, 8.0, 20.0, 40.0], [0.0, 0.0, 64.0, 64.0], [30.0, 2.0, 35.0, 9.0]]])


class Found(nn.Module):
    """Three boxes with scores of two classes, in some form: what a user's own network may answer."""

    def __init__(self, form):
        super().__init__()
        self.layer, self.form = nn.Conv2d(3, 6, 1), form

    def forward(self, x):
        scores = self.layer(x).mean((2, 3)).view(-1, 3, 2)
        return self.form(BOXES + 0 * scores[..., :1], scores.sigmoid())


def adapted(form, scheme="fp32", labels=(), **asked):
    net = form.eval() if isinstance(form, nn.Module) else Found(form).eval()
    recipe = check(Recipe("py:nets:mine", "onnx", quantize=Quantize(scheme), **asked))
    return adapting.adapt(net, look(net, SIZE), SIZE, recipe, labels)


def loaded(net, **asked):
    recipe = Recipe("mine", "onnx", **asked)
    return models.load(recipe, models.plan(recipe, net))


def joined(boxes, scores):
    """Twelve boxes with their scores in one tensor."""
    return torch.cat([boxes, scores], 2).repeat(1, 4, 1)


FORMS = {
    "a tuple": lambda boxes, scores: (boxes, scores),
    "a dict, in another order": lambda boxes, scores: {"scores": scores, "boxes": boxes},
    "scores first": lambda boxes, scores: (scores, boxes),
    "other things beside": lambda boxes, scores: {"boxes": boxes, "scores": scores, "features": scores.mean(1)},
    "shares of the image": lambda boxes, scores: (boxes / SIDE, scores),
}


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_boxes_with_scores_are_a_detection_without_a_word(form):
    made = adapted(FORMS[form])
    boxes, scores = made.module(torch.rand(1, 3, *SIZE))
    assert (name_of(made.task), made.outputs, made.channels) == ("detection", ("boxes", "scores"), 2)
    assert torch.allclose(boxes, BOXES)
    assert scores.shape == (1, 3, 2)
    assert ("between 0 and 1" in " ".join(made.notes)) == (form == "shares of the image")


def test_the_task_is_known_before_anything_is_made():
    plan = models.plan(Recipe("mine", "onnx"), Found(FORMS["a tuple"]))
    assert plan.task == "detection"
    assert models.plan(Recipe("mine", "onnx"), nn.Sequential(nn.Conv2d(3, 4, 1))).task is None  # a map of what?


def test_answers_that_are_no_numbers_are_said():
    net = Found(lambda boxes, scores: (boxes * float("nan"), scores)).eval()
    with pytest.raises(UnsupportedError, match=r"12 of 18 values that are no numbers \(NaN\)"):
        check_steady(net, torch.rand(1, 3, *SIZE), None)


WRONG = {
    "logits": (lambda boxes, scores: (boxes, scores * 8 - 12), {}, r"between -\d.* and -\d.*logits", ".sigmoid()"),
    "middles": (lambda boxes, scores: (boxes.flip(2), scores), {}, "end before they begin", "x1 y1 x2 y2"),
    "one tensor": (joined, {}, "mAP 0", "two tensors"),
    "one tensor, turned": (lambda boxes, scores: joined(boxes, scores).mT, {}, "mAP 0", "two tensors"),
    "one tensor in integers": (
        joined,
        {"task": "raw", "scheme": "int8-static"},
        "every score would be 0",
        "two tensors",
    ),
    "NMS inside": (
        lambda boxes, scores: boxes[:, torchvision.ops.nms(boxes[0], scores[0, :, 0], 0.5)],
        {"task": "raw"},
        r"nms in the model itself \(Found\), test_detecting.py:\d+\)",
        "before NMS",
    ),
    "a choice inside": (
        lambda boxes, scores: boxes[:, torch.nonzero(scores[0, :, 0] > 0)[:, 0]],
        {},
        r"nonzero in .*test_detecting.py:\d+\)",
        "before NMS",
    ),
    "a choice inside, and no task said": (
        lambda boxes, scores: tuple(of[:, torch.nonzero(scores[0, :, 0] > 0)[:, 0]] for of in (boxes, scores)),
        {"task": "auto"},
        r"nonzero in .*test_detecting.py:\d+\)",
        "before NMS",
    ),
    "a choice of rows, and no task said": (
        lambda boxes, scores: tuple(of[0][scores[0, :, 0] > 0] for of in (boxes, scores)),
        {"task": "auto"},
        r"chooses among its boxes itself \(index in .*test_detecting.py:\d+\)",
        "before NMS",
    ),
    "logits of as many labels": (
        lambda boxes, scores: (boxes, scores * 8 - 12),
        {"task": "auto", "labels": ("cat", "dog")},
        "logits, not shares of 1",
        ".sigmoid()",
    ),
    "something else": (lambda boxes, scores: scores, {}, r"wants boxes \[n, a, 4\]", "a function that wraps"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_detection_is_refused(what):
    form, asked, says, instead = WRONG[what]
    with pytest.raises(RequestError, match=says) as caught:
        adapted(form, **{"task": "detection", **asked})
    assert instead in str(caught.value.hint)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"l2": True}, "yolox_nano is a detector, and its answers are no embedding"),
        ({"task": "segmentation"}, "its answers are no segmentation"),
        ({"softmax": True}, "no classification|--softmax means nothing for the task detection"),
        ({"channels": 1}, "takes 3 channels, not 1"),
    ],
)
def test_what_no_known_detector_does_is_refused_before_it_is_made(asked, says):
    with pytest.raises(RequestError, match=says):
        models.plan(Recipe("yolox_nano", "onnx", weights="random", **asked))


def test_one_tensor_of_boxes_and_scores_may_stay_as_it_is_in_float():
    assert name_of(adapted(joined).task) == "raw"


def test_scores_of_images_that_are_no_shares_are_refused():
    boxes, scores = BOXES.numpy(), BOXES[..., :2].numpy()
    with pytest.raises(RequestError, match="between 0 and 30"):
        detecting.check_scores(Detection(), (boxes, scores))
    detecting.check_scores(Detection(), (boxes, scores / 64))


def as_queries(boxes, scores):
    """As transformers' detectors answer."""
    low, high = (boxes / SIDE).chunk(2, 2)
    logits = torch.cat([scores.logit(), scores[..., :1] * 0], 2)
    return SimpleNamespace(logits=logits, pred_boxes=torch.cat([(low + high) / 2, high - low], 2))


@torch.no_grad()
@pytest.mark.parametrize(("labels", "kind"), [(("a", "b"), "softmax"), (("a", "b", "c"), "sigmoid")])
def test_each_query_answers_for_itself(labels, kind):
    made = adapted(as_queries, labels=labels)
    boxes, scores = made.module(torch.rand(1, 3, *SIZE))
    assert made.task.nms is None
    assert torch.allclose(boxes, BOXES, atol=1e-4)
    assert scores.shape[2] == made.channels == len(labels)
    assert (scores > 0).all()
    assert any(kind in note for note in made.notes)


def test_what_a_detector_of_queries_answers_beside_may_have_any_form():
    """D-FINE's layers lie in front of the batch."""

    def form(boxes, scores):
        found = as_queries(boxes, scores)
        return SimpleNamespace(**vars(found), layers=torch.zeros(2, 1, 3, 8), step=torch.tensor(3))

    made = adapted(form, labels=("a", "b"))
    assert made.task.nms is None
    assert any("layers [2, 1, 3, 8], step" in note for note in made.notes)
    with pytest.raises(UnsupportedError, match="layers"):
        adapted(form, task="raw")


def test_a_detector_of_transformers_says_its_labels():
    from transformers import YolosConfig, YolosForObjectDetection

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    names = {0: "bird", 1: "fish"}
    net = YolosForObjectDetection(
        YolosConfig(image_size=[64, 64], num_detection_tokens=5, id2label=names, label2id={}, num_labels=2, **sizes)
    )
    model = loaded(net, input_size=SIZE)
    assert (model.labels, model.task.nms) == (("bird", "fish"), None)
    assert model.answer_shapes == ((1, 5, 4), (1, 5, 2))
    assert (model.preprocess.crop_mode, model.preprocess.pad) == ("letterbox", 114)


class Backbone(nn.Module):
    """Two maps of a small image, as torchvision's backbones answer them."""

    out_channels = 32

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 32, 8, 8), nn.Conv2d(32, 32, 2, 2)

    def forward(self, x):
        fine = self.fine(x)
        return OrderedDict([("0", fine), ("1", self.coarse(fine))])


ALL = {"score_thresh": 0.0, "nms_thresh": 1.0, "detections_per_img": 10_000, "topk_candidates": 10_000}
SEEN = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
LARGE = {"min_size": SIDE, "max_size": SIDE, **SEEN, **ALL}


def ssd():
    backbone = Backbone()
    backbone.out_channels = [32, 32]
    return torchvision.models.detection.ssd.SSD(backbone, DefaultBoxGenerator([[2], [2]]), SIZE, 4, **SEEN, **ALL)


def retinanet():
    anchors = AnchorGenerator(((16,), (32,)), ((0.5, 1.0),) * 2)
    return torchvision.models.detection.RetinaNet(Backbone(), 3, anchor_generator=anchors, **LARGE)


def fcos():
    anchors = AnchorGenerator(((8,), (16,)), ((1.0,),) * 2)
    return torchvision.models.detection.FCOS(Backbone(), 3, anchor_generator=anchors, **LARGE)


@pytest.mark.parametrize("kind", [ssd, retinanet, fcos])
@torch.no_grad()
def test_torchvisions_detectors_find_what_torchvision_finds(kind):
    """Without its NMS, which reads the same boxes: those of every place, for every class but the background."""
    torch.manual_seed(0)
    net = kind().eval()
    model = loaded(net)
    assert isinstance(model.module, Anchored)
    assert model.preprocess.input_size == SIZE
    assert model.preprocess.crop_mode == ("squash" if kind is ssd else "letterbox")
    assert len(model.labels) == 3
    picture = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
    boxes, scores = model.module(picture[None])
    (theirs,) = net([picture])
    order = scores[0].flatten().argsort(descending=True)
    assert torch.allclose(theirs["scores"], scores[0].flatten()[order], atol=1e-6)
    best = boxes[0][order[:5] // 3].clip(0, SIDE)
    assert torch.allclose(theirs["boxes"][:5], best, atol=1e-3)
    assert model.task.nms.iou == 1.0


def test_a_detector_that_looks_twice_is_refused_with_another_named():
    net = nn.Module()
    net.rpn, net.roi_heads = nn.Identity(), nn.Identity()
    recipe = Recipe("mine", "tflite")
    with pytest.raises(UnsupportedError, match="depend on the image") as caught:
        models.plan(recipe, net)
    assert "ssdlite" in caught.value.hint


@torch.no_grad()
def test_layers_that_say_where_they_read_are_walked():
    net = walked().eval()
    model = loaded(net, input_size=SIZE)
    assert isinstance(model.module, Walked)
    assert model.labels == ("a", "b", "c")
    assert any("AGPL" in note for note in model.notes)
    spec = model.preprocess
    assert (spec.mean, spec.std, spec.crop_mode, spec.pad) == ((0.0,) * 3, (1.0,) * 3, "letterbox", 114)
    picture = torch.rand(1, 3, *SIZE)
    boxes, scores = model.module(picture)
    fine = net.model[0].part(picture)
    coarse = net.model[1].part(fine)
    last = net.model[3].part(torch.cat([functional.max_pool2d(fine, 2), coarse], 1))
    assert torch.allclose(scores[0, 64], net.model[4].cv3[1](last)[0, :, 0, 0].sigmoid(), atol=1e-6)
    sides = (net.model[4].cv2[1](last)[0, :, 0, 0].view(4, 4).softmax(1) * torch.arange(4.0)).sum(1) * 16
    assert torch.allclose(
        boxes[0, 64], torch.stack([8 - sides[0], 8 - sides[1], 8 + sides[2], 8 + sides[3]]), atol=1e-4
    )


def test_masks_and_joints_go_through_raw():
    net = walked()
    net.model[-1].cv4 = nn.Identity()
    with pytest.raises(UnsupportedError, match="masks, joints or turned boxes") as caught:
        loaded(net, input_size=SIZE)
    assert caught.value.hint.startswith("--task raw")
