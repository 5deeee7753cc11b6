"""Networks that take clips: float files in three targets, and int8 in TFLite beside its own CONV_3D.

    python benchmarks/clips.py [--out build/clips] [--results benchmarks/results/clips-<cpu class>.md]
    python benchmarks/clips.py --films          int8 on films (python benchmarks/fetch.py films)

Weights are never trained; BatchNorms have the statistics of crops that move over photographs. So a figure of noise says how much of
a network int8 keeps, and nothing of accuracy. What lies in --out already is not made again.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import video

import edgekit
from edgekit import artifact, calibration, parity, pipeline
from edgekit.answering import start_answering
from edgekit.artifact import Artifact
from edgekit.data.video import open_video
from edgekit.devices import host
from edgekit.errors import EdgekitError
from edgekit.exporters import preparing
from edgekit.models import readying
from edgekit.models.tsm import Tsm
from edgekit.preprocess import Preprocess, fit
from edgekit.recipe import Quantize, Recipe
from edgekit.runtimes import Options
from edgekit.tasks.likeness import sqnr_db

sys.path.insert(0, str(Path(__file__).parent))
CLASSES = 10
INTRODUCTION = """\
# Clips

CPU class {}, a shared machine: process CPU time, one thread, interleaved. Weights were never trained; BatchNorms have the statistics of
crops that move over photographs. `benchmarks/clips.py`.
"""
FEW = 8  # clips that prove a float file
FRAMES, RATE = 8, 8.0
FILMS = Path(__file__).parent.parent / ".cache/data/films"
SEEN = ("bigbuckbunny.mp4", "bikes.mp4", "vtest.avi", "box.mp4")
UNSEEN = ("Megamind.avi", "tree.avi", "cup.mp4", "carphone_pristine.mp4")
MOST = 16  # clips of a film
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


class Framewise(nn.Module):
    """Clips [n, 3, t, h, w] through a network of images; the mean over the frames."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.net(x.transpose(1, 2).flatten(0, 1))
        return torch.unflatten(answers, 0, (-1, FRAMES)).mean(1)


def mobilenetv2(*, shifts: bool = True) -> nn.Module:
    net = timm.create_model("mobilenetv2_100", num_classes=CLASSES)
    return Tsm(net, FRAMES) if shifts else Framewise(net)


NETS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # made how; side, frames
    "tsm_mobilenetv2": (mobilenetv2, 112, 8),
    "r2plus1d_18": (lambda: video.r2plus1d_18(num_classes=CLASSES), 64, 8),
    "r3d_18": (lambda: video.r3d_18(num_classes=CLASSES), 32, 8),
    "mc3_18": (lambda: video.mc3_18(num_classes=CLASSES), 32, 8),
    "s3d": (lambda: video.s3d(num_classes=CLASSES), 224, 16),
    "plain_mobilenetv2": (lambda: mobilenetv2(shifts=False), 112, 8),
}
TARGETS = ("tflite", "onnx", "openvino")


def made(out: Path, name: str, target: str, scheme: Any, suffix: str = "") -> Artifact:
    """The artifact of a network, made once."""
    folder = out / f"{name}-{target}-{scheme}{suffix}"
    if not (folder / "manifest.json").is_file():
        print(f"making {folder}", flush=True)
        torch.manual_seed(0)
        make, side, frames = NETS[name]
        recipe = Recipe(
            name, target, weights="random", quantize=Quantize(scheme), input_size=(side, side), frames=frames, frame_rate=RATE,
            mean=MEAN, std=STD, samples=FEW if scheme == "fp32" else 32,
        )  # fmt: skip
        few = FEW if scheme == "fp32" else calibration.PROOF_PICTURES
        with mock.patch.object(calibration, "PROOF_PICTURES", few), mock.patch.object(parity, "PROOF_PICTURES", few):
            pipeline.export(recipe, folder, module=make())
    return artifact.load(folder)


def noise(opened: Artifact) -> str:
    db = opened.manifest.proof.sqnr_db
    return "equal" if db is None else f"{db:.1f}"


def in_float(out: Path, names: list[str]) -> list[str]:
    rows = ["| network | input | TFLite | ONNX Runtime | OpenVINO |", "| --- | --- | --- | --- | --- |"]
    for name in names:
        _, side, frames = NETS[name]
        found = []
        for target in TARGETS:
            try:
                found.append(noise(made(out, name, target, "fp32")))
            except EdgekitError as error:
                found.append(error.message)
        rows.append(f"| {name} | {frames}x{side}x{side} | {' | '.join(found)} |")
    return rows


