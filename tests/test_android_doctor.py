"""`edgekit android doctor`: what an APK or AAR holds, and what a store or a phone would object to."""

import contextlib
import json
import shutil
import zipfile
from pathlib import Path

import apks
import pytest
from conftest import GOLDEN, GOLDEN_FILES, ask_edgekit

from edgekit.android import binary_xml
from edgekit.android.binary_xml import ANDROID
from edgekit.android.doctor import findings, fits, notes, telemetry
from edgekit.android.package import elf_alignment, read
from edgekit.android.versions import Version, floor_of, new_enough
from edgekit.errors import ArtifactError, MissingError, UnsupportedError
from edgekit.manifest import read_manifest, save_manifest
from edgekit.reading import Malformed

LINKED = Path(__file__).parent / "data/android/AndroidManifest.xml"  # of android_demo, by aapt2 2.20


def what(found):
    return [finding.what for finding in found]


@pytest.fixture
def artifact(tmp_path):
    """One whose manifest states other oldest runtimes."""
    import msgspec

    def made(folder=GOLDEN, **oldest):
        copy = shutil.copytree(folder, tmp_path / f"{folder.name}-copy", dirs_exist_ok=True)
        stated = {name.replace("_", "-"): floor for name, floor in oldest.items()}
        save_manifest(copy, msgspec.structs.replace(read_manifest(copy), oldest_interpreter=stated))
        return copy

    return made


def test_a_manifest_that_aapt2_wrote_is_read():
    root = binary_xml.parse(LINKED.read_bytes())
    assert (root.tag, root.get("package"), root.get(f"{ANDROID}versionName")) == (
        "manifest",
        "dev.edgekit.demo",
        "0.1.0",
    )
    sdk = root.find("uses-sdk")
    assert (sdk.get(f"{ANDROID}minSdkVersion"), sdk.get(f"{ANDROID}targetSdkVersion")) == ("28", "35")
    assert [p.get(f"{ANDROID}name") for p in root.iter("uses-permission")] == ["android.permission.CAMERA"]
    application = root.find("application")
    assert application.get(f"{ANDROID}icon").startswith("@7f")
    assert application.get(f"{ANDROID}debuggable") == "true"
    names = [a.get(f"{ANDROID}name").rpartition(".")[2] for a in application.findall("activity")]
    assert names == ["MainActivity", "PhotoActivity", "TimesActivity", "BenchmarkActivity"]
    assert application.find("activity/intent-filter/action").get(f"{ANDROID}name") == "android.intent.action.MAIN"


