"""edgekit completion: what a shell offers on TAB. Click completes commands, options and choices; here are names and files."""

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from edgekit.cli.output import Talk, common
from edgekit.cli.usage import COMPLETES
from edgekit.errors import UnsupportedError


def _models() -> Iterable[str]:
    from edgekit.recipe import shipped
    from edgekit.zoo import ALIASES

    return [*ALIASES, *shipped()]


def _targets() -> Iterable[str]:
    from edgekit import registry

    return [*registry.targets(), "all"]


def _schemes() -> Iterable[str]:
    from edgekit.recipe import SCHEMES

    return SCHEMES


def _devices() -> Iterable[str]:
    from edgekit import registry

    return registry.devices()


def _runtimes() -> Iterable[str]:
    from edgekit import registry

    return registry.runtimes()


def _recipes() -> Iterable[str]:
    from edgekit.recipe import shipped

    return shipped()


def _weights() -> Iterable[str]:
    return ("auto", "imagenet", "package", "bundled", "random")


# parameters of a name; where none of them begins so, and for all other texts, files are offered
NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "model": _models,
    "models": _models,
    "recipe_file": _recipes,
    "target": _targets,
    "targets": _targets,
    "scheme": _schemes,
    "schemes": lambda: (*_schemes(), "int8"),
    "weights": _weights,
    "device": _devices,
    "devices": _devices,
    "kind": _devices,
    "on": _devices,
    "runtime": _runtimes,
    "runtimes": _runtimes,
    "interpreter": lambda: ("ai-edge-litert", "tflite-runtime", "tensorflow"),
}
SEVERAL = {"models", "targets", "schemes", "devices"}  # with commas


class Offered(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A text that a shell completes: a name of those, or a file."""

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        name = param.name or ""
        done, comma, rest = incomplete.rpartition(",") if name in SEVERAL else ("", "", incomplete)
        known = NAMES[name]() if name in NAMES else ()
        found = [CompletionItem(f"{done}{comma}{other}") for other in known if other.startswith(rest)]
        return found or [CompletionItem(incomplete, type="dir" if param.metavar == "DIR" else "file")]


def teach(command: click.Command) -> click.Command:
    """Its texts complete, while a shell asks."""
    for param in command.params:
        if isinstance(param.type, click.types.StringParamType):
            param.type = Offered()
    return command


@click.command(short_help="What a shell completes on TAB.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
def completion(talk: Talk, shell: str) -> int:
    """The script that makes a shell complete commands, options, names of models, targets, schemes and devices, and files.

    \b
    Examples:
      eval "$(edgekit completion bash)"      in ~/.bashrc
      eval "$(edgekit completion zsh)"       in ~/.zshrc, after compinit
      edgekit completion fish | source       in ~/.config/fish/config.fish
    """
    from edgekit.cli import main

    kind = get_completion_class(shell)
    if kind is None:
        raise UnsupportedError(f"this click completes no {shell}", hint="pip install --upgrade click")
    script = kind(main, {}, "edgekit", COMPLETES).source()
    talk.result(script, {"shell": shell, "script": script}, verbatim=True)
    return 0
