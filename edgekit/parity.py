"""Does the exported file answer like the PyTorch model? And does a copy answer like where it was made?"""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import registry
from edgekit.artifact import Artifact, load
from edgekit.calibration import PROOF_PICTURES
from edgekit.devices import TIMEOUT, Device, Job, Ready, opened
from edgekit.errors import ArtifactError, ParityError, RequestError, UnsupportedError, many
from edgekit.manifest import AGAIN, Distance, Proof, digest_of
from edgekit.runtimes import Options
from edgekit.tasks import Task
from edgekit.tasks.likeness import Measure, Noise
from edgekit.tensors import Values, decoded_shape


@dataclass(frozen=True)
class Limits:
    """What an export must reach on its proof images besides its task's own measures, and how far a copy may be off.

    min_sqnr_db  signal to noise of every output against PyTorch
    tolerance    of the largest absolute golden answer: other CPUs and interpreters round differently. An int8-static CNN
                 differs by up to 5 steps of 255 on tflite-runtime 2.14; dynamic files by 1.3 % on ARM.
    """

    min_sqnr_db: float
    tolerance: float


LIMITS = {
    "fp32": Limits(80, 0.001),
    "fp16": Limits(35, 0.01),
    "int8-weight-only": Limits(12, 0.01),
    "int8-dynamic": Limits(12, 0.04),
    "int8-static": Limits(13, 0.04),
}

ROUNDED = 30  # dB: what folded BatchNorms and sums in another order may add to the rounding of PyTorch itself; measured: 7 to 22
LEAST_EXACT = 50  # dB: below it, rounding decides what an fp32 file answers
LEAST_ALIKE = 20  # dB, where answers mean nothing anyway: below it, the file is another network

STILL = 1e-4  # of the largest answer: less than the noise that an fp32 file may have


class Spread:
    """Whether answers depend on the image, of as many images as were added."""

    def __init__(self) -> None:
        self.pictures = 0
        self.low: Values = ()
        self.high: Values = ()

    def add(self, values: Values) -> None:
        low, high = tuple(v.min(0) for v in values), tuple(v.max(0) for v in values)
        first = not self.pictures
        self.low = low if first else tuple(map(np.minimum, self.low, low))
        self.high = high if first else tuple(map(np.maximum, self.high, high))
        self.pictures += len(values[0])

    @property
    def varies(self) -> bool:
        """By more than STILL of the largest, in one output at least; one answer cannot tell."""
        return self.pictures < 2 or any(_apart(low, high) for low, high in zip(self.low, self.high, strict=True))


def _apart(low: NDArray[np.float32], high: NDArray[np.float32]) -> bool:
    spread, largest = float((high - low).max(initial=0)), float(np.maximum(-low, high).max(initial=0))
    return not math.isfinite(spread) or spread > STILL * largest


