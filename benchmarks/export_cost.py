"""What an export costs and what of it is edgekit's own: CPU seconds by step, and peak memory.

    python benchmarks/export_cost.py efficientnet_lite0 --scheme int8-static
    python benchmarks/export_cost.py mobilenetv2 --against CHECKOUT    with an older edgekit, five times in turn

Own are choosing and fitting images, preparing weights, and finishing the file; the rest is importing and running
litert-torch and the quantizer, collecting ranges, and the proof's inferences.
"""

import argparse
import cProfile
import math
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

from edgekit import pipeline
from edgekit.devices import host
from edgekit.recipe import Quantize, Recipe
from edgekit.statistics.intervals import t_quantile

PAIRS = 5
HERE = Path(__file__).resolve().parent.parent
EXPORT = """
import sys, tempfile
from pathlib import Path
import edgekit
from edgekit.recipe import Quantize, Recipe
checkout, model, scheme, weights = sys.argv[1:]
assert Path(edgekit.__file__).is_relative_to(checkout), edgekit.__file__
recipe = Recipe(model=model, target="tflite", weights=weights, quantize=Quantize(scheme=scheme))
with tempfile.TemporaryDirectory() as folder:
    edgekit.export(recipe, Path(folder, "made"))
"""

# functions whose cumulative time is edgekit's own: (file, name)
OWN = (
    ("calibration.py", "choose"),
    ("preparing.py", "prepare"),
    ("tflite_file.py", "finish"),
    ("tensors.py", "examples"),
    ("artifact.py", "load"),
    ("weights.py", "digest"),
)


def seconds(checkout: Path, *asked: str) -> float:
    """CPU seconds of an export in a process of its own, its workers' included, by the edgekit of a checkout."""
    found = {**os.environ, "PYTHONPATH": str(checkout)}
    child = subprocess.Popen([sys.executable, "-P", "-c", EXPORT, str(checkout), *asked], env=found)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the export of {checkout} failed")
    return used.ru_utime + used.ru_stime


def against(old: Path, *asked: str) -> None:
    logs = []
    for i in range(PAIRS):
        turn = (old, HERE) if i % 2 else (HERE, old)  # neither is always the first
        spent = {checkout: seconds(checkout, *asked) for checkout in turn}
        logs.append(math.log(spent[HERE] / spent[old]))
        print(f"  {spent[HERE]:.1f} s, {spent[old]:.1f} s before", flush=True)
    middle, half = mean(logs), t_quantile(0.975, PAIRS - 1) * stdev(logs) / math.sqrt(PAIRS)
    value, low, high = (100 * math.expm1(log) for log in (middle, middle - half, middle + half))
    print(f"{value:+.1f} % [{low:+.1f}, {high:+.1f}] CPU time (95 %, {PAIRS} pairs); CPU class {host.cpu_class()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--scheme", default="int8")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--against", type=Path)
    arguments = parser.parse_args()
    if arguments.against:
        against(arguments.against.resolve(), arguments.model, arguments.scheme, arguments.weights)
        return
    recipe = Recipe(
        model=arguments.model,
        target="tflite",
        weights=arguments.weights,
        quantize=Quantize(scheme=arguments.scheme),
    )
    steps: list[tuple[float, str]] = [(time.process_time(), "start")]
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        profile.enable()
        pipeline.export(recipe, Path(folder, "made"), say=lambda line: steps.append((time.process_time(), line)))
        profile.disable()
    end = time.process_time()
    print(f"CPU class {host.cpu_class()}; CPU seconds, all threads")
    for (begin, line), (until, _) in zip(steps, [*steps[1:], (end, "")], strict=True):
        print(f"  {until - begin:6.1f}  {line}")
    total = end
    rows = pstats.Stats(profile).get_stats_profile().func_profiles
    own = 0.0
    for file, name in OWN:
        found = [p for key, p in rows.items() if key == name and Path(p.file_name).name == file]
        seconds = sum(p.cumtime for p in found)
        own += seconds
        print(f"  {seconds:6.1f}  own: {file} {name}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"own {own:.1f} of {total:.1f} s ({own / total:.0%}); peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
