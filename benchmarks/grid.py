"""Every cell of (model, target, scheme): made, proven, measured, beside the tool's own default path.

    python benchmarks/grid.py                                  everything; an hour or two
    python benchmarks/grid.py mobilenetv2 --target onnx        some of it
    python benchmarks/grid.py tf_mobilenetv2 --weights tf_mobilenetv2=FILE.tflite
    make grid

Exports are cells (edgekit/cells.py) in `.cache/grid`: a second run goes on where the first stopped. Latencies are CPU time, one thread, interleaved over the files of one model and target. Answers are those
to images that calibrate nothing: Fashion-MNIST's test set for models with bundled weights, photographs and crops of them
for the rest. With random weights (said in the table) answers mean little and only latency carries over.

int8 is also held against the default, file against file: CPU time, whose ratio should not exceed 1.03, and top-1 on
labelled images (Fashion-MNIST's test set, 117 photographs), of which it should surely lose none. Brackets are 95 %
intervals; what misses is named below the table. Answers are kept in `.cache/grid/eval`.

`default` is the underlying tool called by hand with nothing but its defaults on the same float file and the same
calibration images: onnxruntime's quantize_static, or quantize_dynamic where edgekit's scheme is dynamic;
ai-edge-quantizer's static or dynamic recipe; nncf.quantize and openvino.save_model. NNCF is no part of edgekit:
`pip install nncf -c constraints.txt`, or those cells stay without a default.
"""

import argparse
import hashlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fashion
import msgspec
import numpy as np
import photos
from numpy.typing import NDArray
from PIL import Image

from edgekit import __version__, artifact, calibration, cells, extras, models, registry
from edgekit.answering import start_answering
from edgekit.artifact import Artifact
from edgekit.benchmarking import harness, summary
from edgekit.cells import Done
from edgekit.devices import host
from edgekit.evaluation.accuracy import CONFIDENT, Paired
from edgekit.manifest import file_record, save_manifest
from edgekit.preprocess import Preprocess, fit
from edgekit.quiet import silenced
from edgekit.recipe import Recipe
from edgekit.runs import Run, ratio
from edgekit.runtimes import Options
from edgekit.tasks.classification import Classification, softmax
from edgekit.tasks.likeness import sqnr_db

