"""What a network's answers are: read from the operators that made them, and from the answers to images themselves.

Every tensor of a trace carries an `End`: what last computed its numbers. What only moves numbers (reshape, squeeze,
dropout in eval mode, a mean over places) passes it on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from edgekit.errors import RequestError, UnsupportedError
from edgekit.models.tracing import Node, Trace
from edgekit.recipe import Kind, Recipe
from edgekit.tasks.classification import Classification, Scores, add_up, shares, unit_length


@dataclass(frozen=True)
class End:
    """What last computed a tensor's numbers.

    what       softmax, log-softmax, sigmoid, log-sigmoid, linear (also a convolution), normalisation, activation, sum,
               mixed (probabilities beside other numbers), input, other
    named      the operator, in words
    pointwise  of a linear one: a 1 x 1 convolution; active: an activation follows it, pooled: a mean over places follows
    """

    what: str
    named: str
    pointwise: bool = False
    active: bool = False
    pooled: bool = False

    @property
    def features(self) -> bool:
        """Whether such numbers describe an image rather than score classes. SqueezeNet's scores are an activation's
        after all, of a 1 x 1 convolution, averaged over places."""
        cut = self.what == "linear" and self.active and not (self.pooled and self.pointwise)
        return cut or self.what in ("normalisation", "activation", "sum")

    @property
    def bounded(self) -> bool:
        """Whether it may be a sigmoid that was written by hand."""
        return self.named in ("hardtanh", "relu6", "tanh") and not self.pooled

    def __str__(self) -> str:
        return f"{'an' if self.named[0] in 'aeiou' else 'a'} {self.named}"


PROBABLE: dict[str, Kind] = {
    "softmax": "probabilities",
    "sigmoid": "probabilities",
    "log-softmax": "log-probabilities",
    "log-sigmoid": "log-probabilities",
}


def ending(seen: Trace) -> End:
    """What makes a network's answer."""
    ends: dict[Node | None, End] = {}
    for node in seen.nodes:
        if any(node.inputs):  # else it is made of weights alone
            ends[node] = _end(node, ends)
    return ends.get(seen.last, End("other", "operator that cannot be seen"))


def check_logits(seen: Trace, name: str) -> None:
    """Refuse to learn with, or from, what is no logits: its answers would be squashed twice. Raises UnsupportedError.

    Log-probabilities are logits too: their softmax is the same.
    """
    if not isinstance(seen.answer, torch.Tensor) or seen.answer.ndim != 2:
        raise UnsupportedError(
            f"{name} does not answer one score for each class",
            hint="a classifier: float32 [n, 3, h, w] -> [n, classes]",
        )
    last = ending(seen)
    squashed = PROBABLE.get(last.what) == "probabilities" or last.what == "log-sigmoid"
    if squashed or (seen.answer.shape[1] > 1 and add_up(seen.answer.float().numpy())):
        raise UnsupportedError(
            f"{name} ends in {last} and answers probabilities; cross-entropy wants logits",
            hint="a function that returns the network without its last step; export adds it: --softmax, or --multi-label",
        )


def classification(end: End, scores: Scores, recipe: Recipe, *, named: bool) -> tuple[Classification, str]:
    """What a network's scores mean, and why: from what computed them, from the answers, and from the user's word.

    scores  of images, float32 [n, classes]: the network's own, before any softmax that the recipe adds
    named   the classes have names, so classes they are

    The operators say what the scores should be and the answers whether they are: where the two disagree, and where
    neither tells, the user's word is wanted. Raises RequestError, UnsupportedError.
    """
    said, classes = recipe.scores, scores.shape[1]
    if said == "auto":
        kind, independent, why = _found(end, scores, recipe.multi_label, named=named)
    else:
        kind, why = said, "as asked"
        apart = kind != "logits" and end.what in ("sigmoid", "log-sigmoid")
        independent = recipe.multi_label or classes == 1 or apart
        _check_word(kind, independent, end, scores)
    if recipe.multi_label and not independent:
        raise RequestError(
            f"--multi-label is for classes that do not exclude each other, and the answers add up to 1: {why}",
            hint="leave it out",
        )
    if recipe.threshold is not None and not independent:
        raise RequestError(
            f"threshold {recipe.threshold:g} means nothing: the classes exclude each other",
            hint="--multi-label, or drop it",
        )
    return Classification(kind, independent, 0.5 if recipe.threshold is None else recipe.threshold), why


