"""edgekit bench"""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.look import interpreter_option
from edgekit.cli.output import Talk, common, megabytes, table
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.bench.summary import Row
    from edgekit.devices import Device


class Numbers(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """`1,2,4`"""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(n) for n in value.split(","))
        except ValueError:
            self.fail(f"'{value}' is not a number, nor numbers like 1,2")
        if not all(1 <= n <= 1024 for n in numbers):
            self.fail("1 to 1024 threads")
        return numbers


@click.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT|FILE...")
@click.option("--runtime", "runtimes", multiple=True, metavar="NAME", help="litert, onnxruntime, openvino; repeatable.")
@click.option("--threads", type=Numbers(), default="1", show_default=True, metavar="N[,N]", help="Of the runtime.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Pictures in one inference.  [default: the file's]")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True, help="Timed inferences of each.")
@click.option("--launches", type=click.IntRange(1), default=5, show_default=True, help="Fresh processes of each.")
@click.option("--warmup", type=click.IntRange(0), default=5, show_default=True, help="Uncounted, in each process.")
@click.option("--budget", type=click.FloatRange(min=0), default=120, show_default=True, help="Seconds to stop after.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=300, show_default=True, help="Seconds that mean a hang."
)
@click.option("--on", "device", default="local", show_default=True, metavar="DEVICE", help="Where to run.")
@click.option("--count", is_flag=True, help="Count instructions too, where the device can.")
@click.option("--profile", is_flag=True, help="Time by operator, where the runtime tells.")
@click.option(
    "-o", "--output", default="build/runs.jsonl", show_default=True, metavar="FILE", help="Append the runs to it."
)
@click.option("--no-save", is_flag=True, help="Append them nowhere.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values on stdout instead of the table.")
@interpreter_option
@common
def bench(
    talk: Talk,
    artifacts: tuple[str, ...],
    runtimes: tuple[str, ...],
    threads: tuple[int, ...],
    batch: int | None,
    device: str,
    count: bool,
    profile: bool,
    output: str,
    no_save: bool,
    as_csv: bool,
    interpreter: str | None,
    **plan: Any,
) -> int:
    """Time files against each other: artifacts, and .tflite, .onnx or .xml files of any tool.

    Every file runs in processes of its own, which take turns inference by inference, so that ratios hold on a busy
    machine. Raw samples are appended to a file for `edgekit report`.

    \b
    Examples:
      edgekit bench build/mobilenetv2-tflite-int8 build/mobilenetv2-tflite-fp32
      edgekit bench build/*-int8 --threads 1,2 --budget 60
      edgekit bench model.onnx --runtime onnxruntime --runtime openvino --json
    """
    import msgspec

    from edgekit import registry
    from edgekit.bench import harness, runs, summary
    from edgekit.runtimes import Options

    if as_csv and talk.json:
        raise RequestError("--csv and --json both want stdout", hint="leave one out")
    where = registry.device(device)
    if count and not where.counts:
        raise RequestError(f"{where.name} cannot count instructions", hint="--on arm64:cortex-a76 can")
    chosen = harness.Plan(**plan)
    made = harness.entries([Path(a) for a in artifacts], runtimes, threads, Options(interpreter=interpreter), batch)
    if profile:
        return _profile(talk, made, where, chosen)
    if not no_save:
        runs.append(Path(output), [])  # a place that cannot be written is said before anything is measured
    with talk.progress(chosen.launches * chosen.rounds, f"timing {_things(len(made))}") as tick:
        measured = harness.compare(made, where, chosen, count=count, tick=tick)
    failures = [entry.failure for entry in made if entry.failure]
    if len(failures) == len(made):
        raise failures[0]
    if not no_save:
        runs.append(Path(output), measured)
    rows = summary.rows(measured)
    for row in rows:
        if row.error:
            talk.warn(f"{row.name}: {row.error}")
    if as_csv:
        talk.result(_csv(rows), None)
    else:
        lines = [_text(rows, timed=where.timed), summary.how(measured)]
        if where.timed and sum(bool(run.launches) for run in measured) > 1:
            lines.append(summary.verdict(measured))
        raw = msgspec.to_builtins(measured)
        saved = None if no_save else output
        talk.result("\n".join(lines), {"rows": msgspec.to_builtins(rows), "runs": raw, "saved": saved})
    if not no_save:
        talk.detail(f"appended to {output}")
    return failures[0].exit_code if failures else 0


def _text(rows: Sequence["Row"], *, timed: bool) -> str:
    """The table. An emulator's times mean nothing and are left out."""
    good = [row for row in rows if row.cpu_ms is not None]
    columns: dict[str, Callable[[Row], str]] = {
        "artifact": lambda row: row.name,
        "runtime": lambda row: row.runtime,
        "size": lambda row: megabytes(row.bytes),
        "memory": lambda row: megabytes(row.memory_bytes) if row.memory_bytes is not None else "",
    }
    if timed:
        columns["load"] = lambda row: f"{row.load_ms:.1f} ms"
        columns["first"] = lambda row: f"{row.first_ms:.1f} ms"
        columns["CPU"] = lambda row: f"{row.cpu_ms:.2f} ms"
        columns["wall"] = lambda row: f"{row.wall_p50_ms:.2f} ms"
        if any(row.wall_p90_ms for row in good):
            columns["p90"] = lambda row: f"{row.wall_p90_ms:.2f} ms" if row.wall_p90_ms else ""
        if len(good) > 1:
            columns[f"CPU / {good[0].name}"] = lambda row: "1" if row is good[0] else str(row.cpu_ratio or "")
    if any(row.instructions for row in good):
        columns["instructions"] = lambda row: f"{row.instructions / 1e6:.2f} M" if row.instructions else ""
    return table([tuple(cell(row) for cell in columns.values()) for row in good], header=tuple(columns))


def _csv(rows: Sequence["Row"]) -> str:
    """One line a file; empty where something is not known."""
    out = io.StringIO()
    flat = [{**vars(row), "cpu_ratio": row.cpu_ratio and row.cpu_ratio.value} for row in rows]
    writer = csv.DictWriter(out, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue().rstrip("\n")


def _profile(talk: Talk, made: Sequence[Any], device: "Device", plan: Any) -> int:
    """Time by operator of one file after the other."""
    from edgekit.bench import harness

    documents = []
    for entry in made:
        operators = harness.profile(entry, device, plan)
        whole = sum(o.nanoseconds for o in operators) or 1
        rows = [
            (o.operator, str(o.count), f"{o.nanoseconds / 1e6:.3f} ms", f"{o.nanoseconds / whole:.1%}")
            for o in operators
        ]
        documents.append(
            {
                "name": entry.model.name,
                "runtime": entry.runtime,
                "operators": [{"operator": o.operator, "count": o.count, "ms": o.nanoseconds / 1e6} for o in operators],
            }
        )
        if not talk.json:
            title = f"{entry.model.name} in {entry.runtime}"
            talk.result(f"{title}\n{table(rows, header=('operator', 'count', 'time', 'share'), indent='  ')}", None)
    if talk.json:
        talk.result("", documents)
    return 0


def _things(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
