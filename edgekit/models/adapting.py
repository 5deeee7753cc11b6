"""What a network answers, as the outputs of a task: which task it is and why, and the module that answers just these.

Files of one task answer the same named tensors, whatever network made them (edgekit/tasks). A segmenter may answer a
tensor, {"out": tensor} as torchvision's do, or an object with `.logits` as transformers' do: that is undone here, in
torch. The task is the one that was asked for, or what origin, form, operators and labels tell; where they do not, the
user's word is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import torch
from torch import nn

from edgekit.errors import EdgekitError, RequestError, UnsupportedError
from edgekit.models import detecting
from edgekit.models.answers import PROBABLE, ending
from edgekit.models.headless import Tokens, grid, has_tokens, pooling
from edgekit.models.picking import Answer, Pick, tensors
from edgekit.models.segmenting import at_heads_size, segmentation
from edgekit.models.tracing import Trace, look
from edgekit.preprocess import Preprocess
from edgekit.recipe import Recipe, TaskName, check_task, meant
from edgekit.tasks import Classification, Detection, Embedding, Raw, Segmentation, Task
from edgekit.tasks.classification import unit_length
from edgekit.tasks.segmentation import Upsample

PRINCIPAL = ("out", "logits")  # of torchvision's segmenters, of transformers
BESIDE = ("aux", "loss", "hidden_states", "attentions")  # what lies there too, to train with or to look at
VECTORS = ("embedding", "pooler_output")  # of an image, and beside it of each patch
TOKENS = ("tokens", "last_hidden_state")


@dataclass(frozen=True)
class Adapted:
    """
    module   answers one tensor, or a tuple of them: `outputs`, in this order
    trace    of this module
    task     what it is and, but for what scores of classes are, what the answers mean
    why      it was taken for that
    channels of scores: classes, or 1 of a yes or no; 0 where there are no scores
    labels   that the network itself carries, of a detector
    """

    module: nn.Module
    trace: Trace
    task: Task
    why: str
    outputs: tuple[str, ...]
    channels: int = 0
    notes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def preprocess(self, spec: Preprocess) -> Preprocess:
        """What it wants to see: masks cover the whole image, and things may be anywhere on it, with their proportions."""
        if spec.crop_mode != "center":
            return spec
        match self.task:
            case Segmentation():
                return msgspec.structs.replace(spec, crop_mode="squash", crop_pct=1.0)
            case Detection():
                return msgspec.structs.replace(spec, crop_mode="letterbox", crop_pct=1.0, pad=detecting.PAD)
        return spec


@dataclass(frozen=True)
class Found:
    """What there is to decide by.

    given   what the network answers; main: the one of these that counts, where there is such a one
    labels  that are known: the user's, or those of the weights
    own     the task that the network's origin knows
    """

    net: nn.Module
    seen: Trace
    given: tuple[Answer, ...]
    main: Answer | None
    labels: tuple[str, ...]
    own: TaskName | None

    @property
    def listed(self) -> str:
        """`[1, 257, 384], 384 values for each of 257 tokens or boxes`, `3 tensors (a [1, 8], b [1, 8], c [1, 2])`"""
        several = f"{len(self.given)} tensors ({', '.join(map(str, self.given))})"
        return self.given[0].described if len(self.given) == 1 else several


def adapt(
    module: nn.Module,
    seen: Trace,
    size: tuple[int, ...],
    recipe: Recipe,
    labels: tuple[str, ...] = (),
    own: TaskName | None = None,
    channels: int = 3,
) -> Adapted:
    """Decide on the task, and make the module that answers its outputs.

    seen    what the module does with an empty image of `size` [height, width] (a clip: [frames, height, width]) and `channels`; labels, own: see Found
    Raises RequestError, UnsupportedError for answers that are no task's, or contradict the one that was asked for.
    """
    net = module
    if recipe.tokens and has_tokens(net):
        module = Tokens(net)
        seen = look(module, size, channels)
    detecting.check_answers(seen, None if recipe.asks == "auto" else recipe.asks)
    given = _given(seen, recipe)
    detecting.check_apart(given, recipe)
    found = Found(net, seen, given, _main(given), labels, own)
    task, why = decide(found, recipe)
    check_of_clips(task, size)
    check_task(recipe, task)
    detecting.check_answers(seen, task)
    chosen = choose(found, task, recipe)
    left = [str(answer) for answer in given if answer not in chosen]
    keep = "; --tokens keeps it" if task == "embedding" and _pair(given)[1] in given and not recipe.tokens else ""
    notes = (f"the file leaves out what the model answers beside {chosen[0]}: {', '.join(left)}{keep}",) if left else ()
    if recipe.l2 or not _is_plain(seen.answer, chosen):
        module = Pick(module, [answer.path for answer in chosen], unit=recipe.l2)
        seen = look(module, size, channels)
    adapted = Adapted(module, seen, Raw(), why, _names(chosen), notes=notes)
    match task:
        case "classification":
            return replace(adapted, task=Classification(), outputs=("scores",), channels=chosen[0].shape[1])
        case "embedding":
            patches = grid(chosen[1].shape[1], size) if len(chosen) > 1 and len(size) == 2 else None
            vectors = Embedding(pooling(net), patches, normalized=_is_unit(seen))
            return replace(adapted, task=vectors, outputs=("embedding", "tokens")[: len(chosen)])
        case "segmentation":
            return _segmenter(adapted, (size[0], size[1]), channels, recipe, labels)
        case "detection":
            return _detector(adapted, found, chosen, (size[0], size[1]), channels, recipe)
        case "raw":
            return adapted


def check_of_clips(task: TaskName, size: tuple[int, ...]) -> None:
    """Refuse a task that is about the places of one image. Raises RequestError."""
    if len(size) == 3 and task in ("segmentation", "detection"):
        raise RequestError(
            f"a {task} is of an image, and the model takes clips", hint="--task classification, embedding or raw"
        )


def _given(seen: Trace, recipe: Recipe) -> tuple[Answer, ...]:
    """What it answers. Raises UnsupportedError, and RequestError where rows that it chose are no batch."""
    try:
        return tensors(seen.answer, detecting.QUERIES if recipe.asks in ("auto", "detection") else ())
    except UnsupportedError:
        detecting.check_answers(seen, "detection")
        raise


def foreseen(
    module: nn.Module, size: tuple[int, ...], recipe: Recipe, labels: tuple[str, ...], channels: int
) -> TaskName | None:
    """The task that `adapt` will decide on, of a module that has its numbers already; None where it will tell more."""
    if any(parameter.is_meta for parameter in module.parameters()):
        return None
    try:
        seen = look(module, size, channels)
        given = _given(seen, recipe)
        return decide(Found(module, seen, given, _main(given), labels, None), recipe)[0]
    except EdgekitError:
        return None


def decide(found: Found, recipe: Recipe) -> tuple[TaskName, str]:
    """The task, and why it is taken. Raises RequestError where nothing tells."""
    if recipe.asks != "auto":
        return recipe.asks, "as asked"
    boxes = detecting.pair(found.given)
    if found.own:
        return found.own, detecting.listed(*boxes) if boxes else str(found.main or found.listed)
    if boxes and (detecting.are_plain(*boxes) or len(found.labels) == boxes[1].shape[2]):
        return "detection", detecting.listed(*boxes)
    vector, tokens = _pair(found.given)
    if vector and tokens:
        return "embedding", f"{vector}, and {tokens} of its patches"
    main = found.main
    if main is None or main.tensor.ndim not in (2, 4):
        return "raw", f"{found.listed}, which fits no other task"
    return _of_vector(found, main, recipe) if main.tensor.ndim == 2 else _of_map(found, main)


def _of_vector(found: Found, main: Answer, recipe: Recipe) -> tuple[TaskName, str]:
    """[1, n]: scores of classes, or an embedding."""
    last = ending(found.seen)
    word = next((flag for flag, tasks in meant(recipe).items() if "classification" in tasks), None)
    if found.labels:
        return "classification", f"{main} and {len(found.labels)} label{'s' if len(found.labels) > 1 else ''}"
    if word:
        return "classification", f"{main} and {word}"
    if getattr(found.net, "num_classes", None) == 0:
        return "embedding", f"{main}, no classes"
    if main.shape[1] > 1 and last.what not in PROBABLE:
        if unit_length(main.tensor.detach().numpy()):
            return "embedding", f"{main}, of length 1; --task classification if these are scores"
        if last.features:
            return "embedding", f"{main}, what {last} gives; --task classification if these are scores"
    return "classification", f"{main}, the network ends in {last}"


def _of_map(found: Found, main: Answer) -> tuple[TaskName, str]:
    """[1, c, h, w]: scores of a class for every place, or something else."""
    if main.name in PRINCIPAL:
        return "segmentation", str(main)
    if len(found.labels) == main.shape[1] or (len(found.labels), main.shape[1]) == (2, 1):
        return "segmentation", f"{main} and {len(found.labels)} labels"
    flat = main.shape[2:] == [1, 1]
    raise RequestError(
        f"the model answers {main.described}",
        hint=f"{main.instead}; or --task raw" if flat else "--task segmentation, with --labels FILE; or --task raw",
    )


def choose(found: Found, task: TaskName, recipe: Recipe) -> tuple[Answer, ...]:
    """The answers that are the outputs of a task. Raises RequestError for answers that contradict it."""
    main = found.main
    match task:
        case "raw":
            return found.given
        case "classification" if main and main.tensor.ndim == 2:
            return (main,)
        case "segmentation" if main and main.tensor.ndim == 4:
            return (main,)
        case "embedding":
            return _vectors(found, recipe)
        case "detection":
            if boxes := detecting.pair(found.given):
                return boxes
    form = {
        "classification": "one score for each class, [n, classes]",
        "segmentation": "one map for each class, [n, classes, h, w]",
        "detection": "boxes [n, a, 4] and their scores [n, a, classes]",
    }[task]
    wrap = f"a function that wraps the model and returns {form}"
    hint = main.instead if main and main.shape[2:] == [1, 1] else f"{wrap}; or another --task"
    raise RequestError(f"the task {task} wants {form}, and the model answers {found.listed}", hint=hint)


def _vectors(found: Found, recipe: Recipe) -> tuple[Answer, ...]:
    vector, tokens = (found.given[0], None) if len(found.given) == 1 else _pair(found.given)
    if vector is None or vector.tensor.ndim != 2:
        raise RequestError(
            f"the task embedding wants one vector for an image, [n, d], and the model answers {found.listed}",
            hint="a function that wraps the model and returns the vector, with --tokens ([n, d], [n, t, d]); or --task raw",
        )
    last, classes = ending(found.seen), getattr(found.net, "num_classes", 0)
    if last.what in PROBABLE or (isinstance(classes, int) and classes > 0):
        what = f"ends in {last}" if last.what in PROBABLE else f"has {classes} classes"
        raise RequestError(
            f"the task embedding, but the network {what}: its answers are scores",
            hint="a function that returns the network without its last layer (timm: num_classes=0)",
        )
    if recipe.tokens and tokens is None:
        raise RequestError(
            f"--tokens, but the model answers {vector} alone",
            hint="a function that wraps the model and returns ([n, d], [n, t, d])",
        )
    return (vector, tokens) if recipe.tokens and tokens else (vector,)


def _main(given: Sequence[Answer]) -> Answer | None:
    """The one answer that counts."""
    if len(given) == 1:
        return given[0]
    named = [answer for answer in given if answer.path[0] not in BESIDE]
    return named[0] if len(named) == 1 and named[0].name in PRINCIPAL else None


def _pair(given: Sequence[Answer]) -> tuple[Answer | None, Answer | None]:
    """The vector of an image and those of its patches: by name, or as two tensors [1, d] and [1, t, e]."""
    vector = next((answer for answer in given if answer.name in VECTORS), None)
    tokens = next((answer for answer in given if answer.name in TOKENS), None)
    if vector is None and [answer.tensor.ndim for answer in given] == [2, 3]:
        vector, tokens = given
    return vector, tokens


def _is_plain(answer: object, chosen: Sequence[Answer]) -> bool:
    """Whether a network answers just what is chosen, as one tensor or as a tuple."""
    given = answer if type(answer) is tuple and len(answer) > 1 else (answer,)
    return len(given) == len(chosen) and all(a is b.tensor for a, b in zip(given, chosen, strict=True))


def _names(chosen: Sequence[Answer]) -> tuple[str, ...]:
    """Of raw outputs: their keys; numbers where there are none, or where two would be called alike."""
    names = [answer.name for answer in chosen]
    if len({*names}) == len(names) and all(name and not name[0].isdigit() for name in names):
        return tuple(names)
    return ("output",) if len(names) == 1 else tuple(f"output_{number}" for number in range(len(names)))


def _is_unit(seen: Trace) -> bool:
    first: torch.Tensor = seen.answer[0] if isinstance(seen.answer, tuple) else seen.answer
    return unit_length(first.detach().numpy())


def _segmenter(
    adapted: Adapted, size: tuple[int, int], channels: int, recipe: Recipe, labels: tuple[str, ...]
) -> Adapted:
    module, rule = at_heads_size(adapted.module, adapted.trace, size, channels)
    task, said = segmentation(adapted.trace, recipe, labels, rule or Upsample())
    trace = look(module, size, channels) if rule else adapted.trace
    return replace(
        adapted,
        module=module,
        trace=trace,
        task=task,
        why=f"{adapted.why}; {said}",
        outputs=("scores",),
        channels=adapted.trace.answer.shape[1],
    )


def _detector(
    adapted: Adapted, found: Found, boxes: Sequence[Answer], size: tuple[int, int], channels: int, recipe: Recipe
) -> Adapted:
    names = found.labels or detecting.names(found.net)
    form = detecting.form((boxes[0], boxes[1]), found.net, names)
    task = detecting.task(found.net, form, recipe)
    if not form.is_plain:
        module = detecting.Formed(adapted.module, form, size).eval()
        adapted = replace(adapted, module=module, trace=look(module, size, channels))
    notes = (*adapted.notes, *filter(None, [form.said]))
    scored = adapted.trace.answer[1].shape[2]
    return replace(adapted, task=task, outputs=Detection.roles, channels=scored, notes=notes, labels=names)
