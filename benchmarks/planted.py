"""Whether `edgekit tune` finds the one layer that bears no eight bits, in how few builds, and how much of int8's gain it keeps.

    python benchmarks/planted.py [SEED...]

A network of sixteen layers, one of which has a grid as coarse as what matters (another one for each seed), and its twin without that. Images are
labelled by the network's own answers in float. The order of layers is asked for all seeds first, then they are tuned, one after the other. tune gets `int8-static` for ONNX and a loss of 5 points; the gain that is kept is the time saved by
its file over that saved by the twin's int8 file, both against fp32, in turns in one session.
"""

import itertools
import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
import warm
from PIL import Image
from torch import nn

from edgekit import recipe as recipes
from edgekit.devices import host
from edgekit.tuning.budget import Budget
from edgekit.tuning.measuring import Measuring, Trial
from edgekit.tuning.space import Point, Space, points
from edgekit.tuning.tune import Request, tune

SEEDS, LAYERS, WIDTH, SIZE, CLASSES, IMAGES = 10, 15, 64, 64, 5, 600
HERE = Path(__file__).parent
STORE, RESULTS = HERE.parent / ".cache/planted", HERE / "results"
TARGET, BUDGET = "onnx", Budget(max_loss=0.05)
SPACE = Space(({"schemes": ["int8-static"]},), builtin=False)


def planted(seed: int, bad: bool = True) -> nn.Module:
    """Large weights, on a channel that is always 0, make the grid of a layer coarse; hardtanh keeps channels from being equalised."""
    torch.manual_seed(seed)
    widths = (3, *(WIDTH for _ in range(LAYERS)))
    body: list[nn.Module] = []
    for at, (i, o) in enumerate(itertools.pairwise(widths)):
        body += [nn.Conv2d(i, o, 3, 2 if at < 2 else 1, 1), nn.Hardtanh()]
    last = nn.Linear(4 * WIDTH, CLASSES)
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), last)
    layers: list[nn.Conv2d | nn.Linear] = [*(m for m in body if isinstance(m, nn.Conv2d)), last]
    place = _place(seed)
    with torch.no_grad():
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, a=0.5)
        dead = layers[place - 1]
        dead.weight[0] = 0
        nn.init.zeros_(dead.bias)  # type: ignore[arg-type]
        layers[place].weight[:, 0] = 30 if bad else 0
        seen = net.eval()(_tensor(_images(1000, 64)))
        last.weight /= seen.std(0)[:, None]
        last.bias.zero_()
        last.bias.copy_(-net(_tensor(_images(1000, 64))).mean(0))
    return net


def _place(seed: int) -> int:
    return 2 + 5 * seed % (LAYERS - 2)


def bad_layer(seed: int) -> str:
    return str(2 * _place(seed))


for _seed in range(SEEDS):
    globals()[f"bad{_seed}"] = partial(planted, _seed)
    globals()[f"twin{_seed}"] = partial(planted, _seed, bad=False)


