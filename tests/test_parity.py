import dataclasses

import msgspec
import numpy as np
import pytest
from conftest import GOLDEN_FILES as GOLDEN

from edgekit import artifact, parity, registry
from edgekit.errors import RequestError, WorkerError
from edgekit.manifest import Proof, read_manifest
from edgekit.runtimes import Options
from edgekit.tasks.classification import LOGITS

REFERENCE = np.random.default_rng(0).normal(0, 3, (32, 10)).astype(np.float32)


def prove(answer, scheme="fp32", **more):
    batches = [((REFERENCE[i : i + 8],), (answer[i : i + 8],)) for i in range(0, 32, 8)]
    return parity.prove(LOGITS, scheme, batches, runtime="r", source="s", **{"untrained": False} | more)


def test_equal_answers_pass_and_small_noise_passes_for_int8_only():
    assert prove(REFERENCE).passed
    assert prove(REFERENCE).sqnr_db is None
    noisy = REFERENCE + np.random.default_rng(1).normal(0, 0.3, REFERENCE.shape).astype(np.float32)
    assert not prove(noisy).passed
    assert prove(noisy, "int8-static").passed


def test_wrong_and_broken_answers_fail():
    assert not prove(REFERENCE[::-1].copy(), "int8-static").passed
    assert not prove(np.full_like(REFERENCE, np.nan), "int8-static").passed
    broken = prove(np.full_like(REFERENCE, np.nan))
    assert msgspec.json.decode(msgspec.json.encode(broken), type=Proof) == broken
    assert "answers that are not numbers, on" in parity.describe(broken, "images")
    assert parity.describe(msgspec.structs.replace(broken, pictures=1), "images").endswith("on 1 image")


def test_advisory_limits_refuse_nothing():
    wrong = prove(REFERENCE[::-1].copy(), "int8-static", untrained=True)
    assert wrong.passed
    assert not wrong.within_limits
    assert prove(REFERENCE).within_limits


def test_an_untrained_network_may_answer_a_tie_otherwise_in_float_but_no_other_numbers():
    tied = REFERENCE.copy()
    tied[:, :2] = 50, np.nextafter(np.float32(50), np.float32(51))
    for answer, untrained, passes in (
        (tied[:, [1, 0]], True, True),
        (tied[:, [1, 0]], False, False),
        (tied * 1.01, True, False),
    ):
        answer = np.hstack([answer, tied[:, answer.shape[1] :]])
        proof = parity.prove(LOGITS, "fp32", [((tied,), (answer,))], runtime="r", source="s", untrained=untrained)
        assert (proof.passed, proof.advisory) == (passes, passes)
        assert not proof.within_limits
    assert not prove(REFERENCE, untrained=True).advisory


def test_an_fp32_file_may_round_as_the_network_makes_pytorch_round():
    noise = np.random.default_rng(1).normal(0, 1, REFERENCE.shape).astype(np.float32)
    rounded = REFERENCE + 1.5e-3 * noise  # 66 dB
    assert not prove(rounded).passed
    for own, limit, passes in ((120, 80, False), (98.4, 68.4, False), (87, 57, True), (60, 50, True)):
        proof = prove(rounded, rounding_db=lambda own=own: own)
        assert (proof.min_sqnr_db, proof.passed) == (pytest.approx(limit), passes)
        assert bool(parity.lowered(proof, "fp32")) == (limit < 80)
    coarse = REFERENCE + 0.02 * noise  # 44 dB
    assert not prove(coarse, rounding_db=lambda: 60).passed
    assert prove(coarse, rounding_db=lambda: 60, untrained=True).min_sqnr_db == 30  # answers that mean nothing
    assert prove(coarse, rounding_db=lambda: 60, untrained=True).passed
    assert not prove(REFERENCE + 0.5 * noise, rounding_db=lambda: 40, untrained=True).passed
    assert prove(REFERENCE, rounding_db=lambda: 1 / 0).min_sqnr_db == 80  # is not asked for where nothing is wrong
    assert prove(rounded, "fp16", rounding_db=lambda: 1 / 0).min_sqnr_db == 35


@pytest.mark.parametrize(
    "name",
    [
        "tiny-tflite-int8",
        "tiny-onnx-int8",
        "tiny2-tflite-int8",
        "tiny3-tflite-int8",
        "roads-tflite-int8",
        "embedder-tflite-int8",
        "depth-onnx-fp32",
    ],
)
def test_a_copy_is_verified_in_the_real_runtime(name):
    copy = artifact.load(GOLDEN / name)
    v = parity.verify(copy, registry.runtime_for(copy.manifest.target).name)
    assert v.passed
    assert v.tensors_equal
    assert v.max_abs <= v.tolerance
    assert (v.kernels_db is not None) == (name == "tiny-onnx-int8")
    assert v.kernels_db is None or v.kernels_db > 24
    assert not dataclasses.replace(v, kernels_db=8.0).passed


def test_answers_of_another_model_are_not_verified(golden_artifact):
    v = parity.verify(artifact.load(golden_artifact), "null")
    assert not v.passed  # the fake answers zeros


def test_a_file_that_the_runtime_cannot_open_is_said(copied):
    (copied / "model.tflite").write_bytes(b"\0" * 64)
    manifest = read_manifest(copied)
    opened = artifact.Artifact(copied, manifest)
    with pytest.raises(WorkerError, match="cannot open"):
        registry.runtime("litert").open(opened)


def test_files_of_one_model_are_compared_pair_by_pair(golden_artifact):
    opened = artifact.load(golden_artifact)
    real, fake = (opened, "litert"), (opened, "null")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    same, against_zeros, again = parity.compare([real, real, fake], pixels, Options())
    assert (same.pictures, same.measures[0].value, same.max_abs, same.sqnr_db) == (6, 1.0, 0.0, np.inf)
    assert against_zeros == again
    assert against_zeros.max_abs > 0
    assert against_zeros.sqnr_db == pytest.approx(0)


def test_files_of_several_models_are_not_compared(golden_artifact, copied):
    labels = (copied / "labels.txt").read_text().splitlines()
    (copied / "labels.txt").write_text("\n".join(reversed(labels)) + "\n")
    manifest = read_manifest(copied)
    pairs = [(artifact.load(golden_artifact), "null"), (artifact.Artifact(copied, manifest), "null")]
    with pytest.raises(RequestError, match="knows other classes"):
        parity.compare(pairs, np.zeros((1, 32, 32, 3), np.uint8), Options())


def test_a_tensor_that_the_file_does_not_take_is_said(golden_artifact):
    session = registry.runtime("litert").open(artifact.load(golden_artifact))
    with pytest.raises(WorkerError, match="ai-edge-litert"):
        session.run(np.zeros((1, 31, 32, 3), np.uint8))
