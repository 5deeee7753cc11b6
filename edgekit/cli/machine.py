"""edgekit list, edgekit doctor: what there is, and what works on this machine."""

from typing import Any

import click

from edgekit.cli.output import Talk, common, table


@click.command("list", short_help="Models, targets, runtimes, schemes, recipes.")
@click.argument("what", type=click.Choice(["models", "targets", "runtimes", "schemes", "recipes"]), default="models")
@common
def list_(talk: Talk, what: str) -> int:
    """What is there: models, targets, runtimes, schemes or recipes.

    \b
    Examples:
      edgekit list models
      edgekit list schemes
    """
    from edgekit import machine, registry, zoo

    document: list[dict[str, Any]] = {
        "models": zoo.listing,
        "targets": lambda: [{"target": t} for t in registry.targets()],
        "runtimes": lambda: [{"runtime": r} for r in registry.runtimes()],
        "schemes": machine.scheme_rows,
        "recipes": machine.recipes,
    }[what]()
    shown = [_brief(row, talk.verbose) for row in document] if what == "models" else document
    rows = [tuple(str(v) for v in row.values()) for row in shown]
    header = tuple(shown[0]) if shown else ()
    text = table(rows, header=header)
    if what == "models":
        text += "\nnames in timm, licences, where weights come from: -v, or --json\n"
        text += "any other: timm:NAME, smp:NET/ENCODER, py:package.module:function"
    talk.result(text, document)
    return 0


def _brief(row: dict[str, Any], whole: bool) -> dict[str, str]:
    """A model in one line; with where its weights come from, in a longer one."""
    channels, height, width = row["input"]
    brief = {
        "model": row["model"],
        "params": f"{row['parameters'] / 1e6:.2f} M",
        "mult-adds": f"{row['multiply_adds'] / 1e6:,.{0 if row['multiply_adds'] > 1e7 else 1}f} M",
        "input": f"{height}x{width}{' grey' if channels == 1 else ''}",
        "--weights": row["weights"],
    }
    return brief | {name: row[name] for name in ("timm", "licence", "from")} if whole else brief


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
    facts, checks = host.facts(), machine.checkup()
    rows = [(c.what, "ok" if c.ok else "missing", c.detail) for c in checks]
    text = table(list(facts.items())) + "\n\n" + table(rows)
    talk.result(text, {"host": facts, "checks": msgspec.to_builtins(checks)})
    return 0