def prove(
    task: Task,
    scheme: str,
    answers: Iterable[tuple[Values, Values]],
    *,
    runtime: str,
    source: str,
    untrained: bool,
    rounding_db: Callable[[], float] = lambda: math.inf,
) -> Proof:
    """Compare a file's answers with the reference's and hold them against the limits of the scheme and of the task.

    answers   of PyTorch and of the file to the same images, [n, ...] each, some images at a time; those beyond
              PROOF_PICTURES are asked for only where a measure has too little to judge by, or misses its limit on those few
    untrained  random weights: of int8 files only those are refused that answer every image the same, because int8 grids say
              nothing about scores that mean nothing; of others what the SQNR refuses, because boxes that mean nothing pass or
              miss a threshold by the last bit. A proof of int8 is advisory, too, where nothing is found: all scores are noise
    rounding_db  SQNR of the reference's answers against its own in float64, asked for where an fp32 file is below its limit:
              a deep network may make so much of each rounding that no other order of sums gives the same answers
    """
    likeness, ours, theirs, missed = None, Spread(), Spread(), False
    for reference, given in answers:
        ours.add(reference)
        theirs.add(given)
        alike = task.alike(reference, given)
        likeness = likeness + alike if likeness else alike
        measures = task.measures(likeness, scheme) if ours.pictures >= PROOF_PICTURES else ()
        # where a limit is missed, all images judge: to stop at the first that pass flatters
        missed = missed or not all(m.reached for m in measures)
        if measures and not missed and not any(m.advisory for m in measures):
            break
    assert likeness, "no images"
    measures = task.measures(likeness, scheme)
    int8 = scheme.startswith("int8")
    own = task.int8_sqnr_db if int8 else None
    limit = LIMITS[scheme].min_sqnr_db if own is None else own
    if scheme == "fp32" and likeness.sqnr_db < limit:
        least = LEAST_ALIKE if untrained else LEAST_EXACT
        limit = min(limit, max(least, round(rounding_db() - ROUNDED, 1)))
    proof = Proof(
        runtime=runtime,
        pictures=ours.pictures,
        source=source,
        measures=measures,
        outputs=tuple(map(_distance, likeness.noise)),
        min_sqnr_db=limit,
        passed=False,
    )
    if int8:
        advisory = untrained or any(m.advisory for m in measures)
    else:
        advisory = untrained and proof.sqnr_reached and not proof.within_limits
    alive = theirs.varies or not ours.varies
    return msgspec.structs.replace(proof, passed=alive and (advisory or proof.within_limits), advisory=advisory)


def lowered(proof: Proof, scheme: str) -> str:
    """What is to be said of an fp32 file's limit that is lower than others', or ""."""
    if scheme != "fp32" or proof.min_sqnr_db == LIMITS[scheme].min_sqnr_db:
        return ""
    return (
        "this network makes much of rounding: in PyTorch too, float32 answers otherwise than float64; "
        f"the file's limit is {proof.min_sqnr_db:.0f} dB, not {LIMITS[scheme].min_sqnr_db:.0f}"
    )


def _distance(noise: Noise) -> Distance:
    """As JSON can hold it."""
    db = noise.sqnr_db
    return Distance(
        sqnr_db=None if db == math.inf else max(round(db, 1), -999.0),
        max_abs=noise.max_abs if noise.finite else None,
    )


def describe(proof: Proof, units: str) -> str:
    """ "SQNR 18.9 dB (limit 10), top-1 agreement 97.0% (limit 80%), max |d| 0.31, on 32 images"."""
    sqnr = (
        "equal to the last bit"
        if proof.sqnr_db is None
        else f"SQNR {proof.sqnr_db:.1f} dB (limit {proof.min_sqnr_db:.0f})"
    )
    farthest = "answers that are not numbers" if proof.max_abs is None else f"max |d| {proof.max_abs:.3g}"
    return ", ".join([sqnr, *map(str, proof.measures), farthest, f"on {many(proof.pictures, units)}"])


def check_claims(artifact: Artifact) -> None:
    """Hold what a manifest says against what can be computed again. Raises ArtifactError for a contradiction, ParityError
    for an artifact that was refused when it was exported."""
    m, golden = artifact.manifest, artifact.golden()
    if not m.proof.passed:
        raise ParityError(
            f"{artifact.folder} answers differently from PyTorch, and was refused at export: {describe(m.proof, m.preprocess.units)}",
            hint="edgekit export makes another",
        )
    digest = digest_of(m.recipe, m.weights.sha256, m.calibration.sha256 if m.calibration else "", artifact.labels())
    limits = tolerances(m.scheme, golden.answers)
    for says, holds in (
        ("a proof that passed, and figures below its limits", m.proof.advisory or m.proof.within_limits),
        *(
            (
                f"a tolerance of {tensor.tolerance:g}; {m.scheme} has {limit:.3g}",
                tensor.tolerance <= limit * 1.001,
            )
            for tensor, limit in zip(m.outputs, limits, strict=True)
        ),
        ("a recipe_digest that is not of its recipe, weights, calibration and labels", m.recipe_digest == digest),
        (f"{m.task}, and the golden answers are none", m.task.can_be(golden.answers)),
    ):
        if not holds:
            raise ArtifactError(f"{artifact.folder / 'manifest.json'} says {says}", hint=AGAIN)


