"""`bench` and `report`: how fast files are, and what was measured as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, overload

import msgspec

from edgekit import registry
from edgekit import runs as records
from edgekit.benchmarking import harness, measuring, summary
from edgekit.benchmarking.summary import Row
from edgekit.errors import as_path
from edgekit.reporting import Report, pages
from edgekit.reporting import report as of_records
from edgekit.runs import Run
from edgekit.runtimes import Options, check_interpreter
from edgekit.verbs.artifacts import Count, File, Natural, Seconds, Threads
from edgekit.verbs.asked import Place, Progress, several, steps, verb


@dataclass(frozen=True, repr=False)
class Bench(Sequence[Row]):
    """Files timed against each other: a Row for each, in milliseconds, and the raw runs.

    cut  the user stopped it before all was measured
    """

    rows: tuple[Row, ...]
    runs: tuple[Run, ...]
    cut: bool = False

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, at: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def verdict(self) -> str:
        """The fastest against the slowest, in a sentence; "" of one file."""
        measured = [run for run in self.runs if run.measured and run.runtime != records.REFERENCE]
        return summary.verdict(measured) if len(measured) > 1 else ""

    def __repr__(self) -> str:
        return f"Bench({', '.join(map(repr, self.rows))})"


@verb
def bench(
    files: File | Sequence[File],
    *,
    runtimes: str | Sequence[str] = (),
    threads: Threads | tuple[Threads, ...] = 1,
    batch: Count | None = None,
    runs: Count = 100,
    launches: Count = 5,
    warmup: Natural = 5,
    budget: Annotated[float, msgspec.Meta(ge=0)] = 120.0,
    timeout: Seconds = 300.0,
    on: str = "local",
    accelerator: Literal["cpu", "gpu", "npu"] = "cpu",
    count: bool = False,
    reference: bool = False,
    benchmark_binary: Place | None = None,
    interpreter: str | None = None,
    save: Place | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Time files against each other: artifacts, and .tflite, .onnx or .xml files of any tool.

    Every file runs in processes of its own, which take turns inference by inference, so that ratios hold on a busy
    machine. On emulated devices instructions are counted instead.

    runtimes   litert, onnxruntime, openvino; none: the first that opens a file
    threads    of the runtime, one number or several
    batch      images in one inference; None: the file's own
    runs, launches, warmup  inferences that are timed, over how many fresh processes; those in each that do not count
    budget     seconds to stop after; timeout: that mean a hang
    accelerator  of a phone: where a .tflite runs there
    count      instructions too; reference: a fixed computation takes its turns, by which days are compared
    benchmark_binary  of a phone: TFLite's benchmark_model, which times instead of the app; mean times, and no answers
    save       a file that the raw runs are appended to, for `report`: "build/runs.jsonl"
    progress   progress(done, total)

    A file that fails has its `error` in its row. Raises RequestError, ArtifactError; where no file can be measured, what
    failed first.
    """
    plan = harness.Plan(runs=runs, launches=launches, warmup=warmup, budget=budget, timeout=timeout)
    tool = None if benchmark_binary is None else Path(benchmark_binary)
    request = measuring.Request(registry.device(on), plan, count, tool, reference, accelerator=accelerator)
    numbers = threads if isinstance(threads, tuple) else (threads,)
    request.check(numbers)
    paths = [as_path(file, "a file") for file in several(files)]
    made = harness.entries(
        paths,
        several(runtimes) if runtimes else (),
        numbers,
        Options(interpreter=interpreter, accelerator=accelerator),
        batch,
    )
    check_interpreter(interpreter, (entry.model.target for entry in made))
    if save is not None:
        records.append(Path(save), [])  # a place that cannot be written is said before anything is measured
    found = measuring.measure(made, request, steps(progress))
    if not any(run.measured for run in found.runs):
        raise KeyboardInterrupt if found.cut else found.failures[0]
    if save is not None:
        records.append(Path(save), found.runs)
    rows = tuple(row for session in found.of_files for row in summary.rows(session))
    return Bench(rows, tuple(found.runs), found.cut)


@verb
def report(
    files: Place | Sequence[Place] = "build/runs.jsonl",
    out: Place | None = None,
    *,
    title: str = "edgekit report",
) -> Report:
    """What `bench` and `evaluate` measured, of every machine: a page that needs no network, or Markdown.

    files  of runs, which their `save` named
    out    an .html or .md file to write; None: only the Report

    Raises DataError where there are no runs, RequestError, OutputError.
    """
    sources = [as_path(file, "a file of runs") for file in several(files)]
    if out is not None:
        pages.check(Path(out), sources)
    made = of_records(*records.read(sources), title)
    if out is not None:
        pages.write(made, Path(out))
    return made
