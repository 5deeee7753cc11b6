"""Arguments as a caller gives them: whatever is wrong with one is an EdgekitError, which names keywords and not flags."""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import msgspec

from edgekit.errors import EdgekitError, RequestError, UnknownNameError, as_path
from edgekit.verbs.words import Keyword, in_python, translate

P = ParamSpec("P")
R = TypeVar("R")
Place = str | os.PathLike[str]
Say = Callable[[str], None]
Progress = Callable[[int, int], None]  # so many steps are done, of so many


def plain(wishes: Mapping[str, Any], channels: int = 1) -> dict[str, Any]:
    """Paths as text; one number for both sides of an input_size, and for each of the channels of mean and std."""
    said = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in wishes.items()}
    for name, count in (("input_size", 2), ("mean", channels), ("std", channels)):
        if isinstance(number := said.get(name), int | float):
            said[name] = (number,) * count
    return said


class Unsaid:
    """The default of what is left out, as signatures show it."""

    def __repr__(self) -> str:
        return "..."


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """A public function that says what is wrong with its arguments, as far as the types tell that it declares.

    `**wishes: Unpack[T]` of a TypedDict are listed one by one in its signature: that is what notebooks complete.
    """
    declared = Declared.of(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = declared.bound(args, kwargs)
            return function(*bound.args, **bound.kwargs)
        except EdgekitError as error:
            in_python(error, declared.keywords)
            raise

    checked.__signature__ = declared.shown  # type: ignore[attr-defined]
    return checked


@dataclass(frozen=True)
class Declared:
    """What a function takes. own: as it is written; types: of every argument; shown: with those of a TypedDict."""

    name: str
    own: inspect.Signature
    types: dict[str, Any]
    shown: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Declared":
        own = inspect.signature(function)
        shown, wishes = [], {}
        for parameter in own.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                (fields,) = typing.get_args(parameter.annotation)
                wishes = dict(fields.__annotations__)
            else:
                shown.append(parameter)
        kind = inspect.Parameter.KEYWORD_ONLY
        shown += [inspect.Parameter(name, kind, annotation=of, default=Unsaid()) for name, of in wishes.items()]
        known = {p.name: p.annotation for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        return cls(function.__qualname__, own, known | wishes, own.replace(parameters=shown))

    @functools.cached_property
    def keywords(self) -> Mapping[str, Keyword]:
        """What a message may name, and how it is written."""
        return {name: Keyword(bool in _parts(of), frozenset(_words(of))) for name, of in self.types.items()}

    def bound(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        """The arguments, each as its type has it. Raises RequestError."""
        known = [name for name in self.types if name != "self"]
        for name in kwargs:
            if name not in known:
                raise UnknownNameError(f"argument of {self.name}", name, known)
        try:
            bound = self.own.bind(*args, **kwargs)
        except TypeError as error:
            needed = [p.name for p in self.own.parameters.values() if p.default is p.empty and p.name in known]
            raise RequestError(f"{self.name}: {error}", hint=f"{self.name}({', '.join([*needed, '...'])})") from None
        for name, value in bound.arguments.items():
            if isinstance(value, dict) and self.own.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {each: self.value(each, said) for each, said in value.items()}
            else:
                bound.arguments[name] = self.value(name, value)
        return bound

    def value(self, name: str, said: Any) -> Any:
        """One argument, checked. Raises RequestError."""
        declared = self.types[name]
        kinds = _parts(declared)
        if declared is Say or Say in kinds:
            return _said(name, said, self.keywords)
        if declared in (Place, Place | None):
            return said if said is None and type(None) in kinds else as_path(said, name)
        if not all(map(_plain, kinds)):
            return said  # what is no plain value the function itself looks at
        try:
            return msgspec.convert(_number(said), declared)
        except msgspec.ValidationError as error:
            words = " or ".join(map(repr, _words(declared)))
            raise RequestError(f"{name} is {said!r:.80}: {error}", hint=words or f"help(edgekit.{self.name})") from None


def _parts(of: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    if typing.get_origin(of) in (typing.Union, types.UnionType):
        return tuple(part for one in typing.get_args(of) for part in _parts(one))
    return (of,)


def _plain(of: Any) -> bool:
    """Whether msgspec can tell if a value is of a type: numbers, texts, literals, and tuples of such."""
    origin = typing.get_origin(of)
    if origin is typing.Annotated:
        return all(map(_plain, _parts(typing.get_args(of)[0])))
    if origin is tuple:
        return all(part is ... or all(map(_plain, _parts(part))) for part in typing.get_args(of))
    return origin is typing.Literal or of in (int, float, bool, str, type(None))


def _words(of: Any) -> list[str]:
    """The words that a type allows."""
    return [word for part in _parts(of) if typing.get_origin(part) is typing.Literal for word in typing.get_args(part)]


def _number(said: Any) -> Any:
    """One of numpy as Python has it."""
    return said.item() if hasattr(said, "dtype") and getattr(said, "ndim", None) == 0 else said


def _said(name: str, say: Any, keywords: Mapping[str, Keyword]) -> Any:
    """A function that takes lines, in Python's words. Raises RequestError for what is none."""
    if say is None:
        return None
    if not callable(say):
        raise RequestError(f"{name} is {say!r:.80}, not a function", hint=f"{name}=print")
    return lambda line: say(translate(line, keywords))


def several(said: Any) -> Sequence[Any]:
    """A list as it is; one thing as a list of it. Raises RequestError for a list of nothing."""
    if not isinstance(said, list | tuple):
        return [said]
    if not said:
        raise RequestError("an empty list of files", hint="a file, or a list of some")
    return list(said)


def silent(line: str) -> None:
    """Whom nobody listens to."""


def steps(progress: Progress | None) -> Callable[..., AbstractContextManager[Callable[[], None]]]:
    """A caller's `progress` as the library calls it. Raises RequestError for what is no function."""
    if progress is not None and not callable(progress):
        raise RequestError(f"progress is {progress!r:.80}, not a function", hint="progress=lambda done, total: ...")

    @contextmanager
    def begin(total: int, *about: str) -> Iterator[Callable[[], None]]:
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        yield tick

    return begin