CELLS = Path(__file__).resolve().parent.parent / ".cache" / "grid"
WEIGHTS = {  # the others' are not to be had without a hub
    "mobilenetv2": "bundled",
    "efficientnet_lite0": "package",
    "vit_micro": "bundled",
    "swin_micro": "bundled",
}
MODELS = (*WEIGHTS, "efficientnet_b0", "vit_tiny", "deit_small", "swin_tiny")
SCHEMES = ("fp32", "fp16", "int8")
PICTURES = 500
SLOWER = 1.03  # than the default: more is a miss
COLUMNS = (
    "model", "target", "file", "CPU ms", "fp32 / it", "MB", "SQNR dB", "agreement %", "of confident %",
    "time / default's", "top-1 lost against default", "export s", "peak GB",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--target", action="append", choices=registry.targets())
    parser.add_argument("--weights", action="append", default=[], metavar="NETWORK=FILE", help="trained ones of yours")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--labelled", type=int, metavar="N", help="so many labelled images of Fashion-MNIST")
    parser.add_argument("--output", type=Path, default=CELLS / f"grid-{host.cpu_class()}.md")
    arguments = parser.parse_args()
    WEIGHTS.update(said.split("=", 1) for said in arguments.weights)
    targets = arguments.target or [t for t in registry.targets() if t != "torch"]
    rows, misses = [], []
    for model in arguments.models:
        for target in targets:
            exported = {scheme: export(model, target, scheme) for scheme in SCHEMES}
            made = {scheme: folder for scheme, (folder, _) in exported.items()}
            if target == "openvino" and not extras.installed("nncf"):
                print(f"{model} openvino: no default without NNCF: pip install nncf -c constraints.txt", flush=True)
            else:
                made["default"] = by_hand(model, target, made["fp32"], made["int8"])
            costs = {scheme: done for scheme, (_, done) in exported.items()}
            measured = measure(model, target, made, costs, arguments.rounds, arguments.labelled)
            rows += measured[0]
            misses += measured[1]
            arguments.output.write_text(page(rows, misses), "utf-8")  # what is there survives a machine that stops
            print(page(*measured))


def export(model: str, target: str, scheme: str) -> tuple[Path, Done]:
    """An artifact and what making it took; a rejected file is one too."""
    weights = WEIGHTS.get(model, "random")
    places = {"weights": Path(weights)} if Path(weights).is_file() else {}
    command = ["export", model, "--target", target, "--scheme", scheme, "-q"]
    command += ["--weights", "{weights}" if places else weights, "-o", cells.OUT]
    cell = cells.cell(command, places, edgekit=__version__)
    print("$ edgekit", *command, flush=True)
    done = cells.make(CELLS / "cells", cell, whole=True)
    folder = cells.made(CELLS / "cells", cell.key)
    if folder is None:
        raise SystemExit(f"failed: edgekit {' '.join(command)}: {done.error}")
    return folder, done


def by_hand(model: str, target: str, plain: Path, ours: Path) -> Path:
    """The tool's default path, put into a copy of the float artifact, whose input it shares."""
    scheme = artifact.load(ours).manifest.scheme
    tool = importlib.metadata.version("nncf") if target == "openvino" else ""  # the float file's key has the others'
    key = hashlib.sha256(f"{plain.parent.name} {scheme} {tool}".encode()).hexdigest()
    folder = CELLS / f"{model}-{target}-default-{key[:12]}"
    if not folder.is_dir():
        float_cell = artifact.load(plain)
        with tempfile.TemporaryDirectory(dir=CELLS) as work, silenced():
            copy = Path(shutil.copytree(plain, Path(work, "copy")))
            file = copy / float_cell.model_file.name
            DEFAULTS[target](float_cell.model_file, file, scheme, list(calibrating(model, float_cell)))
            files = {name: file_record(copy / name) for name in float_cell.manifest.files}
            save_manifest(copy, msgspec.structs.replace(float_cell.manifest, files=files))
            copy.replace(folder)
    return folder


def calibrating(model: str, cell: Artifact) -> Iterator[NDArray[Any]]:
    """The calibration images that edgekit takes, as the float file takes them."""
    recipe = Recipe(model=model, target=cell.manifest.target, weights=WEIGHTS.get(model, "random"))
    sheet = models.load(recipe, models.plan(recipe)).pictures
    with tempfile.TemporaryDirectory() as scratch:
        chosen = calibration.choose("default", 128, 0, cell.manifest.preprocess, sheet, Path(scratch))
        for pixels in chosen.calibration:
            yield cell.encode(np.asarray(pixels)[None])


def _onnx_default(source: Path, target: Path, scheme: str, feed: list[NDArray[Any]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(feed)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(({"image": x} for x in self.left), None)

    if scheme == "int8-static":
        quantize_static(source, target, Reader())
    else:
        quantize_dynamic(source, target)


def _tflite_default(source: Path, target: Path, scheme: str, feed: list[NDArray[Any]]) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer
    from ai_edge_quantizer import recipe as recipes

    given = Interpreter(str(source)).get_input_details()[0]["name"].removeprefix("serving_default_").partition(":")[0]
    if scheme == "int8-static":
        q = quantizer.Quantizer(str(source), recipes.static_wi8_ai8())
        for place in (
            qtyping.TFLOperationName.INPUT,
            qtyping.TFLOperationName.OUTPUT,
        ):  # float outside, as the copy says
            q.update_quantization_recipe(".*", place, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE)
        known = q.calibrate({"serving_default": [{given: x} for x in feed]}, num_threads=1)
    else:
        q, known = quantizer.Quantizer(str(source), recipes.dynamic_wi8_afp32()), None
    target.write_bytes(bytes(q.quantize(known, enable_progress_report=False).quantized_model))


def _openvino_default(source: Path, target: Path, scheme: str, feed: list[NDArray[Any]]) -> None:
    import nncf
    import openvino

    whole = nncf.quantize(openvino.Core().read_model(source), nncf.Dataset(feed))
    openvino.save_model(whole, target)


DEFAULTS = {"onnx": _onnx_default, "openvino": _openvino_default, "tflite": _tflite_default}


def pictures(model: str, spec: Preprocess) -> NDArray[np.uint8]:
    if WEIGHTS.get(model) == "bundled":
        images, _ = fashion.read("test")
        return np.stack([fit(Image.fromarray(i).convert("RGB"), spec) for i in images[:PICTURES]])
    return np.stack(list(photos.crops(spec, PICTURES if model in WEIGHTS else PICTURES // 5)))


def scores_of(cell: Artifact, fitted: NDArray[np.uint8]) -> NDArray[np.float32]:
    with start_answering(cell, None, Options()) as opened:
        return opened.values(fitted)[0]


def measure(
    model: str, target: str, made: dict[str, Path], costs: dict[str, Done], rounds: int, labelled: int | None
) -> tuple[list[tuple[str, ...]], list[str]]:
    """A row for each file, and what misses in words."""
    entries = harness.entries(list(made.values()), (), (1,), Options(), None)
    runs = harness.compare(entries, registry.device("local"), harness.Plan(runs=rounds, budget=600))
    opened = {kind: artifact.load(folder) for kind, folder in made.items()}
    fitted = pictures(model, opened["fp32"].manifest.preprocess)
    scores = {kind: scores_of(cell, fitted) for kind, cell in opened.items()}
    reference = scores["fp32"]
    against: tuple[str, str] = ("", "")
    misses: list[str] = []
    if "default" in made:
        by_kind = dict(zip(made, runs, strict=True))
        paired = against_default(model, opened, labelled)
        against, misses = duel(f"{model} {target}", by_kind["int8"], by_kind["default"], paired)
        answers = [f"{sqnr_db(reference, scores[kind]):.1f}" for kind in ("int8", "default")]
        misses = [f"{miss} (SQNR {' against '.join(answers)} dB)" for miss in misses]
    sure = softmax(reference).max(-1) > CONFIDENT
    rows: list[tuple[str, ...]] = []
    for kind, row in zip(made, summary.rows(runs), strict=True):
        spent = costs.get(kind)
        same = kind == "fp32"
        scheme = opened[kind].manifest.scheme if kind == "int8" else kind
        rows.append(
            (
                model if model in WEIGHTS else f"{model} (random)",
                target,
                scheme + (" REJECTED" if spent and spent.error else ""),
                f"{row.cpu_ms:.2f}",
                "1" if row.time_ratio is None else f"{1 / row.time_ratio.value:.2f}",
                f"{row.bytes / 1e6:.2f}",
                "" if same else f"{sqnr_db(reference, scores[kind]):.1f}",
                "" if same else f"{100 * Classification().agreement(reference, scores[kind]):.1f}",
                ""
                if same or not sure.any()
                else f"{100 * Classification().agreement(reference[sure], scores[kind][sure]):.1f}",
                *(against if kind == "int8" else ("", "")),
                f"{spent.cpu_s:.0f}" if spent else "",
                f"{spent.peak_bytes / 1e9:.2f}" if spent else "",
            )
        )
    return rows, misses


def against_default(model: str, opened: dict[str, Artifact], labelled: int | None) -> Paired | None:
    """edgekit's int8 file and the tool's default on the same labelled images; None with random weights."""
    cells, state = [opened["int8"], opened["default"]], CELLS / "eval"
    if model not in WEIGHTS:
        return None
    of = fashion.measure(cells, labelled, state) if WEIGHTS[model] == "bundled" else photos.on_photos(cells, state)
    return of.paired


def duel(cell: str, ours: Run, default: Run, paired: Paired | None) -> tuple[tuple[str, str], list[str]]:
    """int8 over the tool's default, as two columns, and what misses in words."""
    time_of = lost = ""
    misses: list[str] = []
    if found := ratio(ours, default):
        value, low, high = np.exp([found.value, found.low, found.high])
        time_of = f"{value:.2f} [{low:.2f}, {high:.2f}]"
        if value > SLOWER:
            misses.append(f"{cell}: int8 takes {time_of} of the default's time")
    if paired and paired.drop:
        low, high = 100 * paired.drop.low, 100 * paired.drop.high
        lost = f"{100 * paired.drop.estimate:.2f} points [{low:.2f}, {high:.2f}] of {paired.pictures:,}"
        if low > 0:
            misses.append(f"{cell}: int8 surely loses top-1 against the default: {lost}")
    return (time_of, lost), misses


def page(rows: list[tuple[str, ...]], misses: list[str]) -> str:
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    said = "\n".join(f"- {miss}" for miss in misses) or "- nothing"
    return f"""CPU class {host.cpu_class()}, one thread, CPU time.

{table}

Slower than the default by more than {SLOWER - 1:.0%}, or surely less accurate:

{said}
"""


if __name__ == "__main__":
    main()
