"""What another tool's own reader finds on images with a detector's file; runs in an environment of that tool (.venv-layouts).

    .venv-layouts/bin/python benchmarks/layout_readers.py mediapipe|model-api FILE SCORE PICTURE...

Prints JSON: the reader with its version, and for each image [label, score, x1, y1, x2, y2] of each box. It knows nothing of
edgekit, and sets nothing but the score from which on: all else stands in the file. With EXACT in the environment OpenVINO
computes in f32, where its own default is bfloat16 on CPUs that have it.
"""

import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

Found = list[list[Any]]


def mediapipe(file: str, score: float, pictures: Sequence[str]) -> Iterator[Found]:
    from mediapipe import Image as Frame
    from mediapipe import ImageFormat
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ObjectDetectorOptions(BaseOptions(model_asset_path=file), score_threshold=score)
    with vision.ObjectDetector.create_from_options(options) as detector:
        for picture in pictures:
            given = Frame(ImageFormat.SRGB, np.array(Image.open(picture).convert("RGB")))
            boxes = [(d.bounding_box, d.categories[0]) for d in detector.detect(given).detections]
            yield [
                [top.category_name, top.score, b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height]
                for b, top in boxes
            ]


def model_api(file: str, score: float, pictures: Sequence[str]) -> Iterator[Found]:
    import openvino
    from model_api.adapters import OpenvinoAdapter
    from model_api.models import Model

    given: Any = file
    if os.environ.get("EXACT"):
        given = OpenvinoAdapter(openvino.Core(), file, device="CPU", plugin_config={"INFERENCE_PRECISION_HINT": "f32"})
    model = Model.create_model(given, configuration={"confidence_threshold": score})
    for picture in pictures:
        found = model(np.array(Image.open(picture).convert("RGB")))
        rows = zip(found.label_names, found.scores.tolist(), found.bboxes.tolist(), strict=True)
        yield [[name.replace("_", " "), value, *box] for name, value, box in rows]


READERS = {"mediapipe": (mediapipe, "mediapipe"), "model-api": (model_api, "openvino-model-api")}

if __name__ == "__main__":
    name, file, score, *pictures = sys.argv[1:]
    read, package = READERS[name]
    version = f"{package} {importlib.metadata.version(package)}"
    print(json.dumps({"reader": version, "found": list(read(file, float(score), pictures))}))
