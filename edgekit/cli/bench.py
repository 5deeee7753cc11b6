"""edgekit bench"""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.artifacts import check_interpreter, warn_of_refused
from edgekit.cli.options import interpreter_option, on_option, timeout_option
from edgekit.cli.output import INTERRUPTED, Talk, common, megabytes, table
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.benchmarking.measuring import Measured
    from edgekit.benchmarking.summary import Row
    from edgekit.devices import Device
    from edgekit.runs import Run


DEFAULT_RUNS = "build/runs.jsonl"


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


@click.command(short_help="Time files against each other.")
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT|FILE...")
@click.option(
    "--runtime", "runtimes", multiple=True, metavar="NAME", help="litert, onnxruntime or openvino; may be repeated."
)
@click.option(
    "--threads",
    type=Numbers(),
    default="1",
    show_default=True,
    metavar="N[,N]",
    help="Threads that the runtime may use.",
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Images in one inference.  [default: the file's]")
@click.option(
    "--runs", type=click.IntRange(1), metavar="N", default=100, show_default=True, help="Timed inferences of each."
)
@click.option(
    "--launches", type=click.IntRange(1), metavar="N", default=5, show_default=True, help="Fresh processes of each."
)
@click.option(
    "--warmup",
    type=click.IntRange(0),
    metavar="N",
    default=5,
    show_default=True,
    help="Uncounted inferences in each process.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=120,
    show_default=True,
    help="Stop after so many seconds.",
)
@timeout_option(300)
@on_option
@click.option(
    "--accelerator",
    type=click.Choice(["cpu", "gpu", "npu"]),
    default="cpu",
    show_default=True,
    help="--on adb: where on the phone a .tflite runs.",
)
@click.option("--count", is_flag=True, help="Count instructions too, as --on x86 does; emulated devices always do.")
@click.option(
    "--benchmark-binary",
    metavar="FILE",
    help="--on adb: time with this benchmark_model of TFLite's. It tells mean times, and no answers.",
)
@click.option("--reference", is_flag=True, help="Time a fixed computation too, by which edgekit history compares days.")
@click.option("--profile", is_flag=True, help="Time by operator, where the runtime tells.")
@click.option("-o", "--output", default=DEFAULT_RUNS, show_default=True, metavar="FILE", help="Append the runs to it.")
@click.option("--no-save", is_flag=True, help="Do not keep the runs.")
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
    accelerator: str,
    count: bool,
    benchmark_binary: str | None,
    reference: bool,
    profile: bool,
    output: str,
    no_save: bool,
    as_csv: bool,
    interpreter: str | None,
    **plan: Any,
) -> int:
    """Time files against each other: artifacts, and .tflite, .onnx or .xml files of any tool.

    Every file runs in processes of its own, which take turns inference by inference, so that ratios hold on a busy
    machine. On emulated devices instructions are counted instead; a phone times one file after the other. Raw samples
    are appended to a file for `edgekit report`; Ctrl-C keeps those that are there.

    \b
    Examples:
      edgekit bench build/mobilenetv2-tflite-int8 build/mobilenetv2-tflite-fp32
      edgekit bench build/*-int8 --threads 1,2 --budget 60
      edgekit bench model.onnx --runtime onnxruntime --runtime openvino --json
      edgekit bench build/*-int8 --on arm64:cortex-a76
      edgekit bench build/*-int8 --on adb --accelerator gpu
    """
    from edgekit import registry, runs
    from edgekit.benchmarking import harness, measuring, summary
    from edgekit.runtimes import Options

    if as_csv and (talk.json or profile):
        raise RequestError(f"--csv and {'--json' if talk.json else '--profile'} both want stdout", hint="leave one out")
    tool = Path(benchmark_binary) if benchmark_binary else None
    where, chosen = registry.device(device), harness.Plan(**plan)
    request = measuring.Request(where, chosen, count, tool, reference, profile, accelerator)
    request.check(threads)
    paths, options = [Path(a) for a in artifacts], Options(interpreter=interpreter, accelerator=accelerator)
    made = harness.entries(paths, runtimes, threads, options, batch)
    for one in {entry.model.name: entry.model for entry in made}.values():
        warn_of_refused(talk, one)
    check_interpreter(interpreter, (entry.model.target for entry in made))
    if profile:
        return _profile(talk, made, where, chosen)
    save = None if no_save else Path(output)
    if save:
        runs.append(save, [])  # a place that cannot be written is said before anything is measured
    found = measuring.measure(made, request, talk.progress)
    rows = [row for session in found.of_files for row in summary.rows(session)]
    if not any(run.measured for run in found.runs):
        for row in rows[1:]:
            talk.warn(f"{row.name}: {row.error}")
        raise KeyboardInterrupt if found.cut else found.failures[0]
    if save and not talk.keep(runs.append, save, found.runs):
        save = None
    if as_csv:
        talk.result(_csv(rows), None, verbatim=True)
    else:
        talk.result(
            "\n\n".join(_told(session, verbose=talk.verbose) for session in found.of_files),
            _document(found, rows, save),
        )
    if found.cut:
        kept = f", and {save} keeps it" if save else ""
        talk.warn(f"interrupted; this is what was measured until then{kept}")
        return INTERRUPTED
    if save:
        talk.detail(f"appended to {save}")
    if not as_csv:
        talk.next(["edgekit", "report", *([save] if output != DEFAULT_RUNS else [])] if save else ())
    return found.failures[0].exit_code if found.failures else 0


def _document(found: "Measured", rows: Sequence["Row"], save: Path | None) -> dict[str, Any]:
    import msgspec

    return {
        "rows": msgspec.to_builtins(rows),
        "runs": msgspec.to_builtins(found.runs),
        "saved": str(save) if save else None,
        "interrupted": found.cut,
    }


def _told(session: "Sequence[Run]", *, verbose: bool) -> str:
    """A table, what failed, how it came about, and what it comes to."""
    from edgekit.benchmarking import summary

    good = [run for run in session if run.measured]
    lines = [_text(summary.rows(good), verbose=verbose)] if good else []
    lines += [f"{row.name}  failed: {row.error}" for row in summary.rows(session) if row.error]
    if good:
        runtimes = sorted({row.runtime for row in summary.rows(good)})
        lines.append(f"{summary.how(good)}, in {', '.join(runtimes)}")
    if len(good) > 1:
        lines.append(summary.verdict(good))
    return "\n".join(lines)


DETAILS = ("first", "wall", "p90", "p99")  # columns of -v, where there is a CPU time


def _text(rows: Sequence["Row"], *, verbose: bool) -> str:
    """The table, with the columns of which something is known and differs."""

    def ms(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{value:.{digits}f} ms"

    first = rows[0]
    cells: dict[str, Callable[[Row], str]] = {
        "artifact": lambda row: row.name,
        "runtime": lambda row: row.runtime if verbose else "",  # it stands below the table
        "size": lambda row: megabytes(row.bytes),
        "memory": lambda row: "" if row.memory_bytes is None else megabytes(row.memory_bytes),
        "load": lambda row: ms(row.load_ms, 1),
        "first": lambda row: ms(row.first_ms, 1),
        "CPU": lambda row: ms(row.cpu_ms),
        "wall": lambda row: ms(row.wall_p50_ms),
        "mean": lambda row: ms(row.mean_ms),
        "p90": lambda row: ms(row.wall_p90_ms),
        "p99": lambda row: ms(row.wall_p99_ms),
        "images/s": lambda row: f"{row.per_second:.1f}" if row.per_second and row.batch > 1 else "",
        "instructions": lambda row: f"{row.instructions / 1e6:.2f} M" if row.instructions else "",
    }
    if any(row.time_ratio for row in rows):
        clock = "wall" if first.cpu_ms is None else "CPU"
        cells[f"{clock} ratio"] = lambda row: "1" if row is first else str(row.time_ratio or "")
    elif len(rows) > 1 and first.instructions:
        cells["ratio"] = lambda row: "1" if row is first else f"{row.instructions_ratio or 0:.3f}"
    columns = {name: [cell(row) for row in rows] for name, cell in cells.items()}
    hidden = () if verbose or not any(columns["CPU"]) else DETAILS
    columns = {name: column for name, column in columns.items() if any(column) and name not in hidden}
    return table(list(zip(*columns.values(), strict=True)), header=tuple(columns))


def _csv(rows: Sequence["Row"]) -> str:
    """One line a file; empty where something is not known."""
    out = io.StringIO()
    flat = [{**vars(row), "time_ratio": row.time_ratio and row.time_ratio.value} for row in rows]
    writer = csv.DictWriter(out, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue().rstrip("\n")


def _profile(talk: Talk, made: Sequence[Any], device: "Device", plan: Any) -> int:
    """Time by operator of one file after the other."""
    from edgekit.benchmarking import harness

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
