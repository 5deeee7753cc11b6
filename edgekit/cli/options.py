"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click


def interpreter_option(function: Any) -> Any:
    return click.option(
        "--interpreter",
        metavar="NAME",
        help="ai-edge-litert, tflite-runtime or tensorflow.  [default: the first installed]",
    )(function)


def runtime_options(function: Any) -> Any:
    # more than a machine has is slow; very many end the interpreter
    threads = click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        metavar="N",
        default=1,
        show_default=True,
        help="Threads that the runtime may use.",
    )
    return interpreter_option(threads(function))


class Ignore(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """`255`, `none`, or `auto`."""

    name = "label"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | str | None:
        if value in ("auto", "none", None):
            return value if value == "auto" else None
        if not str(value).isdigit() or int(value) > 255:
            self.fail(f"'{value}' is not a number of a label, 0 to 255, nor none")
        return int(value)


def mask_options(function: Any) -> Any:
    """Where masks lie, and which of their values does not count: `images`, `masks` and `ignore` of evaluation.open_for."""
    images = click.option(
        "--images", metavar="DIR", help="Segmentation: the folder of images in --data.  [default: images]"
    )
    masks = click.option(
        "--masks", metavar="DIR", help="Segmentation: the folder of masks in --data.  [default: masks]"
    )
    ignore = click.option(
        "--ignore",
        type=Ignore(),
        default="auto",
        metavar="N",
        help="Segmentation: the value in masks that does not count, or none.  [default: as the file says]",
    )
    return images(masks(ignore(function)))


def on_option(function: Any) -> Any:
    return click.option(
        "--on",
        "device",
        default="local",
        show_default=True,
        metavar="DEVICE",
        help="Where to run: local, arm64, x86 (emulated), adb (a phone; not tried on a real one).",
    )(function)


def timeout_option(seconds: int = 60) -> Callable[[Any], Any]:
    return click.option(
        "--timeout",
        type=click.FloatRange(1),
        metavar="SECONDS",
        default=seconds,
        show_default=True,
        help="Seconds to wait for an answer; then it counts as a hang.",
    )
