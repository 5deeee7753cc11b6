"""Detectors: known ones are taken apart before they choose among their boxes; any other must answer (boxes, scores).

What a file holds ends where an image's own numbers would decide on a shape: NMS is done by whoever reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgekit.errors import RequestError, UnsupportedError
from edgekit.models import anchored, walked
from edgekit.models.picking import Answer
from edgekit.models.tracing import Node, Trace
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe, TaskName, check_task
from edgekit.tasks import Detection, Nms, Task
from edgekit.tensors import Values
from edgekit.zoo import ONE_STAGE

PAD = 114  # the grey round an image that detectors are trained with
FORM = "boxes [n, a, 4], x1 y1 x2 y2 in pixels of the input, and their scores [n, a, classes] in 0..1"
WRAP = f"a function that wraps the model and returns {FORM}"
CHOOSING = (
    "nms",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
)  # operators whose answer is as long as it turns out
QUERIES = ("logits", "pred_boxes")  # of transformers: a box for each query, cx cy w h as shares of the image


@dataclass(frozen=True)
class Taken:
    """A known detector, as a module that answers (boxes, scores), and what its own classes are called."""

    module: nn.Module
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> TaskName | None:
        return "detection" if isinstance(self.module, anchored.Anchored | walked.Walked) else None


def usual(net: nn.Module, recipe: Recipe) -> Preprocess | None:
    """What a known detector was made to see; None for any other module. Raises UnsupportedError."""
    if recipe.asks not in ("auto", "detection"):
        return None
    if anchored.has_stages(net):
        raise UnsupportedError(
            f"{type(net).__name__} looks again at boxes that depend on the image, and edgekit does not take it apart",
            hint=ONE_STAGE,
        )
    if walked.is_one(net):
        return Preprocess((640, 640), 1.0, "letterbox", "bilinear", (0.0,) * 3, (1.0,) * 3, PAD)
    return _of_torchvision(net) if anchored.is_one(net) else None


def _of_torchvision(net: nn.Module) -> Preprocess:
    """An SSD sees an image that is squashed to its size, the others one with its own proportions."""
    seen: Any = net.transform
    mean, std = tuple(seen.image_mean), tuple(seen.image_std)
    if seen.fixed_size:
        width, height = seen.fixed_size
        return Preprocess((height, width), 1.0, "squash", "bilinear", mean, std)
    side = int(seen.min_size[-1])
    return Preprocess((side, side), 1.0, "letterbox", "bilinear", mean, std, PAD)


def take(net: nn.Module, size: tuple[int, int], recipe: Recipe) -> Taken:
    """A known detector for images of `size`, or the module as it is. Raises UnsupportedError."""
    if usual(net, recipe) is None:
        return Taken(net)
    if walked.is_one(net):
        return Taken(walked.Walked(net).eval(), walked.names(net), (walked.LICENCE,))
    made = anchored.Anchored(net, size).eval()
    return named_as_coco(made, made.classes)


def pair(given: Sequence[Answer]) -> tuple[Answer, Answer] | None:
    """The boxes and their scores among what a network answers: by name, or as [1, a, 4] and [1, a, c] alone, in any order."""
    named = {answer.name: answer for answer in given}
    for scores, boxes in (QUERIES, ("scores", "boxes")):
        if scores in named and boxes in named and _fit(named[boxes], named[scores]):
            return named[boxes], named[scores]
    if len(given) != 2 or not all(answer.name.isdigit() for answer in given):
        return None
    first, second = given
    return (first, second) if _fit(first, second) else (second, first) if _fit(second, first) else None


def _fit(boxes: Answer, scores: Answer) -> bool:
    a, b = boxes.shape, scores.shape
    return len(a) == len(b) == 3 and a[1:] == [b[1], 4]


def listed(boxes: Answer, scores: Answer) -> str:
    """`boxes [1, 3549, 4], scores [1, 3549, 80]`"""
    return f"boxes {boxes.shape}, scores {scores.shape}"


def are_plain(boxes: Answer, scores: Answer) -> bool:
    """Whether they are called what transformers' detectors call them, or the scores are shares."""
    return (scores.name, boxes.name) == QUERIES or _are_shares(scores)


