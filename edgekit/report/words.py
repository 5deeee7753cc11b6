"""What a machine's figures come to, in plain words and tables. Every rendering says the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.bench import summary
from edgekit.bench.runs import Evaluated, Run
from edgekit.report.machines import Entry, Interval, Machine, pictures
from edgekit.report.table import Cell, Table, megabytes, millions, ms, percent, table

METHOD = (
    "CPU is the CPU time of one inference, all threads together: the median over launches (fresh processes) of each "
    "launch's median. It is steadier than wall time on a machine that does other things too.",
    "Brackets are 95 % intervals: of CPU time from the launches (Yuen's trimmed t interval of logarithms), of ratios from "
    "inferences that took turns in one session, of accuracy Wilson's. Whether two files differ is told by the ratio, "
    "which is narrower than the two intervals of CPU time: what disturbs the machine falls on both alike.",
    "Wall time, load and first are medians; p90 and p99 appear where there are samples enough. Memory is the peak of the "
    "process above what it held once the runtime was imported.",
    "Not comparable: figures of another device, CPU, system or number of cores (each has a chapter of its own here); "
    "shares of right answers on other pictures; and, strictly, times of different sessions or runtime versions. Where a "
    "ranking holds such times, it says so. An emulated device has instruction counts and no times.",
)


@dataclass(frozen=True)
class Headline:
    """`Fastest`, its name, its figure, and a remark on who else may be."""

    what: str
    name: str
    figure: str
    remark: str = ""


def headlines(machine: Machine) -> list[Headline]:
    found = []
    if machine.costed:
        best = machine.costed[0]
        found.append(Headline("Fastest" if machine.timed else "Fewest instructions", best.name, cost(best), _ties(machine)))
    if machine.entries:
        small = min(machine.entries, key=lambda entry: entry.row.bytes)
        large = max(machine.entries, key=lambda entry: entry.row.bytes)
        times = large.row.bytes / max(small.row.bytes, 1)
        remark = f"{times:.1f} times smaller than {large.name}" if times >= 1.05 else ""
        found.append(Headline("Smallest", small.name, megabytes(small.row.bytes), remark))
    judged = [entry for entry in machine.entries if entry.top1]
    if judged:
        best = max(judged, key=lambda entry: entry.top1.value if entry.top1 else 0)
        found.append(Headline("Most accurate", best.name, accuracy(best), _overlaps(best, judged)))
    held = [entry for entry in machine.entries if entry.row.memory_bytes is not None]
    if held and machine.timed:
        least = min(held, key=lambda entry: entry.row.memory_bytes or 0)
        found.append(Headline("Least memory", least.name, megabytes(least.row.memory_bytes or 0), "at its peak"))
    return found


def _ties(machine: Machine) -> str:
    """Which files the fastest is not surely faster than."""
    same = [e.name for e in machine.costed[1:] if e.row.cpu_ratio and e.row.cpu_ratio.low <= 1]
    if same:
        return f"not surely faster than {_list(same)}"
    if len(machine.costed) > 1 and (second := machine.costed[1].row.cpu_ratio):
        return f"the next, {machine.costed[1].name}, takes {second} times as long"
    return ""


def _overlaps(best: Entry, judged: Sequence[Entry]) -> str:
    if len(judged) == 1:
        return "the only one evaluated"
    low = best.top1.low if best.top1 else 0
    same = [entry.name for entry in judged if entry is not best and entry.top1 and entry.top1.high >= low]
    if len(same) == len(judged) - 1:
        return "all intervals overlap: these pictures tell none apart"
    return f"its interval overlaps that of {_list(same)}" if same else "its interval is above all others"


def _list(names: Sequence[str], most: int = 3) -> str:
    shown = list(names) if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def sentences(machine: Machine) -> list[str]:
    """How it was measured, who is on the front, and what to be careful with."""
    said = []
    front = [entry.name for entry in machine.front()]
    if len(machine.costed) > 1:
        other = "as accurate" if machine.by_accuracy else "as small"
        good, verb = ("cheap", "needs fewer instructions") if not machine.timed else ("fast", "is faster")
        del good
        who = _list(front, most=6)
        said.append(f"Pareto front (no other file {verb} and is {other}): {who}.")
    if machine.entries:
        said.append(f"{_how(machine)}.")
    if len(machine.sessions) > 1:
        said.append(
            f"Careful: the newest runs of these files come from {len(machine.sessions)} sessions. Files of different "
            "sessions did not take turns, so no ratio is given between them."
        )
    for runtime, versions in _versions(machine).items():
        if len(versions) > 1:
            said.append(f"Careful: {runtime} ran in {len(versions)} versions: {', '.join(versions)}.")
    if not machine.timed:
        said.append("An emulated device: times on it mean nothing and are left out.")
        if any(entry.cost is None for entry in machine.entries):
            said.append("Some runs counted no instructions; edgekit bench --count counts them.")
    elif not machine.by_accuracy and machine.entries:
        said.append(
            "No accuracy is drawn: fewer than two of these files were evaluated in the same runtime and on the same "
            "pictures here (edgekit eval)."
        )
    return said


def _how(machine: Machine) -> str:
    runs = [entry.run for entry in machine.entries]
    return summary.how(runs) if len({_plan(run) for run in runs}) == 1 else _plans(runs, machine)


def _plan(run: Run) -> tuple[int, int]:
    return run.samples, len(run.launches)


def _plans(runs: Sequence[Run], machine: Machine) -> str:
    samples, launches = [run.samples for run in runs], [len(run.launches) for run in runs]
    return (
        f"{_span(samples)} inferences of each in {_span(launches)} processes, CPU class "
        f"{machine.host.get('cpu_class', 'unknown')}"
    )


def _span(numbers: Sequence[int]) -> str:
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _versions(machine: Machine) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for entry in machine.entries:
        found.setdefault(entry.run.runtime, set()).add(entry.row.runtime)
    return {runtime: sorted(versions) for runtime, versions in found.items()}


def cost(entry: Entry) -> str:
    """`3.75 ms [3.60, 3.91]`, or millions of instructions."""
    if entry.cost is None:
        return ""
    if not entry.run.timed:
        return millions(entry.row.instructions or 0)
    return f"{ms(entry.cost)} ms{_brackets(entry.cost_interval)}"


def _brackets(interval: Interval | None) -> str:
    return f" [{ms(interval.low)}, {ms(interval.high)}]" if interval else ""


def accuracy(entry: Entry | Evaluated) -> str:
    share = entry.top1
    return f"{percent(share.value)} [{100 * share.low:.1f}, {100 * share.high:.1f}]" if share else ""


def figures(machine: Machine) -> Table:
    """All that is known of each file, cheapest first."""
    entries = machine.entries
    front = machine.front() if len(machine.costed) > 1 else []

    def column(text: Callable[[Entry], str], value: Callable[[Entry], float | None] = lambda _: None) -> list[Cell]:
        return [Cell(text(entry), value(entry)) for entry in entries]

    def time(field: str) -> list[Cell]:
        """Of a device with real clocks."""
        known: list[float | None] = [getattr(entry.row, field) if machine.timed else None for entry in entries]
        return [Cell("" if value is None else f"{ms(value)} ms", value) for value in known]

    threads = {entry.row.threads for entry in entries} | {1}
    batches = {entry.row.batch for entry in entries} | {1}
    columns = {
        "file": [Cell(entry.name, strong=entry in front) for entry in entries],
        "front": column(lambda e: "yes" if e in front else ""),
        "runtime": column(lambda e: e.row.runtime),
        "threads": column(lambda e: str(e.row.threads), lambda e: e.row.threads) if len(threads) > 1 else [],
        "batch": column(lambda e: str(e.row.batch), lambda e: e.row.batch) if len(batches) > 1 else [],
        "top-1": column(accuracy, lambda e: e.top1.value if e.top1 else None),
        "instructions": column(
            lambda e: millions(e.row.instructions) if e.row.instructions else "", lambda e: e.row.instructions
        ),
        "CPU": column(cost, lambda e: e.cost) if machine.timed else [],
        "CPU / fastest": _ratios(machine),
        "wall": time("wall_p50_ms"),
        "p90": time("wall_p90_ms"),
        "p99": time("wall_p99_ms"),
        "load": time("load_ms"),
        "first": time("first_ms"),
        "memory": column(lambda e: megabytes(e.row.memory_bytes) if e.row.memory_bytes else "", lambda e: e.row.memory_bytes),
        "size": column(lambda e: megabytes(e.row.bytes), lambda e: e.row.bytes),
        "measured": column(lambda e: e.run.made[:16].replace("T", " ")),
    }
    return table("All figures, cheapest first", {name: cells for name, cells in columns.items() if cells})


def _ratios(machine: Machine) -> list[Cell]:
    if not machine.timed or len(machine.entries) < 2:
        return []
    first, *rest = machine.entries
    return [Cell("1", 1.0), *(Cell(str(e.row.cpu_ratio or ""), e.row.cpu_ratio and e.row.cpu_ratio.value) for e in rest)]


def errors(machine: Machine) -> Table:
    """What failed, and whether figures of an earlier session stand in the tables."""
    shown = {(entry.run.name, entry.run.runtime, entry.run.threads) for entry in machine.entries}
    return table(
        "What failed",
        {
            "file": [Cell(run.name) for run in machine.failed],
            "runtime": [Cell(run.facts.get("runtime", run.runtime)) for run in machine.failed],
            "error": [Cell(run.error or "no launch ended") for run in machine.failed],
            "before it": [Cell(f"{run.samples} inferences", run.samples) for run in machine.failed],
            "shown": [
                Cell("figures of an earlier session" if (run.name, run.runtime, run.threads) in shown else "no figures")
                for run in machine.failed
            ],
        },
    )


def evaluations(records: Sequence[Evaluated]) -> Table:
    """Every evaluation, whether or not a run belongs to it."""
    return table(
        "Accuracy",
        {
            "file": [Cell(r.name) for r in records],
            "runtime": [Cell(r.runtime) for r in records],
            "CPU class": [Cell(f"{r.cpu_class} on {r.device}") for r in records],
            "top-1": [Cell(accuracy(r), r.top1.value) for r in records],
            "top-5": [Cell(percent(r.top5.value), r.top5.value) if r.top5 else Cell("") for r in records],
            "lost": [
                Cell(
                    f"{100 * r.drop.estimate:.2f} points [{100 * r.drop.low:.2f}, {100 * r.drop.high:.2f}]",
                    r.drop.estimate,
                )
                if r.drop
                else Cell("")
                for r in records
            ],
            "against": [Cell(r.against or "") for r in records],
            "pictures": [Cell(pictures(r)) for r in records],
            "measured": [Cell(r.made[:16].replace("T", " ")) for r in records],
        },
    )