@pytest.mark.parametrize("utf8", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_both_encodings_and_attributes_without_names_are_read(utf8, named):
    blob = apks.binary_xml(
        [("manifest", {"package": "org.ünïcode." + "x" * 200}), ("uses-sdk", {f"{ANDROID}targetSdkVersion": 36})],
        utf8=utf8,
        named=named,
    )
    root = binary_xml.parse(blob)
    assert root.get("package") == "org.ünïcode." + "x" * 200
    assert root.find("uses-sdk").get(f"{ANDROID}targetSdkVersion") == "36"


def test_damaged_binary_xml_is_one_kind_of_error():
    """Cut anywhere, and with any byte changed: read or refused, nothing else."""
    whole = LINKED.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        with pytest.raises(Malformed):
            binary_xml.parse(whole[:end])
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        with contextlib.suppress(Malformed):
            binary_xml.parse(bytes(changed))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("page", [4096, 16384, 65536])
def test_alignment_is_that_of_the_least_segment_that_is_loaded(bits, page):
    assert elf_alignment(apks.elf(page, bits=bits)) == (bits, page)


@pytest.mark.parametrize(
    "blob", [b"", b"\x7fELF", b"#!/system/bin/sh" * 10, apks.elf()[:80], b"\x7fELF\x02\x02" + bytes(90)]
)
def test_what_is_no_elf_file_has_no_alignment(blob):
    assert elf_alignment(blob) == (0, 0)


def test_a_publishable_apk(tmp_path):
    found = read(apks.apk(tmp_path / "good.apk", apks.LITERT2, artifacts=(GOLDEN,)))
    assert (found.kind, found.name, found.min_sdk, found.target_sdk, found.abis) == (
        "APK",
        "org.example.app",
        28,
        36,
        ("arm64-v8a",),
    )
    assert findings(found) == ()
    (fit,) = fits(found)
    assert (fit.folder, fit.runtime) == (f"assets/models/{GOLDEN.name}", str(Version("LiteRT", (2,), at_least=True)))
    done = ask_edgekit("android", "doctor", tmp_path / "good.apk")
    assert (done.returncode, "nothing found that stops it" in done.stdout) == (0, True), done.stdout


def test_what_google_play_refuses_is_exit_code_1_with_what_to_do(tmp_path):
    old = apks.manifest(35, debuggable=True)
    file = apks.apk(tmp_path / "old.apk", apks.TFLITE, abis=("arm64-v8a", "x86_64"), xml=old, aligned=False)
    found = read(file)
    assert what(findings(found)) == [
        "targetSdk is 35; since 2026-08-31 apps and updates need 36",
        "libtensorflowlite_jni.so (arm64-v8a, x86_64) is linked for pages of 4 KB, not 16 KB",
        "libtensorflowlite_jni.so (arm64-v8a, x86_64) is stored, and does not begin on a page of 16 KB in the APK",
    ]
    assert all(finding.play and finding.fix for finding in findings(found))
    done = ask_edgekit("android", "doctor", file)
    assert done.returncode == 1
    assert "Google Play refuses: targetSdk is 35" in done.stdout
    assert "try: com.google.ai.edge.litert:litert 2.x" in done.stdout
    assert "debuggable" in done.stdout
    document = json.loads(ask_edgekit("android", "doctor", file, "--json").stdout)
    assert [fault["what"] for fault in document["faults"]] == what(findings(found))
    assert [(x["name"], x["abi"]) for x in document["runtimes"]] == [
        ("TFLite 2.16.1", "arm64-v8a"),
        ("TFLite 2.16.1", "x86_64"),
    ]


def test_32_bits_have_small_pages_and_want_a_64_bit_half(tmp_path):
    narrow = {"libown.so": apks.elf(4096, bits=32)}
    found = read(apks.apk(tmp_path / "narrow.apk", narrow, abis=("armeabi-v7a",)))
    assert what(findings(found)) == ["there are libraries for armeabi-v7a and none for arm64-v8a"]


def test_a_preview_as_target_is_said_and_not_compared(tmp_path):
    found = read(apks.apk(tmp_path / "preview.apk", xml=apks.manifest("Cinnamon")))
    assert (found.target_sdk, findings(found)) == (None, ())
    assert notes(found) == ("its targetSdk is a preview's name: not compared",)


def test_an_artifact_wants_a_runtime_that_is_inside_and_new_enough(tmp_path, artifact):
    dynamic = artifact(arm64="LiteRT 1.2", x86_64="LiteRT 1.0.1")
    old = read(apks.apk(tmp_path / "old.apk", apks.TFLITE, artifacts=(dynamic,)))
    assert what(findings(old))[1:] == [
        f"assets/models/{dynamic.name}: wants LiteRT 1.2 on arm64-v8a, and TFLite 2.16.1 is inside"
    ]
    new = read(apks.apk(tmp_path / "new.apk", apks.LITERT2 | apks.TFLITE, artifacts=(dynamic,)))
    assert fits(new)[0].new_enough
    none = read(apks.apk(tmp_path / "none.apk", apks.ORT, artifacts=(dynamic,)))
    assert what(findings(none)) == [f"assets/models/{dynamic.name}: no library inside opens tflite files"]
    unseen = read(apks.apk(tmp_path / "unseen.apk", {"libtensorflowlite_jni.so": apks.elf()}, artifacts=(dynamic,)))
    assert (findings(unseen), fits(unseen)[0].new_enough) == ((), None)
    assert "whose version cannot be seen" in notes(unseen)[0]
    onnx = read(apks.apk(tmp_path / "onnx.apk", apks.ORT, artifacts=(GOLDEN_FILES / "tiny-onnx-int8",)))
    assert findings(onnx) == ()
    assert fits(onnx)[0].runtime == "ONNX Runtime 1.29.0"


def test_a_damaged_artifact_is_found(tmp_path, copied):
    (copied / "model.tflite").write_bytes(b"half")
    found = read(apks.apk(tmp_path / "half.apk", apks.LITERT2, artifacts=(copied,)))
    (fault,) = findings(found)
    assert fault.what.startswith(f"assets/models/{copied.name}: model.tflite is not the file that was exported")
    assert not fault.play
    assert ask_edgekit("android", "doctor", tmp_path / "half.apk").returncode == 1


def test_what_onnx_runtime_may_report(tmp_path):
    online = apks.manifest(permissions=("android.permission.INTERNET",))
    loud = read(apks.apk(tmp_path / "loud.apk", apks.ORT, xml=online))
    assert (
        telemetry(loud)
        == "ONNX Runtime can report; the code does not name ORT_DISABLE_TELEMETRY, and INTERNET permission"
    )
    assert "ORT_DISABLE_TELEMETRY" in notes(loud)[0]
    quiet = read(apks.apk(tmp_path / "quiet.apk", apks.ORT, xml=online, dex=b"dex ORT_DISABLE_TELEMETRY"))
    offline = read(apks.apk(tmp_path / "offline.apk", apks.ORT))
    assert notes(quiet) == notes(offline) == ()
    assert telemetry(read(apks.apk(tmp_path / "none.apk", apks.TFLITE))) == ""


def test_an_aar_is_judged_by_its_libraries_alone(tmp_path):
    found = read(apks.aar(tmp_path / "own.aar", {"libown.so": apks.elf(4096)}))
    assert (found.kind, found.min_sdk, found.target_sdk) == ("AAR", 26, None)
    (fault,) = findings(found)
    assert fault.what == "libown.so (arm64-v8a) is linked for pages of 4 KB, not 16 KB"
    assert "max-page-size=16384" in fault.fix


def test_the_switch_is_found_in_compressed_classes(tmp_path, monkeypatch):
    named = b"-" * 500 + b"ORT_DISABLE_TELEMETRY" + b"-" * 500
    assert not read(apks.aar(tmp_path / "loud.aar", apks.ORT)).silenced
    quiet = apks.aar(tmp_path / "quiet.aar", apks.ORT, code=named)
    assert b"ORT_DISABLE_TELEMETRY" not in quiet.read_bytes()
    assert read(quiet).silenced
    with zipfile.ZipFile(quiet, "a") as more:
        more.writestr("libs/no.jar", b"no zip file")
    assert read(quiet).silenced
    bomb = apks.aar(tmp_path / "bomb.aar", {}, code=bytes(100_000))
    monkeypatch.setattr("edgekit.android.package.WHOLE_LIMIT", 50_000)
    with pytest.raises(ArtifactError, match=r"classes\.jar unpacks to more than"):
        read(bomb)


def test_what_is_no_apk_is_one_line(tmp_path):
    with pytest.raises(MissingError):
        read(tmp_path / "nowhere.apk")
    with pytest.raises(ArtifactError, match="is not a file"):
        read(tmp_path)
    (tmp_path / "text.apk").write_text("no zip")
    bundle, empty, bad = tmp_path / "app.aab", tmp_path / "empty.apk", tmp_path / "bad.apk"
    with zipfile.ZipFile(bundle, "w") as made:
        made.writestr("BundleConfig.pb", b"")
    with zipfile.ZipFile(empty, "w") as made:
        made.writestr("readme", b"")
    with zipfile.ZipFile(tmp_path / "x.apks", "w") as made:  # as bundletool makes one of a bundle
        made.writestr("splits/base-hdpi.apk", b"a")
        made.writestr("universal.apk", b"longer")
    apks.apk(bad, xml=b"\3\0\x08\0garbage")
    for file, kind, says in (
        (tmp_path / "text.apk", ArtifactError, "is not an APK or AAR"),
        (bundle, UnsupportedError, "is an app bundle"),
        (empty, ArtifactError, "has no AndroidManifest"),
        (tmp_path / "x.apks", UnsupportedError, "is a set of APKs"),
        (bad, ArtifactError, "not Android's binary XML"),
    ):
        with pytest.raises(kind, match=says) as caught:
            read(file)
        assert caught.value.hint
        assert file.suffix != ".apks" or caught.value.hint.endswith("edgekit android doctor universal.apk")
    whole = apks.apk(tmp_path / "whole.apk", apks.TFLITE, artifacts=(GOLDEN,)).read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        (tmp_path / "cut.apk").write_bytes(whole[:place])
        with pytest.raises(ArtifactError):
            read(tmp_path / "cut.apk")


@pytest.mark.parametrize(
    ("has", "floor", "verdict"),
    [
        (Version("TFLite", (2, 16, 1)), "tflite-runtime 2.14", True),
        (Version("TFLite", (2, 16, 1)), "TFLite 2.16.1 (not LiteRT 1.1 and 1.2)", True),
        (Version("TFLite", (2, 9, 0)), "tflite-runtime 2.14", False),
        (Version("TFLite", (2, 16, 1)), "LiteRT 1.0.1", False),
        (Version("LiteRT", (1, 2, 0)), "TFLite 2.16.1 (not LiteRT 1.1 and 1.2)", False),
        (Version("LiteRT", (1, 4, 0)), "TFLite 2.16.1 (not LiteRT 1.1 and 1.2)", True),
        (Version("LiteRT", (2,), at_least=True), "LiteRT 1.2", True),
        (Version("LiteRT", (2,), at_least=True), "LiteRT 2.1", None),
        (Version("ONNX Runtime", (1, 29, 0)), "ONNX Runtime 1.17 (opset 20)", True),
        (Version("ONNX Runtime", (1, 9, 0)), "ONNX Runtime 1.17 (opset 20)", False),
        (Version("ONNX Runtime", (1, 29, 0)), "a runtime that knows opset 30", None),
        (None, "LiteRT 1.2", None),
    ],
)
def test_versions(has, floor, verdict):
    assert new_enough(has, floor) is verdict


def test_which_floor_is_an_abis():
    assert floor_of({"x86-64": "a", "arm64": "b"}, "arm64-v8a") == "b"
    assert floor_of({"any CPU": "a"}, "armeabi-v7a") == "a"
    assert floor_of({"ARM, and x86-64 with VNNI": "a"}, "arm64-v8a") == "a"
    assert floor_of({"arm64": "b"}, "armeabi-v7a") == ""
