"""CPU time of the Android app from its start to the first answer on its screen, in a JVM, beside other states of the app.

    python benchmarks/android_cold_start.py                              this checkout's app, first launch and camera
    python benchmarks/android_cold_start.py --beside ../old --way camera  and another checkout's, with a ColdStart.kt that compiles there
    python benchmarks/android_cold_start.py --models build                which carries the artifacts in build/

Each start has a JVM of its own, in which Robolectric has shown an empty activity; checkouts take turns. `example` is the first launch:
an example of the model's is answered. `camera` is allowed, and a frame of 1280 x 720 is. Counted are all threads of the process, also
the JVM's compiler (to 10 ms), and the main thread alone, on which the app's worker runs here. **Not a phone**: its virtual machine,
storage and drawing are others; this says whether one state of the app does more work than another.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from edgekit.devices import host

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "android_demo/verify"))
import toolchain  # type: ignore[import-not-found]  # noqa: E402

MODULE = "android_demo/verify/app-ort"
WAYS = ("example", "camera")
FLAGS = (
    *toolchain.BRIEF,
    "--enable-native-access=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.access=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.io")),
)
Start = dict[str, tuple[float, float]]  # stage: ms of CPU of the process, and of the main thread


def classpath(checkout: Path, models: Path, *, as_built: bool) -> str:
    """Of the compiled app, its tests and what they need."""
    module = checkout / MODULE
    out = module / "target/classpath"
    if not as_built:
        build(module, out, models)
    return f"{module}/target/classes:{module}/target/test-classes:{out.read_text()}"


def build(module: Path, out: Path, models: Path) -> None:
    arguments = ["-pl", "app-ort", "-am", "test-compile", "dependency:build-classpath"]
    command = [
        sys.executable,
        str(ROOT / "android_demo/verify/toolchain.py"),
        "mvn",
        "-q",
        "-f",
        str(module.parent / "pom.xml"),
    ]
    options = [f"-Dmdep.outputFile={out}", f"-Dedgekit.app.models={models}"]
    subprocess.run([*command, *arguments, *options], check=True, stdout=subprocess.DEVNULL)


def start(checkout: Path, classes: str, models: Path, way: str) -> Start:
    """Once, in a JVM of its own."""
    given = {
        "java.library.path": checkout / "android_demo/verify/engines/target/bionic",
        "maven.repo.local": toolchain.CACHE / "m2",
        "edgekit.cold.models": models,
        "edgekit.cold.way": way,
    }
    program = [str(toolchain.java(fetch=False)), *FLAGS, *(f"-D{name}={value}" for name, value in given.items())]
    ran = subprocess.run(
        [*program, "-cp", classes, "org.junit.runner.JUnitCore", "dev.edgekit.demo.ColdStart"],
        cwd=checkout / MODULE, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if ran.returncode:
        raise SystemExit(f"{checkout}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    marks = [line.split("COLD ")[1].split() for line in ran.stdout.splitlines() if "COLD " in line]
    stages: Start = {}
    for (stage, *begin), (_, *end) in itertools.pairwise(marks):
        process, thread = ((int(b) - int(a)) / 1e6 for a, b in zip(begin, end, strict=True))
        before = stages.get(stage, (0.0, 0.0))
        stages[stage] = (before[0] + process, before[1] + thread)
    return stages


def middle(numbers: Iterable[float]) -> str:
    sorted_ = sorted(numbers)
    return f"{statistics.median(sorted_):7.0f} ms ({sorted_[0]:.0f} to {sorted_[-1]:.0f})"


def report(starts: list[list[Start]], names: list[str]) -> None:
    """starts: of each round, one of each checkout."""
    totals = [[[sum(s[i] for s in one.values()) for one in round_] for round_ in starts] for i in (0, 1)]
    for place, name in enumerate(names):
        for who, total in zip(("all threads", "main thread"), totals, strict=True):
            ratios = [round_[place] / round_[0] for round_ in total]
            beside = (
                ""
                if place == 0
                else f", {statistics.median(ratios):.2f} of the first's ({min(ratios):.2f} to {max(ratios):.2f})"
            )
            print(f"  {name:12} {who}  {middle(round_[place] for round_ in total)}{beside}")
        for stage in starts[0][place]:
            print(f"    {stage.replace('_', ' '):18}     {middle(round_[place][stage][1] for round_ in starts)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="CHECKOUT")
    parser.add_argument("--models", type=Path, default=ROOT / "android_demo/app/src/main/assets/models", metavar="DIR")
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--as-built", action="store_true", help="compile nothing anew")
    asked = parser.parse_args()
    models = asked.models.resolve()
    if not models.is_dir():
        parser.error(f"{models} does not exist: python android_demo/verify/models.py --app puts models into the app")
    checkouts = [*(path.resolve() for path in asked.beside), ROOT]
    classes = [classpath(checkout, models, as_built=asked.as_built) for checkout in checkouts]
    carried = ", ".join(sorted(path.name for path in models.iterdir()))
    for way in asked.way or WAYS:
        print(
            f"CPU class {host.facts()['cpu_class']}, {way}, {asked.starts} starts each, medians; the app carries {carried}"
        )
        rounds = [
            [start(checkout, c, models, way) for checkout, c in zip(checkouts, classes, strict=True)]
            for _ in range(asked.starts)
        ]
        report(rounds, [checkout.name for checkout in checkouts])


if __name__ == "__main__":
    main()
