"""Instructions of single inferences, counted from outside by what runs the worker."""

from collections.abc import Callable

from edgekit.errors import UnsupportedError


def count(run: Callable[[], object], times: int) -> tuple[int, ...]:
    raise UnsupportedError("instructions cannot be counted here", hint="--on arm64:cortex-a76 counts them")
