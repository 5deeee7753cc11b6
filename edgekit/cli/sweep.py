"""edgekit sweep"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.output import INTERRUPTED, Talk, common, table
from edgekit.cli.usage import explained
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.sweep.grid import Grid, Row
    from edgekit.sweep.making import Sweep


@click.command(short_help="Many models, recipes and devices.")
@click.argument("grid", required=False, metavar="[GRID.toml]")
@click.option("--model", "models", multiple=True, metavar="M", help="Without a grid file: as edgekit export takes it.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Several with commas.  [default: all]")
@click.option("--scheme", "schemes", multiple=True, metavar="S", help="Several with commas.  [default: every one]")
@click.option("--on", "devices", multiple=True, metavar="DEVICE", help="As edgekit bench takes it.  [default: local]")
@click.option(
    "--data", metavar="DIR", help="Images with labels, as edgekit eval takes them: how often is each file right?"
)
@click.option("-o", "--output", metavar="DIR", help="Where everything goes.  [default: build/GRID-sweep]")
@click.option(
    "--engine", default="local", show_default=True, metavar="NAME", help="Who runs the rows: local, ray, or a plugin's."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    default=1,
    show_default=True,
    help="Rows at once; a device takes one.",
)
@click.option("--plan", type=click.Choice(["json", "slurm", "make"]), help="Print the rows for a scheduler, and stop.")
@click.option("--cell", metavar="N|A-B", help="Make this row alone, or these: what a scheduler calls.")
@click.option("--retry", is_flag=True, help="What failed before is tried once more.")
@click.option("--yes", is_flag=True, help="Do not ask, however many rows there are.")
@common
def sweep(talk: Talk, grid: str | None, output: str | None, engine: str, workers: int, **said: Any) -> int:
    """Export, prove, time and evaluate every model of a grid in every target, scheme and recipe, on every device.

    A row is kept by what goes into it: a second run makes nothing, a killed one goes on, and what cannot be made is a row with its
    reason. The grid is a file (docs/tune.md has its grammar), or the product of the flags.

    \b
    Examples:
      edgekit sweep grid.toml --workers 2
      edgekit sweep --model lenet5,resnet18 --scheme fp32 --on arm64:cortex-a76
      edgekit sweep grid.toml --plan json > matrix.json
      edgekit sweep grid.toml --cell 17 -o sweep/
    """
    from edgekit.sweep import plans
    from edgekit.sweep.grid import rows

    plan, cell = said.pop("plan"), said.pop("cell")
    retry, yes = said.pop("retry"), said.pop("yes")
    asked, file, out = _asked(grid, output, said)
    if cell is not None:
        return _cells(talk, asked, out, cell, again=retry)
    _check_many(talk, asked, yes=yes)
    every = rows(asked)
    if not grid:
        _write(asked, file)
    if plan:
        command = ["edgekit", "sweep", str(file), "-o", str(out)]
        talk.result(plans.PLANS[plan](every, command), None, verbatim=True)
        return 0
    return _all(talk, asked, file, out, engine, workers, again=retry)


def _asked(grid: str | None, output: str | None, said: dict[str, Any]) -> "tuple[Grid, Path, Path]":
    """The grid, its file, which flags are to be written to, and the folder. Raises RequestError."""
    from edgekit.sweep import grid as grids

    flags = {name: value for name, value in said.items() if value}
    if grid and flags:
        names = " and ".join(f"--{ {'devices': 'on'}.get(name, name).removesuffix('s') }" for name in flags)
        raise RequestError(f"{names} beside a grid file", hint="write it into the file, or leave the file out")
    if grid:
        return _checked(grids.load(Path(grid))), Path(grid), Path(output or f"build/{Path(grid).stem}-sweep")
    if "models" not in flags:
        raise RequestError("there is nothing to sweep", hint="edgekit sweep grid.toml, or --model mobilenetv2")
    lists: dict[str, Any] = {name: tuple(_words(value)) for name, value in flags.items() if name != "data"}
    asked = grids.check(grids.Grid(**lists, data=flags.get("data")))
    out = Path(output or f"build/{Path(asked.models[0]).name or 'models'}-sweep")
    return asked, out / "grid.toml", out


def _checked(grid: "Grid") -> "Grid":
    """A grid whose words for other commands these understand. Raises RequestError."""
    from edgekit.cli.bench import bench
    from edgekit.cli.evaluate import evaluate

    for name, command, before, words in (
        ("bench", bench, ("ARTIFACT",), grid.bench),
        ("eval", evaluate, ("ARTIFACT", "--data", "DIR"), grid.eval),
    ):
        try:
            command.make_context(f"edgekit {name}", [*before, *words])
        except click.exceptions.Exit:
            raise RequestError(f"the grid's {name} asks for help", hint=f"edgekit {name} --help") from None
        except click.ClickException as error:
            said = explained(error)
            raise RequestError(f"the grid's {name}: {said.message}", hint=said.hint) from None
    return grid


def _write(grid: "Grid", file: Path) -> None:
    from edgekit.places import output_errors, replacing
    from edgekit.sweep import grid as grids

    with output_errors():
        file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        partial.write_bytes(grids.dump(grid))


def _words(values: tuple[str, ...]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",")]


def _check_many(talk: Talk, grid: "Grid", *, yes: bool) -> None:
    """Ask before a slip of the pen takes a month. Raises RequestError."""
    from edgekit.sweep import grid as grids

    many = grids.count(grid)
    if yes or many <= grids.AT_A_TIME:
        return
    question = f"{many:,} rows, each an export and its measurements"
    if talk.json or not (sys.stdin and sys.stdin.isatty()):
        raise RequestError(question, hint="--yes if you mean it, or a smaller grid")
    if not click.confirm(f"{question}; go on?", err=True):
        raise click.Abort


def _cells(talk: Talk, grid: "Grid", out: Path, cell: str, *, again: bool) -> int:
    from edgekit.sweep.grid import rows
    from edgekit.sweep.making import Sweep, make_row

    every = rows(grid)
    found = Sweep([every[number] for number in _numbers(cell, len(every))])
    for row in found.rows:
        talk.say(f"{row.number}: {row.name}")
        found.made[row.number] = make_row(row, grid, out, again=again, say=talk.say)
    return _shown(talk, found, out, None)


def _numbers(cell: str, count: int) -> range:
    """`7`, `0-11`. Raises RequestError."""
    first, dash, last = cell.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)):
        raise RequestError(f"--cell {cell} is no number of a row", hint="--cell 7, or --cell 0-11")
    start, stop = int(first), int(last or first)
    if not start <= stop < count:
        raise RequestError(f"there is no row {cell}: the grid has {count}", hint=f"--cell 0 to {count - 1}")
    return range(start, stop + 1)


def _all(talk: Talk, grid: "Grid", file: Path, out: Path, engine: str, workers: int, *, again: bool) -> int:
    from edgekit import registry
    from edgekit.sweep import page
    from edgekit.sweep.making import sweep as make

    found = make(
        grid,
        file,
        out,
        registry.engine(engine, workers),
        again=again,
        say=talk.say,
        steps=lambda total: talk.progress(total, "making rows", "rows"),
    )
    return _shown(talk, found, out, page.saved(found, file.stem, out))


def _shown(talk: Talk, found: "Sweep", out: Path, report: Path | None) -> int:
    from edgekit.sweep import page

    names: dict[int, Row] = {row.number: row for row in found.rows}
    talk.result(
        "\n\n".join(filter(None, [*_tables(found, out.name), str(report or "")])), page.document(found, out.name)
    )
    for number, how in found.killed.items():
        talk.warn(f"{names[number].name}: its process {how}; the same command tries it again")
    if found.cut:
        talk.warn(f"interrupted; {len(found.left)} of {len(found.rows)} rows are left for the same command")
        return INTERRUPTED
    made = [one for one in found.made.values() if one.candidate.artifact]
    failed = [one for one in made if one.candidate.error]
    for one in failed:
        talk.warn(f"{one.name}: {one.candidate.error}")
    return 0 if made and not failed and not found.killed else 4


def _tables(found: "Sweep", title: str) -> list[str]:
    """Of each device: the rows, what was not made, the best for each wish."""
    from edgekit.candidates import page as columns
    from edgekit.sweep import page

    told = []
    for one in page.by_device(found, title):
        lines = [
            f"{one.title} ({len(one.made)} of {len(one)} files)",
            table(columns.rows(one), header=columns.header(one)),
        ]
        lines += columns.failures(one)
        if len(one.made) > 1:
            lines += ["", table(columns.best(one))]
        told.append("\n".join(filter(None, lines) if not one.made else lines))
    return told
