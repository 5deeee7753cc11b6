"""Does the app's TFLite answer rightly on a phone? The arm64 library of its AAR runs here, under QEMU, on whole artifacts.

    python android_demo/verify/toolchain.py mvn -q -f android_demo/verify/aars/pom.xml generate-resources
    python android_demo/verify/tflite_arm64.py ARTIFACT...

Each file's answers are held against its golden ones, within its own tolerance, and that against what its manifest says of the
oldest interpreter on arm64: a file that is said to need a newer one must be wrong here, or what is said is too strict. Exit
code 1 where the two disagree.

QEMU is edgekit's (edgekit/devices/qemu.py). A cross compiler is fetched from Debian, without root rights, into .cache/android.
Takes seconds for a small int8 file and half a minute for a large one; times mean nothing here.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

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

HERE = Path(__file__).parent
LIBRARY = HERE / "aars/target/tensorflow-lite/jni/arm64-v8a/libtensorflowlite_jni.so"
CROSS = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
CORE = CORES["cortex-a76"]
PROGRAM = HERE / "bionic/run_tflite.c"


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
            raise SystemExit(f"error: {LIBRARY} is missing\n  try: the first command of {Path(__file__).name}'s docstring")
        linux(folder, CORE)
        (folder / "lib").symlink_to(root / "usr/aarch64-linux-gnu/lib")
        patch.make(LIBRARY, folder / "tflite", compiler(root))
        subprocess.run([*compiler(root), "-O1", PROGRAM, "-ldl", "-o", folder / "run_tflite"], check=True)
        there = qemu.set_up(say)
        libraries = ("-E", f"LD_LIBRARY_PATH={folder / 'tflite'}")
        self.command = [*qemu.command(there, "qemu-aarch64", CORE.cpu, folder), *libraries, folder / "run_tflite"]

    def answers(self, model: Artifact, tensors: NDArray[np.generic]) -> NDArray[np.float32] | str:
        """Real numbers, [n, classes], to raw tensors [n, ...]; or why it refuses the file."""
        given, raw = self.folder / "in", self.folder / "out"
        given.write_bytes(np.ascontiguousarray(tensors).tobytes())
        done = subprocess.run([*self.command, model.model_file, given, raw], capture_output=True, text=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")]
            return said[0] if said else f"exit code {done.returncode}"
        output = model.manifest.output
        answers = np.fromfile(raw, output.dtype).reshape(len(tensors), *output.shape[1:])
        return model.decode(answers)


def judge(phone: Phone, model: Artifact) -> tuple[bool, str]:
    """Whether the file is right there, and in words."""
    golden, tolerance = model.golden(), model.manifest.golden_tolerance
    answers = phone.answers(model, golden.tensors)
    if isinstance(answers, str):
        return False, f"refused: {answers}"
    off = float(np.abs(answers - golden.answers).max())
    right = off <= tolerance  # not-a-number is wrong
    return right, f"{'right' if right else 'wrong'}, max |d| {off:.3g}, tolerance {tolerance:.3g}"


def main() -> None:
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        phone = Phone(Path(folder))
        for name in sys.argv[1:]:
            model = artifact.load(Path(name))
            right, words = judge(phone, model)
            floor = model.manifest.oldest_interpreter.get("arm64", "none")
            wrong += right == floor.startswith("LiteRT")
            print(f"{model.name}  oldest interpreter {floor}; {words}", flush=True)
    if wrong:
        raise SystemExit(f"error: {wrong} of {len(sys.argv) - 1} are otherwise than their manifest says")


if __name__ == "__main__":
    main()
