"""Networks over time as networks of images, exactly: the frames of a clip become a batch, [t, c, h, w].

TFLite's CONV_3D is float alone, outside XNNPACK, and has no depthwise form; ONNX Runtime's three-dimensional convolution gains
nothing in integers. The same sums are those of two-dimensional layers:

    Conv3d (1, kh, kw)     a Conv2d of every frame
    Conv3d (kt, 1, 1)      a Conv2d (kt, 1) of one image whose rows are frames, and whose columns are all their places
    Conv3d (kt, kh, kw)    kt frames side by side in channels, and one Conv2d: one accumulator, rounded once
    the same in groups     kt Conv2d of shifted frames, added
    MaxPool3d, AvgPool3d   in space, then in time

What stands between them works number by number, so torch.fx moves the whole network to that layout; where a network does
something else to a clip, it gets the clip back for it. BatchNorms are folded first (folding.py). OpenVINO needs none of this.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from edgekit.errors import ExportError, UnsupportedError, reason
from edgekit.exporters.folding import fold_batch_norm
from edgekit.exporters.following import SHAPE, follow, forget
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
MEANS = (torch.mean, "mean")
FLATTENINGS = (torch.flatten, "flatten")


@torch.no_grad()
def as_pictures(module: nn.Module, clip: torch.Tensor) -> nn.Module:
    """A network that answers a normalised clip [1, c, t, h, w] alike, without layers over time; itself where it has none.

    Raises UnsupportedError where torch.fx cannot follow it, ExportError where the answers would change.
    """
    if not takes_clips(module):
        return module
    module = fold_batch_norm(module, clip) or module
    try:
        graph = follow(module, clip)
        made = _Moved(module, graph).made()
    except Exception as error:  # control flow that depends on values: fx raises many kinds
        message = f"this network over time cannot be written without three-dimensional layers: {reason(error)}"
        raise UnsupportedError(message, hint=ELSEWHERE) from error
    finally:
        forget(module)
    wanted, got = module(clip), made(clip)
    pairs = zip(*((x if isinstance(x, tuple) else (x,)) for x in (wanted, got)), strict=True)
    if not all(torch.allclose(g, w, rtol=0, atol=CLOSE * float(w.abs().max())) for w, g in pairs):
        raise ExportError("without three-dimensional layers this network answers otherwise", hint=ELSEWHERE)
    return made


class Spatial(nn.Conv2d):
    """A Conv3d (1, kh, kw)."""

    def __init__(self, layer: nn.Conv3d) -> None:
        padding = _padding(layer)
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
        padding = _padding(layer)
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
        padding = _padding(layer)
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
        padding = _padding(layer)
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


def _padding(layer: nn.Conv3d) -> tuple[int, int, int]:
    if layer.padding_mode != "zeros":
        raise ValueError(f"padding with {layer.padding_mode}")
    if layer.padding == "valid":
        return 0, 0, 0
    if layer.padding != "same":
        return _three(layer.padding)
    reach = [d * (k - 1) for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
    if any(r % 2 for r in reach):
        raise ValueError(f"a kernel of {layer.kernel_size} padded to the same size")
    return _three([r // 2 for r in reach])


def _in_space(sizes: Sequence[int]) -> tuple[int, int]:
    _, down, right = sizes
    return down, right


def _three(value: Any) -> tuple[int, int, int]:
    first, second, third = (value,) * 3 if isinstance(value, int) else value
    return first, second, third


def _of_pictures(layer: nn.Module, frames: int) -> nn.Module | None:
    """The layer over time as one of images; None where there is none. frames: of what it reads."""
    match layer:
        case nn.Conv3d(kernel_size=(1, _, _)):
            return Spatial(layer)
        case nn.Conv3d(kernel_size=(_, 1, 1)):
            return Temporal(layer)
        case nn.Conv3d(groups=1):
            return Stacked(layer)
        case nn.Conv3d():
            return Summed(layer)
        case nn.BatchNorm3d():
            norm = nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine)
            norm.load_state_dict(layer.state_dict())
            return norm.eval()
        case nn.MaxPool3d(return_indices=False) | nn.AvgPool3d(divisor_override=None):
            return Pool(layer)
        case nn.AdaptiveAvgPool3d():
            return _adaptive(layer.output_size, frames)
    return layer if isinstance(layer, MODULES) else None


def _adaptive(size: Any, frames: int) -> Mean | None:
    t, h, w = (size,) * 3 if isinstance(size, int) else size
    return Mean(frames=t == 1) if (h, w) == (1, 1) and t in (1, None, frames) else None


class _Moved:
    """The graph of a network, moved node by node: each is there as a clip [1, c, t, h, w], as frames [t, c, h, w], or both."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        self.module, self.old, self.new = module, graph, fx.Graph()
        self.clips: dict[fx.Node, fx.Node] = {}
        self.frames: dict[fx.Node, fx.Node] = {}
        self.modules: dict[str, nn.Module] = {}  # those that take the place of others, by their paths

    def made(self) -> nn.Module:
        for node in self.old.nodes:
            moved = self._moved(node)
            if moved is not None:
                self.frames[node] = moved
            elif node not in self.clips:
                self.clips[node] = self.new.node_copy(node, self._as_clip)
        read = {str(n.target) for n in self.new.nodes if n.op in ("call_module", "get_attr")}
        kept = {path: functools.reduce(getattr, path.split("."), self.module) for path in read - {*self.modules}}
        return fx.GraphModule(kept | self.modules, self.new).eval()

    def _as_clip(self, node: fx.Node) -> fx.Node:
        if node not in self.clips:
            self.clips[node] = self._called("unsqueeze", self._called("transpose", self.frames[node], 0, 1), 0)
        return self.clips[node]

    def _as_frames(self, node: fx.Node) -> fx.Node:
        if node not in self.frames:
            self.frames[node] = self._called("transpose", self._called("squeeze", self.clips[node], 0), 0, 1)
        return self.frames[node]

    def _called(self, method: str, *given: Any) -> fx.Node:
        return self.new.call_method(method, given)

    def _moved(self, node: fx.Node) -> fx.Node | None:
        """A node as frames; None where it stays one of clips. One that is neither, behind the clip, is put among these."""
        given = node.all_input_nodes
        if not given or not all(_is_clip(g) for g in given):
            return None
        if node.op == "call_module":
            return self._layer(node)
        if node.op not in ("call_function", "call_method"):
            return None
        if node.target in FUNCTIONS or (node.op == "call_method" and node.target in METHODS):
            return self.new.node_copy(node, self._as_frames) if _is_clip(node) else None
        if node.target in (torch.cat, torch.concat):
            return self._joined(node)
        if node.target in MEANS:
            return self._mean(node)
        if node.target is functional.adaptive_avg_pool3d:
            return self._put(f"mean_{node.name}", _adaptive(node.args[1], _frames(given[0])), given[0])
        if node.target in FLATTENINGS and node.args[1:] == (1,) and _frames(given[0]) == 1 and not node.kwargs:
            self.clips[node] = self._called("flatten", self._as_frames(given[0]), 1)
        return None

    def _layer(self, node: fx.Node) -> fx.Node | None:
        layer = self.module.get_submodule(str(node.target))
        given = node.all_input_nodes[0]
        if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim, _frames(given)) == (1, -1, 1):
            self.clips[node] = self._called("flatten", self._as_frames(given), 1)
            return None
        return self._put(str(node.target), _of_pictures(layer, _frames(given)), given)

    def _put(self, path: str, layer: nn.Module | None, given: fx.Node) -> fx.Node | None:
        if layer is None:
            return None
        self.modules[path] = layer
        return self.new.call_module(path, (self._as_frames(given),))

    def _joined(self, node: fx.Node) -> fx.Node | None:
        axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if axis not in (1, -4, 2, -3):
            return None
        parts = [self._as_frames(part) for part in node.all_input_nodes]
        return self.new.call_function(torch.cat, (parts, 1 if axis in (1, -4) else 0))

    def _mean(self, node: fx.Node) -> fx.Node | None:
        axes = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        keeps = node.kwargs.get("keepdim", node.args[2] if len(node.args) > 2 else False)
        if not isinstance(axes, tuple | list) or sorted(a % 5 for a in axes) not in ([2, 3, 4], [3, 4]):
            return None
        every = len(axes) == 3
        if not (keeps or every):
            return None
        mean = self._put(f"mean_{node.name}", Mean(frames=every), node.all_input_nodes[0])
        assert mean
        if keeps:
            return mean
        self.clips[node] = self._called("flatten", mean, 1)
        return None


def _is_clip(node: fx.Node) -> bool:
    shape = node.meta.get(SHAPE, ())
    return len(shape) == 5 and shape[0] == 1


def _frames(node: fx.Node) -> int:
    return int(node.meta[SHAPE][2])
