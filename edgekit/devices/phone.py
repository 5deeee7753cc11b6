"""One Android phone over `adb`: commands to it, facts about it, and what its error texts mean."""

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from edgekit.devices.host import class_of
from edgekit.errors import DeviceError, EdgekitError, WorkerError

FOLDER = "/data/local/tmp/edgekit"  # every app may read there
PATIENCE = 60.0  # seconds for a command that only asks
MACHINES = {"arm64-v8a": "aarch64", "x86_64": "x86_64", "armeabi-v7a": "arm", "x86": "x86"}
PROPERTIES = {
    "manufacturer": "ro.product.manufacturer",
    "model": "ro.product.model",
    "soc": "ro.soc.model",  # Android 12
    "board": "ro.board.platform",
    "abis": "ro.product.cpu.abilist",
    "android": "ro.build.version.release",
    "sdk": "ro.build.version.sdk",
}
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")  # PowerManager.THERMAL_STATUS_*

# what adb itself says -> what that means, and what to do
TROUBLES = (
    (r"no devices/emulators found", "no phone is connected", "connect one with USB debugging on; adb devices lists them"),
    (r"device unauthorized", "the phone does not trust this computer", "unlock it and allow USB debugging for this computer"),
    (r"no permissions|insufficient permissions", "no permission to use the phone's USB port", "join the group plugdev, or set udev rules; adb devices says more"),
    (r"device (still )?offline", "the phone is offline", "plug it in again, or adb reconnect"),
    (r"device.* not found|error: closed|protocol fault|connection reset", "the phone is not connected", "plug it in again; adb devices lists what is there"),
    (r"failed to start daemon|cannot connect to daemon", "adb's server does not start", "adb kill-server, then adb devices"),
)  # fmt: skip


def find_adb() -> str:
    """On the PATH, or in the Android SDK. Raises DeviceError."""
    sdks = [os.environ[name] for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(name)]
    places = [None, *(str(Path(sdk) / "platform-tools") for sdk in sdks)]
    found = next(filter(None, (shutil.which("adb", path=place) for place in places)), None)
    if found is None:
        raise DeviceError("adb is not installed", hint="apt install adb, or ANDROID_HOME=folder of the Android SDK")
    return found


