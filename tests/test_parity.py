import msgspec
import numpy as np
import pytest

from edgekit import artifact, parity, registry
from edgekit.errors import WorkerError
from edgekit.runtimes import Options

REFERENCE = np.random.default_rng(0).normal(0, 3, (32, 10)).astype(np.float32)


def prove(answer, scheme="fp32", *, advisory=False):
    return parity.prove(scheme, REFERENCE, answer, runtime="r", source="s", advisory=advisory)


def test_equal_answers_pass_and_small_noise_passes_for_int8_only():
    assert prove(REFERENCE).passed
    assert prove(REFERENCE).sqnr_db is None
    noisy = REFERENCE + np.random.default_rng(1).normal(0, 0.3, REFERENCE.shape).astype(np.float32)
    assert not prove(noisy).passed
    assert prove(noisy, "int8-static").passed


def test_wrong_and_broken_answers_fail():
    assert not prove(REFERENCE[::-1].copy(), "int8-static").passed
    assert not prove(np.full_like(REFERENCE, np.nan), "int8-static").passed
    assert msgspec.json.encode(prove(np.full_like(REFERENCE, np.nan)))


def test_advisory_limits_refuse_nothing():
    assert prove(REFERENCE[::-1].copy(), "int8-static", advisory=True).passed


def test_a_copy_is_verified_in_the_real_runtime(golden_artifact):
    v = parity.verify(artifact.load(golden_artifact), registry.runtime("litert"), Options())
    assert v.passed
    assert v.tensors_equal
    assert v.max_abs <= v.tolerance


def test_answers_of_another_model_are_not_verified(golden_artifact):
    v = parity.verify(artifact.load(golden_artifact), registry.runtime("null"), Options())
    assert not v.passed  # the fake answers zeros


def test_a_file_that_the_runtime_cannot_open_is_said(copied):
    (copied / "model.tflite").write_bytes(b"\0" * 64)
    manifest = msgspec.json.decode((copied / "manifest.json").read_bytes(), type=artifact.Manifest)
    opened = artifact.Artifact(copied, manifest)
    with pytest.raises(WorkerError, match="cannot open"):
        registry.runtime("litert").open(opened)