KERNELS_DB = 18  # roundings alone cost 24 to 30; weights that overflow on CPUs without VNNI leave 6 to 9


@dataclass(frozen=True, repr=False)
class Verification:
    """One runtime's answers to the golden images.

    ran            the runtime, and where it ran if that is not this machine
    tensors_equal  this machine's preprocessing gives the same tensors, to the last bit
    max_abs        largest difference to the golden answers, of the output nearest to its tolerance or farthest past it;
                   tolerance: how large it may be
    same           the task's own reading of the answers is the same: of classes the first, or all that hold
    kernels_db     the CPU's integer kernels against exact arithmetic, where the runtime has both: SQNR of the scores,
                   inf where they are equal
    """

    runtime: str
    ran: str
    pictures: int
    tensors_equal: bool
    max_abs: float
    tolerance: float
    same: bool
    kernels_db: float | None = None

    def __repr__(self) -> str:
        """In one line."""
        pixels = "" if self.tensors_equal else ", images become other tensors"
        kernels = "" if self.kernels_exact else ", int8 kernels overflow"
        said = f"max |d| {self.max_abs:.3g}, tolerance {self.tolerance:.3g}, {self.ran}{pixels}{kernels}"
        return f"Verification({'passed' if self.passed else 'FAILED'}: {said})"

    @property
    def passed(self) -> bool:
        return self.tensors_equal and self.max_abs <= self.tolerance and self.kernels_exact

    @property
    def kernels_exact(self) -> bool:
        return self.kernels_db is None or self.kernels_db >= KERNELS_DB


def verify(
    artifact: Artifact | str | os.PathLike[str],
    runtime: str | None = None,
    options: Options = Options(),
    device: Device | None = None,
    timeout: float = TIMEOUT,
) -> Verification:
    """Prove a copy where it will run, without torch: images to tensors here, tensors to answers on the device (None:
    here too), in a worker.

    artifact  one that is open, or its folder
    runtime   None: the first that is installed and opens such files
    timeout   seconds without an answer that mean a hang

    Raises as `check_claims` does; WorkerError where the runtime fails on the file; ArtifactError, DeviceError.
    """
    artifact = artifact if isinstance(artifact, Artifact) else load(artifact)
    check_claims(artifact)
    runtime = runtime or registry.runtime_for(artifact.target).name
    manifest, golden = artifact.manifest, artifact.golden()
    job, device = Job(str(artifact.folder), runtime, options), device or registry.device("local")
    with opened(device, job, timeout) as worker:
        whole = artifact.decode(worker.answer(golden.tensors))
        answer, ready = artifact.thinned(whole), worker.ready
    tensors = artifact.signature.examples(golden.images)
    kernels = None
    exact_too = artifact.model_file.suffix == ".onnx" and runtime == "onnxruntime"  # an .ort is fused for good
    if exact_too and manifest.scheme == "int8-static":
        kernels = _kernels_db(
            artifact, device, msgspec.structs.replace(job, options=replace(options, exact=True)), timeout, whole
        )
    likeness = manifest.task.alike(golden.answers, answer)
    max_abs, tolerance = max(
        ((noise.max_abs, tensor.tolerance) for noise, tensor in zip(likeness.noise, manifest.outputs, strict=True)),
        key=lambda pair: pair[0] - pair[1],
    )
    return Verification(
        runtime=ready.facts["runtime"],
        ran=where(ready, device),
        pictures=len(golden.images),
        tensors_equal=np.array_equal(tensors, golden.tensors),
        max_abs=max_abs,
        tolerance=tolerance,
        same=all(share == 1 for share in likeness.shares),
        kernels_db=kernels,
    )


