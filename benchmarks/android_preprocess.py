"""CPU time of the app's preprocessing, in a JVM, beside Pillow's resize and crop of the same image on this machine.

    python benchmarks/android_preprocess.py [MODEL]     of android_demo/core/src/test/resources/vectors; mobilenetv2

A frame of 1280 x 720. Kotlin goes from camera planes or ARGB to the tensor; Pillow from a decoded RGB image to fitted
pixels (`fit`). They take turns, after a warm-up. Needs Java and Maven. A JVM on x86 is not a phone's ART: this compares
two programs, and says nothing of a phone.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.devices import host
from edgekit.manifest import read_manifest
from edgekit.preprocess import fit

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "android_demo/verify/core"
ROUNDS, FRAMES, WARMUP = 15, 10, 400
WAYS = ("argb", "yuv", "yuv90")


def classpath() -> str:
    """Of the compiled core, its tests and Kotlin's library."""
    out = MODULE / "target/classpath"
    maven = ["mvn", "-q", "-B", "-f", str(MODULE), *os.environ.get("MAVEN_ARGS", "").split()]
    subprocess.run([*maven, "test-compile", "dependency:build-classpath", f"-Dmdep.outputFile={out}"], check=True)
    return f"{MODULE}/target/classes:{MODULE}/target/test-classes:{out.read_text()}"


def main() -> None:
    model = ROOT / "android_demo/core/src/test/resources/vectors" / (sys.argv[1] if sys.argv[1:] else "mobilenetv2")
    spec = read_manifest(model).preprocess
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8))
    command = ["java", "-Xss1m", "-cp", classpath(), "dev.edgekit.core.PreprocessBenchKt", str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as kotlin:
        question, answer = kotlin.stdin, kotlin.stdout
        assert question is not None
        assert answer is not None

        def kotlin_ms(way: str, frames: int) -> float:
            print(way, frames, file=question, flush=True)
            return int(answer.readline()) / frames / 1e6

        def pillow_ms(frames: int) -> float:
            start = time.process_time_ns()
            for _ in range(frames):
                fit(picture, spec)
            return (time.process_time_ns() - start) / frames / 1e6

        for way in WAYS:
            kotlin_ms(way, WARMUP)
        pillow_ms(FRAMES)
        rounds = [(pillow_ms(FRAMES), *(kotlin_ms(way, FRAMES) for way in WAYS)) for _ in range(ROUNDS)]
        question.close()
    print(
        f"CPU class {host.facts()['cpu_class']}, {model.name}: {spec.input_size}, crop_pct {spec.crop_pct}, {spec.interpolation}"
    )
    for i, name in enumerate(("Pillow", *WAYS)):
        ratios = [r[i] / r[0] for r in rounds]
        print(
            f"{name:8} {statistics.median(r[i] for r in rounds):6.2f} ms CPU a frame, {statistics.median(ratios):5.2f} of Pillow's"
        )


if __name__ == "__main__":
    main()
