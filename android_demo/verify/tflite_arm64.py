"""Does the app's TFLite answer rightly on a phone? The arm64 library of its AAR runs here, under QEMU, on whole artifacts.

    python android_demo/verify/toolchain.py mvn -q -f android_demo/verify/aars/pom.xml generate-resources
    python android_demo/verify/tflite_arm64.py ARTIFACT...

Each file's answers are held against its golden ones, and that against what its manifest says of the oldest interpreter on
arm64: a file that is said to need a newer one must be wrong or refused here, or what is said is too strict. "strays" is further
than the artifact's own tolerance, but less than twice as far, with the same best classes. Exit code 1 where they disagree.

QEMU is edgekit's (edgekit/devices/qemu.py). A cross compiler is fetched from Debian, without root rights, into .cache/android.
Takes seconds for a small int8 file and half a minute for a large one; times mean nothing here.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from bionic import patch
from numpy.typing import NDArray
from toolchain import CACHE, say

from edgekit import artifact
from edgekit.artifact import Artifact
from edgekit.devices import qemu
from edgekit.devices.arm64 import CORES
from edgekit.devices.emulated import linux
from edgekit.devices.packages import debian
from edgekit.errors import EdgekitError, UnsupportedError
from edgekit.tensors import Values

HERE = Path(__file__).parent
LIBRARY = HERE / "aars/target/tensorflow-lite/jni/arm64-v8a/libtensorflowlite_jni.so"
CROSS = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
CORE = CORES["cortex-a76"]
PROGRAM = HERE / "bionic/run_tflite.c"

Verdict = Literal["right", "strays", "wrong", "refused"]
ALIKE = 0.95  # of the pixels of each example; of classes, all
STRAY = 2  # tolerances: a transformer's static int8 is rounded otherwise by 2.16.1 (up to 1.3 seen), and names the same classes


def cross() -> Path:
    """The folder with the cross compiler, as a file system of its own."""
    root = CACHE / "cross"
    if not root.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            debian(CROSS, None, Path(work, "root"), Path(work, "downloads"), say)
            Path(work, "root").rename(root)
    return root


def compiler(root: Path) -> tuple[str, ...]:
    libraries = next(root.glob("usr/lib/*-linux-gnu/libmpc.so*")).parent
    return ("env", f"LD_LIBRARY_PATH={libraries}", str(root / "usr/bin/aarch64-linux-gnu-gcc"), f"--sysroot={root}")


class Phone:
    """A core with the AAR's library on it, in a folder that QEMU takes for its file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        root = cross()
        if not LIBRARY.exists():
            raise SystemExit(f"error: {LIBRARY} is missing\n  try: make android")
        linux(folder, CORE)
        (folder / "lib").symlink_to(root / "usr/aarch64-linux-gnu/lib")
        patch.make(LIBRARY, folder / "tflite", compiler(root))
        subprocess.run([*compiler(root), "-O1", PROGRAM, "-ldl", "-o", folder / "run_tflite"], check=True)
        there = qemu.set_up(say)
        libraries = ("-E", f"LD_LIBRARY_PATH={folder / 'tflite'}")
        self.command = [*qemu.command(there, "qemu-aarch64", CORE.cpu, folder), *libraries, folder / "run_tflite"]

    def answers(self, model: Artifact, tensors: NDArray[np.generic], file: Path | None = None) -> Values | str:
        """Real numbers to raw tensors [n, ...]; or why it refuses the file. `file`: another than the model's."""
        raw = self.run(file or model.model_file, tensors)
        if isinstance(raw, str):
            return raw
        each = np.dtype([(output.name, output.dtype, output.shape[1:]) for output in model.manifest.outputs])
        found = np.frombuffer(raw, each)
        return model.decode(tuple(found[output.name] for output in model.manifest.outputs))

    def run(self, file: Path, tensors: NDArray[np.generic]) -> bytes | str:
        """All outputs of each tensor, one after the other; or why it refuses the file."""
        given, raw = self.folder / "in", self.folder / "out"
        given.write_bytes(np.ascontiguousarray(tensors).tobytes())
        done = subprocess.run([*self.command, file, given, raw], capture_output=True, text=True, timeout=600)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
            return said[0].removeprefix("ERROR: ").partition(". ")[0] if said else f"exit code {done.returncode}"
        return raw.read_bytes()


def judge(phone: Phone, model: Artifact) -> tuple[Verdict, str]:
    """How the file is there, and in words."""
    golden = model.golden()
    answers = phone.answers(model, golden.tensors)
    if isinstance(answers, str):
        return "refused", answers
    likeness = model.manifest.task.alike(golden.answers, model.thinned(answers))
    off, tolerance = max(
        (
            (noise.max_abs, output.tolerance)
            for noise, output in zip(likeness.noise, model.manifest.outputs, strict=True)
        ),
        key=lambda both: both[0] - both[1],
    )
    same = min(likeness.shares, default=1.0) >= ALIKE
    verdict: Verdict = "right" if off <= tolerance else "strays" if off <= STRAY * tolerance and same else "wrong"
    return verdict, f"max |d| {off:.3g}, tolerance {tolerance:.3g}"


def main() -> None:
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    models = [artifact.load(Path(name)) for name in sys.argv[1:]]
    for model in models:
        if model.manifest.target != "tflite":
            raise UnsupportedError(f"{model.name} is a file for {model.manifest.target}", hint="artifacts for tflite")
    otherwise = 0
    with tempfile.TemporaryDirectory() as folder:
        phone = Phone(Path(folder))
        for model in models:
            verdict, words = judge(phone, model)
            floor = model.manifest.oldest_interpreter.get("arm64", "none")
            otherwise += (verdict in ("right", "strays")) == floor.startswith("LiteRT")
            sys.stdout.write(f"{model.name}: {verdict} ({words}); oldest interpreter said to be {floor}\n")
            sys.stdout.flush()
    if otherwise:
        raise SystemExit(f"error: {otherwise} of {len(models)} are otherwise than their manifest says")


if __name__ == "__main__":
    try:
        main()
    except EdgekitError as error:
        raise SystemExit(f"error: {error.message}\n  try: {error.hint}") from None
