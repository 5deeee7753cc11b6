"""A share of the fuzzing that `make fuzz` does whole: the first cases of each kind, without torch."""

import pytest
from fuzz.corpus import KINDS
from fuzz.runner import Runner

SHARE = {
    "recipes": 40,
    "manifests": 40,
    "golden": 6,
    "tasks": 12,
    "models-tflite": 16,
    "models-onnx": 5,
    "models-ort": 2,
    "models-xml": 5,
}
SHARE |= {"pictures": 3, "runs": 20, "baselines": 5, "labels": 3, "records": 1}


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    return Runner(tmp_path_factory.mktemp("fuzz") / "work")


@pytest.mark.parametrize("kind", SHARE)
def test_damaged_input_ends_in_an_error_or_an_answer(runner, kind):
    results = [runner.run(kind, number) for number in range(SHARE[kind])]
    assert not [(r.what, r.number, r.said) for r in results if not r.good]


def test_every_kind_without_torch_has_its_share():
    assert set(SHARE) == {kind for kind, (_, _, torch) in KINDS.items() if not torch}
