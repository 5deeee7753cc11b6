"""What a network computes: the operators of one forward pass, with the modules that they stand in.

A run, not a compiler's graph: it follows whatever Python decides, takes milliseconds on torch's device "meta", and
needs the numbers of a real module only where its code looks at them.
"""

import math
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from edgekit.errors import UnsupportedError, reason

MACHINERY = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
USUAL_FRAMES = (8, 16, 4, 32)  # of networks that take clips


@dataclass(frozen=True, eq=False)
class Node:
    """One operator that ran.

    op       ATen's name: "convolution", "addmm", "_softmax", "hardtanh_"; "image" of the one that stands for the input
    place    path of the innermost module it ran in ("": the model itself), and kind: that module's class
    inputs   of each tensor among the arguments, the node that made it; None for weights, and what is made of them alone
    shapes   of these tensors
    numbers  the arguments that are numbers
    shape    of what it made
    random   draws random numbers
    line     of the user's own, ", nets.py:12", that drew them, or chose some of the numbers by their values
    """

    op: str
    place: str
    kind: str
    inputs: tuple["Node | None", ...]
    shapes: tuple[tuple[int, ...], ...]
    numbers: tuple[float, ...]
    shape: tuple[int, ...]
    random: bool
    line: str = ""

    @property
    def where(self) -> str:
        """`layers.1.attn (Attention)`"""
        return f"{self.place or 'the model itself'} ({self.kind})"

    @property
    def macs(self) -> int:
        """Multiplications with additions; 0 for what is no convolution and no matrix product."""
        match self.op:
            case "convolution":
                return math.prod(self.shape) * math.prod(self.shapes[1][1:])
            case "mm" | "bmm" | "mv" | "dot":
                return math.prod(self.shape) * self.shapes[0][-1]
            case "addmm" | "baddbmm" | "addmv":
                return math.prod(self.shape) * self.shapes[1][-1]
        return 0


@dataclass(frozen=True)
class Trace:
    """nodes: in the order they ran. answer: what the module returned. last: the node that made it, where it is one tensor."""

    nodes: tuple[Node, ...]
    answer: Any
    last: Node | None

    @property
    def random(self) -> Node | None:
        """The first operator that draws random numbers."""
        return next((node for node in self.nodes if node.random), None)


@torch.no_grad()
def trace(module: nn.Module, size: tuple[int, ...], channels: int = 3) -> Trace:
    """Run a module in eval mode on an empty image, float32 [1, channels, *size] (size of a clip: frames, height, width), and write down what it does.

    On the device of its weights. Raises whatever the module raises.
    """
    tensors = (*module.parameters(), *module.buffers())
    picture = torch.zeros(1, channels, *size, device=tensors[0].device if tensors else "cpu")
    with _plainly(), _Recorder(module, picture) as recorder:
        answer = module(picture)
    last = recorder.made.get(answer) if isinstance(answer, torch.Tensor) else None
    return Trace(tuple(recorder.nodes), answer, last)


def look(module: nn.Module, size: tuple[int, ...], channels: int = 3) -> Trace:
    """`trace`, with what the model raises said in words; nothing but its answer, where it runs and cannot be watched.

    Raises UnsupportedError.
    """
    try:
        with suppress(Exception):
            return trace(module, size, channels)
        return Trace((), _answer(module, size, channels), None)
    except Exception as error:  # whatever the model's code raises
        message, hint = _refusal(module, size, channels, error)
        raise UnsupportedError(message, hint=hint) from error


@torch.no_grad()
def _answer(module: nn.Module, size: tuple[int, ...], channels: int) -> Any:
    return module(torch.zeros(1, channels, *size))


