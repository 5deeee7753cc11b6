"""The app that runs files on a phone (android_demo): where its APK is, and putting it there."""

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from edgekit.devices.phone import Phone
from edgekit.errors import DeviceError

PACKAGE = "dev.edgekit.demo"
VARIABLE = "EDGEKIT_APK"
DEFAULT = Path("build/android")
MAKE_IT = f"make android, in edgekit's checkout; or {VARIABLE}=FILE.apk"

# engine -> how its native library is named inside the APK
LIBRARIES = {"tflite": ("tensorflowlite", "litert"), "onnxruntime": ("onnxruntime",)}

# what the package installer says -> what to do
REFUSALS = {
    "INSTALL_FAILED_NO_MATCHING_ABIS": "an APK for the phone's CPU",
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": f"adb uninstall {PACKAGE}, and again",
    "INSTALL_FAILED_VERSION_DOWNGRADE": f"adb uninstall {PACKAGE}, and again",
    "INSTALL_FAILED_USER_RESTRICTED": "allow 'Install via USB' in the developer options",
    "INSTALL_FAILED_OLDER_SDK": "a phone with Android 9 or later",
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": "free some space on the phone",
}


def is_installed(phone: Phone) -> bool:
    return phone.try_shell(f"pm path {PACKAGE}").startswith("package:")


def install(phone: Phone, engine: str | None = None) -> Path:
    """Put the app on the phone, over an older one; which APK that was. Raises DeviceError."""
    apk = choose(phone.abi, engine)
    said = phone.install(apk)
    if refused := re.search(r"Failure \[(\w+)[^\]]*\]", said):
        why = f"{apk} cannot be installed on {phone.name} ({phone.abi}): {refused[1]}"
        raise DeviceError(why, hint=REFUSALS.get(refused[1], "adb install says more"))
    if "Success" not in said:
        raise DeviceError(f"{apk} cannot be installed on {phone.name}", hint=f"adb install {apk} says more")
    return apk


def choose(abi: str, engine: str | None) -> Path:
    """The APK that $EDGEKIT_APK names, or that lies in the folder it names or in build/android, for a kind of CPU; the
    smallest with the engine, where there are several. Raises DeviceError."""
    place = Path(os.environ.get(VARIABLE) or DEFAULT)
    if not place.exists():
        missing = (
            f"{VARIABLE} names {place}, which does not exist"
            if VARIABLE in os.environ
            else "there is no APK of the app"
        )
        raise DeviceError(missing, hint=MAKE_IT)
    files = sorted(place.rglob("*.apk"), key=lambda file: file.stat().st_size) if place.is_dir() else [place]
    fits = {file: libraries for file in files if (libraries := _libraries(file, abi))}
    if not fits:
        hold = f"{place} has no library" if place.is_file() else f"no APK in {place} has libraries"
        raise DeviceError(f"{hold} for this phone's CPU ({abi})", hint=MAKE_IT)
    named = LIBRARIES.get(engine or "", ("",))
    return next(
        (file for file, libraries in fits.items() if any(n in s for n in named for s in libraries)), next(iter(fits))
    )


def _libraries(apk: Path, abi: str) -> Sequence[str]:
    """The native libraries of an APK for a kind of CPU, in lower case."""
    try:
        with zipfile.ZipFile(apk) as inside:
            return [name.lower() for name in inside.namelist() if name.startswith(f"lib/{abi}/")]
    except (OSError, zipfile.BadZipFile):
        raise DeviceError(f"{apk} is not an APK", hint=MAKE_IT) from None
