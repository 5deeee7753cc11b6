"""README.md of an artifact: how to load the file, and what its answers are."""

from edgekit import parity
from edgekit.manifest import Manifest
from edgekit.tasks import Classification, Detection, Embedding, Raw, Segmentation
from edgekit.tensors import decoded_shape


def readme(manifest: Manifest, file: str, how_to_load: str) -> str:
    """file: the model's name; how_to_load: Markdown of the exporter."""
    floor = "; ".join(f"{where}: {what}" for where, what in manifest.oldest_interpreter.items())
    pixels = "RGB pixels as 0..1" if manifest.input.scale == 255 else "raw RGB pixels 0..255"
    takes = pixels if manifest.folded else "RGB normalised with the manifest's mean and std"
    return f"""\
# {manifest.title}, {manifest.scheme}, for {manifest.target}

`{file}` takes one {manifest.preprocess.words} ({manifest.input.dtype}, {manifest.input.layout}, {takes}) and gives
{answers(manifest)} ({manifest.outputs[0].dtype}){_order(manifest)}.
Proof: {parity.describe(manifest.proof, manifest.preprocess.units)}, in {manifest.proof.runtime}.
{f"Oldest interpreter it is right on: {floor}." if floor else ""}
{how_to_load}
{_reading(manifest)}`edgekit verify .` proves a copy on any machine; `manifest.json` says everything else.
"""


def answers(m: Manifest) -> str:
    """What the file gives, in words: "10 logits"."""
    match m.task:
        case Classification():
            return f"{m.labels} {m.task}"
        case Embedding():
            more = f" and tokens {list(m.outputs[1].shape[1:])}" if len(m.outputs) > 1 else ""
            return f"an embedding of {m.outputs[0].shape[1]} numbers{more}"
        case Segmentation():
            return f"{m.task.scores} of {m.labels} labels for each of {'x'.join(map(str, _map(m)))} pixels"
        case Detection():
            return f"{m.outputs[0].shape[1]} boxes, and scores of {m.labels} labels for each"
        case Raw():
            return " and ".join(f"`{o.role or o.name}` {list(o.shape[1:])}" for o in m.outputs)


READERS = {
    "mediapipe": "MediaPipe's ObjectDetector",
    "model-api": "OpenVINO's Model API",
    "ultralytics": "Ultralytics' tools",
}


def _of_layout(m: Manifest) -> str:
    """How the file has boxes and scores, where it is for other readers."""
    if not m.layout:
        return ""
    unit = "pixels of the input" if m.layout.scale == (1, 1) else "shares of the input's width and height"
    laid = f"`output0` [n, 4 + c, a] holds of each box the middle x y, w and h in {unit}, then its scores"
    if m.layout.name == "mediapipe":
        laid = f"`location` [n, a, 4] holds of each box the middle y x, h and w in {unit}, `score` [n, a, c] its scores"
    return f"For {READERS[m.layout.name]}: {laid}.\nedgekit makes of these again: "


def _map(m: Manifest) -> tuple[int, ...]:
    """Rows and columns."""
    return decoded_shape(m.outputs[0])[1:]


def _order(m: Manifest) -> str:
    return f", in the order of `labels.txt`. It knows {m.weights.knows}" if m.labels else ""


def _reading(m: Manifest) -> str:
    """How numbers become what they mean, in Python."""
    match m.task:
        case Classification(independent=independent, threshold=threshold, formula=formula):
            holds = f"; a label holds from {threshold:g} on, of several, one or none" if independent else ""
            return f"Probabilities: `{formula}`{holds}.\n"
        case Embedding(normalized=False):
            return "Similarity of two: `a @ b / numpy.linalg.norm(a) / numpy.linalg.norm(b)`.\n"
        case Embedding():
            return "Similarity of two: `a @ b`.\n"
        case Segmentation():
            up = m.task.upsample
            corners = ", corners aligned" if up.align_corners else ""
            size = "x".join(map(str, m.preprocess.input_size))
            return f"The mask: scores are resized to {size} ({up.mode}{corners}), and the largest names the label.\n"
        case Detection(threshold=threshold, nms=nms, limit=limit):
            rule = f"""{_of_layout(m)}`boxes` [n, a, 4] are x1 y1 x2 y2 in pixels of the input, `scores` [n, a, c] lie in 0..1. Every box counts once for each label.
Those with a score of {threshold:g} or more are sorted by it; of equal ones the first comes first"""
            drop = ""
            if nms:
                drop = f"""; of the first {nms.candidates}, one that overlaps a kept one
of its label by more than {nms.iou:g} (intersection over union) is dropped"""
            return f"{rule}{drop}. The first {limit} are the answer.\n"
    return ""
