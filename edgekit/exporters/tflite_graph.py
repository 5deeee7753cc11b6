"""What is done to PyTorch's graph before litert-torch lowers it: what its passes cannot follow is written otherwise."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

aten = torch.ops.aten
DENSE = 64  # inputs of a transposed convolution
SMALL = 2**16  # numbers: the places of the cells of a detector that sees 1280 x 1280 have fewer
CHECKS = (
    "_assert_async",
    "_assert_scalar",
    "_assert_tensor_metadata",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
)
SPREADING = (
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.div.Tensor,
)  # they spread what they read themselves


@torch.no_grad()
def ready(program: ExportedProgram) -> None:
    """In place; what it computes stays."""
    drop_checks(program.graph)
    drop_expansions(program.graph)
    read_topk_by_place(program.graph)
    write_out_pools(program.graph)
    write_out_growing(program)
    simplify_means(program.graph)
    fold_constants(program)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()


def drop_checks(graph: fx.Graph) -> None:
    """Without assertions, and what only they read: a file has nobody to tell."""
    doubted: list[fx.Node] = []
    for node in reversed(graph.nodes):
        if _name(node) in CHECKS or (node in doubted and not node.users and node.op == "call_function"):
            doubted += node.all_input_nodes
            graph.erase_node(node)


def drop_expansions(graph: fx.Graph) -> None:
    """x / n.expand_as(x) as x / n: the converter fails at it between maps whose channels it moves (F.normalize)."""
    for node in list(graph.nodes):
        if node.target is not aten.expand.default:
            continue
        source, shape = node.args[0], _shape(node)
        for user in list(node.users):
            others = [given for given in user.args if given is not node]
            if (
                user.target in SPREADING
                and len(_shape(source)) == len(shape)
                and any(isinstance(other, fx.Node) and _shape(other) == shape for other in others)
            ):
                user.replace_input_with(node, source)


def read_topk_by_place(graph: fx.Graph) -> None:
    """The greatest values as what lies at their places: of a topk whose places nobody reads the converter makes a sort, which
    has no kernel."""
    for node in list(graph.nodes):
        if node.target is not aten.topk.default or {part.args[1] for part in node.users if part.users} != {0}:
            continue
        source, dim = node.args[0], node.args[2] if len(node.args) > 2 else -1
        values = next(part for part in node.users if part.args[1] == 0)
        with graph.inserting_before(values):
            places = graph.call_function(operator.getitem, (node, 1))
            found = graph.call_function(aten.gather.default, (source, dim, places))
        places.meta = {**node.meta, "val": node.meta["val"][1]}
        found.meta = dict(values.meta)
        values.replace_all_uses_with(found)


def write_out_pools(graph: fx.Graph) -> None:
    """A MaxPool that is dilated, or over three axes, as the greatest of shifted parts: the converter would make an operator of it
    that has no kernel in integers (STABLEHLO_REDUCE_WINDOW)."""
    for node in list(graph.nodes):
        if node.target not in (aten.max_pool2d.default, aten.max_pool3d.default):
            continue
        source, kernel, *given = node.args
        stride, padding, dilation = (*given, *([], 0, 1)[len(given) :])[:3]
        if node.target is aten.max_pool2d.default and dilation in (1, [1, 1]):
            continue
        with graph.inserting_before(node):
            node.replace_all_uses_with(_greatest(node, source, kernel, stride or kernel, padding, dilation))


def write_out_growing(program: ExportedProgram) -> None:
    """A ConvTranspose2d in few groups, and one that crops (padding) as a whole one and a slice.

    - Of groups the converter would make a layer for each, many times slower in integers; zeros between the groups add nothing.
    - It crops only to the input's sides times the stride, fails at others, and fills output_padding with zeros: wrong where the
      whole answer has numbers there.
    """
    value = _values(program)
    weights = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind is not InputKind.USER_INPUT}
    for node in [node for node in program.graph.nodes if node.target is aten.convolution.default and node.args[6]]:
        x, weight, bias, stride, padding, dilation, _, more, groups = node.args
        if len(stride) != 2:
            continue
        if groups > 1 and weight.name in weights:
            several = _several(groups, len(weight.meta["val"]))
            dense, like = (
                _dense(all_groups.chunk(groups), several) for all_groups in (value(weight), weight.meta["val"])
            )
            weight, groups = _constant(program, f"dense_{node.name}", dense, like), groups // several
        whole = [size * step for size, step in zip(_shape(x)[2:], stride, strict=True)]
        sides = _shape(node)[2:]
        cropped = any(padding) and (any(more) or list(sides) != whole)
        with program.graph.inserting_before(node):
            given = padding, more
            if cropped:
                given = [0, 0], [max(end - start, 0) for start, end in zip(padding, more, strict=True)]
            made = _called(node, node.target, x, weight, bias, stride, given[0], dilation, True, given[1], groups)
            for axis, (start, size) in enumerate(zip(padding, sides, strict=True), 2) if cropped else ():
                made = _called(node, aten.slice.Tensor, made, axis, start, start + size)
        node.replace_all_uses_with(made)


def simplify_means(graph: fx.Graph) -> None:
    """An AvgPool2d that pads nothing without what it says of padding: the converter would sum windows in a loop for it."""
    for node in graph.nodes:
        if node.target is not aten.avg_pool2d.default or len(node.args) < 5 or any(node.args[3]) or node.args[6:]:
            continue
        plain = node.args[0], node.args[1], node.args[2] or node.args[1], [0, 0]
        if aten.avg_pool2d.default(node.args[0].meta["val"], *plain[1:]).shape == node.meta["val"].shape:
            node.args = plain


def _several(groups: int, inputs: int) -> int:
    """How many groups become one: as many as have DENSE of a layer's inputs, for zeros cost time and bytes too."""
    return max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * inputs <= DENSE * groups))


