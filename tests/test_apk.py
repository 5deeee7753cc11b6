"""What `make android` packs: checks that must fail, and the APKs themselves."""

import subprocess
import zipfile
from pathlib import Path

import build_apk
import pytest
from toolchain import apksigner, jdk

ROOT = Path(__file__).resolve().parent.parent
MANIFEST_RULE = "-keep class dev.edgekit.demo.{} {{ <init>(); }}\n"


@pytest.fixture(params=build_apk.FLAVOURS)
def apk(request):
    made = build_apk.OUT / f"edgekit-demo-{request.param}.apk"
    if not made.is_file():
        pytest.skip("make android builds the APKs")
    return made, request.param


def test_other_versions_than_gradles_are_refused(tmp_path, monkeypatch):
    build_apk.check_versions()
    app = tmp_path / "android_demo"
    (app / "verify").mkdir(parents=True)
    (app / "gradle").mkdir()
    (app / "verify/pom.xml").write_bytes((build_apk.VERIFY / "pom.xml").read_bytes())
    catalog = (build_apk.VERIFY.parent / "gradle/libs.versions.toml").read_text()
    (app / "gradle/libs.versions.toml").write_text(catalog.replace('ort = "1.29.0"', 'ort = "1.30.0"'))
    monkeypatch.setattr(build_apk, "VERIFY", app / "verify")
    with pytest.raises(
        SystemExit, match=r"ort is 1\.30\.0 in gradle/libs\.versions\.toml and 1\.29\.0 in verify/pom\.xml"
    ):
        build_apk.check_versions()


def test_an_apk_holds_what_a_phone_needs(apk):
    file, flavour = apk
    with zipfile.ZipFile(file) as inside:
        names = inside.namelist()
        stored = {e.filename for e in inside.infolist() if e.compress_type == zipfile.ZIP_STORED}
    engines = {"libtensorflowlite_jni.so"} | ({"libonnxruntime.so"} if flavour == "ort" else set())
    for abi in build_apk.ABIS:
        assert engines <= {Path(n).name for n in names if n.startswith(f"lib/{abi}/")}
    assert {"classes.dex", "resources.arsc", "AndroidManifest.xml"} <= set(names)
    assert any(n.startswith("assets/models/") and n.endswith("/manifest.json") for n in names)
    libraries = list(build_apk.libraries_of(file))
    assert libraries
    for name, begins, segments in libraries:
        assert (name in stored) == (flavour == "tflite")
        assert begins is None or begins % build_apk.PAGE == 0
        small = Path(name).name == build_apk.SMALL_PAGES
        assert (min(segments) < build_apk.PAGE) == small, name


def test_a_class_that_the_manifest_names_and_a_size_are_checked(apk, tmp_path, monkeypatch):
    file, flavour = apk
    rules = tmp_path / "manifest.pro"
    rules.write_text(MANIFEST_RULE.format("MainActivity"))
    build_apk.check(file, flavour, rules)
    rules.write_text(MANIFEST_RULE.format("GoneActivity"))
    with pytest.raises(SystemExit, match=r"the manifest or a layout names dev\.edgekit\.demo\.GoneActivity"):
        build_apk.check(file, flavour, rules)
    rules.write_text(MANIFEST_RULE.format("MainActivity"))
    aars, *_ = build_apk.FLAVOURS[flavour]
    monkeypatch.setitem(build_apk.FLAVOURS, flavour, (aars, 1_000_000, 100_000_000))
    with pytest.raises(SystemExit, match=r"MB for arm64-v8a, more than 1"):
        build_apk.check(file, flavour, rules)


def test_the_badging_is_what_the_readme_says(apk):
    file, _ = apk
    said = build_apk.aapt2("dump", "badging", file)
    for line in ("package: name='dev.edgekit.demo' ", "minSdkVersion:'28'", "targetSdkVersion:'35'", "application-debuggable",
                 "launchable-activity: name='dev.edgekit.demo.MainActivity'", "native-code: 'arm64-v8a' 'x86_64'",
                 "uses-permission: name='android.permission.CAMERA'"):  # fmt: skip
        assert line in said
    assert said.count("uses-permission: ") == 1
    assert "uses-feature: name='android.hardware.camera'" not in said  # photos work without one


def test_the_signature_is_verified(apk):
    file, _ = apk
    verify = [jdk(fetch=False) / "bin/java", "-jar", apksigner(), "verify", "--min-sdk-version", "28"]
    done = subprocess.run([*verify, "--verbose", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Verified using v3 scheme (APK Signature Scheme v3): true" in done.stdout
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    (file.parent / "changed.apk").write_bytes(changed)
    try:
        assert subprocess.run([*verify, file.parent / "changed.apk"], capture_output=True).returncode != 0
    finally:
        (file.parent / "changed.apk").unlink()
