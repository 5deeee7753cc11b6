"""What a converter stumbled over: the operator and the module that it stands in, or the line that branches."""

import re

import torch

from edgekit.exporters.export_wrapper import SCOPE

OPERATOR = re.compile(r"\b(?:aten|prims|torchvision)(?:\.|::)(\w+)")
CALL = re.compile(r'raised this error:\n\s*File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+\n\s*(?P<code>.+)')


def diagnose(error: BaseException, module: torch.nn.Module, example: torch.Tensor) -> str:
    """One line. `module` is ExportWrapper, which takes `example`; where no place is found, the converter's own words."""
    while error.__cause__ is not None:  # what started it
        error = error.__cause__
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)  # else one long line, quoted
    said = next(iter(text.strip().splitlines()), type(error).__name__)
    call = CALL.search(text)
    if call and "data-dependent" in text:
        where = f"{call['file'].rpartition('/')[2]}:{call['line']}"
        return f"what it computes depends on the numbers in an image ({where}: {call['code'].strip()})"
    for operator in OPERATOR.findall(text):
        if place := _place(operator, module, example):
            return f"{said}; {operator} stands in {place}"
    return said


def _place(operator: str, module: torch.nn.Module, example: torch.Tensor) -> str | None:
    """`layers.1.attn (Attention)`: the innermost module with an operator, as the model has it or decomposed."""
    try:
        program = torch.export.export(module, (example,))
        graphs = [program.graph, program.run_decompositions().graph]
    except Exception:  # what cannot be looked into has no place; the converter's words stand
        return None
    named = re.compile(rf"(\w+_)?{operator}(\.|$)")  # special_bessel_j0 for bessel_j0
    for node in (node for graph in graphs for node in graph.nodes if node.op == "call_function"):
        stack = list(node.meta.get("nn_module_stack", {}).values())
        if stack and named.match(str(node.target).partition(".")[2]):
            path, kind = stack[-1]
            inside = path.removeprefix(SCOPE).lstrip(".") or "the model itself"
            return f"{inside} ({str(kind).rpartition('.')[2]})"
    return None
