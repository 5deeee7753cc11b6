"""One launch of the app: extras in, its answer out. What it means stands in adb.py."""

import contextlib
import re
import time
from typing import Literal

import msgspec

from edgekit.devices.apk import PACKAGE
from edgekit.devices.phone import Phone
from edgekit.errors import DeviceError, EdgekitError, WorkerError

POLL = (0.2, 1.0)  # seconds between questions for the answer, at first and at most: each costs the phone some work
SET_UP = "edgekit doctor --setup adb"

Extra = str | int | bool


class Long(int):
    """A number that the app reads as Java's long."""


class Trouble(msgspec.Struct, frozen=True):
    """Why there is no answer. `stage`: what the app was at, as "load"; `hint`: what to do."""

    stage: str
    type: str
    message: str
    hint: str | None = None


class App(msgspec.Struct, frozen=True):
    """`engine`, `engine_version`: what ran: "tflite", "2.16.1"."""

    version: str
    engine: str
    engine_version: str


class Checked(msgspec.Struct, frozen=True):
    """The model file as the app read it."""

    sha256: str


class Times(msgspec.Struct, frozen=True):
    """Nanoseconds: opening the file, the first inference, and each timed one."""

    load: int
    first: int
    runs: tuple[int, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """RUN.json. With status "error", `error` is there and what follows it may be missing; "cancelled": by a person.

    applied  what really runs, in words: threads, accelerator, delegate
    """

    run_id: str
    status: Literal["ok", "error", "cancelled"]
    schema: Literal[1]
    error: Trouble | None = None
    app: App | None = None
    model: Checked | None = None
    timing_ns: Times | None = None
    applied: dict[str, str] = {}


def launch(phone: Phone, run_id: str, extras: dict[str, Extra], timeout: float) -> tuple[Report, bytes]:
    """The app's report, and its raw answers. It is stopped, and its files are removed, whatever happens.

    Raises DeviceError where it does not start, WorkerError where it crashes, hangs or answers nonsense.
    """
    try:
        _start(phone, {"run_id": run_id, **extras})
        report = _report(phone, run_id, timeout)
        return report, phone.read("run-as", PACKAGE, "cat", f"files/bench/{run_id}.out")
    finally:
        with contextlib.suppress(EdgekitError):
            forget = f"run-as {PACKAGE} rm -f files/bench/{run_id}.json files/bench/{run_id}.out"
            phone.try_shell(f"am force-stop {PACKAGE}; {forget}")


def _start(phone: Phone, extras: dict[str, Extra]) -> None:
    words = [word for name, value in extras.items() for word in _extra(name, value)]
    said = phone.shell("am", "start", "-W", "-S", "-n", f"{PACKAGE}/.BenchmarkActivity", *words)
    if failed := re.search(r"^Error: (.*)", said, re.MULTILINE):  # with exit code 0
        missing = "does not exist" in failed[1]
        hint = f"{SET_UP} puts one there that fits" if missing else "unlock the phone, and again"
        raise DeviceError(f"the app does not start on {phone.name}: {failed[1]}", hint=hint)


def _extra(name: str, value: Extra) -> tuple[str, str, str]:
    """As `am` takes it."""
    if isinstance(value, bool):
        return "--ez", name, str(value).lower()
    kind = "--el" if isinstance(value, Long) else "--ei" if isinstance(value, int) else "--es"
    return kind, name, str(value)


def _report(phone: Phone, run_id: str, timeout: float) -> Report:
    """Wait for it."""
    deadline, pause = time.monotonic() + timeout, POLL[0]
    while True:
        alive = phone.try_shell(f"pidof {PACKAGE}").strip()
        said = phone.read("run-as", PACKAGE, "cat", f"files/bench/{run_id}.json").decode(errors="replace")
        if said.startswith("{"):
            return _read(phone, said, run_id)
        if said.startswith("run-as:"):
            sealed = "is no debuggable build: its answer cannot be read"
            what = sealed if "not debuggable" in said else "is gone"
            raise DeviceError(f"the app on {phone.name} {what}", hint=f"{SET_UP} puts the right one there")
        if not alive:
            raise WorkerError(f"the app crashed on {phone.name}{_last_words(phone)}", hint="adb logcat -b crash -d")
        if time.monotonic() > deadline:
            hint = "a longer --timeout, if it is only slow"
            raise WorkerError(f"the app on {phone.name} hangs: no answer for {timeout:.0f} s", hint=hint)
        time.sleep(pause)
        pause = min(2 * pause, POLL[1])


def _last_words(phone: Phone) -> str:
    lines = [line.strip() for line in phone.try_shell("logcat -b crash -d -t 60 -v raw").splitlines()]
    telling = [line for line in lines if line.startswith(("signal ", "Fatal signal", "java.", "Abort "))]
    return f": {telling[-1]}" if telling else ""


def _read(phone: Phone, said: str, run_id: str) -> Report:
    try:
        report = msgspec.json.decode(said, type=Report)
    except msgspec.DecodeError as error:
        hint = f"{SET_UP} puts the app of this edgekit there"
        raise WorkerError(f"the app on {phone.name} answers otherwise than this edgekit: {error}", hint=hint) from None
    if report.run_id != run_id:
        raise WorkerError(f"the app on {phone.name} answers for {report.run_id}, not {run_id}")
    return report