def _dense(blocks: Sequence[torch.Tensor], several: int) -> torch.Tensor:
    """The weights [inputs, outputs, ...] of groups of which each does what several did."""
    return torch.cat([_diagonal(blocks[start : start + several]) for start in range(0, len(blocks), several)])


def _diagonal(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """The weights of one group that does what several do, each from its own inputs to its own outputs."""
    inputs, outputs, *taps = blocks[0].shape
    made = blocks[0].new_zeros(len(blocks), inputs, len(blocks), outputs, *taps)
    for i, block in enumerate(blocks):
        made[i, :, i] = block
    return made.flatten(2, 3).flatten(0, 1)


def _greatest(node: fx.Node, x: fx.Node, *how: Any) -> fx.Node:
    """What a MaxPool makes of x [..., sides], of nodes in front of it. how: kernel, stride, padding, dilation."""

    axes = range(2, len(_shape(node)))
    ways = list(zip(*([size] * len(axes) if isinstance(size, int) else size for size in how), strict=True))
    sides: list[int] = []
    for axis, (taps, step, before, apart) in zip(axes, ways, strict=True):
        reach = (_shape(node)[axis] - 1) * step + (taps - 1) * apart + 1
        sides[:0] = [before, max(reach - before - _shape(x)[axis], 0)]  # the last axis first
    if any(sides):
        x = _called(node, aten.constant_pad_nd.default, x, sides, -math.inf)
    for axis, (taps, step, _, apart) in zip(axes, ways, strict=True):
        last = (_shape(node)[axis] - 1) * step
        x, *others = (
            _called(node, aten.slice.Tensor, x, axis, at, at + last + 1, step) for at in range(0, taps * apart, apart)
        )
        for other in others:
            x = _called(node, aten.maximum.default, x, other)
    return x


def _called(node: fx.Node, target: Any, *args: Any) -> fx.Node:
    """A part of what is written in a node's place."""
    made = node.graph.call_function(target, args)
    made.meta = {**node.meta, "val": target(*fx.map_arg(args, lambda given: given.meta["val"]))}
    return made


def fold_constants(program: ExportedProgram) -> None:
    """What depends on no image becomes a constant, as PyTorch computes it, in two cases:

    - 64-bit floats are in it (positions, frequencies): the converter has few such operators;
    - it comes from no weights either (the places of a detector's cells): spread by the file itself, it would need BROADCAST_TO, which
      no GPU delegate takes.
    """
    kinds = {spec.arg.name: spec.kind for spec in program.graph_signature.input_specs}
    constant: set[fx.Node] = set()
    generated: set[fx.Node] = set()
    folded: set[fx.Node] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder" and kinds[node.name] is not InputKind.USER_INPUT:
            constant.add(node)
        if node.op != "call_function" or not constant.issuperset(node.all_input_nodes):
            continue
        constant.add(node)
        if generated.issuperset(node.all_input_nodes):
            generated.add(node)
        if any(map(_is_double, (node, *node.all_input_nodes))) or (node in generated and _is_small(node)):
            folded.add(node)
    value = _values(program)
    read = [node for node in program.graph.nodes if node in folded and not folded.issuperset(node.users)]
    values = [value(node) for node in read]  # of all before one is replaced: some are made of others
    for node, made in zip(read, values, strict=True):
        _put(program, node, made)


def _name(node: fx.Node) -> str:
    return node.target._schema.name.partition("::")[2] if isinstance(node.target, torch._ops.OpOverload) else ""


def _shape(node: fx.Node) -> tuple[int, ...]:
    made = node.meta.get("val")
    return tuple(made.shape) if isinstance(made, torch.Tensor) else ()


def _is_double(node: fx.Node) -> bool:
    made = node.meta.get("val")
    return isinstance(made, torch.Tensor) and made.dtype == torch.float64


def _is_small(node: fx.Node) -> bool:
    """Floats, which cost the file less than 256 KiB."""
    made = node.meta.get("val")
    return isinstance(made, torch.Tensor) and made.dtype == torch.float32 and made.numel() < SMALL


def _values(program: ExportedProgram) -> Callable[[fx.Node], Any]:
    """What a node that depends on no image makes."""
    targets = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    stored: dict[str, Any] = {**program.state_dict, **program.constants}
    made: dict[fx.Node, Any] = {}

    def value(node: fx.Node) -> Any:
        if node not in made:
            if node.op == "placeholder":
                made[node] = stored[str(targets[node.name])]
            else:
                assert callable(node.target)
                args, kwargs = fx.map_arg((node.args, node.kwargs), value)
                made[node] = node.target(*args, **kwargs)
        return made[node]

    return value


def _put(program: ExportedProgram, node: fx.Node, value: torch.Tensor) -> None:
    """A constant in a node's place."""
    node.replace_all_uses_with(_constant(program, f"folded_{node.name}", value, node.meta["val"]))


def _constant(program: ExportedProgram, name: str, value: torch.Tensor, like: torch.Tensor) -> fx.Node:
    """like: of its shape, as the graph's other nodes have one."""
    specs = program.graph_signature.input_specs
    position = next(i for i, spec in enumerate(specs) if spec.kind is InputKind.USER_INPUT)
    first = next(n for n in program.graph.nodes if n.op == "placeholder" and n.name == specs[position].arg.name)
    with program.graph.inserting_before(first):
        made: fx.Node = program.graph.placeholder(name)
    made.target = made.name
    made.meta["val"] = like
    specs.insert(position, InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(made.name), made.name))
    program.constants[made.name] = value.contiguous()
    return made
