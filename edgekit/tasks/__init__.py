"""What the answers of a file mean. A Task is data in the manifest, with methods that read answers; numpy only.

Files of one task answer the same named tensors, whatever network made them:

    classification  scores [n, c]
    embedding       embedding [n, d], and on request tokens [n, t, d]
    segmentation    scores [n, c, h, w], at the head's size
    detection       boxes [n, a, 4] in pixels of the input, and scores [n, a, c]
    raw             any tensors

No other room knows what a score is.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from edgekit.preprocess import Placement
from edgekit.tasks.boxes import Boxes as Boxes
from edgekit.tasks.classification import Classes as Classes
from edgekit.tasks.classification import Classification as Classification
from edgekit.tasks.detection import ENOUGH
from edgekit.tasks.detection import Detection as Detection
from edgekit.tasks.detection import Nms as Nms
from edgekit.tasks.embedding import Embedding as Embedding
from edgekit.tasks.embedding import Vector as Vector
from edgekit.tasks.likeness import Likeness as Likeness
from edgekit.tasks.likeness import Measure as Measure
from edgekit.tasks.raw import Raw as Raw
from edgekit.tasks.raw import Tensors as Tensors
from edgekit.tasks.segmentation import Mask as Mask
from edgekit.tasks.segmentation import Segmentation as Segmentation
from edgekit.tensors import Tensor, Values

Prediction = Classes | Vector | Mask | Boxes | Tensors
Task = Classification | Embedding | Segmentation | Detection | Raw  # closed: the name in a manifest gives the class
NAMES = ("classification", "embedding", "segmentation", "detection", "raw")


class Reads(Protocol):
    """What every task can do.

    int8_sqnr_db  the signal to noise that its int8 files must reach; None: what their scheme must

    fault     what contradicts the task in a file's outputs and number of labels, in words; None where nothing does
    read      what the answer to one image, without its first axis, says of that image; input_size: height, width
    alike     compares answers to the same images, [n, ...] each, with a reference's; adds up over batches
    measures  what such a likeness must reach under a scheme, besides its SQNR
    can_be    whether answers can be what the task calls them
    """

    roles: ClassVar[tuple[str, ...]]
    int8_sqnr_db: ClassVar[float | None]

    def fault(self, outputs: Sequence[Tensor], labels: int) -> str | None: ...
    def read(self, values: Values, at: Placement, input_size: tuple[int, int]) -> "Prediction": ...
    def mean(self, values: Values) -> Values: ...
    def alike(self, reference: Values, values: Values) -> Likeness: ...
    def measures(self, likeness: Likeness, scheme: str) -> tuple[Measure, ...]: ...
    def can_be(self, answers: Values) -> bool: ...


def name_of(task: Task) -> str:
    return str(task.__struct_config__.tag)


def caution(measures: Sequence[Measure]) -> str | None:
    """What to know of measures that had too little to judge by, in words."""
    few = [measure.name for measure in measures if measure.advisory]
    if not few:
        return None
    return (
        f"PyTorch finds fewer than {ENOUGH} things on the proof images, too few to hold {', '.join(few)} against limits; "
        "--calibration DIR, with a few hundred images of such things, judges them"
    )
