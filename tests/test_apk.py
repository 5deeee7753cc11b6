"""What `make android` packs: checks that must fail, and the APKs themselves."""

import json
import subprocess
import zipfile
from pathlib import Path

import apks
import build_apk
import pytest
from conftest import ask_edgekit
from toolchain import apksigner, jdk

from edgekit.android.doctor import PAGE
from edgekit.android.package import read

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


def test_what_google_play_refuses_of_gradles_app_fails_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build_apk, "CACHE", tmp_path)
    monkeypatch.setenv("GRADLE_USER_HOME", str(tmp_path))
    versions = {"targetSdk": "36", "litert": "2.1.5", "ort": "1.29.0"}
    build_apk.check_publishable(versions)
    told = capsys.readouterr().err
    assert "not seen: litert" in told
    assert "not seen: onnxruntime" in told
    with pytest.raises(SystemExit, match="targetSdk is 35"):
        build_apk.check_publishable(versions | {"targetSdk": "35"})
    gradle = tmp_path / "caches/modules-2/files-2.1/com.google.ai.edge.litert/litert/2.1.5/0123/litert-2.1.5.aar"
    gradle.parent.mkdir(parents=True)
    apks.aar(gradle, {"libLiteRt.so": apks.elf()})
    build_apk.check_publishable(versions)
    assert "litert" not in capsys.readouterr().err
    apks.aar(tmp_path / "onnxruntime-1.29.0.aar", {"libonnxruntime.so": apks.elf(4096)})
    with pytest.raises(SystemExit, match=r"onnxruntime-1\.29\.0\.aar: libonnxruntime\.so .* pages of 4 KB"):
        build_apk.check_publishable(versions)


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
    libraries = read(file).libraries
    assert libraries
    for library in libraries:
        assert (library.path in stored) == (flavour == "tflite")
        assert library.begins is None or library.begins % PAGE == 0
        assert (library.page < PAGE) == (library.name == build_apk.SMALL_PAGES), library


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
    for line in ("package: name='dev.edgekit.demo' ", "minSdkVersion:'28'", "targetSdkVersion:'36'", "application-debuggable",
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


def test_the_doctor_knows_what_is_in_it(apk):
    file, flavour = apk
    done = ask_edgekit("android", "doctor", file, "--json")
    found = json.loads(done.stdout)
    assert (found["name"], found["min_sdk"], found["debuggable"]) == ("dev.edgekit.demo", 28, True)
    assert (found["permissions"], found["abis"]) == (["android.permission.CAMERA"], sorted(build_apk.ABIS))
    assert found["artifacts"]
    assert all(
        a["runtime"] == "TFLite 2.16.1" and a["new_enough"] for a in found["artifacts"] if a["target"] == "tflite"
    )
    assert ("names ORT_DISABLE_TELEMETRY, no INTERNET" in found["telemetry"]) == (flavour == "ort")
    small = [fault["what"] for fault in found["faults"] if "linked for" in fault["what"]]
    assert small == ["libtensorflowlite_jni.so (arm64-v8a, x86_64) is linked for pages of 4 KB, not 16 KB"]
    assert done.returncode == 1
