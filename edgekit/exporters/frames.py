"""Networks over time as networks of images, exactly: the frames of a clip become a batch, [t, c, h, w].

TFLite's CONV_3D is float alone, outside XNNPACK, and has no depthwise form; ONNX Runtime's three-dimensional convolution gains
nothing in integers. The same sums are those of two-dimensional layers:

    Conv3d (1, kh, kw)     a Conv2d of every frame
    Conv3d (kt, 1, 1)      a Conv2d (kt, 1) of one image whose rows are frames, and whose columns are all their places
    Conv3d (kt, kh, kw)    kt frames side by side in channels, and one Conv2d: one accumulator, rounded once
    the same in groups     kt Conv2d of shifted frames, added
    MaxPool3d, AvgPool3d   in space, then in time

Layers are looked into, so that it does not matter whether one is called as a module, has a forward() of its own (a causal
convolution) or is a function: what becomes another is the function that is called in the end.
What stands between them works number by number, so torch.fx moves the whole network to that layout; where a network does
something else to a clip, it gets the clip back for it. BatchNorms are folded first (folding.py). OpenVINO needs none of this.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from edgekit.errors import ExportError, UnsupportedError, reason
from edgekit.exporters.folding import fold_batch_norm
from edgekit.exporters.following import SHAPE, compute, follow, forget
from edgekit.models.clips import takes_clips

CLOSE = 1e-4  # of the largest answer: what adding in another order makes
ELSEWHERE = "--target openvino, which takes the network as it is"

# what works number by number, however it is called
MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
    nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout3d,
)  # fmt: skip
FUNCTIONS = {
    operator.add, operator.iadd, operator.sub, operator.isub, operator.mul, operator.imul, operator.truediv, operator.neg,
    torch.add, torch.sub, torch.mul, torch.div, torch.relu, torch.sigmoid, torch.tanh, torch.clamp, functional.relu,
    functional.relu6, functional.leaky_relu, functional.elu, functional.gelu, functional.silu, functional.mish,
    functional.hardswish, functional.hardsigmoid, functional.hardtanh, functional.sigmoid, functional.dropout,
    functional.dropout3d,
}  # fmt: skip
METHODS = {
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_", "relu", "relu_", "sigmoid", "sigmoid_", "tanh", "clamp",
    "clamp_", "contiguous", "detach", "float",
}  # fmt: skip
# what has a way of its own, by the method of _Moved that knows it: its parameters are those of the function
WAYS: dict[Any, str] = {
    functional.conv3d: "_conv3d", functional.max_pool3d: "_max_pool3d", torch.max_pool3d: "_max_pool3d",
    functional.avg_pool3d: "_avg_pool3d", functional.adaptive_avg_pool3d: "_adaptive_avg_pool3d",
    functional.batch_norm: "_batch_norm", functional.pad: "_pad", torch.cat: "_cat", torch.concat: "_cat",
    torch.mean: "_mean", "mean": "_mean", torch.flatten: "_flatten", "flatten": "_flatten",
}  # fmt: skip
INTO = (
    nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d, nn.ConstantPad3d, nn.ReflectionPad3d,
    nn.ReplicationPad3d, nn.CircularPad3d, nn.Flatten,
)  # fmt: skip


@torch.no_grad()
def as_pictures(module: nn.Module, clip: torch.Tensor) -> nn.Module:
    """A network that answers a normalised clip [1, c, t, h, w] alike, without layers over time; itself where it has none.

    Raises UnsupportedError where torch.fx cannot follow it, ExportError where the answers would change.
    """
    if not takes_clips(module):
        return module
    module = fold_batch_norm(module, clip) or module
    wanted = module(clip)
    try:
        made = _Moved(module, follow(module, clip, INTO)).made()
        got = made.forward(clip)  # called, fx would print where it fails
    except Exception as error:  # control flow that depends on values: fx raises many kinds
        message = f"this network over time cannot be written without three-dimensional layers: {reason(error)}"
        raise UnsupportedError(message, hint=ELSEWHERE) from error
    finally:
        forget(module)
    pairs = zip(*((x if isinstance(x, tuple) else (x,)) for x in (wanted, got)), strict=True)
    if not all(torch.allclose(g, w, rtol=0, atol=CLOSE * float(w.abs().max())) for w, g in pairs):
        raise ExportError("without three-dimensional layers this network answers otherwise", hint=ELSEWHERE)
    return made


class Spatial(nn.Conv2d):
    """A Conv3d (1, kh, kw)."""

    def __init__(self, layer: nn.Conv3d) -> None:
        padding = _three(layer.padding)
        super().__init__(
            layer.in_channels, layer.out_channels, _in_space(layer.kernel_size), _in_space(layer.stride), padding[1:],
            _in_space(layer.dilation), layer.groups, bias=layer.bias is not None,
        )  # fmt: skip
        self.weight, self.bias = nn.Parameter(layer.weight[:, :, 0]), layer.bias
        self.step, self.beyond = layer.stride[0], padding[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(_padded(x, self.beyond)[:: self.step] if self.step > 1 or self.beyond else x)


class Temporal(nn.Conv2d):
    """A Conv3d (kt, 1, 1)."""

    def __init__(self, layer: nn.Conv3d) -> None:
        padding = _three(layer.padding)
        super().__init__(
            layer.in_channels, layer.out_channels, (layer.kernel_size[0], 1), (layer.stride[0], 1), (padding[0], 0),
            (layer.dilation[0], 1), layer.groups, bias=layer.bias is not None,
        )  # fmt: skip
        self.weight, self.bias = nn.Parameter(layer.weight[..., 0]), layer.bias
        self.steps, self.beyond = _in_space(layer.stride), padding[1:]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down, right = self.beyond
        if down or right:
            x = functional.pad(x, (right, right, down, down))
        if self.steps != (1, 1):
            x = x[:, :, :: self.steps[0], :: self.steps[1]]
        return _over_time(super().forward, x)


class Stacked(nn.Conv2d):
    """A Conv3d (kt, kh, kw): kt frames side by side in channels."""

    def __init__(self, layer: nn.Conv3d) -> None:
        padding = _three(layer.padding)
        super().__init__(
            layer.in_channels * layer.kernel_size[0], layer.out_channels, _in_space(layer.kernel_size), _in_space(layer.stride),
            padding[1:], _in_space(layer.dilation), bias=layer.bias is not None,
        )  # fmt: skip
        self.weight, self.bias = nn.Parameter(layer.weight.transpose(1, 2).flatten(1, 2)), layer.bias
        self.times = _Times(layer, padding[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat(self.times(x), 1))


class Summed(nn.Module):
    """A Conv3d (kt, kh, kw) in groups: kt convolutions of shifted frames, the bias in the first."""

    def __init__(self, layer: nn.Conv3d) -> None:
        super().__init__()
        padding = _three(layer.padding)
        self.layers = nn.ModuleList()
        for tap in range(layer.kernel_size[0]):
            one = nn.Conv2d(
                layer.in_channels, layer.out_channels, _in_space(layer.kernel_size), _in_space(layer.stride), padding[1:],
                _in_space(layer.dilation), layer.groups, bias=layer.bias is not None and tap == 0,
            )  # fmt: skip
            one.weight = nn.Parameter(layer.weight[:, :, tap])
            if one.bias is not None:
                one.bias = layer.bias
            self.layers.append(one)
        self.times = _Times(layer, padding[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *others = (layer(frames) for layer, frames in zip(self.layers, self.times(x), strict=True))
        answer: torch.Tensor = first
        for other in others:
            answer = answer + other
        return answer


class _Times:
    """What each tap in time of a Conv3d sees of [t, ...]."""

    def __init__(self, layer: nn.Conv3d, beyond: int) -> None:
        self.taps, self.step, self.apart, self.beyond = layer.kernel_size[0], layer.stride[0], layer.dilation[0], beyond

    def __call__(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = _padded(x, self.beyond)
        last = (len(x) - self.apart * (self.taps - 1) - 1) // self.step * self.step
        return [x[at : at + last + 1 : self.step] for at in range(0, self.taps * self.apart, self.apart)]


class Pool(nn.Module):
    """A MaxPool3d or an AvgPool3d: in space, then in time."""

    def __init__(self, layer: nn.MaxPool3d | nn.AvgPool3d) -> None:
        super().__init__()
        size, step, padding = (_three(v) for v in (layer.kernel_size, layer.stride, layer.padding))
        kind: Any = nn.MaxPool2d if isinstance(layer, nn.MaxPool3d) else nn.AvgPool2d
        named: dict[str, Any] = {"ceil_mode": layer.ceil_mode}
        apart = (1, 1, 1)
        if isinstance(layer, nn.MaxPool3d):
            apart = _three(layer.dilation)
        else:
            named["count_include_pad"] = layer.count_include_pad
        space, time = ({"dilation": d} if kind is nn.MaxPool2d else {} for d in (apart[1:], (apart[0], 1)))
        idle = size[1:] == step[1:] == (1, 1)
        self.space = nn.Identity() if idle else kind(size[1:], step[1:], padding[1:], **named, **space)
        idle = (size[0], step[0]) == (1, 1)
        self.time = None if idle else kind((size[0], 1), (step[0], 1), (padding[0], 0), **named, **time)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.space(x)
        return x if self.time is None else _over_time(self.time, x)


class Pad(nn.Module):
    """What F.pad does to a clip.

    sides  as F.pad takes them: before and behind, the last axis first; of up to four axes
    """

    def __init__(self, sides: Sequence[int], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__()
        self.mode, self.value = mode, value
        ends = [*sides, *[0] * (8 - len(sides))]
        right, down, time, channels = zip(ends[::2], ends[1::2], strict=True)
        self.sides = {3: right, 2: down, 1: channels, 0: time}  # by the axes of frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mode == "constant":
            return functional.pad(x, [*chain.from_iterable(self.sides.values())], value=self.value)
        for axis, (before, behind) in self.sides.items():
            if before or behind:
                n = x.shape[axis]
                first, last = (self._copied(x, axis, places) for places in (range(-before, 0), range(n, n + behind)))
                x = torch.cat([*first, x, *last], axis)
        return x

    def _copied(self, x: torch.Tensor, axis: int, places: Iterable[int]) -> list[torch.Tensor]:
        """What stands at places beyond the ends of an axis: slices of 1."""
        return [x.narrow(axis, self._source(at, x.shape[axis]), 1) for at in places]

    def _source(self, at: int, length: int) -> int:
        match self.mode:
            case "circular":
                return at % length
            case "replicate":
                return min(max(at, 0), length - 1)
        return length - 1 - abs(length - 1 - abs(at))  # reflect


class Standardized(nn.Module):
    """A BatchNorm3d without fixed statistics: by those of the clip."""

    def __init__(self, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = (v if v is None else _parameter(v.view(-1, 1, 1)) for v in (weight, bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x - x.mean((0, 2, 3), keepdim=True)
        x = x * torch.rsqrt((x * x).mean((0, 2, 3), keepdim=True) + self.eps)
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias


class Mean(nn.Module):
    """Over the places of every frame; `frames`: and over all frames."""

    def __init__(self, *, frames: bool) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean((2, 3), keepdim=True)
        return x.mean(0, keepdim=True) if self.frames else x


def _over_time(layer: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """A layer over the rows of one image that has a row for every frame. Written by way of channels last, so that in a file
    which has them so nothing is transposed."""
    t, c, h, w = x.shape
    y = layer(x.permute(0, 2, 3, 1).reshape(1, t, h * w, c).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return y.reshape(y.shape[1], h, w, y.shape[3]).permute(0, 3, 1, 2)


def _padded(x: torch.Tensor, beyond: int) -> torch.Tensor:
    """With empty frames before the first and after the last."""
    return functional.pad(x, (0, 0, 0, 0, 0, 0, beyond, beyond)) if beyond else x


def _in_space(sizes: Sequence[int]) -> tuple[int, int]:
    _, down, right = sizes
    return down, right


def _three(value: Any) -> tuple[int, int, int]:
    first, second, third = (value,) * 3 if isinstance(value, int) else value
    return first, second, third


def _of_pictures(layer: nn.Conv3d) -> nn.Module:
    """A convolution over time as one of images."""
    match layer:
        case nn.Conv3d(kernel_size=(1, _, _)):
            return Spatial(layer)
        case nn.Conv3d(kernel_size=(_, 1, 1)):
            return Temporal(layer)
        case nn.Conv3d(groups=1):
            return Stacked(layer)
    return Summed(layer)


def _sides(padding: Any, kernel: Sequence[int], dilation: Any) -> list[tuple[int, int]]:
    """How much a convolution adds before and behind, of each axis."""
    if padding == "valid":
        return [(0, 0)] * 3
    if padding != "same":
        return [(side, side) for side in _three(padding)]
    reach = [d * (k - 1) for k, d in zip(kernel, _three(dilation), strict=True)]
    return [(r // 2, r - r // 2) for r in reach]


class _Moved:
    """The graph of a network, moved node by node: each is there as a clip [1, c, t, h, w], as frames [t, c, h, w], or both."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        self.module, self.old, self.new = module, graph, fx.Graph()
        self.constant: set[fx.Node] = set()  # what depends on no clip; is there when somebody reads it
        self.clips: dict[fx.Node, fx.Node] = {}
        self.frames: dict[fx.Node, fx.Node] = {}
        self.modules: dict[str, nn.Module] = {}  # those that take the place of others, by their paths
        self.again: dict[str, str] = {}  # a convolution's path, by all that it is made of

    def made(self) -> nn.Module:
        for node in self.old.nodes:
            if node.op not in ("placeholder", "output") and self.constant.issuperset(node.all_input_nodes):
                self.constant.add(node)
                continue
            moved = self._moved(node)
            if moved is not None:
                self.frames[node] = moved
            elif node not in self.clips:
                self.clips[node] = self.new.node_copy(node, self._as_clip)
        read = {str(n.target) for n in self.new.nodes if n.op in ("call_module", "get_attr")}
        kept = {path: functools.reduce(getattr, path.split("."), self.module) for path in read - {*self.modules}}
        return fx.GraphModule(kept | self.modules, self.new).eval()

    def _as_clip(self, node: fx.Node) -> fx.Node:
        if node not in self.clips and node in self.frames:
            self.clips[node] = self._called("unsqueeze", self._called("transpose", self.frames[node], 0, 1), 0)
        elif node not in self.clips:
            self.clips[node] = self.new.node_copy(node, self._as_clip)
        return self.clips[node]

    def _as_frames(self, node: fx.Node) -> fx.Node:
        if node not in self.frames:
            self.frames[node] = self._called("transpose", self._called("squeeze", self._as_clip(node), 0), 0, 1)
        return self.frames[node]

    def _called(self, method: str, *given: Any) -> fx.Node:
        return self.new.call_method(method, given)

    def _moved(self, node: fx.Node) -> fx.Node | None:
        """A node as frames; None where it stays one of clips. One that is neither, behind the clip, is put among these."""
        clips = _is_clip(node) and all(map(_is_clip, node.all_input_nodes))
        if node.op == "call_module":
            layer = self.module.get_submodule(str(node.target))
            return self.new.node_copy(node, self._as_frames) if clips and isinstance(layer, MODULES) else None
        if node.op not in ("call_function", "call_method"):
            return None
        if node.target in FUNCTIONS or (node.op == "call_method" and node.target in METHODS):
            return self.new.node_copy(node, self._as_frames) if clips else None
        first = node.args[0] if node.args else None
        read = first if isinstance(first, Sequence) else [first]
        if node.target not in WAYS or not all(isinstance(given, fx.Node) and _is_clip(given) for given in read):
            return None
        found: fx.Node | None = getattr(self, WAYS[node.target])(node, *node.args, **node.kwargs)
        return found

    def _put(self, node: fx.Node, layer: nn.Module, given: fx.Node, path: str = "") -> fx.Node:
        """Frames that a layer makes of `given`, frames too. path: of the layer, if not by what it is in."""
        path = path or _path(node)
        self.modules[path] = layer
        return self.new.call_module(path, (given,))

    def _constant(self, node: Any) -> Any:
        """The value of a node that depends on no clip, and of what is no node. Raises KeyError for others."""
        if not isinstance(node, fx.Node):
            return node
        if node not in self.constant:
            raise KeyError(node.name)
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._constant)
        return compute(self.module, node.op, node.target, args, kwargs)

    def _conv3d(
        self, node: fx.Node, x: fx.Node, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1,
    ) -> fx.Node | None:  # fmt: skip
        if not self.constant.issuperset(node.all_input_nodes[1:]):
            return None
        numbers, offsets = self._constant(weight), self._constant(bias)
        outputs, inputs, *kernel = numbers.shape
        given, sides = self._as_frames(x), _sides(padding, kernel, dilation)
        even = all(before == behind for before, behind in sides)
        if not even:
            pads = [side for pair in reversed(sides) for side in pair]
            given = self._put(node, Pad(pads), given, _path(node, "pad_"))
        known = f"{node.args[1:]} {node.kwargs}"
        if known in self.again:
            return self.new.call_module(self.again[known], (given,))
        layer = nn.Conv3d(
            groups * inputs, outputs, kernel, _three(stride), _three([before if even else 0 for before, _ in sides]), _three(dilation),
            groups, bias=offsets is not None, device="meta",
        )  # fmt: skip
        layer.weight, layer.bias = _parameter(numbers), offsets if offsets is None else _parameter(offsets)
        owner = str(weight.target).rpartition(".")[0] if weight.op == "get_attr" else _inside(node)
        self.again[known] = path = _path(node) if owner in ("", *self.modules) else owner
        return self._put(node, _of_pictures(layer), given, path)

    def _max_pool3d(
        self, node: fx.Node, x: fx.Node, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False, return_indices: bool = False,
    ) -> fx.Node | None:  # fmt: skip
        if return_indices:
            return None
        pool = nn.MaxPool3d(kernel_size, stride or None, padding, dilation, ceil_mode=ceil_mode)
        return self._put(node, Pool(pool), self._as_frames(x))

    def _avg_pool3d(
        self, node: fx.Node, x: fx.Node, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> fx.Node | None:  # fmt: skip
        if divisor_override is not None:
            return None
        pool = nn.AvgPool3d(kernel_size, stride or None, padding, ceil_mode, count_include_pad)
        return self._put(node, Pool(pool), self._as_frames(x))

    def _adaptive_avg_pool3d(self, node: fx.Node, x: fx.Node, output_size: Any) -> fx.Node | None:
        sides = x.meta[SHAPE][2:]
        wanted = [side if size is None else size for size, side in zip(_three(output_size), sides, strict=True)]
        if wanted in ([1, 1, 1], [sides[0], 1, 1]):
            return self._put(node, Mean(frames=wanted[0] == 1), self._as_frames(x))
        if any(side % size for side, size in zip(sides, wanted, strict=True)):
            return None
        kernel = _three([side // size for side, size in zip(sides, wanted, strict=True)])
        return self._put(node, Pool(nn.AvgPool3d(kernel)), self._as_frames(x))

    def _batch_norm(
        self, node: fx.Node, x: fx.Node, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
        training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
    ) -> fx.Node | None:  # fmt: skip
        if not self.constant.issuperset(node.all_input_nodes[1:]):
            return None
        mean, var, scale, offset = map(self._constant, (running_mean, running_var, weight, bias))
        norm: nn.Module = Standardized(scale, offset, eps)
        if not training:
            norm = nn.BatchNorm2d(len(mean), eps).eval()
            state = {"running_mean": mean, "running_var": var, "weight": scale, "bias": offset}
            norm.load_state_dict({name: v for name, v in state.items() if v is not None}, strict=False)
        return self._put(node, norm, self._as_frames(x))

    def _pad(
        self, node: fx.Node, x: fx.Node, pad: Sequence[int], mode: str = "constant", value: float | None = None
    ) -> fx.Node | None:
        if len(pad) > 8 or (mode != "constant" and min(pad) < 0):
            return None
        return self._put(node, Pad(pad, mode, value or 0.0), self._as_frames(x))

    def _cat(self, node: fx.Node, tensors: Sequence[fx.Node], dim: int = 0) -> fx.Node | None:
        if dim % 5 not in (1, 2):
            return None
        return self.new.call_function(
            torch.cat, ([self._as_frames(part) for part in tensors], 1 if dim % 5 == 1 else 0)
        )

    def _flatten(self, node: fx.Node, x: fx.Node, start_dim: int = 0, end_dim: int = -1) -> None:
        if (start_dim, end_dim % 5, x.meta[SHAPE][2]) == (1, 4, 1):
            self.clips[node] = self._called("flatten", self._as_frames(x), 1)

    def _mean(self, node: fx.Node, x: fx.Node, dim: Any = None, keepdim: bool = False, **named: Any) -> fx.Node | None:
        if named or not isinstance(dim, tuple | list) or sorted(a % 5 for a in dim) not in ([2, 3, 4], [3, 4]):
            return None
        every = len(dim) == 3
        if not (keepdim or every):
            return None
        mean = self._put(node, Mean(frames=every), self._as_frames(x))
        if keepdim:
            return mean
        self.clips[node] = self._called("flatten", mean, 1)
        return None


def _inside(node: fx.Node) -> str:
    """The path of the innermost module that a node is in."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {"": ("", None)}).values()]
    return str(paths[-1])


def _path(node: fx.Node, before: str = "") -> str:
    """Of a layer of its own."""
    return f"{_inside(node)}.{before}{node.name}".lstrip(".")


def _parameter(values: torch.Tensor) -> nn.Parameter:
    return values if isinstance(values, nn.Parameter) else nn.Parameter(values)


def _is_clip(node: fx.Node) -> bool:
    shape = node.meta.get(SHAPE, ())
    return len(shape) == 5 and shape[0] == 1