def _refusal(module: nn.Module, size: tuple[int, ...], channels: int, error: Exception) -> tuple[str, str]:
    """What is wrong where a model does not take an image, and what to do."""
    said = str(error)
    if wanted := re.search(rf"to have (\d+) channels, but got {channels} channels", said):
        hint = f"a function that wraps the model and makes {wanted[1]} of the 3 channels, or trains it on RGB"
        if int(wanted[1]) in (1, 3):
            hint = f"--channels {wanted[1]}"
        fed = "RGB images, 3 channels" if channels == 3 else "grey images, 1 channel"
        return f"edgekit feeds {fed}; the model takes {wanted[1]}", hint
    if isinstance(error, TypeError) and "required positional argument" in said:
        hint = "a function that wraps the model and gives it the rest"
        return f"edgekit feeds one image, and the model wants more: {reason(error)}", hint
    shown = "x".join(map(str, size[-2:]))
    if len(size) == 3:
        with suppress(Exception):
            _answer(module, size[1:], channels)
            return f"the model takes images, not clips of {size[0]} frames", "leave out --frames and --frame-rate"
        trouble = f"the model does not take a clip of {size[0]} frames of {shown}: {reason(error)}"
        return trouble, "--frames N and --input-size HxW, as the model was trained; --debug shows the whole traceback"
    for frames in USUAL_FRAMES:
        with suppress(Exception):
            _answer(module, (frames, *size), channels)
            return (
                f"the model takes clips of {frames} frames, not images",
                f"--frames {frames} --frame-rate N, as it was trained",
            )
    trouble = f"the model does not take a {shown} image: {reason(error)}"
    if larger := _next(module, size, channels):
        return trouble, f"--input-size {larger[0]}x{larger[1]}, the next that it takes"
    return trouble, "--input-size N or HxW, as the model was trained; --debug shows the whole traceback"


def _next(module: nn.Module, size: tuple[int, ...], channels: int) -> tuple[int, int] | None:
    """The next size that it takes, of those with sides in steps of 4 to 64: a U-Net halves them several times."""
    for step in (4, 8, 16, 32, 64):
        height, width = (math.ceil(side / step) * step for side in size)
        with suppress(Exception):
            if (height, width) != size:
                _answer(module, (height, width), channels)
                return height, width
    return None


@contextmanager
def _plainly() -> Iterator[None]:
    """Attention as products and a softmax, whatever kernel would do all of it at once; nothing compiled."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using `torch.compile")  # a compiled part enters our hooks twice
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, module: nn.Module, picture: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.paths = {m: path for path, m in module.named_modules()}
        self.inside = [module]
        self.nodes: list[Node] = []
        given = Node("image", "", type(module).__name__, (), (), (), tuple(picture.shape), random=False)
        self.made: Any = WeakTensorKeyDictionary({picture: given})  # tensor -> the node that made it from the image

    def __enter__(self) -> "_Recorder":
        with ExitStack() as hooks:
            hooks.callback(register_module_forward_pre_hook(self._enter).remove)
            hooks.callback(register_module_forward_hook(self._leave, always_call=True).remove)
            super().__enter__()  # type: ignore[no-untyped-call]
            self.hooks = hooks.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.hooks.close()

    def _enter(self, module: nn.Module, given: Any) -> None:
        self.inside.append(module)

    def _leave(self, module: nn.Module, given: Any, answer: Any) -> None:
        self.inside.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = tree_leaves((args, kwargs or {}))
        tensors = [x for x in given if isinstance(x, torch.Tensor)]
        inputs = tuple(self.made.get(x) for x in tensors)
        answer = func(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(answer) if isinstance(x, torch.Tensor)]
        inner = next((m for m in reversed(self.inside) if m in self.paths), self.inside[0])
        random = torch.Tag.nondeterministic_seeded in func.tags
        node = Node(
            func._schema.name.rpartition("::")[2],
            self.paths[inner],
            type(inner).__name__,
            inputs,
            tuple(tuple(x.shape) for x in tensors),
            tuple(x for x in given if isinstance(x, int | float) and not isinstance(x, bool)),
            tuple(made[0].shape) if made else (),
            random,
            _line() if random or _chooses(func) or _is_masked(func, tensors, inputs) else "",
        )
        self.nodes.append(node)
        blank = node.op.startswith("new_") or node.op.endswith("_like")  # of a tensor's shape, not of its numbers
        for tensor in made if any(inputs) and not blank else ():
            self.made[tensor] = node
            if func._schema.is_mutable and tensor._base is not None:  # written into a part of another
                self.made[tensor._base] = node
        return answer


def _chooses(func: Any) -> bool:
    """Whether what it makes is as long as the numbers have it."""
    name = func._schema.name.rpartition("::")[2]
    return name == "nms" or (name != "index" and torch.Tag.dynamic_output_shape in func.tags)


def _is_masked(func: Any, tensors: Sequence[torch.Tensor], inputs: Sequence[Node | None]) -> bool:
    """Whether it takes what a mask says, `x[mask]`, that depends on the image."""
    if func._schema.name != "aten::index":
        return False
    return any(mask.dtype is torch.bool and made for mask, made in zip(tensors[1:], inputs[1:], strict=True))


def _line() -> str:
    """The innermost line that is neither torch's nor edgekit's."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(("<", *MACHINERY)):
            return f", {Path(frame.filename).name}:{frame.lineno}"
    return ""