def _found(end: End, scores: Scores, multi_label: bool, *, named: bool) -> tuple[Kind, bool, str]:
    """Kind, independence and the reason, where the user says nothing of the kind."""
    classes, ends = scores.shape[1], f"the network ends in {end}"
    if classes == 1 and end.what in ("softmax", "log-softmax"):
        raise UnsupportedError(f"{ends} over one score, which always gives the same", hint="a sigmoid in its place")
    exclusive = classes > 1
    if exclusive and add_up(scores):
        return "probabilities", False, f"{ends}, and its answers add up to 1"
    if exclusive and _logs(scores) and add_up(_exp(scores)):
        return "log-probabilities", False, f"{ends}, and the powers of its answers add up to 1"
    if end.what == "sigmoid" and shares(scores):
        return "probabilities", True, f"{ends}, so each class is answered by itself"
    if end.what == "log-sigmoid" and _logs(scores):
        return "log-probabilities", True, f"{ends}, so each class is answered by itself"
    if end.what in PROBABLE:
        raise UnsupportedError(f"{ends}, but its answers do not {_owed(end)}: {_range(scores)}", hint=WORD)
    if shares(scores) and (end.what in ("other", "input", "mixed") or end.bounded):
        raise UnsupportedError(
            f"{ends}, and its answers are {_range(scores)}: probabilities of independent classes, or something else",
            hint="--scores probabilities --multi-label if they are; --scores logits if they are scores of another kind",
        )
    if end.what == "mixed":
        raise UnsupportedError(f"{ends}, {_range(scores)}", hint=WORD)
    if multi_label:
        return "logits", True, "--multi-label"
    if classes == 1:
        raise UnsupportedError(
            f"the model answers one number, {_range(scores)}: the logit of a yes-or-no network, or a measure",
            hint="--multi-label if a sigmoid makes a probability of it; --task raw if it is a measure",
        )
    if not named and (end.features or unit_length(scores)):
        of = "are of length 1" if unit_length(scores) else f"are what {end} gives"
        raise UnsupportedError(
            f"the model's {classes} answers {of}: an embedding, not the scores of classes",
            hint="--task embedding; --task classification if these are scores",
        )
    if end.what == "linear":
        return "logits", False, ends
    return "logits", False, f"{ends}; its answers are no probabilities"


WORD = "--scores logits, probabilities or log-probabilities says what they are; with --multi-label each by itself"


def _owed(end: End) -> str:
    """What the answers of such an end do by nature."""
    return {"softmax": "add up to 1", "log-softmax": "add up to 1 as powers"}.get(end.what, "lie in its range")


def _check_word(kind: Kind, independent: bool, end: End, scores: Scores) -> None:
    """Refuse what contradicts the operators or the answers."""
    own = PROBABLE.get(end.what)
    possible = scores if kind == "probabilities" else _exp(scores)
    if own and own != kind and shares(scores if own == "probabilities" else _exp(scores)):
        raise RequestError(
            f"--scores {kind}, but the network ends in {end}: {own}", hint=f"--scores {own}, or leave it out"
        )
    if kind == "logits":
        if scores.shape[1] > 1 and add_up(scores):
            raise RequestError(
                "--scores logits, but the answers add up to 1: probabilities", hint="--scores probabilities"
            )
        return
    if not shares(possible):
        raise RequestError(f"--scores {kind}, but the answers are {_range(scores)}", hint="--scores logits")
    if not independent and possible.sum(-1).max() > 1.01:
        raise RequestError(
            f"--scores {kind}, but those of an image add up to as much as {possible.sum(-1).max():.2f}",
            hint="--multi-label, if the classes do not exclude each other",
        )


def _exp(scores: Scores) -> Scores:
    return Classification("log-probabilities").probabilities(scores.clip(max=80))


def _logs(scores: Scores) -> bool:
    """Whether every number could be the logarithm of a probability."""
    return bool((scores <= 1e-3).all())


def _range(scores: Scores) -> str:
    low, high = float(scores.min()), float(scores.max())
    return f"between {low:.3g} and {high:.3g}" if low < high else f"{low:.3g} for every image"


