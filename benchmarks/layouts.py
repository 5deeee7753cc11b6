"""Files that are laid out for other tools, opened by these tools: do they find what edgekit finds with the same file?

    make layouts                                                                yolox_micro, on scenes of its own kind
    python benchmarks/layouts.py --model yolox_nano --weights FILE --pictures DIR    any detector, on photographs

The readers run in .venv-layouts. MediaPipe has none but for TFLite; what Ultralytics' tools would read has the tensor that the
Model API calls YOLOv8, so that opens it where it opens such files. A reader chooses among boxes by rules of its own, and rounds
to whole pixels; images that are not the input's size it resizes its own way.
"""

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import edgekit
from edgekit import artifact, prediction
from edgekit.artifact import Artifact
from edgekit.data import picture_files
from edgekit.devices import host
from edgekit.errors import ParityError
from edgekit.preprocess import fit, open_picture
from edgekit.recipe import Quantize, Recipe
from edgekit.runtimes import Options
from edgekit.tasks import Boxes, Detection
from edgekit.tasks.agreeing import paired

CASES = (  # layout, target, scheme, the tool that opens it
    ("mediapipe", "tflite", "fp32", "mediapipe"),
    ("mediapipe", "tflite", "int8", "mediapipe"),
    ("model-api", "openvino", "fp32", "model-api"),
    ("model-api", "openvino", "int8", "model-api"),
    ("model-api", "onnx", "fp32", "model-api"),
    ("model-api", "onnx", "int8", "model-api"),
    ("ultralytics", "openvino", "fp32", "model-api"),
    ("ultralytics", "onnx", "fp32", "model-api"),
)
READ = [".venv-layouts/bin/python", "benchmarks/layout_readers.py"]
COUNT = 32  # images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="yolox_micro")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--pictures", type=Path, help="a folder of photographs; unsaid: scenes")
    parser.add_argument("--score", type=float, default=0.3)
    parser.add_argument("--exact", action="store_true", help="images fitted by edgekit, and OpenVINO in f32")
    parser.add_argument("--case", action="append", help="LAYOUT-TARGET-SCHEME; unsaid: all")
    parser.add_argument("--out", type=Path, default=Path(".cache/layouts"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pictures = picture_files(given.pictures)[:COUNT] if given.pictures else scenes(given.out / "scenes")
    print(f"{given.model}, {len(pictures)} images, score {given.score:g}, on {host.cpu_class()}\n")
    print("| layout | file | read by | edgekit finds | it finds | both | overlap | scores apart, at most |")
    print("|---|---|---|---|---|---|---|---|")
    for layout, target, scheme, tool in CASES:
        if not given.case or f"{layout}-{target}-{scheme}" in given.case:
            made = export(given, layout, target, scheme)
            seen = fitted(made, pictures, given.out / "fitted") if given.exact else pictures
            print(row(made, tool, seen, given.score, exact=given.exact), flush=True)


def fitted(made: Artifact, pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Images as a model sees them: nothing is left to resize."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for picture in pictures:
        pixels = fit(open_picture(picture), made.manifest.preprocess)
        Image.fromarray(pixels).save(folder / f"{picture.stem}.png")
    return picture_files(folder)


def scenes(folder: Path) -> list[Path]:
    """Of the kind that yolox_micro was trained on, which it never saw: as large as its input."""
    import train_detector

    if not folder.is_dir():
        drawn = train_detector.drawn(train_detector.held_out(), COUNT)
        folder.mkdir()
        for i, (pixels, _) in enumerate(drawn):
            Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return picture_files(folder)


def export(given: argparse.Namespace, layout: str, target: str, scheme: str) -> Artifact:
    """The file, made once."""
    recipe = Recipe(given.model, target, weights=given.weights, layout=layout, quantize=Quantize(scheme))  # type: ignore[arg-type]
    out = given.out / recipe.folder_name
    try:
        return artifact.load(out) if out.is_dir() else edgekit.export(recipe, out)
    except ParityError as error:
        raise SystemExit(f"{error}; {error.hint}") from None


def row(made: Artifact, tool: str, pictures: Sequence[Path], score: float, *, exact: bool = False) -> str:
    """A line of the table."""
    m = made.manifest
    assert isinstance(m.task, Detection)
    shown = prediction.shown_from(made, score)
    ours = [found for _, found in prediction.predict(shown, Options(), pictures) if isinstance(found, Boxes)]
    command = [*READ, tool, str(made.model_file), str(score), *map(str, pictures)]
    environment = os.environ | ({"EXACT": "1"} if exact else {})
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    answer = json.loads(done.stdout)
    labels = {name: i for i, name in enumerate(made.labels())}
    theirs = [boxes(found, labels) for found in answer["found"]]
    both = list(zip(ours, theirs, strict=True))
    pairs = [(a.scores[i], b.scores[j], overlap) for a, b in both for i, j, overlap in paired(a, b)]
    overlap = sum(overlap for _, _, overlap in pairs) / max(len(pairs), 1)
    apart = max((abs(a - b) for a, b, _ in pairs), default=0.0)
    assert m.layout
    cells = (
        m.layout.name, f"{m.target}, {m.scheme}", answer["reader"], sum(map(len, ours)), sum(map(len, theirs)),
        len(pairs), f"{overlap:.3f}", f"{apart:.1e}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def boxes(found: Sequence[Sequence[object]], labels: dict[str, int]) -> Boxes:
    """What a reader found on an image."""
    rows = np.array([row[1:] for row in found], np.float32).reshape(-1, 5)
    return Boxes(rows[:, 1:], rows[:, 0], np.array([labels[str(row[0])] for row in found], np.int64))


if __name__ == "__main__":
    main()
