"""A signed APK of each flavour, out of what the Maven reactor compiled: `make android` calls this.

    python android_demo/verify/build_apk.py [tflite] [ort]

They lie in build/android, with the models of app/src/main/assets, libraries for arm64-v8a and x86_64, debuggable, and signed
with a key of this checkout. What is checked stands in `check`.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Mapping
from pathlib import Path

from toolchain import BRIEF, CACHE, apksigner, jdk, say

from edgekit.android.doctor import PAGE, TARGET_SDK, findings
from edgekit.android.package import read as package_of

VERIFY = Path(__file__).resolve().parent
APP = VERIFY.parent / "app"
OUT = VERIFY.parents[1] / "build" / "android"
RESOURCES = VERIFY / "resources" / "target"
ABIS = ("arm64-v8a", "x86_64")
# flavour -> the AARs in it, and the size it must stay under, bytes: of one CPU's libraries, of all
FLAVOURS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "tflite": (("tensorflow-lite", "tensorflow-lite-api"), 16_000_000, 30_000_000),
    "ort": (("tensorflow-lite", "tensorflow-lite-api", "onnxruntime"), 40_000_000, 40_000_000),
}
# flavour -> the modules that are compiled; of a class that is in several the last one's counts
MODULES = {"tflite": ("core", "resources", "app-ort", "tflite"), "ort": ("core", "resources", "app-ort")}
LEGACY = ("ort",)  # libraries are packed, and unpacked at installation
SMALL_PAGES = "libtensorflowlite_jni.so"  # TFLite 2.16.1, the last of its name, is linked for pages of 4 KB


def main() -> None:
    check_versions()
    check_publishable(_catalog())
    OUT.mkdir(parents=True, exist_ok=True)
    for flavour in sys.argv[1:] or FLAVOURS:
        build(flavour)


def check_versions() -> None:
    """What Android Studio builds with is what is verified here."""
    catalog = _catalog()
    space = "{http://maven.apache.org/POM/4.0.0}"
    properties = ElementTree.parse(VERIFY / "pom.xml").getroot().find(f"{space}properties")
    assert properties is not None
    pom = {p.tag.removeprefix(space): p.text for p in properties}
    for name in ("kotlin", "tflite", "ort", "junit"):
        _same(name, catalog[name], pom[f"{name}.version"])
    for name in ("minSdk", "targetSdk", "versionCode", "versionName"):
        _same(name, catalog[name], pom[f"app.{name}"])


def _catalog() -> dict[str, str]:
    versions: dict[str, str] = tomllib.loads((VERIFY.parent / "gradle/libs.versions.toml").read_text("utf-8"))[
        "versions"
    ]
    return versions


def check_publishable(versions: Mapping[str, str]) -> None:
    """What Google Play would refuse of the app that Gradle builds, as far as its libraries are at hand."""
    if int(versions["targetSdk"]) < TARGET_SDK:
        raise SystemExit(f"error: targetSdk is {versions['targetSdk']}; Google Play takes {TARGET_SDK} and later")
    gradle = Path(os.environ.get("GRADLE_USER_HOME") or Path.home() / ".gradle") / "caches/modules-2/files-2.1"
    at_hand = {
        "litert": next(gradle.glob(f"com.google.ai.edge.litert/litert/{versions['litert']}/*/*.aar"), None),
        "onnxruntime": CACHE / f"onnxruntime-{versions['ort']}.aar",
    }
    for name, aar in at_hand.items():
        if aar is None or not aar.is_file():
            say(f"not seen: {name}'s AAR for Gradle; `edgekit android doctor APK` tells whether it is aligned to 16 KB")
        elif faults := findings(package_of(aar)):
            raise SystemExit(f"error: {aar.name}: {faults[0].what}\n  try: {faults[0].fix}")


def _same(name: str, studio: str, here: str | None) -> None:
    if studio != here:
        raise SystemExit(f"error: {name} is {studio} in gradle/libs.versions.toml and {here} in verify/pom.xml")


def build(flavour: str) -> None:
    work = OUT / flavour
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    aars, *_ = FLAVOURS[flavour]
    resources, rules = link(flavour, work)
    dex = compile_dex(flavour, aars, rules, work)
    libraries = {
        f"lib/{abi}/{so.name}": so
        for aar in aars
        for abi in ABIS
        for so in sorted((VERIFY / "aars/target" / aar / "jni" / abi).glob("*.so"))
    }
    aligned = work / "aligned.apk"
    package(resources, {d.name: d for d in dex} | libraries, aligned, stored=flavour not in LEGACY)
    apk = OUT / f"edgekit-demo-{flavour}.apk"
    sign(aligned, apk)
    check(apk, flavour, rules)
    shutil.rmtree(work)


def properties() -> dict[str, str]:
    return dict(line.split("=", 1) for line in (RESOURCES / "paths.properties").read_text("utf-8").split())


def link(flavour: str, work: Path) -> tuple[Path, Path]:
    """The flavour's manifest, the resources and the models; and what R8 must keep of them."""
    known = properties()
    manifest = (RESOURCES / "AndroidManifest.xml").read_text("utf-8")
    unpacked = str(flavour in LEGACY).lower()
    (work / "AndroidManifest.xml").write_text(
        manifest.replace("<application ", f'<application android:extractNativeLibs="{unpacked}" ', 1), "utf-8"
    )
    made, rules = work / "resources.apk", work / "manifest.pro"
    assets = APP / "src/main/assets"
    aapt2(
        "link", "-I", known["android"], "--manifest", work / "AndroidManifest.xml", "--proguard", rules, "--debug-mode",
        "--version-code", known["versionCode"], "--version-name", known["versionName"],
        *(("-A", assets) if assets.is_dir() else ()), "-o", made, RESOURCES / "res.zip",
    )  # fmt: skip
    return made, rules


