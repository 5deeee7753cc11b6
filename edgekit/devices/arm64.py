"""`arm64:cortex-a76` and other ARM cores: an aarch64 Python of Debian with aarch64 wheels of the runtimes.

Never QEMU's `max`: with SVE, LiteRT's int8 gave wrong answers there.
"""

import re
import tempfile
from pathlib import Path
from typing import ClassVar

import edgekit
import edgekit_vision
from edgekit.devices import Job, qemu
from edgekit.devices.cache import Part, Say, cache, make, part, run
from edgekit.devices.emulated import Core, Emulated, EmulatedWorker
from edgekit.devices.packages import debian, installed_here, wheels
from edgekit.errors import DeviceError, MissingExtraError, UnsupportedError

DISTRIBUTIONS = ("ai-edge-litert", "onnxruntime", "openvino", "numpy", "pillow", "msgspec")
MODULES = "ai_edge_litert.interpreter, onnxruntime, openvino, numpy, PIL.Image, msgspec"

# of this machine's Python and libraries; the guest has its own
NOT_FOR_GUESTS = ("LD_LIBRARY_PATH", "LD_PRELOAD", "OPENBLAS_CORETYPE", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")

ARM = 0x41
ARMV8_0 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
ARMV8_2 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


def core(name: str, features: str, variant: int, part: int, revision: int) -> Core:
    """The numbers are those of the main ID register (MIDR) of QEMU's core."""
    cpuinfo = (
        f"processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: {features}\nCPU implementer\t: {ARM:#x}\n"
        f"CPU architecture: 8\nCPU variant\t: {variant:#x}\nCPU part\t: {part:#x}\nCPU revision\t: {revision}\n\n"
    )
    midr = ARM << 24 | variant << 20 | 0xF << 16 | part << 4 | revision
    register = "sys/devices/system/cpu/cpu0/regs/identification/midr_el1"
    return Core(name, {"proc/cpuinfo": cpuinfo, register: f"{midr:#018x}\n"})


CORES = {
    made.cpu: made
    for made in (
        core("cortex-a76", ARMV8_2, 4, 0xD0B, 1),  # Raspberry Pi 5
        core("cortex-a72", ARMV8_0, 0, 0xD08, 3),  # Raspberry Pi 4
        core("cortex-a53", ARMV8_0, 0, 0xD03, 4),
        core("neoverse-n1", ARMV8_2 + " ssbs", 4, 0xD0C, 1),
    )
}


class Arm64(Emulated):
    kind = "arm64"
    emulator = "qemu-aarch64"
    cores: ClassVar = CORES

    def set_up(self, say: Say) -> None:
        there = part(self.kind)
        if there is None:
            say(f"in all about 145 MB to download, and 400 MB in {cache()}")
        emulator = qemu.set_up(say)
        if there is None or not (set(DISTRIBUTIONS) <= set(there.holds) and installed_here(there.holds)):
            make(self.kind, lambda folder, downloads: self._fetch(emulator, folder, downloads, say))

    def parts(self) -> list[Part]:
        there = part(self.kind)
        if there is None:
            raise DeviceError(f"{self.name} is not set up", hint=f"edgekit doctor --setup {self.kind}")
        return [*super().parts(), there]

    def start(self, job: Job, timeout: float) -> EmulatedWorker:
        try:
            return super().start(job, timeout)
        except MissingExtraError as error:
            raise UnsupportedError(
                f"{error.message} on {self.name}", hint=f"{self.kind} has {', '.join(DISTRIBUTIONS[:3])}"
            ) from None

    def guest(self, prefix: Path, parts: list[Part]) -> list[str]:
        root, site = parts[1].folder / "root", parts[1].folder / "site"
        for name in ("bin", "etc", "lib", "sbin", "usr"):
            (prefix / name).symlink_to(root / name if (root / name).exists() else root / "usr" / name)
        _this_edgekit(prefix / "edgekit")
        unset = [option for name in NOT_FOR_GUESTS for option in ("-U", name)]
        return [*unset, "-E", f"PYTHONPATH={site}:{prefix / 'edgekit'}", f"{prefix}/usr/bin/python3", "-s"]

    def _fetch(self, emulator: Part, folder: Path, downloads: Path, say: Say) -> dict[str, str]:
        debs = debian(("python3-minimal", "libpython3-stdlib", "libstdc++6"), "arm64", folder / "root", downloads, say)
        python = re.match(r"\d+\.\d+", debs["python3-minimal"])
        glibc = re.match(r"2\.(\d+)", debs["libc6"])
        assert python, debs
        assert glibc, debs
        holds = wheels(DISTRIBUTIONS, python[0], int(glibc[1]), "aarch64", folder / "site", say)
        say("starting it once")
        with tempfile.TemporaryDirectory(prefix="edgekit-") as prefix:
            command = self.python(Path(prefix), [emulator, Part(folder, holds)])
            run([*command, "-c", f"import edgekit.devices.worker, {MODULES}"], f"start {self.name}")
        return {"python": debs["python3-minimal"].partition("-")[0], **holds}


def _this_edgekit(into: Path) -> None:
    """The package that is running, and its entry points, without what else lies beside it here."""
    into.mkdir()
    for module in (Path(edgekit.__file__).parent, Path(edgekit_vision.__file__)):
        (into / module.name).symlink_to(module)
    if here := edgekit_vision.installed():
        about = into / f"{edgekit_vision.__name__}-{here.version}.dist-info"
        about.mkdir()
        for name in ("METADATA", "entry_points.txt"):
            (about / name).write_text(here.read_text(name) or "", "utf-8")