def _images(seed: int, count: int) -> np.ndarray:
    """Blotches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for one in coarse])


def _tensor(images: np.ndarray) -> torch.Tensor:
    return (torch.tensor(images).permute(0, 3, 1, 2) / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]  # fmt: skip


def painted(seed: int, place: Path) -> Path:
    """Images on which the network is sure, in folders by what it answers."""
    if not place.is_dir():
        images = _images(seed, 2 * IMAGES)
        with torch.no_grad():
            top = planted(seed)(_tensor(images)).topk(2)
        sure = (top.values[:, 0] - top.values[:, 1]).argsort(descending=True)[:IMAGES]
        partial_place = place.with_suffix(".part")
        shutil.rmtree(partial_place, ignore_errors=True)
        for at in map(int, sure):
            folder = partial_place / f"class {int(top.indices[at, 0])}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[at]).save(folder / f"{at}.png")
        partial_place.rename(place)
    return place


class Row(msgspec.Struct, frozen=True):
    """kept: of the twin's gain, with the times over fp32's that it is of."""

    seed: int
    planted: str
    first: str
    builds: int
    tuned: str
    verdict: str
    loss: str
    whole: str
    time: float
    twin: float

    @property
    def kept(self) -> float:
        return (1 - self.time) / (1 - self.twin)


def asked(seed: int, program: tuple[str, ...]) -> tuple[Request, Measuring]:
    out = STORE / str(seed)
    out.mkdir(parents=True, exist_ok=True)
    data = painted(seed, out / "images")
    request = Request(
        models=(f"py:planted:bad{seed}",), data=data, out=out / "tuned", targets=(TARGET,), budget=BUDGET, space=SPACE, builds=9,
        program=program, changes={"input_size": (SIZE, SIZE), "task": "classification", "calibration": str(data)},
    )  # fmt: skip
    return request, Measuring(request.out, data, program=program, say=lambda line: print(line, flush=True))


def first(seed: int, program: tuple[str, ...]) -> str:
    """The layer that `edgekit inspect --sensitivity` names first."""
    request, measuring = asked(seed, program)
    (point,) = points(request.space, request.models, TARGET, request.changes)
    return measuring.sensitive(point)[0].strip("^$")


def make(seed: int, program: tuple[str, ...]) -> Row:
    request, measuring = asked(seed, program)
    (choice,) = tune(request, say=measuring.say)
    floats = [one for one in choice.tried if "in float" in one.name]
    taken = Trial(Point(choice.name, recipes.load(Path(choice.recipe)), 1))
    base = Trial(Point("fp32", recipes.amended(taken.point.recipe, "fp32", keep_float=()), 0))
    whole = recipes.amended(taken.point.recipe, "int8-static", keep_float=())
    twin = Trial(Point("int8-static", msgspec.structs.replace(whole, model=f"py:planted:twin{seed}"), 0))
    for trial in (base, taken, twin):
        assert measuring.built(trial), trial.out
    times = [time["local"].value for time in measuring.times([taken, twin], base, 5, 100)]
    loss = choice.figures.loss if choice.figures else None
    return Row(
        seed=seed,
        planted=bad_layer(seed),
        first=first(seed, program),
        builds=len(floats),
        tuned=choice.name,
        verdict=choice.verdict,
        loss=f"{100 * loss.value:.1f} [{100 * loss.low:.1f}, {100 * loss.high:.1f}]" if loss else "",
        whole=next((one.out for one in choice.tried if one.name == "int8-static"), ""),
        time=round(times[0], 4),
        twin=round(times[1], 4),
    )


def main() -> None:
    os.environ["PYTHONPATH"] = str(HERE)
    seeds, rows = [*map(int, sys.argv[1:])] or [*range(SEEDS)], list[Row]()
    with warm.program() as program:
        found = [first(seed, program) == bad_layer(seed) for seed in seeds]
        for seed in seeds:
            rows.append(make(seed, program))
            print(json.dumps(msgspec.to_builtins(rows[-1])), f"kept {rows[-1].kept:.2f}", flush=True)
            publish(rows, f"{sum(found)} of {len(found)}")


def publish(rows: list[Row], found: str) -> None:
    lines = "\n".join(
        f"| {r.seed} | {r.planted} | {r.first} | {r.builds} | {r.tuned} ({r.verdict}) | {r.loss} | {r.time:.3f} | {r.twin:.3f} | {r.kept:.2f} |"
        for r in rows
    )
    text = f"""# One bad layer, found by tune

Made by `python benchmarks/planted.py` on {host.cpu_class()}: {LAYERS + 1} layers of {WIDTH} channels for {TARGET}, {SIZE} x {SIZE} pixels, {IMAGES} images, a loss of
{100 * (BUDGET.max_loss or 0):g} points allowed. `edgekit inspect --sensitivity` names the planted layer first in {found} networks; {len(rows)} of them were tuned by then. "All in int8" is the twin without the bad grid; kept is the share of its gain that tune's file has. CPU time, one thread.

| seed | planted layer | first in the order | builds with floats | tune takes | loses, points | its time / fp32 | all in int8 | kept |
|---:|---|---|---:|---|---|---:|---:|---:|
{lines}
"""
    (RESULTS / f"planted-{host.cpu_class()}.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