def aapt2(*arguments: str | Path) -> str:
    return run(RESOURCES / "tools/prebuilt/linux/aapt2", *arguments)


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {Path(command[0]).name} failed\n{done.stderr}{done.stdout}")
    return done.stdout


def compile_dex(flavour: str, aars: tuple[str, ...], manifest_rules: Path, work: Path) -> list[Path]:
    """R8: what is not used is left out."""
    known, home = properties(), jdk(fetch=False)
    jars = [Path(known["kotlin"]), *(VERIFY / "aars/target" / aar / "classes.jar" for aar in aars)]
    jars.append(work / "app.jar")
    with zipfile.ZipFile(jars[-1], "w") as made:
        for name, file in sorted(classes(flavour).items()):
            made.write(file, name)
    rules = [manifest_rules, APP / "rules.pro"]
    rules += [p for aar in aars if (p := VERIFY / "aars/target" / aar / "proguard.txt").is_file()]
    dex = work / "dex"
    dex.mkdir()
    run(
        home / "bin/java", *BRIEF, "-Xmx3g", "-cp", RESOURCES / "tools/r8.jar", "com.android.tools.r8.R8", "--release",
        "--min-api", known["minSdk"], "--lib", known["android"], "--lib", home,
        *(word for file in rules for word in ("--pg-conf", file)), "--output", dex, *jars,
    )  # fmt: skip
    return sorted(dex.glob("*.dex"))


def classes(flavour: str) -> dict[Path, Path]:
    """Those of the app: as they are called, and where they are."""
    folders = [VERIFY / module / "target/classes" for module in MODULES[flavour]]
    return {file.relative_to(folder): file for folder in folders for file in folder.rglob("*.class")}


