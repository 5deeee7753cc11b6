"""What `edgekit tune` finds with a third of the builds, beside the truth: every recipe of a small space built, evaluated on all
images and timed in one session.

    python benchmarks/tune_truth.py [NETWORK...] [--target T] [--page]

A file of benchmarks/results/tune-truth for each network and target, written as it comes, and a page of all of them. Cells are kept in
.cache/tune-truth: a second run makes nothing. The images are Fashion-MNIST's test images (python benchmarks/fetch.py).
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import warm

from edgekit.devices import host
from edgekit.places import replacing
from edgekit.recipe import Recipe
from edgekit.tuning import NONE, SAME, Figures, Interval
from edgekit.tuning.budget import Budget
from edgekit.tuning.measuring import Measuring, Trial
from edgekit.tuning.space import Point, Space, points
from edgekit.tuning.tune import Request, tune

NETWORKS, TARGETS = ("vit_micro", "swin_micro", "mobilenetv2"), ("onnx", "openvino", "tflite")
ROOT = Path(__file__).parent.parent
DATA, STORE, RESULTS = ROOT / ".cache/data/fashion-mnist", ROOT / ".cache/tune-truth", Path(__file__).parent / "results"
IMAGES = 4000  # a half of them chooses, a half confirms; all of them are the truth
BUDGET = Budget(max_loss=0.02)
SPACE = Space(
    (
        {"schemes": ["fp16", "int8-weight-only"]},
        {"schemes": ["int8-dynamic"], "granularity": ["channel", "tensor"]},
        {"schemes": ["int8-static"], "ranges": ["mse", "minmax"], "rounding": ["corrected", "nearest"]},
        {"schemes": ["int8-static"], "equalize": [True, False]},
    ),
    builtin=False,
    float_layers=False,
)

aloud = partial(print, flush=True)


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """A recipe: what it loses on all images, and its time over that of fp32, all in one session."""

    name: str
    bytes: int = 0
    loss: Interval | None = None
    time: Interval | None = None
    error: str = ""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """tuned: what tune took, after so many builds; best: the quickest that loses no more than the budget; over_best: time of the first over
    that of the second."""

    network: str
    target: str
    images: int
    max_loss: float
    tuned: str
    builds: int
    best: str
    over_best: float
    misses: bool
    load: str
    files: tuple[File, ...]
    schema: Literal[1] = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--page", action="store_true", help="make no rows")
    arguments = parser.parse_args()
    if not arguments.page:
        with warm.program() as program:
            for network in arguments.networks:
                for target in arguments.target or TARGETS:
                    keep(make(network, target, program))
    publish()


def keep(row: Row) -> None:
    place = RESULTS / "tune-truth" / host.cpu_class() / f"{row.network}-{row.target}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as partial:
        partial.write_text(json.dumps(msgspec.to_builtins(row), indent=1) + "\n", "utf-8")
    print(" | ".join(columns(row)), flush=True)
    publish()


def every(network: str, target: str) -> list[Point]:
    return [
        Point("fp32", Recipe(network, target, weights="bundled"), 0),
        *points(SPACE, [network], target, {"weights": "bundled"}),
    ]


def make(network: str, target: str, program: tuple[str, ...]) -> Row:
    out = STORE / f"{network}-{target}"
    base, *others = map(Trial, every(network, target))
    builds = len(others) // 3
    request = Request(
        models=(network,),
        data=DATA,
        out=out,
        targets=(target,),
        budget=BUDGET,
        space=SPACE,
        builds=builds,
        split="test",
        limit=IMAGES,
        program=program,
        changes={"weights": "bundled"},
    )
    (choice,) = tune(request, say=aloud)
    measuring = Measuring(out, DATA, split="test", limit=IMAGES, program=program, say=aloud)
    measuring.built(base)
    base.chosen_by = Figures(NONE, {"local": SAME})
    losses = {}
    for trial in others:
        if measuring.built(trial):
            losses[trial.point.name], _ = measuring.loss(trial, base)
    made = [trial for trial in others if not trial.out]
    times = dict(zip((t.point.name for t in made), measuring.times(made, base, 5, 100), strict=True))
    files = [File("fp32", base.bytes or 0, NONE, SAME)]
    for trial in others:
        name = trial.point.name
        files.append(File(name, trial.bytes or 0, losses.get(name), times.get(name, {}).get("local"), error=trial.out))
    known = {file.name: file for file in files}
    taken = known[choice.name]
    best = min((file for file in files if meets(file)), key=lambda file: file.time.value if file.time else 9.0)
    assert taken.time
    assert best.time
    return Row(
        network=network,
        target=target,
        images=IMAGES,
        max_loss=BUDGET.max_loss or 0.0,
        tuned=taken.name,
        builds=builds,
        best=best.name,
        over_best=round(taken.time.value / best.time.value, 4),
        misses=not meets(taken),
        load=host.conditions().get("load", ""),
        files=tuple(files),
    )


def meets(file: File) -> bool:
    """By the figure on all images."""
    return bool(file.loss and file.time and file.loss.value <= (BUDGET.max_loss or 0))


def columns(row: Row) -> tuple[str, ...]:
    by = {file.name: file for file in row.files}
    taken = by[row.tuned]
    assert taken.loss
    assert taken.time
    return (
        row.network,
        row.target,
        row.tuned,
        f"{row.builds} of {len(row.files) - 1}",
        f"{100 * taken.loss.value:.2f} [{100 * taken.loss.low:.2f}, {100 * taken.loss.high:.2f}]",
        f"{taken.time.value:.3f} [{taken.time.low:.3f}, {taken.time.high:.3f}]",
        row.best,
        f"{row.over_best:.3f}",
        row.load,
    )


HEADER = ("network", "target", "tune takes", "builds", "loses, points", "time / fp32", "the truth's best", "time / best", "load")  # fmt: skip


def publish() -> None:
    """A page for each CPU class."""
    for folder in sorted((RESULTS / "tune-truth").glob("*")):
        rows = [msgspec.json.decode(place.read_bytes(), type=Row) for place in sorted(folder.glob("*.json"))]
        near = sum(row.over_best <= 1.02 and not row.misses for row in rows)
        lines = "\n".join(f"| {' | '.join(columns(row))} |" for row in rows)
        left = [f"{n} {t}" for n in NETWORKS for t in TARGETS if not (folder / f"{n}-{t}.json").is_file()]
        text = f"""# tune beside the truth, on {folder.name}

Made by `make tune-truth` (benchmarks/tune_truth.py) of the files in `tune-truth/{folder.name}`, which have every recipe's figures. Weights are the
bundled ones, images {IMAGES:,} of Fashion-MNIST's test images: tune chooses on a half of them and confirms on the other, with a third of the builds;
the truth are all recipes on all of them, timed in turns in one session (CPU time, one thread, the load of the machine in the last column). The
budget is a loss of {100 * (BUDGET.max_loss or 0):g} points of top-1. In {near} of {len(rows)} rows what tune takes meets the budget and is within
1.02 of the best's time.

| {" | ".join(HEADER)} |
|{"---|" * len(HEADER)}
{lines}

Not run yet: {", ".join(left) or "none"}.
"""
        (RESULTS / f"tune-truth-{folder.name}.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
