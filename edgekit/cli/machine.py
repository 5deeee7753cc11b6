"""edgekit list, edgekit doctor: what there is, and what works on this machine."""

from collections.abc import Sequence
from typing import Any

import click

from edgekit.cli.output import Talk, common, table

Listed = tuple[Sequence[dict[str, Any]], Sequence[tuple[str, ...]], tuple[str, ...]]  # as data; as a table; its header


@click.command("list", short_help="Models, targets, runtimes, schemes, recipes.")
@click.argument("what", type=click.Choice(["models", "targets", "runtimes", "schemes", "recipes"]), default="models")
@common
def list_(talk: Talk, what: str) -> int:
    """List models, targets, runtimes, schemes or recipes.

    \b
    Examples:
      edgekit list models
      edgekit list schemes
    """
    document, rows, header = LISTS[what](talk.verbose)
    text = table(rows, header=header)
    if what == "models" and not talk.quiet:
        text += "\nnames in timm, licences, where weights come from: -v, or --json"
        text += "\nany other: timm:NAME, smp:NET/ENCODER, py:file.py:function (your own)"
    talk.result(text, document)
    return 0


def _models(verbose: bool) -> Listed:
    """Parameters, multiply-adds and input; in a longer line also where weights come from."""
    from edgekit import zoo

    def brief(row: dict[str, Any]) -> tuple[str, ...]:
        channels, height, width = row["input"]
        millions = row["multiply_adds"] / 1e6
        return (
            row["model"],
            f"{row['parameters'] / 1e6:.2f} M",
            f"{millions:,.{0 if millions > 10 else 1}f} M",
            f"{height}x{width}{' grey' if channels == 1 else ''}",
            row["weights"],
            *((row["timm"], row["licence"], row["from"]) if verbose else ()),
        )

    document = zoo.listing()
    more = ("timm's network", "licence", "from") if verbose else ()
    return document, [brief(row) for row in document], ("model", "params", "mult-adds", "input", "--weights", *more)


def _targets(verbose: bool) -> Listed:
    from edgekit import registry

    return [{"target": name} for name in registry.targets()], [(name,) for name in registry.targets()], ("target",)


NO_RUNTIMES = {
    "null": "answers zeros at once, for tests",
    "reference": "a fixed computation to compare times with: edgekit bench --reference",
}


def _runtimes(verbose: bool) -> Listed:
    from edgekit import registry

    document = [{"runtime": name} for name in registry.runtimes()]
    return document, [(name, NO_RUNTIMES.get(name, "")) for name in registry.runtimes()], ("runtime", "")


def _schemes(verbose: bool) -> Listed:
    """What --int8 takes, with its gain over fp32 for each class of CPUs."""
    import msgspec

    from edgekit import machine

    found = machine.int8_schemes()
    classes = list(dict.fromkeys(cpu for row in found for cpu in row.gain))
    rows = [
        (
            " ".join([row.family, *_patterns(row.models), *filter(None, [row.task])]),
            row.target,
            row.scheme,
            *(f"{row.gain[cpu]:.2f}" if cpu in row.gain else "" for cpu in classes),
        )
        for row in found
    ]
    return [msgspec.to_builtins(row) for row in found], rows, ("network", "target", "--int8", *classes)


def _patterns(names: Sequence[str]) -> list[str]:
    """How names start, but for those that another one is the end of: tf_efficientnet_b beside efficientnet_b."""
    return [f"{name}*" for name in names if not any(name != other and name.endswith(other) for other in names)]


def _recipes(verbose: bool) -> Listed:
    from edgekit.recipe import shipped

    document = [{"name": name, "recipe": str(path)} for name, path in shipped().items()]
    return document, [(row["name"],) for row in document], ("recipe",)


LISTS = {
    "models": _models,
    "targets": _targets,
    "runtimes": _runtimes,
    "schemes": _schemes,
    "recipes": _recipes,
}


@click.command(short_help="What works on this machine.")
@click.option(
    "--setup",
    "kind",
    metavar="DEVICE",
    help="Fetch what an emulated device needs (arm64, x86), or put the app on a phone (adb).",
)
@common
def doctor(talk: Talk, kind: str | None) -> int:
    """What works on this machine, and what to install for the rest. With --setup: make an emulated device or a phone work.

    \b
    Examples:
      edgekit doctor
      edgekit doctor --setup arm64
      edgekit doctor --json
    """
    import msgspec

    from edgekit import machine
    from edgekit.devices import host

    if kind is not None:
        state = machine.set_up(kind, talk.say)
        talk.result(f"{kind} is set up: {state}", {"device": kind, "state": state})
        return 0
    facts, todo, checks = host.facts(), machine.checks(), []
    with talk.progress(len(todo), "checking", "things") as tick:
        for look in todo:
            checks.append(look())
            tick()
    rows = [(c.what, "ok", c.detail) if c.ok else (c.what, "missing", "") for c in checks]
    lacking: dict[str, list[str]] = {}  # by what mends it
    for check in checks:
        if not check.ok:
            lacking.setdefault(check.detail, []).append(check.what)
    remedies = [f"{', '.join(what)}\n  try: {detail}" for detail, what in lacking.items()]
    about = [(name.replace("_", " "), str(fact)) for name, fact in facts.items()]
    text = "\n".join([table(about), "", table(rows), *([""] if remedies else []), *remedies])
    talk.result(text, {"host": facts, "checks": msgspec.to_builtins(checks)})
    return 0
