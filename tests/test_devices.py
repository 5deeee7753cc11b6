"""Workers: real processes that answer, crash, hang and run out of memory."""

import itertools
import json
import os
import statistics
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from conftest import GOLDEN

from edgekit import artifact, registry
from edgekit.devices import Job, clock
from edgekit.devices.process import ProcessWorker
from edgekit.errors import ArtifactError, RequestError, UnknownNameError, UnsupportedError, WorkerError
from edgekit.manifest import save_manifest


@pytest.fixture
def start(request):
    def start(model, runtime="litert", **more):
        worker = registry.device("local").start(Job(str(model), runtime, **more), 60.0)
        request.addfinalizer(worker.kill)
        return worker

    return start


def test_a_worker_answers_as_the_runtime_does(start, golden_artifact):
    golden = artifact.load(golden_artifact).golden()
    worker = start(golden_artifact)
    assert worker.ready.input_spec.shape == (1, 32, 32, 3)
    assert worker.ready.host["cpu_class"]
    answers = worker.answer(golden.tensors)
    session = registry.runtime("litert").open(artifact.load(golden_artifact))
    (ours,) = answers
    np.testing.assert_array_equal(ours, np.concatenate([session.run(t[None])[0] for t in golden.tensors]))
    samples = worker.infer(3)
    assert len(samples.wall_ns) == len(samples.cpu_ns) == 3
    assert min(samples.cpu_ns) > 0
    memory = worker.end()
    if sys.platform == "linux":
        assert memory.peak >= memory.after_load > memory.before > 0
    assert worker.process.returncode is not None


def test_a_refused_request_leaves_the_worker_alive(start, golden_artifact):
    worker = start(golden_artifact)
    with pytest.raises(UnsupportedError, match="single operators"):
        worker.profile(1)
    with pytest.raises(WorkerError, match="ai-edge-litert"):
        worker.answer(np.zeros((1, 5, 5, 3), np.uint8))
    assert len(worker.infer(1).cpu_ns) == 1


def test_a_loose_file_is_fed_noise_in_its_own_type(start, golden_artifact):
    loose, whole = start(golden_artifact / "model.tflite"), start(golden_artifact)
    assert loose.ready.source.startswith("N(0, 1) in the file's own scale")
    assert "golden image" in whole.ready.source
    if sys.platform == "linux":  # what makes the noise is no memory of the file
        assert loose.end().needed == pytest.approx(whole.end().needed, abs=1 << 20)


def test_a_batch_that_the_file_does_not_take(start, golden_artifact):
    with pytest.raises(RequestError, match="takes 1 images at once, not 4"):
        start(golden_artifact, batch=4)


def test_a_file_that_takes_other_images_than_its_manifest_says(start, copied):
    manifest = artifact.load(copied).manifest
    larger = {
        "inputs": (msgspec.structs.replace(manifest.input, shape=(1, 64, 64, 3)),),
        "preprocess": msgspec.structs.replace(manifest.preprocess, input_size=(64, 64)),
    }
    save_manifest(copied, msgspec.structs.replace(manifest, **larger))
    with pytest.raises(ArtifactError, match=r"takes uint8 1x32x32x3, but its manifest makes uint8 1x64x64x3"):
        start(copied)


@pytest.mark.parametrize(("suffix", "runtime"), [("tflite", "litert"), ("onnx", "onnxruntime")])
@pytest.mark.parametrize("kept", [0, 100, 4000])
def test_a_truncated_file_is_an_error_of_one_line(start, tmp_path, suffix, runtime, kept):
    whole = _golden(suffix).read_bytes()
    file = tmp_path / f"model.{suffix}"
    file.write_bytes(whole[:kept])
    with pytest.raises((WorkerError, ArtifactError)) as caught:
        start(file, runtime)
    assert "\n" not in caught.value.message


def _golden(suffix):
    from conftest import GOLDEN_FILES

    return GOLDEN_FILES / f"tiny-{suffix}-int8" / f"model.{suffix}"


def process(code, timeout=30.0):
    return ProcessWorker([sys.executable, "-c", code], Job("model", "litert"), timeout=timeout)


TENSORS = '{"type": "Tensors", "outputs": [{"shape": [2], "dtype": "float32"}]}'


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory ran out"),
        (
            "import sys; print('no space for tensors', file=sys.stderr); sys.exit(7)",
            "exit code 7.*no space for tensors",
        ),
        ("print('{', end='')", "ended without an answer"),
        ("print('not a reply')", "answered 'not a reply', which is no Ready"),
        ("import time; print('not a reply', flush=True); time.sleep(600)", "'not a reply', which is no Ready"),
        (
            'import time; print(\'{"type": "End"}\', flush=True); time.sleep(600)',
            r"End\(memory=None\), which is no Ready",
        ),
        (f"print({TENSORS!r}); print('1234', end='')", "ended without an answer"),
        (f"print({TENSORS.replace('float32', 'float7')!r})", "float7.*which is no Ready"),
    ],
)
def test_a_process_that_dies_says_how(code, what):
    with pytest.raises(WorkerError, match=what):
        process(code)


def test_a_process_that_says_no_more_and_lives_on_is_ended():
    with pytest.raises(WorkerError, match="hangs"):
        process("import os, time; os.close(1); time.sleep(600)", timeout=0.3)


def test_a_process_that_hangs_is_ended():
    with pytest.raises(WorkerError, match="hangs"):
        process("import time; time.sleep(60)", timeout=0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="address space limits")
def test_no_memory_is_the_workers_problem(golden_artifact):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (110 << 20, 110 << 20));"
        "from edgekit.devices.worker import main; main()"
    )
    with pytest.raises(WorkerError) as caught:
        ProcessWorker([sys.executable, "-c", code], Job(str(golden_artifact), "litert"), timeout=60)
    assert caught.value.message


def test_unknown_devices():
    with pytest.raises(UnknownNameError):
        registry.device("lokal")
    with pytest.raises(UnknownNameError):
        registry.device("local:7")


def ticking(step, reading=100):
    """A clock that moves by `step` nanoseconds, once in ten readings of 100 ns each."""
    count = itertools.count()
    return lambda: next(count) * reading // step * step


def test_the_step_of_a_clock_is_found_by_reading_it():
    assert clock.clock("fine", ticking(10)).step == 0
    assert clock.clock("microseconds", ticking(1000)).step == 1000
    assert clock.clock("ticks", ticking(4_000_000, reading=50_000)).step == 4_000_000
    assert clock.clock("ticks", ticking(4_000_000, reading=50_000)).words == "ticks, which moves in steps of 4000 us"
    assert clock.clock("stopped", lambda: 7).step >= 10**8


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (300, 300))
import json, sys
from pathlib import Path
from edgekit import registry
from edgekit.devices import Job, opened
job = Job(sys.argv[1], "litert")
with opened(registry.device("local"), job, 60) as worker:
    print(json.dumps([worker.infer(50).cpu_ns, worker.ready.step_ns, worker.ready.host["cpu_clock"]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux serves ticks under a CPU limit")
def test_under_a_cpu_limit_short_inferences_still_take_time():
    """`ulimit -t`: process_time moves by 4 ms then, and every inference of the tiny network took 0."""
    done = subprocess.run([sys.executable, "-c", LIMITED, GOLDEN], capture_output=True, text=True, check=True)
    times, step, clock = json.loads(done.stdout)
    assert step <= 10_000
    assert clock.startswith("getrusage, which moves in steps of")
    assert statistics.median(times) > 0
