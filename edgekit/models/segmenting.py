"""What is known of a segmenter from its trace: what its scores are, and an upsampling at its end that a reader can do."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from edgekit.errors import RequestError, UnsupportedError
from edgekit.models.answers import ending
from edgekit.models.tracing import Trace
from edgekit.recipe import Recipe
from edgekit.tasks.classification import SUM, shares
from edgekit.tasks.segmentation import Segmentation, Upsample, palette

BACKGROUND = ("background", "_background_", "__background__", "bg")


def segmentation(seen: Trace, recipe: Recipe, labels: tuple[str, ...], upsample: Upsample) -> tuple[Segmentation, str]:
    """The task of a segmenter that answers [1, c, h, w], and why its scores are taken for what they are.

    Raises RequestError, UnsupportedError.
    """
    channels = seen.answer.shape[1]
    if recipe.crop_pct not in (None, 1):
        raise RequestError(
            f"a mask covers the whole image, and --crop-pct {recipe.crop_pct:g} leaves a part out", hint="drop it"
        )
    if recipe.threshold is not None and channels > 1:
        raise RequestError(f"--threshold is for one channel, and the model answers {channels}", hint="drop it")
    scores, why = _scores(seen, recipe)
    known = next((number for number, label in enumerate(labels) if label.lower() in BACKGROUND), None)
    return Segmentation(
        scores=scores,
        threshold=recipe.threshold or 0.5,
        background=0 if channels == 1 else known,
        palette=palette(max(channels, 2)),
        upsample=upsample,
    ), f"{scores}: {why}"


def _scores(seen: Trace, recipe: Recipe) -> tuple[Literal["logits", "probabilities"], str]:
    """Log-probabilities are logits too: their softmax is the same."""
    last, values = ending(seen), seen.answer.detach().numpy()
    ends = f"the network ends in {last}"
    span = f"lie between {values.min():.3g} and {values.max():.3g}"
    if recipe.scores == "probabilities" and not shares(values):
        raise RequestError(f"--scores probabilities, but the answers {span}", hint="--scores logits")
    if recipe.scores != "auto":
        return "probabilities" if recipe.scores == "probabilities" else "logits", "as asked"
    if last.what == "softmax" and not (abs(values.sum(1) - 1) <= SUM).all():
        raise UnsupportedError(f"{ends}, but not over the classes", hint="softmax(dim=1)")
    if last.what in ("softmax", "sigmoid"):
        return "probabilities", ends
    if last.what in ("linear", "log-softmax", "log-sigmoid") or not shares(values):
        return "logits", ends
    raise UnsupportedError(
        f"{ends}, and its answers {span}: probabilities, or logits", hint="--scores probabilities, or --scores logits"
    )


@torch.no_grad()
def at_heads_size(
    module: nn.Module, seen: Trace, size: tuple[int, int], channels: int = 3
) -> tuple[nn.Module, Upsample | None]:
    """The segmenter without an upsampling at its end, and the rule that makes up for it; as it is where it has none.

    Whoever reads the answers does it: for 21 classes it can cost more than the network. Knows an nn.Upsample, which is
    taken out in place, and torchvision's segmenters; what comes out is compared with the whole on an image.
    """
    last = seen.last
    if last is None or not last.op.startswith(("upsample_bilinear2d", "upsample_nearest2d")):
        return module, None
    picture = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    whole, place = module(picture), module.get_submodule(last.place)
    smaller = module
    if isinstance(place, nn.Upsample) and last.place:
        _put(module, last.place, nn.Identity())
    elif hasattr(place, "backbone") and hasattr(place, "classifier"):
        smaller = WithoutInterpolation(place)
    else:
        return module, None
    scores = smaller(picture)
    rules = (Upsample("bilinear"), Upsample("bilinear", True)) if "bilinear" in last.op else (Upsample("nearest"),)
    for rule in rules:
        if _alike(_grown(scores, whole.shape[2:], rule), whole):
            return smaller, rule
    _put(module, last.place, place)
    return module, None


class WithoutInterpolation(nn.Module):
    """torchvision's segmenter up to its classifier, which takes one map of the backbone (DeepLab, FCN) or all (LR-ASPP)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = net.get_submodule("backbone"), net.get_submodule("classifier")
        self.takes_all = type(net).__name__ == "LRASPP"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.backbone(x)
        scores: torch.Tensor = self.classifier(maps if self.takes_all else maps["out"])
        return scores


def _put(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    if name:
        setattr(module.get_submodule(parent), name, part)


def _grown(scores: torch.Tensor, size: torch.Size, rule: Upsample) -> torch.Tensor:
    corners = rule.align_corners if rule.mode == "bilinear" else None
    return functional.interpolate(scores, size, mode=rule.mode, align_corners=corners)


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-5 * float(b.abs().max()))
