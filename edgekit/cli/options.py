"""Options that several commands share."""

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
        default=1,
        show_default=True,
        help="Threads that the runtime may use.",
    )
    return interpreter_option(threads(function))


def on_option(function: Any) -> Any:
    return click.option(
        "--on",
        "device",
        default="local",
        show_default=True,
        metavar="DEVICE",
        help="Where to run: local, arm64, x86, adb (a phone; not tried on a real one), ...",
    )(function)


def timeout_option(function: Any) -> Any:
    return click.option(
        "--timeout",
        type=click.FloatRange(1),
        default=60,
        show_default=True,
        help="Seconds without an answer that mean a hang.",
    )(function)
