"""How readers of other tools want a detector's answers, and its boxes and scores out of these again. Numpy only.

    mediapipe    location [n, a, 4], middle and size as cy cx h w, and score [n, a, c]: MediaPipe's ObjectDetector, whose
                 anchors, in the file's metadata, all are the whole input. It chooses among the boxes itself
    model-api    one tensor [n, 4 + c, a], of each box cx cy w h, then its scores: OpenVINO's Model API calls it YOLOv8
    ultralytics  the same tensor; on TFLite boxes are shares of the input's sides

The network in the file, its calibration and its quantization know nothing of a layout: what it adds stands behind the
last layers, in float.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from edgekit.preprocess import Positive
from edgekit.recipe import LayoutName
from edgekit.tensors import Axes, Tensor, Values

Pair = tuple[Positive, Positive]


class DetectorLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a file whose outputs are not its task's.

    outputs  as the file has them
    scale    pixels of the input for 1 in the file's boxes, across and down: (1, 1), or width and height for shares
    """

    name: LayoutName
    outputs: tuple[Tensor, ...]
    scale: Pair = (1.0, 1.0)

    def read(self, values: Values) -> Values:
        """Boxes [n, a, 4], x1 y1 x2 y2 in pixels of the input, and scores [n, a, c]."""
        if self.name == "mediapipe":
            location, scores = values
            middle, size = location[..., 1::-1], location[..., :1:-1]
        else:
            rows = np.moveaxis(values[0], 1, 2)
            middle, size, scores = rows[..., :2], rows[..., 2:4], np.ascontiguousarray(rows[..., 4:])
        scale = np.asarray(self.scale, np.float32)
        middle, half = middle * scale, size * (scale / 2)
        return np.concatenate([middle - half, middle + half], -1), scores

    def fault(self, outputs: tuple[Tensor, ...]) -> str | None:
        """What contradicts a detector's outputs, boxes and scores, in words."""
        own = [tensor.name for tensor in self.outputs]
        if len(own) != len(names(self.name)) or layout_of(self.name, outputs, own, self.scale) != self:
            boxes, scores = (list(tensor.shape) for tensor in outputs)
            told = [list(tensor.shape) for tensor in self.outputs]
            return f"the layout {self.name} as {told} of boxes {boxes} and scores {scores}"
        return None


def shapes(name: LayoutName, boxes: list[int], scores: list[int]) -> list[list[int]]:
    """Of the outputs of a file, from those of its boxes and scores."""
    n, a, c = scores
    return [boxes, scores] if name == "mediapipe" else [[n, 4 + c, a]]


def names(name: LayoutName) -> tuple[str, ...]:
    """Of the outputs, as their readers call them."""
    return ("location", "score") if name == "mediapipe" else ("output0",)


def scale_of(name: LayoutName, target: str, input_size: tuple[int, int]) -> Pair:
    """A DetectorLayout's scale. input_size: height, width."""
    height, width = input_size
    return (float(width), float(height)) if (name, target) == ("ultralytics", "tflite") else (1.0, 1.0)


def layout_of(name: LayoutName, outputs: Sequence[Tensor], file_names: Sequence[str], scale: Pair) -> DetectorLayout:
    """Of a file that would have these `outputs`, boxes and scores, if it had no layout; file_names: of what it has."""
    boxes, scores = (list(tensor.shape) for tensor in outputs)
    axes: Axes = "NAC" if name == "mediapipe" else "NCA"
    own = zip(file_names, shapes(name, boxes, scores), names(name), strict=True)
    return DetectorLayout(name, tuple(Tensor(n, tuple(s), "float32", axes, role=r) for n, s, r in own), scale)
