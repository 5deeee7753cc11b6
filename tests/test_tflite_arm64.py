"""The app's TFLite on a phone's CPU: the AAR's arm64 library under QEMU. `make android` has unpacked the AAR."""

import numpy as np
import pytest
import tflite_arm64
from conftest import GOLDEN, GOLDEN_FILES

from edgekit import artifact
from edgekit.devices.cache import part
from edgekit.exporters.tflite_file import PER_CHANNEL_VERSION, pack, tflite

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    if not tflite_arm64.LIBRARY.exists() or not part("qemu"):
        pytest.skip("make android unpacks TFLite's AAR, and edgekit doctor --setup arm64 fetches QEMU")
    return tflite_arm64.Phone(tmp_path_factory.mktemp("phone"))


def test_the_committed_file_answers_as_on_x86_64(phone):
    model = artifact.load(GOLDEN)
    golden = model.golden()
    np.testing.assert_array_equal(
        phone.answers(model, golden.tensors)[0], golden.answers[0]
    )  # integers from end to end


def test_a_segmenter_is_judged_by_its_map(phone):
    model = artifact.load(GOLDEN_FILES / "tiny3-segmentation-tflite-int8")
    (answers,) = phone.answers(model, model.golden().tensors)
    assert answers.shape == (4, 3, 16, 24)
    verdict, words = tflite_arm64.judge(phone, model)
    assert verdict == "right", words


def test_several_outputs_come_one_after_the_other(phone):
    file = tflite_arm64.HERE / "engines/src/test/resources/several.tflite"
    pixels = np.arange(2 * 24, dtype=np.float32).reshape(2, 1, 2, 4, 3)
    found = np.frombuffer(phone.run(file, pixels), np.float32).reshape(2, 3 + 24 + 3)
    flat = pixels.reshape(2, 8, 3)
    np.testing.assert_allclose(found[:, :3], flat.mean(1), rtol=1e-5)
    np.testing.assert_array_equal(found[:, 3:27], -flat.reshape(2, 24))
    np.testing.assert_array_equal(found[:, 27:], flat.max(1))


@pytest.mark.parametrize("scheme", ["fp32", "fp16", "int8-static", "int8-weight-only"])
def test_a_file_that_2_16_is_said_to_be_right_on_is(phone, exported, scheme):
    model = exported(scheme)
    assert model.manifest.oldest_interpreter["arm64"].startswith("TFLite 2.16.1")
    verdict, words = tflite_arm64.judge(phone, model)
    assert verdict == "right", words


def test_dynamic_integers_are_refused_there_and_would_be_wrong(phone, exported, tmp_path):
    model = exported("int8-dynamic")
    assert model.manifest.oldest_interpreter["arm64"] == "LiteRT 1.2"
    assert tflite_arm64.judge(phone, model) == (
        "refused",
        "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'",
    )
    # the version that quantizers give it, which 2.16.1 takes, and answers without the scales of the weights
    graph = tflite.ModelT.InitFromPackedBuf(model.model_file.read_bytes(), 0)
    for code in graph.operatorCodes:
        if code.version == PER_CHANNEL_VERSION:
            code.version = 5
    lowered = tmp_path / "lowered.tflite"
    lowered.write_bytes(pack(graph, b"TFL3"))
    golden = model.golden()
    (answers,) = phone.answers(model, golden.tensors, lowered)
    assert np.abs(answers - golden.answers[0]).max() > 100 * model.manifest.outputs[0].tolerance
