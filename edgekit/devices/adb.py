"""`adb` or `adb:SERIAL`: an Android phone, where the app of android_demo opens a file without a screen of its own.

Not tried on a phone. What the two say to each other (tests/fake_adb.py plays the phone):

Files. /data/local/tmp/edgekit/RUN holds the artifact, whole, and `input`: raw tensors of the manifest's dtype, shape and
layout, one after the other, little-endian.

Started with `am start -W -S -n dev.edgekit.demo/.BenchmarkActivity` and these extras:

    --es run_id R           names the answer; letters, digits and -
    --es model FILE         the model file;  --es spec FILE: its manifest.json, in the artifact's folder
    --es engine E           tflite or onnxruntime: where it lacks the accelerator, the app's other one for such files
    --es accelerator A      cpu, gpu or npu;  --ei threads N
    --es input FILE         tensors; left out: one tensor of zeros
    --ez outputs true       keep the raw answer to each tensor of `input`, in its order
    --ei warmup N           inferences of the first tensor that are told apart from the timed ones
    --ei runs N             timed inferences of the first tensor, after the answers; 0: none
    --el min_ms 0           go on for so long, however many that takes
    --ez finish true        end the activity when the answer is written

The activity is exported, and stays until the answer is written, so that Android keeps the process alive.

Answered in files/bench/R.json of the app's own folder, which is written under another name and renamed, and read with
`run-as`: the app must be a debuggable build. With outputs, files/bench/R.out holds the raw answers, one after the other (of several outputs, all of an image's first),
little-endian, before R.json appears. See `Report` in app.py for the JSON; more may stand in it. All times are System.nanoTime
differences: a phone tells wall time only. `runs` holds every timed inference, in the order they ran.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekit import artifact
from edgekit.artifact import Artifact
from edgekit.devices import Job, Memory, Phase, Ready, Samples, apk, app, benchmark_model
from edgekit.devices.benchmark_model import Means
from edgekit.devices.phone import Phone, passed
from edgekit.devices.worker import feed
from edgekit.errors import DeviceError, ParityError, UnsupportedError, WorkerError
from edgekit.runtimes import InputSpec, OperatorTime
from edgekit.tensors import Array, Arrays

ENGINES = {"litert": "tflite", "onnxruntime": "onnxruntime"}  # runtime -> the app's engine for its files


class Adb:
    name = "adb"
    counts = False
    timed = True
    at_once = 128
    accelerators = ("gpu", "npu")

    def __init__(self, which: str | None = None) -> None:
        self.which = which
        self.name = f"adb:{which}" if which else "adb"
        self.lock = threading.Lock()  # the app does one thing at a time

    def set_up(self, say: Callable[[str], None]) -> None:
        """Install the app, or a newer one. Raises DeviceError."""
        phone = Phone(self.which)
        say(f"installing the app on {phone.name}")
        say(f"installed {apk.install(phone)}")

    def state(self) -> str:
        """The phone. Raises DeviceError where none is ready."""
        phone = Phone(self.which)
        facts = phone.facts()
        if not apk.is_installed(phone):
            raise DeviceError(f"{phone.name} has no edgekit app", hint=f"{app.SET_UP} puts the app on {phone.name}")
        return f"{phone.name}, {facts['system']}, {facts['machine']}, CPU class {facts['cpu_class']}"

    def start(self, job: Job, timeout: float) -> "AdbWorker":
        return AdbWorker(self, job, timeout)

    def benchmark(
        self, binary: Path, file: Path, threads: int, warmup: int, runs: int, timeout: float
    ) -> tuple[Means, dict[str, str]]:
        """By TFLite's benchmark_model: no app is needed, and no answer is checked. Errors as benchmark_model's."""
        return benchmark_model.benchmark(Phone(self.which), binary, file, threads, warmup, runs, timeout)


class AdbWorker:
    """An artifact on the phone. Each request starts the app anew, which opens the file anew; what will be timed (job.ahead)
    is timed at once, in one go, and handed out from there. Before that the phone's answers are held against the golden
    ones."""

    def __init__(self, device: Adb, job: Job, timeout: float) -> None:
        """Raises UnsupportedError for what an app cannot do, ParityError for wrong answers, DeviceError, WorkerError."""
        self.device, self.job, self.timeout = device, job, timeout
        self.artifact = _artifact(job, device.name)
        self.engine = ENGINES[job.runtime]
        given = self.artifact.manifest.input
        self.input_spec = InputSpec(given.shape, given.dtype, given.scale, given.zero_point)
        self.tensor, self.source = feed(self.artifact, self.input_spec, job)
        self.phone = Phone(device.which)
        self.folder = ""
        self.asked = 0
        self.timed: list[int] = []  # nanoseconds that were not handed out yet
        self._ready: Ready | None = None
        try:
            with device.lock:
                if not apk.is_installed(self.phone):
                    apk.install(self.phone, self.engine)
                self._copy()
            if job.ahead:
                self._time(job.ahead)
        except BaseException:
            self.kill()
            raise

    @property
    def ready(self) -> Ready:
        if self._ready is None:
            self._launch(self.tensor, runs=0)
        assert self._ready
        return self._ready

    def infer(self, times: int) -> Samples:
        if len(self.timed) < times:
            self._time(max(times - len(self.timed), self.job.ahead))
        taken, self.timed = self.timed[:times], self.timed[times:]
        return Samples(tuple(taken))

    def answer(self, tensors: Array) -> Arrays:
        """As ProcessWorker.answer."""
        return self._launch(tensors, runs=0)

    def count(self, times: int) -> tuple[int, ...]:
        raise UnsupportedError(f"{self.device.name} cannot count instructions", hint="--on arm64:cortex-a76 can")

    def profile(self, times: int) -> tuple[OperatorTime, ...]:
        raise UnsupportedError(
            f"{self.device.name} does not tell the time of single operators", hint="leave --profile out"
        )

    def end(self) -> Memory | None:
        self.kill()
        return None

    def kill(self) -> None:
        """Leave nothing on the phone; harmless where that was done, or the phone is gone."""
        if self.folder:
            self.phone.remove(self.folder)

    def _time(self, runs: int) -> None:
        golden, manifest = self.artifact.golden(), self.artifact.manifest
        answers = self.artifact.thinned(self.artifact.decode(self._launch(golden.tensors, runs)))
        likeness = manifest.task.alike(golden.answers, answers)
        for noise, output in zip(likeness.noise, manifest.outputs, strict=True):
            if noise.max_abs > output.tolerance:
                self.timed = []
                raise ParityError(
                    f"{self.artifact.name} answers wrongly on {self.phone.name}, so its times mean nothing: "
                    f"max |d| {noise.max_abs:.3g} to the golden answers, tolerance {output.tolerance:.3g}",
                    hint=f"edgekit verify {self.job.model} --on {self.device.name}",
                )

    def _copy(self) -> None:
        """The artifact onto the phone."""
        self.folder = self.phone.make_folder()
        files = [self.artifact.folder / name for name in ("manifest.json", *self.artifact.manifest.files)]
        self.phone.push(files, self.folder, self.timeout)

    def _launch(self, tensors: Array, runs: int) -> Arrays:
        """Start the app: it opens the file, answers the tensors, and times `runs` inferences of the first."""
        self.asked += 1
        run_id = f"{self.folder.rpartition('/')[2]}-{self.asked}"
        extras: dict[str, app.Extra] = {
            "model": f"{self.folder}/{self.artifact.model_file.name}",
            "spec": f"{self.folder}/manifest.json",
            "engine": self.engine,
            "accelerator": self.job.options.accelerator,
            "threads": self.job.options.threads,
            "input": f"{self.folder}/input",
            "outputs": True,
            "warmup": 0,
            "runs": runs,
            "min_ms": app.Long(0),
            "finish": True,
        }
        with self.device.lock:
            self._give(tensors)
            before = self.phone.conditions()
            report, raw = app.launch(self.phone, run_id, extras, self.timeout)
            after = self.phone.conditions()
        self._accept(report, runs, passed(before, after))
        return self._answers(raw, len(tensors))

    def _give(self, tensors: Array) -> None:
        """The input onto the phone."""
        with tempfile.TemporaryDirectory(prefix="edgekit-") as scratch:
            file = Path(scratch) / "input"
            file.write_bytes(np.ascontiguousarray(tensors).astype(tensors.dtype.newbyteorder("<")).tobytes())
            self.phone.push([file], self.folder, self.timeout)

    def _accept(self, report: app.Report, runs: int, conditions: dict[str, str]) -> None:
        """Take the times and facts of an answer, once it is what was asked for."""
        where = f"the app on {self.phone.name}"
        if error := report.error:
            raise WorkerError(f"{where}, {error.stage}: {error.type}: {error.message}", hint=error.hint or "")
        if report.status != "ok":
            raise WorkerError(f"{where} was stopped by hand", hint="the same command again")
        if not (report.app and report.model and report.timing_ns):
            raise WorkerError(f"{where} answers neither times nor an error", hint=app.SET_UP)
        if report.model.sha256 != self.artifact.digest():
            raise WorkerError(
                f"{where} opened another file than {self.artifact.model_file}", hint="the same command again"
            )
        if refused := report.applied.get("refused"):  # it ran, on the CPU
            raise UnsupportedError(
                f"{self.phone.name} does not take {self.artifact.name}: {refused}",
                hint=f"edgekit inspect {self.job.model} --delegate gpu says what a GPU leaves; or leave --accelerator out",
            )
        times, on = report.timing_ns, self.job.options.accelerator
        if len(times.runs) != runs:
            raise WorkerError(f"{where} timed {len(times.runs)} inferences, not {runs}", hint=app.SET_UP)
        self.timed += times.runs
        facts = {
            "runtime": f"{report.app.engine} {report.app.engine_version}"
            + ("" if on == "cpu" else f" on {on.upper()}"),
            "threads": str(self.job.options.threads),
            **report.applied,
            "app": report.app.version,
        }
        host = self.phone.facts() | conditions
        self._ready = Ready(None, Phase(times.load), Phase(times.first), self.input_spec, facts, host, self.source)

    def _answers(self, raw: bytes, count: int) -> Arrays:
        """The app writes image after image, of each its outputs in the manifest's order."""
        outputs = self.artifact.manifest.file_outputs
        row = np.dtype([(str(i), np.dtype(o.dtype).newbyteorder("<"), o.shape[1:]) for i, o in enumerate(outputs)])
        if len(raw) != count * row.itemsize:
            told = " and ".join(f"{list(o.shape[1:])} {o.dtype}" for o in outputs)
            raise WorkerError(
                f"the app on {self.phone.name} answered {len(raw)} bytes, not {count} times {told}", hint=app.SET_UP
            )
        rows = np.frombuffer(raw, row)
        return tuple(rows[str(i)].astype(o.dtype) for i, o in enumerate(outputs))