def _are_shares(scores: Answer) -> bool:
    low, high = scores.tensor.min(), scores.tensor.max()
    return bool(low >= 0 and high <= 1)


def check_asked(recipe: Recipe, name: str) -> None:
    """Refuse what no network that is known as a detector can do, before it is made. Raises RequestError."""
    if recipe.asks == "auto":
        check_task(recipe, "detection")
    elif recipe.asks not in ("detection", "raw"):
        raise RequestError(
            f"{name} is a detector, and its answers are no {recipe.asks}",
            hint="drop what asks for that; --task detection",
        )
    if recipe.channels not in (None, 3):
        raise RequestError(f"{name} takes 3 channels, not {recipe.channels}", hint="drop --channels")


def check_answers(seen: Trace, task: TaskName | None) -> None:
    """Refuse a model that chooses among its boxes itself. Raises RequestError, which names the line.

    task  None: not known yet
    """
    chooses = next((n for n in seen.nodes if n.op == "nms" or (task == "detection" and _chooses(n))), None)
    if chooses:
        raise RequestError(
            f"the model chooses among its boxes itself ({chooses.op} in {chooses.where}{chooses.line}), so how many it "
            "answers depends on the image",
            hint=f"{WRAP}, before NMS: whoever reads the file does it",
        )


def _chooses(node: Node) -> bool:
    """`boxes[scores > 0.5]` is an index that has a line: others are as long each time."""
    return node.op in CHOOSING or (node.op == "index" and bool(node.line))


def check_apart(given: Sequence[Answer], recipe: Recipe) -> None:
    """Refuse boxes in pixels and scores in one tensor, where integers would hold them. Raises RequestError."""
    joined = len(given) == 1 and _is_mixed(given[0].tensor)
    if joined and (recipe.asks == "detection" or recipe.quantize.scheme in ("int8", "int8-static")):
        raise RequestError(
            f"the model answers boxes in pixels and scores in one tensor, {given[0].shape}: in 8 bits they would share one "
            "scale, and every score would be 0 (mAP 0)",
            hint=f"{WRAP}, as two tensors",
        )


def _is_mixed(answer: torch.Tensor) -> bool:
    """Whether [1, 4 + c, a] or [1, a, 4 + c] begins with pixels and goes on with shares."""
    if answer.ndim != 3 or min(answer.shape[1:]) < 5:
        return False
    rows = answer[0] if answer.shape[2] < answer.shape[1] else answer[0].T
    boxes, scores = rows[:, :4], rows[:, 4:]
    return bool(boxes.max() > 2) and bool((scores >= 0).all() and (scores <= 1).all())


@dataclass(frozen=True)
class Form:
    """What boxes and scores of a network need to become those of the task.

    queries   boxes are cx cy w h
    shares    boxes are shares of the image
    logits    "sigmoid" or "softmax" makes scores; the last class of a softmax is "nothing", and is left out
    """

    queries: bool = False
    shares: bool = False
    logits: str = ""

    @property
    def is_plain(self) -> bool:
        return not (self.queries or self.shares or self.logits)

    @property
    def said(self) -> str:
        """What was done to the network's answers, in words."""
        if self.queries:
            left = " without the last, which is nothing" if self.logits == "softmax" else ""
            return f"boxes in pixels are made of the network's shares, scores by a {self.logits}{left}"
        return "boxes lie between 0 and 1: the file answers them in pixels of its input" if self.shares else ""