def package(base: Path, files: dict[str, Path], out: Path, *, stored: bool) -> None:
    """The zip `base` and `files`. What is stored as it is lies on 4 bytes, a library on a page, so that it can be mapped."""
    with zipfile.ZipFile(base) as source, zipfile.ZipFile(out, "w") as made:

        def put(name: str, data: bytes, how: int) -> None:
            info = zipfile.ZipInfo(name, (1981, 1, 1, 1, 1, 2))
            info.compress_type = how
            info.external_attr = 0o644 << 16
            if how == zipfile.ZIP_STORED and made.fp is not None:
                step = PAGE if name.endswith(".so") else 4
                pad = -(made.fp.tell() + 30 + len(name.encode())) % step
                pad += step if 0 < pad < 4 else 0  # an extra field has 4 bytes at least
                info.extra = b"\x35\xd9" + (pad - 4).to_bytes(2, "little") + bytes(pad - 4) if pad else b""
            made.writestr(info, data)

        for entry in source.infolist():
            put(entry.filename, source.read(entry), entry.compress_type)
        for name, path in files.items():
            plain = name.endswith(".dex") or (name.endswith(".so") and stored)
            put(name, path.read_bytes(), zipfile.ZIP_STORED if plain else zipfile.ZIP_DEFLATED)


def sign(aligned: Path, apk: Path) -> None:
    """With a key of this checkout: an APK of another one is to be uninstalled first."""
    key, home = CACHE / "debug.p12", jdk(fetch=False)
    if not key.is_file():
        run(
            home / "bin/keytool", "-genkeypair", "-keystore", key, "-storetype", "PKCS12", "-storepass", "android",
            "-alias", "debug", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000", "-dname", "CN=edgekit demo",
        )  # fmt: skip
    least = properties()["minSdk"]
    signer = (home / "bin/java", *BRIEF, "-jar", apksigner())
    run(
        *signer, "sign", "--ks", key, "--ks-pass", "pass:android", "--min-sdk-version", least,
        "--v4-signing-enabled", "false", "--out", apk, aligned,
    )  # fmt: skip
    run(*signer, "verify", "--min-sdk-version", least, apk)


def check(apk: Path, flavour: str, rules: Path) -> None:
    """Classes that the manifest and layouts name, sizes, alignment; and say what it is."""
    compiled = {".".join(name.with_suffix("").parts) for name in classes(flavour)}
    named = [line.split()[2] for line in rules.read_text("utf-8").splitlines() if line.startswith("-keep class ")]
    if missing := [name for name in named if name.startswith("dev.edgekit.") and name not in compiled]:
        raise SystemExit(f"error: the manifest or a layout names {', '.join(missing)}, which is not there")
    _, one, whole = FLAVOURS[flavour]
    sizes = {abi: size_for(apk, abi) for abi in ABIS}
    for what, size, limit in [*((abi, sizes[abi], one) for abi in ABIS), ("all CPUs", apk.stat().st_size, whole)]:
        if size > limit:
            raise SystemExit(f"error: {apk.name} has {size / 1e6:.1f} MB for {what}, more than {limit / 1e6:.0f}")
    each = ", ".join(f"{size / 1e6:.1f} MB with {abi} alone" for abi, size in sizes.items())
    say(f"{apk.relative_to(OUT.parents[1])}: {apk.stat().st_size / 1e6:.1f} MB; {each}")
    for library in package_of(apk).libraries:
        if library.begins is not None and library.begins % PAGE:
            raise SystemExit(f"error: {library.path} does not begin on a page of 16 KB")
        if library.page < PAGE:
            if library.name != SMALL_PAGES:
                raise SystemExit(f"error: {library.path} is linked for pages of {library.page} bytes, not 16 KB")
            say(f"  {library.path} is linked for pages of 4 KB: not for phones with pages of 16 KB")
    for line in aapt2("dump", "badging", apk).splitlines():
        if line.startswith(
            ("package:", "sdkVersion", "minSdkVersion", "targetSdkVersion", "native-code", "launchable")
        ):
            say(f"  {line}")


def size_for(apk: Path, abi: str) -> int:
    """Bytes of an APK that had this CPU's libraries only."""
    with zipfile.ZipFile(apk) as inside:
        others = [e for e in inside.infolist() if e.filename.startswith("lib/") and f"/{abi}/" not in e.filename]
        return apk.stat().st_size - sum(e.compress_size for e in others)


if __name__ == "__main__":
    main()
