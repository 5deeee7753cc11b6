"""What an export costs and what of it is edgekit's own: CPU seconds by step, and peak memory.

    python benchmarks/export_cost.py efficientnet_lite0 --scheme int8-static

Own are choosing and fitting pictures, preparing weights, and finishing the file; the rest is importing and running
litert-torch and the quantizer, collecting ranges, and the proof's inferences.
"""

import argparse
import cProfile
import pstats
import resource
import tempfile
import time
from pathlib import Path

from edgekit import pipeline
from edgekit.devices import host
from edgekit.recipe import Quantize, Recipe

# functions whose cumulative time is edgekit's own: (file, name)
OWN = (
    ("calibration.py", "choose"),
    ("preparing.py", "prepare"),
    ("tflite_file.py", "finish"),
    ("tensors.py", "examples"),
    ("artifact.py", "load"),
    ("weights.py", "digest"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--scheme", default="int8")
    parser.add_argument("--weights", default="auto")
    arguments = parser.parse_args()
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