class Phone:
    """The phone of a serial number, or the only one. Every method raises DeviceError where adb or the phone do not
    answer, and WorkerError where a command on the phone fails."""

    def __init__(self, serial: str | None = None) -> None:
        self.adb_path = find_adb()
        self.serial = serial
        self.serial = serial or self.adb("get-serialno").strip()  # a second phone may come while we run

    def adb(self, *arguments: str, timeout: float = PATIENCE) -> str:
        """What a command says. Raises WorkerError where it ends with another code than 0."""
        done = self._run(arguments, timeout)
        if done.returncode:
            raise WorkerError(f"adb {arguments[0]} failed: {_last_line(done) or f'exit code {done.returncode}'}")
        return done.stdout.decode(errors="replace")

    def shell(self, *words: str, timeout: float = PATIENCE) -> str:
        """As `adb`, of a command on the phone."""
        return self.adb("shell", shlex.join(words), timeout=timeout)

    def try_shell(self, line: str, timeout: float = PATIENCE) -> str:
        """What a shell line on the phone says, whatever its exit code."""
        return self._run(("shell", line), timeout).stdout.decode(errors="replace")

    def read(self, *words: str) -> bytes:
        """The output of a command on the phone to the byte; its complaints are in it too, and no exit code is told."""
        return self._run(("exec-out", shlex.join(words)), PATIENCE).stdout

    def push(self, files: Sequence[Path], folder: str, timeout: float) -> None:
        """Copy files into a folder of the phone. adb lets every app read what this user may read here."""
        self.adb("push", *map(str, files), f"{folder}/", timeout=max(timeout, PATIENCE))

    def make_folder(self) -> str:
        """A new folder, which every app on the phone may read."""
        folder = f"{FOLDER}/{secrets.token_hex(4)}"
        self.adb("shell", f"mkdir -p {folder} && chmod 755 {FOLDER} {folder}")
        return folder

    def remove(self, folder: str) -> None:
        """Leave nothing of it; harmless where it is not there, or the phone is gone."""
        with contextlib.suppress(EdgekitError):
            self.try_shell(f"rm -rf {folder}; rmdir {FOLDER}")

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A new folder that is removed with the block."""
        folder = self.make_folder()
        try:
            yield folder
        finally:
            self.remove(folder)

    def install(self, file: Path) -> str:
        """What the package installer of the phone says: Success, or Failure [CODE: why]."""
        done = self._run(("install", "-r", "-g", str(file)), 600.0)
        return (done.stdout + done.stderr).decode(errors="replace")

    def _run(self, arguments: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[bytes]":
        command = [self.adb_path, *(("-s", self.serial) if self.serial else ()), *arguments]
        try:
            # in a session of its own: Ctrl-C must not end the clean-up, nor a server that this starts
            done = subprocess.run(
                command,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            hint = "plug the phone in again; adb kill-server"
            raise DeviceError(f"adb {arguments[0]}: no answer for {timeout:.0f} s", hint=hint) from None
        except OSError as error:
            raise DeviceError(f"{self.adb_path}: {error.strerror}", hint="adb version must work") from None
        if done.returncode:
            self._explain(done.stderr.decode(errors="replace"))
        return done

    def _explain(self, said: str) -> None:
        """Raise what adb itself, not a command on the phone, complains of."""
        own = " ".join(line for line in said.splitlines() if re.match(r"adb(\.exe)?: |error: |\* ", line))
        if re.search(r"more than one device", own):
            raise DeviceError("more than one phone is connected", hint=f"--on adb:SERIAL, one of {self._connected()}")
        for pattern, message, hint in TROUBLES:
            if re.search(pattern, own):
                which = f" ({self.serial})" if self.serial else ""
                raise DeviceError(f"{message}{which}", hint=hint)

    def _connected(self) -> str:
        listed = subprocess.run(
            [self.adb_path, "devices"], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        return ", ".join(line.split("\t")[0] for line in listed.stdout.splitlines() if "\t" in line)

    @cached_property
    def told(self) -> dict[str, str]:
        """PROPERTIES, and cpuinfo."""
        line = "; ".join(f"getprop {name}" for name in PROPERTIES.values())
        first, *rest = self.try_shell(f"{line}; cat /proc/cpuinfo").split("\n", len(PROPERTIES))
        names = (*PROPERTIES, "cpuinfo")
        return dict.fromkeys(names, "") | dict(zip(names, map(str.strip, (first, *rest)), strict=False))

    @property
    def name(self) -> str:
        """`Google Pixel 8`"""
        return f"{self.told['manufacturer']} {self.told['model']}".strip() or "unknown"

    @property
    def abi(self) -> str:
        """The first of those it runs: arm64-v8a"""
        return self.told["abis"].split(",")[0]

    def facts(self) -> dict[str, str]:
        """As devices.host.facts has them of a computer, and the phone's name."""
        fields = [line.partition(":") for line in self.told["cpuinfo"].splitlines()]
        sets = [set(value.split()) for name, _, value in fields if name.strip() in ("Features", "flags")]
        machine = MACHINES.get(self.abi, self.abi)
        return {
            "cpu_class": class_of(machine, frozenset(set.intersection(*sets)) if sets else frozenset()),
            "cpu": self.told["soc"] or self.told["board"] or self.name,
            "machine": self.abi,
            "system": f"Android {self.told['android']}, SDK {self.told['sdk']}",
            "cores": str(sum(name.strip() == "processor" for name, _, _ in fields)),
            "phone": self.name,
        }

    def conditions(self) -> dict[str, str]:
        """What changes while it works: battery, thermal status, power saving. What it does not tell is left out."""
        said = self.try_shell(
            "dumpsys battery; dumpsys thermalservice; echo low_power: $(settings get global low_power)"
        )
        found = dict(re.findall(r"^\s*(level|temperature|Thermal Status|low_power): (\d+)\s*$", said, re.MULTILINE))
        told = {}
        if "level" in found and "temperature" in found:
            told["battery"] = f"{found['level']} %, {int(found['temperature']) / 10:.1f} C"
        if "Thermal Status" in found:
            told["thermal"] = THERMAL[min(int(found["Thermal Status"]), len(THERMAL) - 1)]
        if found.get("low_power") == "1":
            told["power_save"] = "on"
        return told


def passed(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Conditions before and after something: `none`, or `none, then light`."""
    return {
        name: value if after.get(name, value) == value else f"{value}, then {after[name]}"
        for name, value in before.items()
    }


def _last_line(done: "subprocess.CompletedProcess[bytes]") -> str:
    lines = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
