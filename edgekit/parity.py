"""Does the exported file answer like the PyTorch model? And does a copy answer like where it was made?"""

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit import registry
from edgekit.artifact import Artifact, Golden, load
from edgekit.devices import Device, Job, Ready, opened
from edgekit.errors import ArtifactError, ParityError, RequestError, UnsupportedError
from edgekit.manifest import AGAIN, Proof, digest_of
from edgekit.runtimes import Options
from edgekit.tasks.classification import LOGITS, Meaning, can_be, sqnr_db
from edgekit.tensors import golden_tensors

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """What an export must reach on its proof pictures, and how far a copy may stray from the golden answers.

    min_sqnr_db    signal to noise of the scores against PyTorch
    min_agreement  share of pictures with the same first class; of independent classes, with the same labels
    stray          of the largest absolute golden answer: other CPUs and interpreters round differently. An int8-static
                   CNN differs by up to 5 steps of 255 on tflite-runtime 2.14; dynamic files by 1.3 % on ARM.
    """

    min_sqnr_db: float
    min_agreement: float
    stray: float


LIMITS = {
    "fp32": Limits(80, 1.0, 0.001),
    "fp16": Limits(35, 0.95, 0.01),
    "int8-weight-only": Limits(12, 0.85, 0.01),
    "int8-dynamic": Limits(12, 0.85, 0.04),
    "int8-static": Limits(13, 0.85, 0.04),
}


STILL = 1e-4  # of the largest answer: less than the noise that an fp32 file may have


def prove(
    scheme: str,
    reference: Scores,
    answer: Scores,
    *,
    runtime: str,
    source: str,
    advisory: bool,
    meaning: Meaning = LOGITS,
) -> Proof:
    """Compare the file's scores with the reference's and hold them against the scheme's limits.

    advisory: only answers that are the same for every picture are refused (random weights: int8 grids say nothing about
    scores that mean nothing).
    """
    limits = LIMITS[scheme]
    finite = bool(np.isfinite(answer).all())
    alive = varies(answer) or not varies(reference)
    sqnr = sqnr_db(reference, answer) if finite else -math.inf
    same = meaning.agreement(reference, answer) if finite else 0.0
    return Proof(
        runtime=runtime,
        pictures=len(reference),
        source=source,
        max_abs=float(np.abs(reference - answer).max()) if finite else None,
        sqnr_db=None if math.isinf(sqnr) and sqnr > 0 else max(round(sqnr, 1), -999.0) if finite else -999.0,
        agreement=round(same, 4),
        min_sqnr_db=limits.min_sqnr_db,
        min_agreement=limits.min_agreement,
        passed=alive and (advisory or (sqnr >= limits.min_sqnr_db and same >= limits.min_agreement)),
        advisory=advisory,
    )


def varies(scores: Scores) -> bool:
    """Whether answers [n, classes] depend on the picture, by more than STILL of the largest; one answer cannot tell."""
    spread, largest = float(np.ptp(scores, axis=0).max()), float(np.abs(scores).max())
    return len(scores) < 2 or not math.isfinite(spread) or spread > STILL * largest


def within_limits(proof: Proof) -> bool:
    """Also of an advisory proof, which passes either way."""
    equal = proof.sqnr_db is None
    return proof.agreement >= proof.min_agreement and (equal or (proof.sqnr_db or 0.0) >= proof.min_sqnr_db)


def describe(proof: Proof, measure: str = "top-1 agreement") -> str:
    """ "SQNR 18.9 dB (limit 10), top-1 agreement 97 % (limit 80 %), max |d| 0.31 on 32 pictures"."""
    sqnr = (
        "equal to the last bit"
        if proof.sqnr_db is None
        else f"SQNR {proof.sqnr_db:.1f} dB (limit {proof.min_sqnr_db:.0f})"
    )
    farthest = "answers that are not numbers" if proof.max_abs is None else f"max |d| {proof.max_abs:.3g}"
    return (
        f"{sqnr}, {measure} {proof.agreement:.1%} (limit {proof.min_agreement:.0%}), "
        f"{farthest}, on {proof.pictures} pictures"
    )


def check_claims(artifact: Artifact) -> None:
    """Hold what a manifest says against what can be computed again. Raises ArtifactError for a contradiction, ParityError
    for an artifact that was refused when it was exported."""
    m, golden = artifact.manifest, artifact.golden()
    assert m.proof
    if not m.proof.passed:
        raise ParityError(
            f"{artifact.folder} answers differently from PyTorch, and was refused at export: "
            f"{describe(m.proof, m.meaning.measure)}",
            hint="edgekit export makes another",
        )
    digest = digest_of(m.recipe, m.weights.sha256, m.calibration.sha256 if m.calibration else "", artifact.labels())
    tolerance = golden_tolerance(m.scheme, golden)
    for says, holds in (
        ("a proof that passed, and figures below its limits", m.proof.advisory or within_limits(m.proof)),
        (
            f"a tolerance of {m.golden_tolerance:g}; {m.scheme} has {tolerance:.3g}",
            m.golden_tolerance <= tolerance * 1.001,
        ),
        ("a recipe_digest that is not of its recipe, weights, calibration and labels", m.recipe_digest == digest),
        (f"{m.scores}, and the golden answers are none", can_be(m.scores, golden.answers)),
    ):
        if not holds:
            raise ArtifactError(f"{artifact.folder / 'manifest.json'} says {says}", hint=AGAIN)


KERNELS_DB = 18  # roundings alone cost 24 to 30; weights that overflow on CPUs without VNNI leave 6 to 9


