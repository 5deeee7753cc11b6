"""What a network costs: multiplications, parameters, or what a runtime needs for the exported file."""

import copy
import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgekit import registry, schemes
from edgekit.benchmarking import harness, summary
from edgekit.calibration import Pictures
from edgekit.devices import Device
from edgekit.errors import WorkerError
from edgekit.models import LoadedModel
from edgekit.pruning.goal import Goal
from edgekit.recipe import Quantize, Recipe, check_scheme
from edgekit.runtimes import Options

TIMED = harness.Plan(runs=60, launches=3, warmup=3, budget=60)
COARSE = "--keep-macs, or another machine"
PICTURES = 8  # calibrate a file whose time is all that is asked for


class Cost(Protocol):
    """A smaller network's share of what the whole one costs."""

    how: str

    def share(self, smaller: nn.Module) -> float: ...


def macs(module: nn.Module, example: Tensor) -> int:
    """Multiplications with additions for one image, of convolutions and of matrix products. example [n, c, h, w]"""
    plain = sdpa_kernel(SDPBackend.MATH)  # the counter does not see into fused attention
    with FlopCounterMode(display=False) as counter, plain, torch.inference_mode():
        module(example[:1])
    return int(counter.get_total_flops()) // 2


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class Macs:
    how = "multiplications"

    def __init__(self, whole: nn.Module, example: Tensor) -> None:
        self.example, self.whole = example, macs(whole, example)

    def share(self, smaller: nn.Module) -> float:
        return macs(smaller, self.example) / self.whole


class Params:
    how = "parameters"

    def __init__(self, whole: nn.Module) -> None:
        self.whole = params(whole)

    def share(self, smaller: nn.Module) -> float:
        return params(smaller) / self.whole


def of(goal: Goal, whole: LoadedModel, example: Tensor, folder: Path) -> Cost:
    """What the goal counts. folder: an empty one, to write files in."""
    match goal.of:
        case "macs":
            return Macs(whole.module, example)
        case "params":
            return Params(whole.module)
    return Latency(whole, goal, folder)


def ratio(whole: Path, smaller: Path, device: Device, plan: harness.Plan = TIMED) -> float:
    """CPU time of one file over that of another, in turns, one thread; instructions on a device without times.

    Raises WorkerError where a file does not run.
    """
    entries = harness.entries([whole, smaller], (), (1,), Options(), None)
    rows = summary.rows((harness.compare if device.timed else harness.count)(entries, device, plan))
    for row in rows:
        if row.error:
            raise WorkerError(f"{row.name}: {row.error}")
    if not device.timed:
        found = rows[1].instructions_ratio
    elif rows[1].time_ratio:
        found = rows[1].time_ratio.value
    elif rows[0].cpu_ms and rows[1].cpu_ms:  # the budget was enough for one launch, which gives no interval
        found = rows[1].cpu_ms / rows[0].cpu_ms
    else:
        raise WorkerError("the clock of CPU times is too coarse here to tell how long the file takes", hint=COARSE)
    assert found
    return found


class Latency:
    """CPU time of the exported file in its runtime, in turns with the whole network's, so that the ratio holds on a busy
    machine; instructions on a device that has no times of its own."""

    def __init__(self, whole: LoadedModel, goal: Goal, folder: Path) -> None:
        """folder: an empty one, to write files in."""
        recipe = Recipe(model=whole.name, target=goal.target, quantize=Quantize(goal.scheme), samples=PICTURES)
        exporter, self.device = registry.exporter(goal.target), registry.device(goal.on)
        check_scheme(recipe, exporter.schemes)
        self.device.state()  # raises DeviceError where something is missing
        recipe, _ = schemes.resolve(
            msgspec.structs.replace(recipe, fold=recipe.folds), whole.family, whole.architecture
        )
        # how weights are rounded and channels are spread changes answers, not time
        quick = msgspec.structs.replace(recipe.quantize, ranges="minmax", equalize=False, rounding="nearest")
        self.recipe = msgspec.structs.replace(recipe, quantize=quick)
        self.exporter, self.model, self.folder = exporter, whole, folder
        what = "CPU time" if self.device.timed else "instructions"
        self.how = f"{what} of the {quick.scheme} {goal.target} file on {self.device.name}"
        self.whole = self._file(whole.module, "whole")

    def share(self, smaller: nn.Module) -> float:
        """Raises WorkerError where a file does not run."""
        return ratio(self.whole, self._file(smaller, "smaller"), self.device)

    def _file(self, module: nn.Module, name: str) -> Path:
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        model = dataclasses.replace(self.model, module=copy.deepcopy(module))  # exporters fold what they are given
        made: Path = self.exporter.export(model, self.recipe, self._noise(), place, lambda line: None).file
        return made

    def _noise(self) -> Pictures:
        """What calibrates a file that is only timed."""
        spec = self.model.preprocess
        shape = (*spec.input_size, spec.channels)
        path = self.folder / "noise"
        pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, *shape), np.uint8).tobytes()
        path.write_bytes(pixels)
        return Pictures("noise", path, shape, PICTURES, hashlib.sha256(pixels).hexdigest())
