"""A phone over adb: a folder that plays it (fake_adb.py), with adb's own error texts and the real runtime's answers."""

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path

import fake_adb
import numpy as np
import pytest
from conftest import GOLDEN_FILES, ROOT, ask_edgekit

from edgekit import artifact, parity, registry
from edgekit.benchmarking import harness
from edgekit.data import open_data
from edgekit.devices import Job, apk, benchmark_model, phone
from edgekit.devices.adb import Adb
from edgekit.errors import DeviceError, ParityError, UnsupportedError, WorkerError
from edgekit.evaluation import evaluate
from edgekit.runtimes import Options

TFLITE, ONNX = GOLDEN_FILES / "tiny-tflite-int8", GOLDEN_FILES / "tiny-onnx-int8"
LEFT = "data/local/tmp/edgekit"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make(scenario, ...)`: a phone that is connected; its folder."""

    def make(scenario="", **how):
        folder = tmp_path / "phone"
        for name, value in (fake_adb.make_phone(folder, **how) | {"FAKE_SCENARIO": scenario}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        monkeypatch.delenv(apk.VARIABLE, raising=False)
        monkeypatch.setattr(apk, "DEFAULT", tmp_path / "build")
        return folder

    return make


def opened(timeout=20.0, ahead=0, model=TFLITE, runtime="litert", **options):
    return Adb().start(Job(str(model), runtime, Options(**options), ahead=ahead), timeout)


def an_apk(path, *libraries):
    import zipfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as inside:
        for name in ("classes.dex", *libraries):
            inside.writestr(name, b"")
    return path


def test_answers_are_the_runtimes_and_nothing_is_left(make):
    folder = make()
    found = parity.verify(artifact.load(ONNX), "onnxruntime", device=Adb("FP5A1"))
    assert found.passed
    assert found.ran.endswith(" on adb:FP5A1 (Fairphone FP5)")
    assert not (folder / LEFT).exists()
    assert not list((folder / "data/data").rglob("*.json"))
    assert (folder / "launches").read_text() == "1"  # all golden images in one
    assert (folder / "alive").read_text() == ""  # it was stopped


@pytest.fixture
def desktop():
    """The app's own benchmark and engines in a JVM, as a command: `make android` has compiled them."""
    verify = ROOT / "android_demo/verify"
    target = verify / "engines/target"
    if not (target / "classpath").exists():
        pytest.skip("make android compiles the app's engines")
    classes = [target / "test-classes", target / "classes", (target / "classpath").read_text()]
    litert = Path(importlib.util.find_spec("ai_edge_litert").origin).with_name("libLiteRt.so")
    options = [
        f"-Djava.library.path={target / 'bionic'}",
        f"-Dedgekit.litert={litert}",
        "-cp",
        ":".join(map(str, classes)),
    ]
    return [sys.executable, verify / "toolchain.py", "java", *options, "dev.edgekit.demo.engine.DesktopKt"]


@pytest.fixture
def kotlin(desktop, monkeypatch):
    """It plays the app of a phone."""
    monkeypatch.setenv("FAKE_APP", shlex.join(map(str, desktop)))


@pytest.mark.parametrize(
    ("model", "runtime", "engine"),
    [
        (TFLITE, "litert", "tflite 2.16.1"),
        (ONNX, "onnxruntime", "onnxruntime 1.29.0"),
        (GOLDEN_FILES / "tiny3-segmentation-tflite-int8", "litert", "tflite 2.16.1"),
        (GOLDEN_FILES / "tiny3-detection-tflite-fp32", "litert", "tflite 2.16.1"),
        (GOLDEN_FILES / "depth-onnx-fp32", "onnxruntime", "onnxruntime 1.29.0"),  # two outputs
    ],
)
def test_the_apps_own_code_answers(make, kotlin, model, runtime, engine):
    folder = make()
    given = artifact.load(model)
    golden = given.golden()
    worker = opened(model=model, runtime=runtime, ahead=5, threads=2)
    answers = given.decode(worker.answer(golden.tensors[::-1]))
    for answer, known, output in zip(answers, golden.answers, given.manifest.outputs, strict=True):
        assert np.abs(answer - known[::-1]).max() <= output.tolerance
    assert min(worker.infer(5).wall_ns) > 0
    facts = worker.ready.facts
    assert (facts["runtime"], facts["threads"], facts["accelerator"]) == (engine, "2", "cpu")
    worker.kill()
    assert not any((folder / "data/data/dev.edgekit.demo/files/bench").iterdir())


def test_an_npu_by_the_apps_own_code_and_a_gpu_that_it_lacks(make, kotlin):
    make()
    worker = opened(ahead=2, accelerator="npu")
    facts = worker.ready.facts
    assert (facts["runtime"].split()[0], facts["runtime"].split()[-1], facts["accelerator"]) == ("litert", "NPU", "npu")
    worker.kill()
    with pytest.raises(UnsupportedError, match=r"FP5 does not take tiny-tflite-int8: GPU: ") as caught:
        opened(ahead=2, accelerator="gpu")  # which would have been a CPU's times
    assert "--delegate gpu" in caught.value.hint


def test_where_a_file_runs_on_a_phone(make):
    folder = make()
    asked = ("bench", "--on", "adb", "--accelerator")
    done = ask_edgekit(*asked, "gpu", TFLITE, "--runs", 2, "--launches", 1, "--no-save", "--json")
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["runtime"], run["facts"]["accelerator"]) == ("litert-gpu", "gpu")  # another line of a history
    assert run["facts"]["runtime"].endswith(" on GPU")
    for arguments, message in (
        ((TFLITE, "--on", "local"), "local is measured on its CPU alone, not on a NPU"),
        ((ONNX,), "onnxruntime runs on a phone's CPU alone"),
        ((TFLITE, "--benchmark-binary", folder), "--benchmark-binary times the CPU"),
    ):
        done = ask_edgekit(*asked, "npu", *arguments, "--no-save")
        assert done.returncode
        assert message in done.stderr


def test_the_apps_own_code_refuses_what_its_runtime_is_too_old_for(make, kotlin, copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["oldest_interpreter"] = {"x86-64": "LiteRT 1.0.1"}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    make()
    with pytest.raises(WorkerError, match=r"load: RuntimeTooOld: this file needs LiteRT 1.0.1 .*TFLite 2\.16\.1"):
        opened(model=copied, ahead=1)


def test_litert_in_a_jvm_answers_as_in_python(desktop, tmp_path):
    model = artifact.load(TFLITE)
    golden = model.golden()
    golden.tensors.tofile(tmp_path / "input")
    extras = {"run_id": "r", "engine": "litert", "model": f"{model.model_file}", "spec": f"{TFLITE / 'manifest.json'}"}
    extras |= {"input": f"{tmp_path / 'input'}", "outputs": True, "warmup": 0, "runs": 0, "min_ms": 0}
    (tmp_path / "extras.json").write_text(json.dumps(extras))
    subprocess.run([*desktop, tmp_path / "extras.json", tmp_path], check=True, capture_output=True)
    report = json.loads((tmp_path / "files/bench/r.json").read_text())
    assert report["status"] == "ok", report["error"]
    session = registry.runtime("litert").open(model, Options())
    here = np.concatenate([session.run(tensor[None])[0] for tensor in golden.tensors])
    np.testing.assert_array_equal(np.fromfile(tmp_path / "files/bench/r.out", here.dtype).reshape(here.shape), here)


def test_what_will_be_timed_is_timed_in_one_launch(make):
    folder = make("warm")
    worker = opened(ahead=7)
    assert len(worker.infer(3).wall_ns) == 3
    samples = [*worker.infer(1).wall_ns, *worker.infer(3).wall_ns]
    assert len(samples) == 4
    assert min(samples) > 0
    assert (folder / "launches").read_text() == "1"
    assert len(worker.infer(1).wall_ns) == 1  # more than was said: once more
    assert (folder / "launches").read_text() == "2"
    ready = worker.ready
    assert (ready.imported, ready.load.cpu_ns) == (None, None)
    assert ready.source == "the artifact's first golden image"
    wanted = {
        "cpu_class": "arm-dotprod", "cpu": "QCM6490", "machine": "arm64-v8a", "system": "Android 14, SDK 34", "cores": "8",
        "phone": "Fairphone FP5", "battery": "87 %, 28.5 C", "thermal": "moderate",
    }  # fmt: skip
    assert ready.host == wanted
    assert ready.facts["accelerator"] == "cpu"
    assert worker.end() is None
    worker.kill()


def test_what_was_measured_is_kept_when_the_phone_is_unplugged(make):
    make("unplugged")
    entries = harness.entries([TFLITE], (), (1,), Options(), None)
    (run,) = harness.compare(entries, Adb(), harness.Plan(runs=6, launches=3, warmup=1))
    assert [len(launch.ns) for launch in run.launches] == [2]
    assert (run.clock, run.error) == ("wall", "the phone is not connected (FP5A1)")


@pytest.mark.parametrize(
    ("scenario", "error", "message", "hint"),
    [
        ("none", DeviceError, "no phone is connected", "USB debugging"),
        ("two", DeviceError, "more than one phone is connected", "--on adb:SERIAL, one of FP5A1, emulator-5554"),
        ("unauthorized", DeviceError, "does not trust this computer", "allow USB debugging"),
        ("offline", DeviceError, "is offline", "plug it in again"),
        ("ports", DeviceError, "no permission", "plugdev"),
        ("no-activity", DeviceError, r"BenchmarkActivity\} does not exist", "edgekit doctor --setup adb"),
        ("not-debuggable", DeviceError, "no debuggable build", "edgekit doctor --setup adb"),
        ("uninstalled", DeviceError, "the app on Fairphone FP5 is gone", "edgekit doctor --setup adb"),
        ("crash", WorkerError, r"crashed on Fairphone FP5: Fatal signal 11 \(SIGSEGV\)", "logcat"),
        ("hang", WorkerError, "no answer for 1 s", "--timeout"),
        ("too-old", WorkerError, "load: RuntimeTooOld: this file needs LiteRT 1.2", "a newer runtime"),
        ("other-schema", WorkerError, "answers otherwise than this edgekit", "edgekit doctor --setup adb"),
        ("wrong", ParityError, "answers wrongly on Fairphone FP5, so its times mean nothing", "edgekit verify"),
    ],
)
def test_what_goes_wrong_is_one_line_and_what_to_do(make, scenario, error, message, hint):
    folder = make(scenario)
    with pytest.raises(error, match=message) as caught:
        opened(timeout=1.0 if scenario == "hang" else 20.0, ahead=1)
    assert "\n" not in caught.value.message
    assert hint in caught.value.hint
    assert not (folder / LEFT).exists()


def test_no_adb_at_all(monkeypatch):
    for name in ("PATH", "ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.setenv(name, "")
    with pytest.raises(DeviceError, match="adb is not installed"):
        Adb().state()


def test_an_adb_that_does_not_answer(make):
    folder = make()
    (folder / "sdk/platform-tools/adb").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(DeviceError, match="adb get-state: no answer for 0 s"):
        phone.Phone("FP5A1").adb("get-state", timeout=0.2)


def test_what_the_app_cannot_do_is_refused_before_the_phone_is_asked(make):
    folder = make()
    for job in (
        {"runtime": "openvino"},
        {"runtime": "reference"},
        {"interpreter": "tflite-runtime"},
        {"exact": True},
        {"model": TFLITE / "model.tflite"},
        {"model": GOLDEN_FILES / "tiny3-detection-onnx-ultralytics", "runtime": "onnxruntime"},
    ):
        with pytest.raises(UnsupportedError) as caught:
            opened(**job)
        assert caught.value.hint
    assert not (folder / "log").exists()


def test_the_app_is_installed_where_it_is_missing(make, tmp_path, monkeypatch):
    folder = make(installed=False)
    with pytest.raises(DeviceError) as caught:
        Adb().state()
    assert "edgekit doctor --setup adb" in caught.value.hint
    with pytest.raises(DeviceError, match="there is no APK"):
        opened()
    small = an_apk(tmp_path / "build/small.apk", "lib/arm64-v8a/libtensorflowlite_jni.so")
    large = an_apk(tmp_path / "build/large.apk", "lib/arm64-v8a/libonnxruntime4j_jni.so")
    assert apk.choose("arm64-v8a", "tflite").name == small.name
    assert apk.choose("arm64-v8a", "onnxruntime").name == large.name
    opened().kill()
    assert f"install -r -g {small}" in (folder / "log").read_text()
    assert Adb().state() == "Fairphone FP5, Android 14, SDK 34, arm64-v8a, CPU class arm-dotprod"


@pytest.mark.parametrize(
    ("scenario", "inside", "message"),
    [
        ("", ["lib/x86_64/libtensorflowlite_jni.so"], r"no library for this phone's CPU \(arm64-v8a\)"),
        (
            "wrong-abi",
            ["lib/arm64-v8a/a.so"],
            r"cannot be installed on Fairphone FP5 .*INSTALL_FAILED_NO_MATCHING_ABIS",
        ),
        ("", None, "is not an APK"),
    ],
)
def test_an_apk_that_does_not_fit(make, tmp_path, monkeypatch, scenario, inside, message):
    make(scenario, installed=False)
    file = tmp_path / "app.apk"
    file.touch() if inside is None else an_apk(file, *inside)
    monkeypatch.setenv(apk.VARIABLE, str(file))
    with pytest.raises(DeviceError, match=message):
        Adb().set_up(print)
    monkeypatch.setenv(apk.VARIABLE, str(tmp_path / "nowhere.apk"))
    with pytest.raises(DeviceError, match=r"EDGEKIT_APK names .*which does not exist"):
        Adb().set_up(print)


@pytest.mark.parametrize(
    ("features", "cpu_class"), [("fp asimd asimddp", "arm-dotprod"), ("fp asimd", "arm"), ("", "arm")]
)
def test_the_cpu_class_is_the_phones(make, features, cpu_class):
    make(features=features)
    assert phone.Phone().facts()["cpu_class"] == cpu_class


def test_conditions_before_and_after():
    before = {"battery": "87 %, 28.5 C", "thermal": "none"}
    assert phone.passed(before, {"battery": "87 %, 28.5 C", "thermal": "light"}) == {
        "battery": "87 %, 28.5 C",
        "thermal": "none, then light",
    }
    assert phone.passed(before, {}) == before


BENCHMARK = """#!/bin/sh
echo 'INFO: count=5 first=3934 curr=3934 min=3934 max=3934 avg=3934.38 std=0'
echo 'INFO: count=280 first=3642 curr=3534 min=3488 max=3737 avg=3571.2 std=48'
echo 'INFO: Inference timings in us: Init: 7863, First inference: 14064, Warmup (avg): 3934.38, Inference (avg): 3571.2'
"""


def test_benchmark_model_tells_means_and_no_distribution(make, tmp_path):
    folder = make()
    (tmp_path / "benchmark_model").write_text(BENCHMARK)
    done = ask_edgekit(
        "bench", TFLITE, "--on", "adb", "--benchmark-binary", tmp_path / "benchmark_model", "--no-save", "--json"
    )
    assert done.returncode == 0, done.stderr
    (row,), (run,) = (json.loads(done.stdout)[name] for name in ("rows", "runs"))
    assert (row["mean_ms"], row["wall_p50_ms"], row["cpu_ms"]) == (3.5712, None, None)
    assert (run["launches"], run["means"]["inferences"], run["host"]["phone"]) == ([], 280, "Fairphone FP5")
    assert not (folder / LEFT).exists()


def test_what_is_no_benchmark_model():
    with pytest.raises(WorkerError, match="tells no times: not executable: 64-bit ELF file"):
        benchmark_model.parse("\nnot executable: 64-bit ELF file\n")
    done = ask_edgekit("bench", TFLITE, "--benchmark-binary", "benchmark_model", "--no-save")
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)


def test_an_evaluation_asks_about_many_images_at_once(make, pictures, tmp_path):
    folder = make()
    model = artifact.load(TFLITE)
    (tmp_path / "labels.csv").write_text(
        "".join(f"{p.relative_to(pictures)},0\n" for p in sorted(pictures.rglob("*.png")))
    )
    data = open_data(pictures, model.labels(), labels_file=tmp_path / "labels.csv")
    there = evaluate([model], data, device=Adb(), state=tmp_path / "there")
    here = evaluate([model], data, state=tmp_path / "here")
    assert (there.pictures, there.cpu_class) == (40, "arm-dotprod")
    assert there.accuracies == here.accuracies
    assert (folder / "launches").read_text() == "2"  # one for the facts, one for forty images
