"""What click finds wrong with a command line, as an error of edgekit: what is wrong, and what to type instead."""

import os
import re
from typing import Any

import click

from edgekit.errors import RequestError, UnknownNameError, did_you_mean

COMPLETES = "_EDGEKIT_COMPLETE"  # click's: set while a shell asks what to complete
NUMBERS = {"integer": "a whole number", "float": "a number"}

OUTSIDE = re.compile(r"(\S+) is not in the range (\S*?x\S*?)\.?$")

# `edgekit` without arguments: help, and no sentence (click 8.2)
HELPED: tuple[type[click.UsageError], ...] = tuple(filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)]))


class Group(click.Group):
    """A command of commands that knows its own words."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found and COMPLETES in os.environ:
            from edgekit.cli.completion import teach

            teach(found)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if error.ctx is None and ctx.invoked_subcommand:  # an option without its value: click does not say of what
                command = self.get_command(ctx, ctx.invoked_subcommand)
                error.ctx = click.Context(command, ctx, ctx.invoked_subcommand) if command else None
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        unknown = self.get_command(ctx, args[0]) is None and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:  # as the completion of a shell parses
            raise UnknownNameError("command", args[0], self.list_commands(ctx), hint=f"{ctx.command_path} --help")
        return super().resolve_command(ctx, args)


def explained(error: click.ClickException) -> RequestError:
    """The error of ours that says what click's does."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    here = context.command_path if context else "edgekit"
    return RequestError(_said(error), hint=_meant(error, context) or f"{here} --help")


def _said(error: click.ClickException) -> str:
    """Click's sentence in the form of ours, which names the value first and makes its suggestions as a hint."""
    if isinstance(error, click.NoSuchOption):
        return f"there is no option {error.option_name}"
    sentence = error.format_message()
    if type(error) is click.BadParameter:
        sentence = f"{error.param.opts[0]}: {error.message}" if isinstance(error.param, click.Option) else error.message
    for clicks, ours in NUMBERS.items():
        sentence = sentence.replace(f"a valid {clicks} range", ours).replace(f"a valid {clicks}", ours)
    if found := OUTSIDE.search(sentence):
        sentence = f"{sentence[: found.start()]}{found[1]} is not {_range(found[2])}"
    sentence = " ".join(sentence.split()).removesuffix(".")  # of a choice that is missing click makes a list
    return sentence[:1].lower() + sentence[1:]


def _range(of: str) -> str:
    """Click's "0<=x<=100" or "x>=1" in words."""
    if of.startswith("x"):
        return (
            of.replace("x>=", "at least ")
            .replace("x>", "more than ")
            .replace("x<=", "at most ")
            .replace("x<", "less than ")
        )
    low, high = re.split(r"<=?x<=?", of)
    return f"from {low} to {high}" if "<=x<=" in of else f"between {low} and {high}"


def _meant(error: click.ClickException, context: click.Context | None) -> str:
    """What is spelled alike, or ""."""
    if isinstance(error, click.NoSuchOption) and context:
        options = [name for param in context.command.params for name in (*param.opts, *param.secondary_opts)]
        return did_you_mean(error.option_name, [name for name in options if name.startswith("--")])
    if isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
        return did_you_mean(error.message.partition("'")[2].partition("'")[0], map(str, error.param.type.choices))
    return ""
