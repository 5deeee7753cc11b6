"""From a network to a smaller one that runtimes feel: fewer channels, heads and hidden units, never scattered zeros.

Weights that are merely zero save no time in ONNX Runtime, OpenVINO or LiteRT; they are multiplied like others.

goal.py          how small it shall be
cutting.py       a smaller copy; transformers.py: the rules of ViT, DeiT and Swin
costs.py         what a network costs, counted or measured
search.py        how much to cut for it
steps.py         what is between, in a folder
statistics.py    BatchNorm's running statistics, anew
run.py           the command: cut, fine-tune, write a run
"""

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from edgekit import models
from edgekit.errors import RequestError, reason
from edgekit.pruning import costs, statistics
from edgekit.pruning.cutting import cut
from edgekit.pruning.goal import Goal, Measure, check
from edgekit.pruning.search import Found, search
from edgekit.recipe import Recipe

__all__ = ["Found", "Goal", "prune"]

FORM = "float32 [n, 3, h, w], or [n, 1, h, w] of grey images, as the module takes them"


def prune(
    module: nn.Module,
    examples: Tensor,
    *,
    keep_macs: float | None = None,
    keep_params: float | None = None,
    keep_latency: float | None = None,
    target: str = "tflite",
    scheme: str = "fp32",
    on: str = "local",
    say: Callable[[str], None] = lambda line: None,
) -> Found:
    """A smaller copy of any classifier on the CPU, in eval mode, to be fine-tuned; the module itself is left as it is.

    examples      float32 [n, 3, h, w], or [n, 1, h, w] of grey images, as the module takes them. BatchNorm's statistics
                  are estimated anew from them: a few hundred images do
    keep_...      exactly one: the share of multiplications, of parameters, or of the time that the exported file takes
    target, scheme, on  latency: which file, and on which device (one that has no times counts instructions)

    Raises RequestError for a goal that cannot be meant, UnsupportedError for a network that cannot be cut. A goal that
    cannot be reached is no error: `met` of what is returned is False, and the module is the smallest there is.
    """
    asked: dict[Measure, float | None] = {"macs": keep_macs, "params": keep_params, "latency": keep_latency}
    said = {of: keep for of, keep in asked.items() if keep is not None}
    if len(said) != 1:
        raise RequestError("how small?", hint="one of keep_macs, keep_params and keep_latency")
    ((of, keep),) = said.items()
    goal = check(Goal(keep, of, target, scheme, on))  # type: ignore[arg-type]
    example = _checked(module, examples)[:1]
    channels, height, width = example.shape[1:]
    recipe = Recipe("module", target, input_size=(height, width), channels=channels)  # type: ignore[arg-type]
    with TemporaryDirectory(prefix="edgekit-") as scratch:
        cost = costs.of(goal, models.load(recipe, models.plan(recipe, module)), example, Path(scratch))
        found = search(lambda share: cut(module, example, share), cost.share, goal.keep, say)
    statistics.estimate(found.module, torch.split(examples, 64))
    return found


def _checked(module: object, examples: object) -> Tensor:
    """Raises RequestError where the module does not take them."""
    if not isinstance(module, nn.Module) or not isinstance(examples, Tensor):
        kinds = f"{type(module).__name__} and {type(examples).__name__}"
        raise RequestError(f"module and examples are {kinds}", hint="prune(your_network, a tensor [n, 3, h, w], ...)")
    if any(tensor.device.type != "cpu" for tensor in (examples, *module.parameters())):
        raise RequestError("a network is pruned on the CPU", hint="module.cpu(), examples.cpu()")
    if examples.ndim != 4 or not len(examples) or examples.shape[1] not in (1, 3) or not examples.is_floating_point():
        raise RequestError(f"examples are {examples.dtype} {list(examples.shape)}", hint=FORM)
    try:
        with torch.inference_mode():
            copy.deepcopy(module).eval()(examples[:1])
    except Exception as error:  # the network's own code
        raise RequestError(
            f"{type(module).__name__} does not take examples of {list(examples.shape)}: {reason(error)}", hint=FORM
        ) from error
    return examples