def _kernels_db(artifact: Artifact, device: Device, exact: Job, timeout: float, answer: Values) -> float | None:
    """SQNR of answers against those in exact arithmetic; None where the device cannot do that (a phone)."""
    try:
        with opened(device, exact, timeout) as worker:
            return artifact.manifest.task.alike(
                artifact.decode(worker.answer(artifact.golden().tensors)), answer
            ).sqnr_db
    except UnsupportedError:
        return None


def where(ready: Ready, device: Device) -> str:
    """ "ai-edge-litert 2.3.0 on arm64:cortex-a76 (qemu-aarch64 7.2)"; of this machine only the runtime."""
    what = ready.host.get("emulator") or ready.host.get("phone")
    return ready.facts["runtime"] + (f" on {device.name} ({what})" if what else "")


@dataclass(frozen=True, repr=False)
class Match:
    """Two artifacts' answers to the same images, each through its own preprocessing and runtime."""

    first: str
    second: str
    pictures: int
    measures: tuple[Measure, ...]  # of the task, taking the first for the truth
    max_abs: float
    sqnr_db: float  # of the second's answers, taking the first's for the truth; inf where they are equal
    ran: tuple[str, str]  # in what, and where

    def __repr__(self) -> str:
        """In one line."""
        measures = [f"{measure.name} {measure.value:.1%}" for measure in self.measures]
        alike = f"SQNR {self.sqnr_db:.1f} dB" if math.isfinite(self.sqnr_db) else "equal"
        return (
            f"Match({self.first} and {self.second}: {', '.join([*measures, alike])} on {many(self.pictures, 'images')})"
        )


def compare(
    artifacts: Sequence[tuple[Artifact, str]],
    pixels: NDArray[np.uint8],
    options: Options,
    device: Device | None = None,
    timeout: float = TIMEOUT,
) -> list[Match]:
    """The answers of every pair of artifacts, each with its runtime, to fitted images [n, h, w, 3].

    Raises RequestError, and as `verify` does.

    Artifacts that name other classes, fit images otherwise, or give probabilities where others give logits cannot be
    compared.
    """
    for other, _ in artifacts[1:]:
        check_comparable(artifacts[0][0], other)
    device = device or registry.device("local")
    values, ran = [], []
    for artifact, runtime in artifacts:
        with opened(device, Job(str(artifact.folder), runtime, options), timeout) as worker:
            values.append(artifact.decode(worker.answer(artifact.encode(pixels))))
            ran.append(where(worker.ready, device))
    matches, task = [], artifacts[0][0].manifest.task
    for i, j in itertools.combinations(range(len(artifacts)), 2):
        likeness = task.alike(values[i], values[j])
        measures = task.measures(likeness, artifacts[j][0].manifest.scheme)
        names = artifacts[i][0].name, artifacts[j][0].name
        matches.append(Match(*names, len(pixels), measures, likeness.max_abs, likeness.sqnr_db, (ran[i], ran[j])))
    return matches


def check_comparable(first: Artifact, other: Artifact) -> None:
    """Raises RequestError for two artifacts that are not of one model."""
    if other.labels() != first.labels() or other.manifest.preprocess != first.manifest.preprocess:
        raise RequestError(
            f"{other.name} knows other classes than {first.name}, or takes images otherwise",
            hint="files of one model",
        )
    if [*map(decoded_shape, other.manifest.outputs)] != [*map(decoded_shape, first.manifest.outputs)]:
        raise RequestError(f"{other.name} answers other tensors than {first.name}", hint="files of one model")
    here, there = first.manifest.task, other.manifest.task
    if there != here:
        raise RequestError(
            f"{other.name} answers {there}, {first.name} {here}",
            hint="export both with --task, --softmax, --multi-label and --threshold alike",
        )


def tolerances(scheme: str, answers: Values) -> tuple[float, ...]:
    """How far a copy's answers may be off, for each output of golden answers."""
    farthest = (float(LIMITS[scheme].tolerance * np.abs(a).max(initial=0)) for a in answers)
    return tuple(f if math.isfinite(f) else 0.0 for f in farthest)
