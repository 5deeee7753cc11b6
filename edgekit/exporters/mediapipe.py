"""What MediaPipe's ObjectDetector reads of a detector that does not choose among its boxes itself.

https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/object_detector_metadata_schema.fbs
Its boxes are offsets from anchors: here every anchor is the whole input, and an offset therefore a share of it.
"""

from typing import Any

import flatbuffers

from edgekit.exporters import _metadata_schema as metadata
from edgekit.models import LoadedModel

STRETCHES = (
    "MediaPipe's ObjectDetector stretches every image to the input, and this detector was made for images in their own "
    "proportions: crop them to the input's before it"
)
COORDINATES = 4
PER_KEYPOINT = 2  # the only number that MediaPipe takes, also where there are none


def location(input_size: tuple[int, int]) -> Any:
    """Of the output of boxes, by the name that ObjectDetector looks for."""
    height, width = input_size
    found = metadata.TensorMetadataT()
    found.name, found.description = "location", f"y x h w of each box, in pixels of the {width} x {height} input"
    found.content = metadata.ContentT()
    found.content.contentPropertiesType = metadata.ContentProperties.BoundingBoxProperties
    box = metadata.BoundingBoxPropertiesT()
    # what the reader makes of them, and the only ones it takes
    box.type, box.coordinateType = metadata.BoundingBoxType.BOUNDARIES, metadata.CoordinateType.RATIO
    found.content.contentProperties = box
    return found


def options(model: LoadedModel) -> Any:
    """A table ObjectDetectorOptions, as custom metadata."""
    (_, boxes, _), (_, _, classes) = model.answer_shapes
    height, width = map(float, model.preprocess.input_size)
    builder = flatbuffers.Builder(boxes * 32)
    counts = {0: classes, 1: boxes, 2: COORDINATES, 5: PER_KEYPOINT}
    decoding = _table(builder, 12, ints=counts, floats={6: width, 7: height, 8: width, 9: height})
    anchors = [_table(builder, 4, floats={2: 1.0, 3: 1.0}) for _ in range(boxes)]
    builder.StartVector(4, boxes, 4)
    for anchor in reversed(anchors):
        builder.PrependUOffsetTRelative(anchor)
    fixed = _table(builder, 1, tables={0: builder.EndVector()})
    ssd = _table(builder, 1, tables={0: fixed})
    builder.Finish(_table(builder, 3, tables={1: ssd, 2: decoding}), file_identifier=b"V001")
    found = metadata.CustomMetadataT()
    found.name, found.data = "DETECTOR_METADATA", list(builder.Output())
    return found


def _table(
    builder: flatbuffers.Builder,
    fields: int,
    *,
    ints: dict[int, int] | None = None,
    floats: dict[int, float] | None = None,
    tables: dict[int, int] | None = None,
) -> int:
    """A table with values at some of its fields; the others keep their default, 0."""
    builder.StartObject(fields)
    for at, number in (ints or {}).items():
        builder.PrependInt32Slot(at, number, 0)
    for at, value in (floats or {}).items():
        builder.PrependFloat32Slot(at, value, 0.0)
    for at, table in (tables or {}).items():
        builder.PrependUOffsetTRelativeSlot(at, table, 0)
    return int(builder.EndObject())