class Formed(nn.Module):
    """A network that answers (boxes, scores), in the form of the task. size: height, width."""

    def __init__(self, net: nn.Module, form: Form, size: tuple[int, int]) -> None:
        super().__init__()
        height, width = size
        self.net, self.form = net, form
        self.register_buffer("scale", torch.tensor([width, height, width, height]).float(), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, scores = self.net(x)
        if self.form.queries:
            middle, size = boxes.chunk(2, 2)
            boxes = torch.cat([middle - size / 2, middle + size / 2], 2)
        if self.form.shares:
            boxes = boxes * self.get_buffer("scale")
        match self.form.logits:
            case "sigmoid":
                scores = scores.sigmoid()
            case "softmax":
                scores = scores.softmax(2)[..., :-1]
        return boxes, scores


def form(found: tuple[Answer, Answer], net: nn.Module, labels: tuple[str, ...]) -> Form:
    """Of boxes and scores [1, a, ...] for an empty image. Raises RequestError for what cannot be told, or is wrong."""
    boxes, scores = found
    if (scores.name, boxes.name) == QUERIES:
        return Form(True, True, _activation(scores.shape[2], net, labels))
    if not _are_shares(scores):
        low, high = float(scores.tensor.min()), float(scores.tensor.max())
        raise RequestError(
            f"the scores lie between {low:.3g} and {high:.3g}: logits, not shares of 1",
            hint="a function that wraps the model and adds .sigmoid(); where classes exclude each other .softmax(2), "
            "without the background's",
        )
    corners = boxes.tensor[0]
    if (corners[:, 2:] < corners[:, :2]).float().mean() > 0.01:
        raise RequestError(
            "boxes end before they begin: the last two numbers are no right lower corner, but width and height perhaps",
            hint=WRAP,
        )
    return Form(shares=bool(corners.abs().max() <= 2))


def _activation(answered: int, net: nn.Module, labels: tuple[str, ...]) -> str:
    """DETR and YOLOS have a class more, for nothing; RT-DETR and D-FINE score each class by itself."""
    known = len(labels) or getattr(getattr(net, "config", None), "num_labels", 0)
    if known == answered:
        return "sigmoid"
    if known == answered - 1:
        return "softmax"
    raise RequestError(
        f"the model answers {answered} scores a box: one for each class, or one more for nothing",
        hint="--labels FILE, which says how many classes there are",
    )


def names(net: nn.Module) -> tuple[str, ...]:
    """Of the classes, where a network of transformers carries them."""
    said = getattr(getattr(net, "config", None), "id2label", None) or {}
    named = tuple(str(said[i]) for i in range(len(said)) if i in said)
    return () if named[:1] == ("LABEL_0",) else named


def check_scores(task: Task, values: Values) -> None:
    """Refuse a detector's answer to an image that cannot be one. Raises RequestError."""
    if isinstance(task, Detection) and not task.can_be(values):
        low, high = float(values[1].min()), float(values[1].max())
        raise RequestError(
            f"the scores of an image lie between {low:.3g} and {high:.3g}, not between 0 and 1",
            hint="a function that wraps the model and adds .sigmoid() or .softmax(2) to them",
        )


def task(net: nn.Module, made: Form, recipe: Recipe) -> Detection:
    """NMS as the network has it: none, where each query answers for itself."""
    known = isinstance(net, anchored.Anchored | walked.Walked)  # what others call so may be anything
    nms: Nms | None = None if made.queries else net.nms if known else Nms()  # type: ignore[assignment]
    return Detection(nms=nms) if recipe.threshold is None else Detection(threshold=recipe.threshold, nms=nms)


def named_as_coco(made: nn.Module, classes: int) -> Taken:
    """With COCO's names and a word of that, where there are as many classes."""
    known = coco(classes)
    said = f"{classes} classes, as COCO has: its names are taken; --labels FILE gives others"
    return Taken(made, known, (said,) if known else ())


def coco(classes: int) -> tuple[str, ...]:
    """COCO's names: of its 80 kinds, or of its 90 numbers (some are unused), or of these after a background; else ()."""
    from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights as Known

    numbered = Known.COCO_V1.meta["categories"][1:]
    if classes == 80:
        return tuple(name for name in numbered if name != "N/A")
    named = tuple(f"unused {i}" if name == "N/A" else name for i, name in enumerate(numbered, 1))
    return {90: named, 91: ("background", *named)}.get(classes, ())
