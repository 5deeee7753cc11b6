"""The check of int8 weights for x86 CPUs with AVX2 and without VNNI; it needs numpy only."""

import itertools
import sys

import numpy as np
import pytest

import edgekit_vision
from edgekit import inspection, overflow
from edgekit.errors import MissingExtraError

ANY = np.random.default_rng(7)


def saturates(activations, weights):
    """Whether one vpmaddubsw loses something: two u8 x s8 products, added in 16 bits."""
    exact = int(activations[0]) * int(weights[0]) + int(activations[1]) * int(weights[1])
    return not -32768 <= exact <= 32767


@pytest.mark.parametrize(
    ("row", "worst"),
    [
        ([64, 64, 0, 0], 128),
        ([0, 64, 65, 0], 129),  # at every alignment
        ([-64, -64], -128),
        ([-64, -65], -129),
        ([127, -127, 127, -127], 127),  # different signs help each other
        ([127, 127, -128, -128], -256),
        ([-128], -128),
        ([0, 0], 0),
    ],
)
def test_the_worst_pair_of_a_channel(row, worst):
    sums = overflow.pair_sums(np.array([row, [0] * len(row)], np.int8))
    assert sums.tolist() == [worst, 0]
    assert overflow.overflows(sums).tolist() == [abs(worst) > 128, False]


def test_it_says_what_the_instruction_does():
    pairs = [
        *itertools.product((-128, -65, -64, -1, 0, 1, 63, 64, 65, 127), repeat=2),
        *ANY.integers(-128, 128, (200, 2)),
    ]
    for pair in pairs:
        can = any(saturates(activations, pair) for activations in itertools.product((0, 1, 128, 254, 255), repeat=2))
        assert overflow.overflows(overflow.pair_sums(np.array([pair], np.int8))).tolist() == [can], pair


def test_a_convolution_is_added_with_its_input_channels_innermost():
    weights = ANY.integers(-127, 128, (3, 4, 2, 2), dtype=np.int8)
    rows = overflow.convolution_rows(weights)
    assert rows.shape == (3, 16)
    assert rows[1, 4 * (2 * 1 + 0) + 3] == weights[1, 3, 1, 0]


def test_a_matrix_is_added_along_k():
    weights = ANY.integers(-127, 128, (5, 3), dtype=np.int8)
    assert (overflow.matrix_rows(weights) == weights.T).all()
    assert (overflow.matrix_rows(weights, transposed=True) == weights).all()
    assert overflow.matrix_rows(np.stack([weights, -weights])).shape == (6, 5)


def test_an_onnx_file_needs_a_package_that_is_named(tmp_path, monkeypatch):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"\x08")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError) as caught:
        inspection.inspect(file)
    assert caught.value.hint == edgekit_vision.install("run-onnx")
