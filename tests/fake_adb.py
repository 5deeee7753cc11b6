"""An `adb` with a phone that is a folder. `make_phone` makes both; the phone's shell is this machine's, with the phone's
own commands in front.

FAKE_SCENARIO  what goes wrong (see `SAYS`, `am`, and the scripts in COMMANDS)
FAKE_APP       the command that plays the app; it is called with the intent's extras (a JSON file, in which paths are those
               of this machine) and the app's own folder, and leaves files/bench/RUN.json and RUN.out there. Default:
               fake_app.py, which opens the file in the real runtime.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__)
SCENARIO = os.environ.get("FAKE_SCENARIO", "")
ROOT = Path(os.environ.get("FAKE_PHONE", "."))
PACKAGE = "dev.edgekit.demo"
CORES = 8

# what adb answers instead of doing anything
SAYS = {
    "none": "adb: no devices/emulators found",
    "two": "adb: more than one device/emulator",
    "unauthorized": "error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\nTry 'adb kill-server' if that seems wrong.",
    "offline": "adb: device offline",
    "ports": "error: insufficient permissions for device: user in plugdev group; are your udev rules wrong?",
}
PROPERTIES = {
    "ro.product.manufacturer": "Fairphone",
    "ro.product.model": "FP5",
    "ro.soc.model": "QCM6490",
    "ro.board.platform": "qcm6490",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
}
COMMANDS = {
    "getprop": 'cat "$FAKE_PHONE/props/$1"',
    "dumpsys": 'cat "$FAKE_PHONE/dumpsys/$1"',
    "settings": "echo 0",
    "pm": 'test -e "$FAKE_PHONE/app" && echo package:/data/app/base.apk',
    "pidof": 'cat "$FAKE_PHONE/alive"',
    "logcat": 'cat "$FAKE_PHONE/crash"',
    "am": f'exec "{sys.executable}" -IS "{HERE}" --am "$@"',
    "run-as": """
case "$FAKE_SCENARIO" in
  not-debuggable) echo "run-as: package not debuggable: $1" >&2; exit 1;;
  uninstalled) echo "run-as: unknown package: $1" >&2; exit 1;;
esac
cd "$FAKE_PHONE/data/data/$1" && shift && exec "$@"
""",
}


def make_phone(folder, features="fp asimd aes atomics asimdhp asimddp", installed=True):
    """A phone and its adb in a folder; the environment that finds them."""
    for name, text in COMMANDS.items():
        _script(folder / "bin" / name, f"#!/bin/sh\n{text}\n")
    for name, text in PROPERTIES.items():
        _write(folder / "props" / name, text + "\n")
    core = f"processor\t: %d\nFeatures\t: {features}\nCPU implementer\t: 0x41\n\n"
    _write(folder / "proc/cpuinfo", "".join(core % n for n in range(CORES)))
    _write(
        folder / "dumpsys/battery", "Current Battery Service state:\n  level: 87\n  scale: 100\n  temperature: 285\n"
    )
    _write(folder / "dumpsys/thermalservice", "IsStatusOverride: false\nThermal Status: 0\n")
    _write(folder / "crash", "Fatal signal 11 (SIGSEGV), code 1 (SEGV_MAPERR) in tid 4711 (worker), pid 4711\n")
    (folder / "data/local/tmp").mkdir(parents=True)
    (folder / "data/data" / PACKAGE / "files/bench").mkdir(parents=True)
    if installed:
        (folder / "app").touch()
    _script(folder / "sdk/platform-tools/adb", f'#!/bin/sh\nexec "{sys.executable}" -IS "{HERE}" "$@"\n')
    return {"FAKE_PHONE": str(folder), "ANDROID_HOME": str(folder / "sdk")}


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _script(path, text):
    _write(path, text)
    path.chmod(0o755)


def adb(arguments):
    if arguments[:1] == ["-s"]:
        arguments = arguments[2:]
    verb, *rest = arguments
    with (ROOT / "log").open("a") as log:
        log.write(shlex.join(arguments) + "\n")
    if verb == "devices":
        return print("List of devices attached\nFP5A1\tdevice\nemulator-5554\tdevice\n")
    if SCENARIO in SAYS:
        sys.exit(SAYS[SCENARIO])
    if (ROOT / "unplugged").exists():
        sys.exit("adb: device 'FP5A1' not found")
    if verb == "get-serialno":
        return print("FP5A1")
    if verb == "install":
        if SCENARIO == "wrong-abi":
            abis = "Failed to extract native libraries, res=-113"
            sys.exit(f"adb: failed to install {rest[-1]}: Failure [INSTALL_FAILED_NO_MATCHING_ABIS: {abis}]")
        (ROOT / "app").touch()
        return print("Performing Streamed Install\nSuccess")
    if verb == "push":
        for file in rest[:-1]:
            shutil.copy(file, _here(rest[-1]))
        return None
    assert verb in ("shell", "exec-out"), verb
    env = os.environ | {"PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}"}
    merged = {"stderr": subprocess.STDOUT} if verb == "exec-out" else {}
    done = subprocess.run(["/bin/sh", "-c", _here(rest[0])], env=env, check=False, **merged)
    return sys.exit(done.returncode if verb == "shell" else 0)


def _here(text):
    """A path of the phone on this machine."""
    return re.sub(r"(?<![\w/])/(data/local/tmp|proc/cpuinfo)", rf"{ROOT}/\1", text)


def am(arguments):
    if arguments[0] == "force-stop":
        return (ROOT / "alive").write_text("")
    assert arguments[:5] == ["start", "-W", "-S", "-n", f"{PACKAGE}/.BenchmarkActivity"], arguments
    print(f"Stopping: {PACKAGE}\nStarting: Intent {{ cmp={PACKAGE}/.BenchmarkActivity (has extras) }}")
    if SCENARIO == "no-activity":
        name = f"{PACKAGE}/{PACKAGE}.BenchmarkActivity"
        return print(f"Error type 3\nError: Activity class {{{name}}} does not exist.")
    kinds = {"--es": str, "--ei": int, "--el": int, "--ez": lambda text: text == "true"}
    extras = {arguments[i + 1]: kinds[arguments[i]](arguments[i + 2]) for i in range(5, len(arguments), 3)}
    launches = int((ROOT / "launches").read_text()) if (ROOT / "launches").exists() else 0
    (ROOT / "launches").write_text(str(launches + 1))
    if SCENARIO == "unplugged" and launches:  # in the middle of the second
        return (ROOT / "unplugged").touch()
    if SCENARIO not in ("crash", "hang", "not-debuggable", "uninstalled"):
        (ROOT / "extras.json").write_text(json.dumps(extras))
        command = shlex.split(
            os.environ.get("FAKE_APP") or shlex.join([sys.executable, str(HERE.with_name("fake_app.py"))])
        )
        subprocess.run([*command, ROOT / "extras.json", ROOT / "data/data" / PACKAGE], check=True)
    if SCENARIO == "warm":
        (ROOT / "dumpsys/thermalservice").write_text("Thermal Status: 2\n")
    (ROOT / "alive").write_text("" if SCENARIO == "crash" else "4711\n")
    return print(f"Status: ok\nLaunchState: COLD\nActivity: {PACKAGE}/.BenchmarkActivity\nTotalTime: 312\nComplete")


if __name__ == "__main__":
    am(sys.argv[2:]) if sys.argv[1] == "--am" else adb(sys.argv[1:])
