"""How often `edgekit gate` errs: false alarms where nothing changed, and slowdowns that it finds.

    record ARTIFACT...         launches of files against themselves, into results/gate-launches-CPU_CLASS.json
    simulate                   gates drawn from the recorded launches, with exact slowdowns added to them
    live ARTIFACT SLOWER       real gates: ARTIFACT against itself, and SLOWER against ARTIFACT

SLOWER is a file of the same kind that takes a little longer, for instance the same network for larger images.
"""

import argparse
import json
import math
import random
import statistics
import time
from pathlib import Path

from edgekit import artifact, registry
from edgekit.devices import Job, host
from edgekit.gating.paired import PairedLaunches
from edgekit.gating.sequential import Decision, boundary, decide

RESULTS = Path(__file__).parent / "results"
SLOWDOWNS = (0, 1, 2.5, 5, 7, 8, 10, 20)  # percent
LIMIT = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("record")
    command.add_argument("artifacts", nargs="+", type=Path)
    command.add_argument("--launches", type=int, default=60)
    command = commands.add_parser("simulate")
    command.add_argument("--gates", type=int, default=5000)
    command = commands.add_parser("live")
    command.add_argument("artifact", type=Path)
    command.add_argument("slower", type=Path)
    command.add_argument("--same", type=int, default=20, help="gates of the file against itself")
    command.add_argument("--changed", type=int, default=10, help="gates of the slower file")
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.artifacts, arguments.launches)
    elif arguments.command == "simulate":
        simulate(arguments.gates)
    else:
        live(arguments.artifact, arguments.slower, arguments.same, arguments.changed)


def side_by_side(candidate: Path, baseline: Path, budget: float = 60) -> PairedLaunches:
    runtime = registry.runtime_for(artifact.open_model(candidate).target).name
    return PairedLaunches(
        Job(str(candidate), runtime), Job(str(baseline), runtime), registry.device("local"), budget, 120
    )


def gate(pair: PairedLaunches) -> Decision:
    return decide(pair.launch, boundary(LIMIT, detect=True), go_on=pair.go_on, blur=lambda: pair.blur(pair.times))


def record(artifacts: list[Path], launches: int) -> None:
    """Log ratios of a file against itself, a launch each; kept after every file."""
    recorded = json.loads(recordings().read_text("utf-8")) if recordings().is_file() else {}
    for path in artifacts:
        pair = side_by_side(path, path)
        ratios = [round(pair.launch(), 5) for _ in range(launches)]
        assert pair.ready
        name = f"{path.name} in {pair.ready.facts['runtime']}"
        recorded[name] = ratios
        recordings().write_text(json.dumps(recorded, indent=1) + "\n", "utf-8")
        print(f"{name}: {launches} launches, sd {100 * statistics.stdev(ratios):.2f} %, {pair.seconds:.0f} s")


def simulate(gates: int) -> None:
    """Every gate draws launches, with replacement, from one file's recorded ones."""
    recorded = json.loads(recordings().read_text("utf-8"))
    print(f"{gates} gates of each of {len(recorded)} files, CPU class {host.cpu_class()}; limit {LIMIT:.0%}\n")
    print(
        "| true slowdown | fails, limit | worst file | passes | launches | fails, --detect | worst file | passes | launches |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for slowdown in SLOWDOWNS:
        cells = []
        for detect in (False, True):
            failed, passed, launches = [], [], []
            edge = boundary(LIMIT, detect=detect)
            for name, ratios in recorded.items():
                rng = random.Random(f"{name} {slowdown} {detect}")
                added = math.log1p(slowdown / 100)
                found = [
                    decide(lambda r=rng, x=ratios, a=added: r.choice(x) + a, edge)  # type: ignore[misc]
                    for _ in range(gates)
                ]
                failed.append(sum(d.outcome == "fail" for d in found) / gates)
                passed.append(sum(d.outcome == "pass" for d in found) / gates)
                launches += [d.estimate.launches for d in found]
            worst = max(failed) if slowdown < 100 * LIMIT / (2 if detect else 1) else min(failed)
            shares = (statistics.mean(failed), worst, statistics.mean(passed))
            cells += [*(f"{share:.4f}" for share in shares), f"{statistics.mean(launches):.1f}"]
        print(f"| {slowdown} % | {' | '.join(cells)} |")


def live(same: Path, slower: Path, repeats: int, changed: int) -> None:
    """Real gates with --detect, and what they say."""
    for what, candidate, count in (("against itself", same, repeats), ("slower", slower, changed)):
        outcomes, estimates, seconds = [], [], []
        for i in range(count):
            pair = side_by_side(candidate, same)
            pair.seed = i
            found = gate(pair)
            outcomes.append(found.outcome)
            estimates.append(100 * math.expm1(found.estimate.value))
            seconds.append(pair.seconds)
            print(
                f"{what} {i + 1}/{count}: {found.outcome}, {estimates[-1]:+.1f} %, {found.estimate.launches} launches,"
                f" {seconds[-1]:.0f} s, load {host.conditions().get('load', '?')}",
                flush=True,
            )
        told = ", ".join(f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes))
        print(
            f"{what}: {told} of {count}; median {statistics.median(estimates):+.1f} %,"
            f" {min(seconds):.0f} to {max(seconds):.0f} s a gate\n"
        )


def recordings() -> Path:
    return RESULTS / f"gate-launches-{host.cpu_class()}.json"


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"{time.monotonic() - start:.0f} s")
