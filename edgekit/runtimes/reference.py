"""A yardstick, not a runtime: a fixed computation, whatever the file. A file's time over its time carries better
between hours of one machine than the time itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.artifact import Model
from edgekit.runtimes import InputSpec, Options
from edgekit.tensors import Arrays

PLANES, SIDE = 24, 112


class ReferenceSession:
    """A depthwise 3 x 3 convolution and a ReLU6 in numpy, float32: one thread, arithmetic and memory."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.weights = rng.standard_normal((3, 3, PLANES, 1, 1)).astype(np.float32)
        self.picture = rng.standard_normal((PLANES, SIDE + 2, SIDE + 2)).astype(np.float32)

    def input_spec(self) -> InputSpec:
        return InputSpec((1, 1), "float32")

    def run(self, tensor: NDArray[Any]) -> Arrays:
        total = np.zeros((PLANES, SIDE, SIDE), np.float32)
        for y in range(3):
            for x in range(3):
                total += self.weights[y, x] * self.picture[:, y : y + SIDE, x : x + SIDE]
        return (np.clip(total, 0, 6).sum((1, 2))[None],)

    def facts(self) -> dict[str, str]:
        return {"runtime": f"numpy {np.__version__}", "threads": "1"}

    def close(self) -> None:
        pass


class Reference:
    name = "reference"
    targets: frozenset[str] = frozenset()

    def version(self) -> str:
        return np.__version__

    def open(self, artifact: Model, options: Options = Options()) -> ReferenceSession:
        return ReferenceSession()