_ALIKE = {  # operators that make probabilities, and their names in other places
    "softmax": ("_softmax", "softmax", "_safe_softmax"),
    "log-softmax": ("_log_softmax", "log_softmax"),
    "sigmoid": ("sigmoid", "hardsigmoid"),
    "log-sigmoid": ("log_sigmoid_forward", "log_sigmoid"),
    "normalisation": (
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_batch_norm_with_update",
        "cudnn_batch_norm", "batch_norm", "native_layer_norm", "layer_norm", "native_group_norm", "group_norm",
        "instance_norm", "rms_norm", "_fused_rms_norm",
    ),
    "linear": ("addmm", "mm", "linear", "matmul", "bmm", "baddbmm", "addbmm", "mv", "addmv", "einsum", "_addmm_activation"),
}  # fmt: skip
_COMPUTES = {name: what for what, names in _ALIKE.items() for name in names}
_CONVOLVES = {"convolution", "_convolution", "conv2d", "mkldnn_convolution", "cudnn_convolution", "thnn_conv2d"}
_POOLS = {
    "mean", "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "avg_pool2d", "adaptive_max_pool2d", "max_pool2d",
    "max_pool2d_with_indices", "amax", "sum",
}  # fmt: skip
_ACTIVATES = {
    "relu", "relu6", "hardtanh", "leaky_relu", "gelu", "silu", "elu", "celu", "selu", "hardswish", "mish", "prelu",
    "softplus", "tanh", "threshold", "rrelu_with_noise", "_prelu_kernel",
}  # fmt: skip
_MOVES = {
    "view", "reshape", "_reshape_alias", "_unsafe_view", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand",
    "flatten", "unflatten", "clone", "contiguous", "_to_copy", "to", "alias", "detach", "slice", "select", "narrow",
    "dropout", "native_dropout", "lift_fresh", "index_select", "index", "gather", "cat", "stack", "split",
    "split_with_sizes", "unbind", "chunk", "as_strided", "view_as", "expand_as", "flip", "roll", "clamp", "clip",
    "clamp_min", "clamp_max", "nan_to_num", "copy", "resolve_conj", "resolve_neg", "view_copy", "squeeze_copy",
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_nearest_exact2d",
    "where", "masked_fill", "fill", "zero", "index_fill", "index_put", "index_copy", "maximum", "minimum",
}  # fmt: skip
_SCALES = {"add", "sub", "rsub", "mul", "div"}
_PLAIN = {"add": "sum", "sub": "difference", "rsub": "difference", "mul": "product", "div": "division"}
_INVERTS = {"exp": {"log-softmax": "softmax", "log-sigmoid": "sigmoid"}, "log": {"softmax": "log-softmax", "sigmoid": "log-sigmoid"}}  # fmt: skip


def _end(node: Node, ends: Mapping[Node | None, End]) -> End:
    """The end of what an operator made of tensors with known ends, and of weights and the image, which have none."""
    name = node.op if node.op.startswith("__") else node.op.rstrip("_")
    plain = name.replace("_", " ").strip()
    given = [(ends[made], shape) for made, shape in zip(node.inputs, node.shapes, strict=True) if made in ends]
    if (what := _COMPUTES.get(name)) is not None:
        return End(what, "linear layer" if what == "linear" else what)
    if name in _CONVOLVES:
        return End("linear", "convolution", pointwise=set(node.shapes[1][2:]) == {1})
    if not given:
        return End("input", plain)
    first, shape = given[0]
    if name == "sum" and first.what not in PROBABLE and _is_weighed(node.inputs[0], ends):
        return End("linear", "weighted sum")
    if name in _MOVES and all(end == first for end, _ in given):
        return first
    if name in _MOVES and any(end.what in PROBABLE for end, _ in given):
        return End("mixed", f"{plain} of probabilities and other numbers")
    if name in _POOLS:
        return replace(first, pooled=first.pooled or math.prod(shape) > math.prod(node.shape))
    if name in _ACTIVATES:
        return replace(first, named=plain, active=True) if first.what == "linear" else End("activation", plain)
    if name in _SCALES:
        weights = [shape for made, shape in zip(node.inputs, node.shapes, strict=True) if made not in ends]
        return _scaled(plain, [end for end, _ in given], weights)
    if first.what in _INVERTS.get(name, {}):
        what = _INVERTS[name][first.what]
        return End(what, what)
    return End("other", plain)


def _is_weighed(node: Node | None, ends: Mapping[Node | None, End]) -> bool:
    """Whether it multiplies with weights: the first half of a linear layer that is written by hand."""
    return node is not None and node.op == "mul" and any(made not in ends for made in node.inputs)


def _scaled(plain: str, ends: Sequence[End], weights: Sequence[Sequence[int]]) -> End:
    """Sums and products: with numbers, with weights of these shapes, and with each other."""
    first = ends[0]
    alike = len({end.what for end in ends}) == 1 and (len(ends) == 1 or plain in ("add", "sub"))
    if alike and first.what != "other" and (first.what not in PROBABLE or all(math.prod(w) == 1 for w in weights)):
        return replace(first, active=any(end.active for end in ends))
    return End("sum" if plain == "add" else "other", _PLAIN.get(plain, plain))