def in_int8(out: Path) -> list[str]:
    rows = ["| network | input | file | SQNR dB | MB | CPU ms | times the int8 file's |", "| --- |" + " --- |" * 6]
    for name in ("r2plus1d_18", "tsm_mobilenetv2", "plain_mobilenetv2"):
        files = [made(out, name, "tflite", "int8-static"), made(out, name, "tflite", "fp32")]
        if name == "r2plus1d_18":
            with mock.patch("edgekit.exporters.tflite.as_pictures", lambda module, clip: module):
                files.append(made(out, name, "tflite", "fp32", "-conv3d"))
        bench = edgekit.bench([str(f.folder) for f in files], runs=8, launches=4, warmup=2)
        _, side, frames = NETS[name]
        for opened, row in zip(files, bench, strict=True):
            kind = "fp32, CONV_3D" if opened.name.endswith("conv3d") else opened.manifest.scheme
            what = f"| {name} | {frames}x{side}x{side} | {kind} | {noise(opened)} | {opened.model_bytes / 1e6:.2f} "
            rows.append(f"{what}| {row.cpu_ms or 0:.1f} | {row.time_ratio or 1} |")
    return rows


def moments(film: Path, spec: Preprocess, start: int) -> NDArray[np.uint8]:
    """Windows that follow each other from a frame on, MOST evenly spread ones at most: uint8 [n, t, h, w, 3]."""
    frames = [fit(frame.picture, spec) for frame in open_video(film, film.name).pictures(spec.rate)]
    starts = range(start, len(frames) - spec.frames + 1, spec.frames)
    few = sorted({starts[int(at)] for at in np.linspace(0, len(starts) - 1, MOST)})
    return np.stack([np.stack(frames[at : at + spec.frames]) for at in few])


def on_films(out: Path, names: list[str], quantize: Quantize) -> list[str]:
    """int8 with statistics and calibration of some films, judged on other moments of them and on other films."""
    rows = [
        "| network | input | SQNR dB, of films | clips | median clip | lowest |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    seen_here = out / "seen"
    seen_here.mkdir(parents=True, exist_ok=True)
    for film in SEEN:
        shutil.copy(FILMS / film, seen_here)
    for name in names:
        make, side, frames = NETS[name]
        folder = out / f"{name}-tflite-films-{quantize.scheme}{'-mixed' if quantize.keep_float else ''}"
        recipe = Recipe(
            name, "tflite", weights="random", quantize=quantize, input_size=(side, side), frames=frames,
            frame_rate=RATE, mean=MEAN, std=STD, calibration=str(seen_here),
        )  # fmt: skip
        torch.manual_seed(0)
        with mock.patch.object(readying, "settled", side_effect=readying.settled) as settled:
            opened = pipeline.export(recipe, folder, module=make())
        network, spec = settled.call_args[0][0].module, opened.manifest.preprocess  # which has its statistics now
        for said, films, start in (("that calibrated, other moments", SEEN, frames // 2), ("others", UNSEEN, 0)):
            clips = np.concatenate([moments(FILMS / film, spec, start) for film in films])
            with torch.inference_mode():
                wanted = np.concatenate([network(preparing.tensor(clip[None], spec)) for clip in clips])
            with start_answering(opened, None, Options()) as answering:
                got = answering.values(clips)[0]
            each = [sqnr_db(w, g) for w, g in zip(wanted, got, strict=True)]
            whole = sqnr_db(wanted, got)
            what = f"| {name} | {frames}x{side}x{side} | {whole:.1f}, {said} | {len(clips)} "
            rows.append(f"{what}| {np.median(each):.1f} | {min(each):.1f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/clips"))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--only", nargs="*", default=[name for name in NETS if not name.startswith("plain")])
    parser.add_argument("--films", action="store_true", help="int8 on films, and nothing else")
    parser.add_argument("--scheme", default="int8-static", choices=("int8-static", "int8-dynamic"), help="of --films")
    parser.add_argument("--keep-float", action="append", default=[], metavar="PATTERN", help="of --films")
    asked = parser.parse_args()
    if asked.films:
        names = [name for name in asked.only if name in ("r2plus1d_18", "tsm_mobilenetv2")]
        print("\n".join(on_films(asked.out, names, Quantize(asked.scheme, keep_float=tuple(asked.keep_float)))))
        return
    page = ["## fp32", "", f"SQNR against PyTorch in dB, on {FEW} clips.", "", *in_float(asked.out, asked.only), ""]
    page += ["## int8 in TFLite", "", *in_int8(asked.out), ""]
    text = "\n".join([INTRODUCTION.format(host.cpu_class()), *page])
    print(text)
    if asked.results:
        asked.results.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