@dataclass(frozen=True)
class Verification:
    """One runtime's answers to the golden pictures.

    ran            the runtime, and where it ran if that is not this machine
    tensors_equal  this machine's preprocessing gives the same tensors, to the last bit
    max_abs        largest difference to the golden answers; tolerance: how large it may be
    kernels_db     the CPU's integer kernels against exact arithmetic, where the runtime has both: SQNR of the scores,
                   inf where they are equal
    """

    runtime: str
    ran: str
    pictures: int
    tensors_equal: bool
    max_abs: float
    tolerance: float
    same_top1: bool
    kernels_db: float | None = None

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
) -> Verification:
    """Prove a copy where it will run, without torch: pictures to tensors here, tensors to answers on the device (None:
    here too), in a worker.

    artifact  one that is open, or its folder
    runtime   None: the first that is installed and opens such files

    Raises as `check_claims` does; WorkerError where the runtime fails on the file; ArtifactError, DeviceError.
    """
    artifact = artifact if isinstance(artifact, Artifact) else load(artifact)
    check_claims(artifact)
    runtime = runtime or registry.runtime_for(artifact.target).name
    manifest, golden = artifact.manifest, artifact.golden()
    job, device = Job(str(artifact.folder), runtime, options), device or registry.device("local")
    with opened(device, job) as worker:
        answer = artifact.decode(worker.answer(golden.tensors))
        ready = worker.ready
    tensors = golden_tensors(golden.images, manifest.input, manifest.preprocess, folded=manifest.folded)
    kernels = None
    exact_too = artifact.model_file.suffix == ".onnx" and runtime == "onnxruntime"  # an .ort is fused for good
    if exact_too and manifest.scheme == "int8-static":
        kernels = _kernels_db(
            artifact, device, msgspec.structs.replace(job, options=replace(options, exact=True)), answer
        )
    difference = np.abs(answer - golden.answers).max() if np.isfinite(answer).all() else np.inf
    return Verification(
        runtime=ready.facts["runtime"],
        ran=where(ready, device),
        pictures=len(golden.images),
        tensors_equal=np.array_equal(tensors, golden.tensors),
        max_abs=float(difference),
        tolerance=manifest.golden_tolerance,
        same_top1=manifest.meaning.agreement(golden.answers, answer) == 1,
        kernels_db=kernels,
    )


def _kernels_db(artifact: Artifact, device: Device, exact: Job, answer: NDArray[np.float32]) -> float | None:
    """SQNR of answers against those in exact arithmetic; None where the device cannot do that (a phone)."""
    try:
        with opened(device, exact) as worker:
            return sqnr_db(artifact.decode(worker.answer(artifact.golden().tensors)), answer)
    except UnsupportedError:
        return None


def where(ready: Ready, device: Device) -> str:
    """ "ai-edge-litert 2.3.0 on arm64:cortex-a76 (qemu-aarch64 7.2)"; of this machine only the runtime."""
    what = ready.host.get("emulator") or ready.host.get("phone")
    return ready.facts["runtime"] + (f" on {device.name} ({what})" if what else "")


@dataclass(frozen=True)
class Match:
    """Two artifacts' scores for the same pictures, each through its own preprocessing and runtime."""

    first: str
    second: str
    pictures: int
    agreement: float
    max_abs: float
    sqnr_db: float  # of the second's scores, taking the first's for the truth; inf where they are equal
    ran: tuple[str, str]  # in what, and where


def compare(
    artifacts: Sequence[tuple[Artifact, str]], pixels: NDArray[np.uint8], options: Options, device: Device | None = None
) -> list[Match]:
    """The answers of every pair of artifacts, each with its runtime, to fitted pictures [n, h, w, 3].

    Raises RequestError, and as `verify` does.

    Artifacts that name other classes, fit pictures otherwise, or give probabilities where others give logits cannot be
    compared.
    """
    for other, _ in artifacts[1:]:
        check_comparable(artifacts[0][0], other)
    device = device or registry.device("local")
    scores, ran = [], []
    for artifact, runtime in artifacts:
        with opened(device, Job(str(artifact.folder), runtime, options)) as worker:
            scores.append(artifact.decode(worker.answer(artifact.encode(pixels))))
            ran.append(where(worker.ready, device))
    return [
        Match(
            artifacts[i][0].name,
            artifacts[j][0].name,
            len(pixels),
            artifacts[0][0].manifest.meaning.agreement(scores[i], scores[j]),
            float(np.abs(scores[i] - scores[j]).max()),
            sqnr_db(scores[i], scores[j]),
            (ran[i], ran[j]),
        )
        for i, j in itertools.combinations(range(len(artifacts)), 2)
    ]


def check_comparable(first: Artifact, other: Artifact) -> None:
    """Raises RequestError for two artifacts that are not of one model."""
    if other.labels() != first.labels() or other.manifest.preprocess != first.manifest.preprocess:
        raise RequestError(
            f"{other.name} knows other classes than {first.name}, or takes pictures otherwise",
            hint="files of one model",
        )
    here, there = first.manifest.meaning, other.manifest.meaning
    if there != here:
        apart = f" from {there.threshold:g}", f" from {here.threshold:g}"
        ours, theirs = apart if str(there) == str(here) else ("", "")
        raise RequestError(
            f"{other.name} answers {there}{ours}, {first.name} {here}{theirs}",
            hint="export both with --softmax, --multi-label and --threshold alike",
        )


def golden_tolerance(scheme: str, golden: Golden) -> float:
    farthest = float(LIMITS[scheme].stray * np.abs(golden.answers).max())
    return farthest if math.isfinite(farthest) else 0.0
