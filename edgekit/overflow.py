"""Which int8 weights can overflow in the 16-bit additions of x86 CPUs with AVX2 and without VNNI.

There, ONNX Runtime (MLAS) and OpenVINO (oneDNN) multiply uint8 activations with int8 weights by `vpmaddubsw`: it
multiplies two neighbouring pairs of bytes and adds the two products in a signed 16-bit number with saturation (Intel 64
and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW). What does not fit is cut off, and nothing
says so. VNNI (`vpdpbusd`) and the dot products of ARM add in 32 bits.

int8 activations are no way out: ONNX Runtime makes uint8 of them on x86 (QDQ files), and oneDNN adds 128 to them. With
ONEDNN_MAX_CPU_ISA=AVX2 and weights of 127, OpenVINO 2026.4 answers 256 instead of 506 for uint8 and 2 instead of 252
for int8 activations; depthwise convolutions answer rightly.

An activation is at most 255, so a pair of weights is safe while 255 * (q1 + q2) stays within -32768..32767: while the
sum of its positive weights is at most 128 and that of its negative ones at least -128. Weights of different signs are
no worse than the larger of the two, because the activation of the other one may be 0.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

LIMIT = 128
Number = TypeVar("Number", bound=np.generic)


def pair_sums(weights: NDArray[np.int8]) -> NDArray[np.int64]:
    """The pair sum farthest from zero in each output channel, of weights [out, K] in the order the kernel adds them.

    Every two neighbours count as a pair: where a kernel starts to count depends on its blocking.
    """
    wide = weights.astype(np.int64)
    ends = np.pad(wide, ((0, 0), (0, 1)))  # a last weight without a neighbour is paired with a zero
    positive, negative = np.maximum(ends, 0), np.minimum(ends, 0)
    highest = (positive[:, :-1] + positive[:, 1:]).max(axis=1, initial=0)
    lowest = (negative[:, :-1] + negative[:, 1:]).min(axis=1, initial=0)
    worst: NDArray[np.int64] = np.where(highest >= -lowest, highest, lowest)
    return worst


def overflows(sums: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.abs(sums) > LIMIT


def convolution_rows(weights: NDArray[Number]) -> NDArray[Number]:
    """[out, in / group, *kernel] to [out, K]: kernels add over images in NHWC, the input channels innermost."""
    return np.moveaxis(weights, 1, -1).reshape(len(weights), -1)


def matrix_rows(weights: NDArray[np.int8], *, transposed: bool = False) -> NDArray[np.int8]:
    """[..., K, N], or [N, K] where transposed, to [N, K]; the matrices of a stack one below the other."""
    rows = weights if transposed else np.swapaxes(weights, -1, -2)
    return rows.reshape(-1, rows.shape[-1])
