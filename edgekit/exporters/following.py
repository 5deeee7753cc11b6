"""torch.fx's symbolic trace, of networks whose code looks at shapes too: every value is computed beside its symbol.

Shapes become constants, as they are in an exported file. Code that decides by the numbers of an image cannot be followed.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from edgekit.exporters.folding import Layer

# in a node's meta
SHAPE = "shape"
REACH = "reach"  # the largest magnitude of every channel, of a tensor [n, c, h, w] or [n, c, t, h, w]


def follow(module: nn.Module, pictures: torch.Tensor, into: tuple[type[nn.Module], ...] = ()) -> fx.Graph:
    """What a module does with images [n, c, h, w]; layers with weights are nodes of their own.

    into  kinds of layers of which the functions that they call are the nodes
    Raises whatever torch.fx and the module raise.
    """
    return _Tracer(pictures, into).trace(module)


def compute(root: nn.Module, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
    """What a node of a graph makes of values. A placeholder makes none."""
    match kind:
        case "get_attr":
            return reduce(getattr, target.split("."), root)
        case "call_module":
            return root.get_submodule(target)(*args, **kwargs)
        case "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
    return target(*args, **kwargs)


def reach_further(graph: fx.Graph, module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Let the nodes of a module's graph know how far their channels reach on other images too; batches are as large as that of the
    trace, or smaller. The constants of the trace are still there (`forget`)."""
    reach = _Reach(module, graph=graph)
    size = next(node.meta[SHAPE][0] for node in graph.nodes if SHAPE in node.meta)
    for pictures in batches:
        reach.run(pictures[torch.arange(size) % len(pictures)])  # shapes in the graph are constants


class _Reach(fx.Interpreter):
    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if REACH in n.meta:
            n.meta[REACH] = torch.maximum(n.meta[REACH], _reach(value))
        return value


def _reach(value: torch.Tensor) -> torch.Tensor:
    return value.abs().amax([0, *range(2, value.ndim)])


def forget(module: nn.Module) -> None:
    """Remove the constants that torch.fx left in a module it followed."""
    for name in [n for n in vars(module) if n.startswith("_tensor_constant")]:
        delattr(module, name)


class _Seen(fx.Proxy):
    """A symbol that knows its value, a tensor or some of them."""

    value: Any = None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.value, name)
        if isinstance(found, torch.Tensor):  # `x.mT`
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name) if callable(found) else found

    def __len__(self) -> int:
        return len(self.value)


def _value(symbol: Any) -> Any:
    return symbol.value if isinstance(symbol, _Seen) else symbol


class _Tracer(fx.Tracer):
    def __init__(self, pictures: torch.Tensor, into: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.pictures, self.into = pictures.clone(), into  # something may write into them
        self.computes = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, self.into) and (
            isinstance(m, Layer) or super().is_leaf_module(m, module_qualified_name)
        )

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Seen(node, self)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        return (obj[i] for i in range(len(_value(obj))))  # type: ignore[index]

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **options: Any) -> Any:
        """A symbol where there are tensors in the value; else the value: a shape, a number."""
        made = super().create_proxy(kind, target, args, kwargs, *more, **options)
        given, named = (fx.node.map_aggregate(a, _value) for a in (args, kwargs))
        self.computes = True
        try:
            value = self._compute(kind, target, given, named)
        finally:
            self.computes = False
        if not any(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(value)):
            if kind != "placeholder":
                self.graph.erase_node(made.node)  # `x.size()` reads nothing of x
            return value
        assert isinstance(made, _Seen)
        made.value = value
        if isinstance(value, torch.Tensor):
            made.node.meta[SHAPE] = tuple(value.shape)
            if value.ndim in (4, 5):
                made.node.meta[REACH] = _reach(value)
        return made

    def _compute(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        if kind == "placeholder":
            return args[0] if args else self.pictures
        return compute(self.root, kind, target, args, kwargs)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return forward(*args, **kwargs) if self.computes else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self.computes else super().getattr(attr, attr_val, parameter_proxy_cache)