def _artifact(job: Job, device: str) -> Artifact:
    """What the app can run. Raises UnsupportedError, ArtifactError."""
    if job.runtime == "reference":
        hint = "--baseline with a file; for numbers, --update with --no-times"
        raise UnsupportedError(f"{device} runs no fixed computation to hold times against", hint=hint)
    if job.runtime not in ENGINES:
        raise UnsupportedError(f"{job.runtime} does not run on {device}", hint=f"--runtime {' or '.join(ENGINES)}")
    if job.options.interpreter or job.options.exact:
        raise UnsupportedError(f"{device} has only the interpreter of its app", hint="leave --interpreter out")
    if job.options.accelerator != "cpu" and ENGINES[job.runtime] != "tflite":
        hint = "a .tflite, or leave --accelerator out"
        raise UnsupportedError(f"{job.runtime} runs on a phone's CPU alone", hint=hint)
    model = artifact.open_model(Path(job.model))
    if not isinstance(model, Artifact):
        raise UnsupportedError(
            f"{device} runs artifacts, and {model.name} is a file alone",
            hint="edgekit export makes one; --benchmark-binary times any .tflite",
        )
    if model.manifest.layout:
        what = f"{device} runs an app that reads no answers laid out for {model.manifest.layout.name}"
        raise UnsupportedError(what, hint="export without --layout; --benchmark-binary times any .tflite")
    if model.manifest.input.shape[0] != 1:
        raise UnsupportedError(f"{device} runs files of one image at a time", hint="export without --dynamic-batch")
    return model
