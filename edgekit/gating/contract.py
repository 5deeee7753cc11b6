"""What a program that uses a file relies on, and in what two files differ there.

What goes in and out is read from the file itself; what it means (classes, scores, preprocessing) from the manifest, which
a file without an artifact lacks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from edgekit.artifact import Artifact, Model
from edgekit.inspection import Inspection, Port
from edgekit.preprocess import Preprocess
from edgekit.recipe import LayoutName
from edgekit.tasks import Task, name_of
from edgekit.tensors import Tensor


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input or output. shape: None for a size that is open. Real value = scale * (stored - zero_point) where scale is
    given. layout: None where there is no manifest to say it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int | None = None
    layout: str | None = None


class Meaning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of the manifest (see Manifest), and the names of the classes in their order."""

    task: Task
    preprocess: Preprocess
    folded: bool
    labels: tuple[str, ...]
    layout: LayoutName | None = None


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`inputs`, `outputs`: None where nothing reads them. `meaning`: None of a file without an artifact."""

    target: str
    inputs: tuple[End, ...] | None
    outputs: tuple[End, ...] | None
    meaning: Meaning | None


def contract(model: Model, seen: Inspection | None) -> Contract:
    """Of a model of which inspection has `seen` so much; None for a format that it does not read."""
    manifest = model.manifest if isinstance(model, Artifact) else None
    ports = (seen.inputs, seen.outputs) if seen and seen.inputs and seen.outputs else None
    told = (manifest.inputs, manifest.file_outputs) if manifest else ((), ())
    takes, answers = (_ends(found, tensor) for found, tensor in zip(ports or (None, None), told, strict=True))
    meaning = None
    if isinstance(model, Artifact):
        m = model.manifest
        meaning = Meaning(m.task, m.preprocess, m.folded, tuple(model.labels()), m.layout.name if m.layout else None)
    return Contract(model.target, takes, answers, meaning)


def _ends(ports: Sequence[Port] | None, told: Sequence[Tensor]) -> tuple[End, ...] | None:
    """By the file, with what an artifact tells besides; by the artifact alone where nothing reads the file."""
    if ports is None:
        sizes = [tuple(None if n < 0 else n for n in t.shape) for t in told]
        ends = (End(t.name, t.dtype, s, t.scale, t.zero_point, t.layout) for t, s in zip(told, sizes, strict=True))
        return tuple(ends) or None
    found = [End(port.name, port.dtype, port.shape, port.scale, port.zero_point) for port in ports]
    if len(told) != len(found):
        return tuple(found)
    return tuple(
        msgspec.structs.replace(
            end, layout=t.layout, **({} if t.scale is None else {"scale": t.scale, "zero_point": t.zero_point})
        )
        for end, t in zip(found, told, strict=True)
    )


def differences(now: Contract, then: Contract) -> list[str]:
    """In words, what is not as it was, as far as both tell it."""
    both = now.meaning is not None and then.meaning is not None
    neither = now.meaning is None and then.meaning is None
    found: list[str] = []
    for what, ours, theirs in (("input", now.inputs, then.inputs), ("output", now.outputs, then.outputs)):
        if ours is not None and theirs is not None:
            found += _of_ends(what, ours, theirs, all_told=both or neither)
    if now.meaning and then.meaning:
        found += _of_meaning(now.meaning, then.meaning)
    return found


def _of_ends(what: str, now: Sequence[End], then: Sequence[End], *, all_told: bool) -> Iterator[str]:
    if len(now) != len(then):
        yield f"{len(then)} {what}{'s' if len(then) != 1 else ''} to {len(now)}"
        return
    for number, (ours, theirs) in enumerate(zip(now, then, strict=True)):
        which = what if len(now) == 1 else f"{what} {number}"
        for field in End.__struct_fields__:
            a, b = getattr(ours, field), getattr(theirs, field)
            if a != b and (all_told or (a is not None and b is not None)):
                yield f"{which} {field} {_said(b)} to {_said(a)}"


def _of_meaning(now: Meaning, then: Meaning) -> Iterator[str]:
    yield from _of_labels(now.labels, then.labels)
    for name in Meaning.__struct_fields__:
        a, b = getattr(now, name), getattr(then, name)
        if name == "task" and type(a) is not type(b):
            yield f"task {name_of(b)} to {name_of(a)}"
        elif name in ("preprocess", "task"):
            for field in a.__struct_fields__:
                if (x := getattr(a, field)) != (y := getattr(b, field)):
                    yield f"{field} {_said(y)} to {_said(x)}"
        elif name != "labels" and a != b:
            yield f"{name} {_said(b)} to {_said(a)}"


def _of_labels(now: Sequence[str], then: Sequence[str]) -> Iterator[str]:
    if len(now) != len(then):
        yield f"{len(then)} classes to {len(now)}"
    moved = [i for i, (a, b) in enumerate(zip(now, then, strict=False)) if a != b]
    if moved:
        first = f"class {moved[0]} {then[moved[0]]!r} to {now[moved[0]]!r}"
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        order = "the same classes in another order: " if sorted(now) == sorted(then) else ""
        yield f"{order}{first}{more}"


def _said(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return "x".join("?" if n is None else f"{n:g}" for n in value) or "a scalar"
        case float():
            return f"{value:.6g}"
        case str():
            return value if value.isidentifier() else repr(value)
    return str(value)
