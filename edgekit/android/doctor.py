"""What Google Play, phones or edgekit's artifacts would object to in an APK or AAR, and what to do about each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgekit.android.package import Carried, Package, Runtime
from edgekit.android.versions import floor_of, new_enough

PAGE = 16384  # https://developer.android.com/guide/practices/page-sizes: new apps and updates since 2025-11-01
TARGET_SDK = 36  # https://developer.android.com/google/play/requirements/target-sdk: since 2026-08-31
INTERNET = "android.permission.INTERNET"
ORDER = {True: 0, None: 1, False: 2}
WIDER = {"armeabi-v7a": "arm64-v8a", "x86": "x86_64"}
NEWER = {
    "tflite": "com.google.ai.edge.litert:litert 2.x in place of org.tensorflow:tensorflow-lite",
    "onnx": "a newer com.microsoft.onnxruntime:onnxruntime-android",
}
ALIGNED = {
    "libtensorflowlite": NEWER["tflite"],
    "libonnxruntime": "com.microsoft.onnxruntime:onnxruntime-android 1.27 or later",
}


@dataclass(frozen=True)
class Finding:
    """`play`: Google Play refuses it. Otherwise it does not work on a phone."""

    what: str
    fix: str
    play: bool


@dataclass(frozen=True)
class Fit:
    """An artifact and the runtime inside that opens it. new_enough None: `why` says what could not be seen."""

    folder: str
    model: str
    target: str
    runtime: str
    new_enough: bool | None
    why: str


def fits(package: Package) -> tuple[Fit, ...]:
    """Each artifact against the runtimes inside, on the ABI where it is worst off."""
    return tuple(_best_known(package, carried) for carried in package.artifacts)


def _best_known(package: Package, carried: Carried) -> Fit:
    m = carried.manifest
    if m is None:
        return Fit(carried.folder, "", "", "", False, carried.fault)
    each = [_fit(runtime, floor_of(m.oldest_interpreter, runtime.abi)) for runtime in _newest(package, m.target)]
    nobody = ("", None if package.kind == "AAR" else False, f"no library inside opens {m.target} files")
    return Fit(
        carried.folder, f"{m.model} {m.scheme}", m.target, *max(each, key=lambda fit: ORDER[fit[1]], default=nobody)
    )


def _newest(package: Package, target: str) -> list[Runtime]:
    """One for each ABI: LiteRT's package has the old interpreter's library beside its own."""
    best: dict[str, Runtime] = {}
    for runtime in package.runtimes:
        other = best.get(runtime.abi)
        if runtime.target == target and (other is None or _age(runtime) > _age(other)):
            best[runtime.abi] = runtime
    return list(best.values())


def _age(runtime: Runtime) -> tuple[int, ...]:
    return runtime.version.age if runtime.version else ()


def _fit(runtime: Runtime, floor: str) -> tuple[str, bool | None, str]:
    has = str(runtime.version) if runtime.version else f"{runtime.library}, whose version cannot be seen"
    if not floor:
        return has, None, f"its manifest states no oldest runtime for {runtime.abi}"
    verdict = new_enough(runtime.version, floor)
    return has, verdict, f"wants {floor}" + ("" if verdict else f" on {runtime.abi}")


def findings(package: Package) -> tuple[Finding, ...]:
    """What stops it, in the order in which it would be noticed."""
    return (*_target(package), *_pages(package), *_halves(package), *_unfit(package))


def _target(package: Package) -> list[Finding]:
    if package.target_sdk is None or package.target_sdk >= TARGET_SDK:
        return []
    what = f"targetSdk is {package.target_sdk}; since 2026-08-31 apps and updates need {TARGET_SDK}"
    return [
        Finding(
            what, f"targetSdk = {TARGET_SDK} in build.gradle.kts; then see how the app behaves on API 36", play=True
        )
    ]


def _pages(package: Package) -> list[Finding]:
    wide = [library for library in package.libraries if library.bits == 64]
    found = []
    for name, size, abis in _alike((x.name, x.page, x.abi) for x in wide if x.page < PAGE):
        newer = next((fix for known, fix in ALIGNED.items() if name.startswith(known)), None)
        fix = newer or "a newer version of it; your own: NDK r28, or -Wl,-z,max-page-size=16384"
        found.append(Finding(f"{name} ({abis}) is linked for pages of {pages(size)}, not 16 KB", fix, play=True))
    if package.kind == "APK":
        for name, _, abis in _alike((x.name, 0, x.abi) for x in wide if x.begins is not None and x.begins % PAGE):
            what = f"{name} ({abis}) is stored, and does not begin on a page of 16 KB in the APK"
            fix = "zipalign -P 16 -f 4 in.apk out.apk, before signing; Android's Gradle plugin 8.5.1 or later does it"
            found.append(Finding(what, fix, play=True))
    return found


def _alike(found: Iterable[tuple[str, int, str]]) -> Iterator[tuple[str, int, str]]:
    """Name, size and the ABIs of which both are true."""
    grouped: dict[tuple[str, int], list[str]] = {}
    for name, size, abi in found:
        grouped.setdefault((name, size), []).append(abi)
    for (name, size), abis in grouped.items():
        yield name, size, ", ".join(abis)


def _halves(package: Package) -> list[Finding]:
    if package.kind == "AAR":
        return []
    lacking = [(narrow, wide) for narrow, wide in WIDER.items() if narrow in package.abis and wide not in package.abis]
    return [
        Finding(f"there are libraries for {narrow} and none for {wide}", f'abiFilters += "{wide}"', play=True)
        for narrow, wide in lacking
    ]


def _unfit(package: Package) -> list[Finding]:
    found = []
    for fit in fits(package):
        if fit.new_enough is False:
            inside = f", and {fit.runtime} is inside" if fit.runtime else ""
            fix = NEWER.get(fit.target, "edgekit android add ARTIFACT, and build again")
            found.append(Finding(f"{fit.folder}: {fit.why}{inside}", fix, play=False))
    return found


def notes(package: Package) -> tuple[str, ...]:
    """What stops nothing, and what could not be seen."""
    said = []
    if package.debuggable:
        said.append("it is debuggable: for tests; Google Play takes release builds alone")
    if package.kind == "APK" and package.target_sdk is None:
        said.append("its targetSdk is a preview's name: not compared")
    said += [f"{library.path} is not a library (no ELF file)" for library in package.libraries if not library.bits]
    said += [
        f"{fit.folder}: not known whether {fit.runtime or 'the app has a runtime that'} is new enough: {fit.why}"
        for fit in fits(package)
        if fit.new_enough is None
    ]
    if INTERNET in package.permissions and any(r.reports for r in package.runtimes) and not package.silenced:
        said.append(
            "ONNX Runtime reports its use to Microsoft, and nothing here switches it off: before it is loaded,"
            ' Os.setenv("ORT_DISABLE_TELEMETRY", "1", true), and OrtEnvironment.setTelemetry(false)'
        )
    return tuple(said)


def telemetry(package: Package) -> str:
    """What ONNX Runtime inside may report; "" where there is none."""
    if not any(runtime.target == "onnx" for runtime in package.runtimes):
        return ""
    if not any(runtime.reports for runtime in package.runtimes):
        return "this ONNX Runtime names no place to report to"
    off = f"the code {'names' if package.silenced else 'does not name'} ORT_DISABLE_TELEMETRY"
    if package.kind == "AAR":
        return f"ONNX Runtime can report; {off}, and the app decides"
    return f"ONNX Runtime can report; {off}, {'and' if INTERNET in package.permissions else 'no'} INTERNET permission"


def pages(size: int) -> str:
    return f"{size // 1024} KB" if size >= 1024 else f"{size} bytes"
