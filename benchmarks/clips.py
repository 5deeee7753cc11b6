"""Networks that take clips: float files in three targets, and int8 in TFLite beside its own CONV_3D.

    python benchmarks/clips.py [--out build/clips] [--results benchmarks/results/clips-<cpu class>.md]

Weights are never trained; BatchNorms have the statistics of crops that move over photographs. So a figure of noise says how much of
a network int8 keeps, and nothing of accuracy. What lies in --out already is not made again.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch
from torch import nn
from torchvision.models import video

import edgekit
from edgekit import artifact, calibration, parity, pipeline
from edgekit.artifact import Artifact
from edgekit.devices import host
from edgekit.errors import EdgekitError
from edgekit.models.tsm import Tsm
from edgekit.recipe import Quantize, Recipe

sys.path.insert(0, str(Path(__file__).parent))
CLASSES = 10
INTRODUCTION = """\
# Clips

CPU class {}, a shared machine: process CPU time, one thread, interleaved. Weights were never trained; BatchNorms have the statistics of
crops that move over photographs. `benchmarks/clips.py`.
"""
FEW = 8  # clips that prove a float file
FRAMES, RATE = 8, 8.0
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/clips"))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--only", nargs="*", default=[name for name in NETS if not name.startswith("plain")])
    asked = parser.parse_args()
    page = ["## fp32", "", f"SQNR against PyTorch in dB, on {FEW} clips.", "", *in_float(asked.out, asked.only), ""]
    page += ["## int8 in TFLite", "", *in_int8(asked.out), ""]
    text = "\n".join([INTRODUCTION.format(host.cpu_class()), *page])
    print(text)
    if asked.results:
        asked.results.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
