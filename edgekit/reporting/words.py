"""What a machine's figures come to, in plain words. Every rendering says the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.benchmarking import summary
from edgekit.reporting.machines import Entry, Machine
from edgekit.reporting.table import megabytes, millions, ms, percent
from edgekit.runs import Evaluated, Run

METHOD = (
    "CPU is the CPU time of one inference, all threads together: the median over launches (fresh processes) of each "
    "launch's median. It is steadier than wall time on a machine that does other things too.",
    "Brackets are 95 % intervals: of CPU time from the launches (Yuen's trimmed t interval of logarithms), of ratios from "
    "inferences that took turns in one session, of accuracy Wilson's (of mIoU and mAP from drawing the images again). Whether two files differ is told by the ratio, "
    "which is narrower than the two intervals of CPU time: what disturbs the machine falls on both alike.",
    "Wall time, load and first are medians; p90 and p99 appear where there are samples enough. Memory is the peak of the "
    "process above what it held once the runtime was imported.",
    "Not comparable: figures of another device, CPU, system, number of cores or size of batch (each has a chapter of its "
    "own here); shares of right answers on other images; and, strictly, times of different sessions or runtime "
    "versions. Where a ranking holds such times, it says so. An emulated device has counts of instructions, and no "
    "times or memory. A phone tells wall time alone, and its files ran one after the other in each launch.",
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
        found.append(
            Headline("Fastest" if machine.timed else "Fewest instructions", best.name, cost(best), _ties(machine))
        )
    if machine.entries:
        small = min(machine.entries, key=lambda entry: entry.row.bytes)
        large = max(machine.entries, key=lambda entry: entry.row.bytes)
        times = large.row.bytes / max(small.row.bytes, 1)
        remark = f"{times:.1f} times smaller than {large.name}" if times >= 1.05 else ""
        found.append(Headline("Smallest", small.name, megabytes(small.row.bytes), remark))
    judged = [entry for entry in machine.entries if entry.headline]
    if judged:
        best = max(judged, key=lambda entry: entry.headline.value if entry.headline else 0)
        found.append(Headline("Most accurate", best.name, accuracy(best), _overlaps(best, judged)))
    held = [entry for entry in machine.entries if entry.memory is not None]
    if held:
        least = min(held, key=lambda entry: entry.memory or 0)
        found.append(Headline("Least memory", least.name, megabytes(least.memory or 0), "at its peak"))
    return found


def _ties(machine: Machine) -> str:
    """Which files the fastest is not surely faster than. Counts of instructions have no margin."""
    if not machine.timed:
        return ""
    same = [e.name for e in machine.costed[1:] if e.row.time_ratio and e.row.time_ratio.low <= 1]
    if same:
        return f"not surely faster than {_list(same)}"
    if len(machine.costed) > 1 and (second := machine.costed[1].row.time_ratio):
        return f"the next, {machine.costed[1].name}, takes {second} times as long"
    return ""


def _overlaps(best: Entry, judged: Sequence[Entry]) -> str:
    if len(judged) == 1:
        return "the only one evaluated"
    low = best.headline.low if best.headline else 0
    same = [entry.name for entry in judged if entry is not best and entry.headline and entry.headline.high >= low]
    if len(same) == len(judged) - 1:
        return "its interval overlaps all others; losses against a reference tell finer"
    return f"its interval overlaps that of {_list(same)}" if same else "its interval is above all others"


def _list(names: Sequence[str], most: int = 3) -> str:
    shown = list(names) if len(names) <= most + 1 else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def sentences(machine: Machine) -> list[str]:
    """How it was measured, who is on the front, and what to be careful with."""
    said = []
    front = [entry.name for entry in machine.front()]
    if len(machine.costed) > 1:
        quicker = "faster" if machine.timed else "cheaper"
        other = "as accurate" if machine.by_accuracy else "as small"
        said.append(f"Pareto front (no other file is both {quicker} and at least {other}): {_list(front, most=6)}.")
    if machine.entries:
        said.append(f"{_how(machine)}.")
    if len(machine.sessions) > 1:
        said.append(
            f"Careful: the newest runs of these files come from {len(machine.sessions)} sessions. Files of different "
            "sessions did not take turns, so no ratio is given between them."
        )
    if coarse := [entry.name for entry in machine.entries if entry.run.timed and not entry.run.told]:
        said.append(f"Careful: the clock of CPU times was too coarse to tell those of {_list(coarse)}.")
    if cut := [entry.name for entry in machine.entries if entry.run.cut]:
        said.append(f"Careful: stopped by hand, so that fewer inferences tell than were wanted: {_list(cut)}.")
    for runtime, versions in _versions(machine).items():
        if len(versions) > 1:
            said.append(f"Careful: {runtime} ran in {len(versions)} versions: {', '.join(versions)}.")
    if not machine.timed:
        said.append("An emulated device: times and memory on it mean nothing and are left out.")
        if any(entry.cost is None for entry in machine.entries):
            said.append("Some runs counted no instructions; edgekit bench counts them now.")
    elif not machine.by_accuracy and machine.entries:
        said.append(
            "No accuracy is drawn: fewer than two of these files were evaluated in the same runtime and on the same "
            "images here (edgekit eval)."
        )
    return said


def _how(machine: Machine) -> str:
    runs = [entry.run for entry in machine.entries]
    alike = len({_plan(run) for run in runs}) == len(machine.sessions) == 1
    how = summary.how(runs) if alike or not machine.timed else _plans(runs, machine)
    return how[0].upper() + how[1:]


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
    return time_of(entry, " ms") if entry.run.timed else f"{millions(entry.row.instructions or 0)} M instructions"


def time_of(entry: Entry, unit: str = "") -> str:
    """Milliseconds of an inference, with their interval."""
    if entry.cost is None:
        return ""
    interval = entry.cost_interval
    return f"{ms(entry.cost)}{unit}" + (f" [{ms(interval.low)}, {ms(interval.high)}]" if interval else "")


def accuracy(entry: Entry | Evaluated) -> str:
    share = entry.headline
    return f"{percent(share.value)} [{100 * share.low:.1f}, {100 * share.high:.1f}]" if share else ""
