"""`benchmark`: every target and scheme of a model in one table. `tune`: the best file under a budget."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypedDict, Unpack

import msgspec

from edgekit.artifact import Artifact
from edgekit.candidates import Benchmark, asking
from edgekit.errors import RequestError, as_path
from edgekit.tuning import Tuned
from edgekit.tuning import asking as tuning
from edgekit.verbs.artifacts import Count
from edgekit.verbs.asked import Place, Progress, Say, plain, several, silent, steps, verb
from edgekit.verbs.exporting import is_network

Points = Annotated[float, msgspec.Meta(ge=0, le=100)]
Model = str | os.PathLike[str] | Artifact


class Exports(TypedDict, total=False):
    """Fields of every recipe."""

    weights: Place
    calibration: Place
    samples: Count
    labels: Place
    input_size: int | tuple[int, int]
    crop_pct: float
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]


@verb
def benchmark(
    models: Model | Sequence[Model],
    data: Place | None = None,
    out: Place | None = None,
    *,
    target: str | list[str] | tuple[str, ...] = "all",
    scheme: str | list[str] | tuple[str, ...] = (),
    within: Points = 1.0,
    split: Literal["test", "val", "train"] | None = None,
    data_labels: Place | None = None,
    limit: Count | None = None,
    runs: Count = 100,
    launches: Count = 5,
    retry: bool = False,
    fresh: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **exports: Unpack[Exports],
) -> Benchmark:
    """Make a model for every target in every scheme, prove, time and evaluate the files: which to take.

    models   what `export` takes by name, a run of `train`, artifacts, or a list of these
    data     images that say how often each file is right, as `evaluate` takes them; split, limit, data_labels: as its
             split, limit and labels
    out      the folder of the artifacts, the report and the JSON; None: build/MODEL-benchmark
    target, scheme  only these, by name or a list
    within   points of the headline that the quickest file may be less right than the best one
    runs, launches  as `bench` takes them
    retry    what failed before is tried once more; fresh: everything is made anew
    say, progress  say(line); progress(done, total)
    exports  weights="bundled", calibration="photos", input_size=224, ...: fields of every recipe

    What was made before is not made again. What fails, its proof above all, is a row with its `error`. Ctrl-C gives what
    was made until then, with `cut` set. Raises RequestError, DataError, ArtifactError, OutputError.
    """
    return asking.benchmark(
        _names(models),
        None if data is None else Path(data),
        None if out is None else Path(out),
        targets=[target] if isinstance(target, str) else list(target),
        schemes=[scheme] if isinstance(scheme, str) else list(scheme),
        within=within,
        split=split,
        data_labels=None if data_labels is None else str(data_labels),
        limit=limit,
        runs=runs,
        launches=launches,
        retry=retry,
        fresh=fresh,
        say=say or silent,
        steps=steps(progress),
        **plain(exports),
    )


@verb
def tune(
    models: Model | Sequence[Model],
    data: Place,
    out: Place | None = None,
    *,
    target: str | list[str] | tuple[str, ...] = "all",
    max_loss: float | None = None,
    keep_latency: float | None = None,
    max_size: float | None = None,
    on: str | list[str] | tuple[str, ...] = "local",
    evaluations: Count = 12,
    hours: float | None = None,
    space: Place | None = None,
    split: Literal["test", "val", "train"] | None = None,
    data_labels: Place | None = None,
    limit: Count | None = None,
    retry: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **exports: Unpack[Exports],
) -> Tuned:
    """The quickest file of each target that loses no more, takes no longer and is no larger than it may.

    models   what `export` takes by name, or a run; of a list the first in fp32 is what all are compared with, and the others are
             weights to try: pruned, or trained for int8
    data     images that say how often each file is right, as `evaluate` takes them; split, limit, data_labels: as its
             split, limit and labels. A half of them chooses, the other half reports
    out      the folder of everything; None: build/MODEL-tuned
    max_loss points of the task's figure; keep_latency: time over fp32's, on every device of `on`; max_size: MB. None at all:
             max_loss=0.5
    evaluations  files that are built for each target at most, beside fp32; hours: after which none is begun
    space    a file of more recipes to try (docs/tune.md); exports: fields of all recipes, as weights="bundled"
    retry    what failed before is tried once more
    say, progress  say(line); progress(done, total)

    What was made before is not made again. Where nothing meets the budget, the best is kept and its `verdict` is "missed", or
    "undecided". Ctrl-C gives a `Tuned` with `cut` set. Raises RequestError, DataError, DeviceError, OutputError.
    """
    found, _ = tuning.tune(
        _names(models),
        data=Path(data),
        out=None if out is None else Path(out),
        targets=[target] if isinstance(target, str) else list(target),
        max_loss=max_loss,
        keep_latency=keep_latency,
        max_size=max_size,
        devices=[on] if isinstance(on, str) else list(on),
        evaluations=evaluations,
        hours=hours,
        space=space,
        split=split,
        data_labels=None if data_labels is None else str(data_labels),
        limit=limit,
        retry=retry,
        say=say or silent,
        steps=steps(progress),
        **plain(exports),
    )
    return found


def _names(models: Model | Sequence[Model]) -> list[str]:
    """As other processes are told them. Raises RequestError."""
    words = []
    for model in several(models):
        if is_network(model):
            raise RequestError("a network in hand cannot be passed to other processes", hint='"py:module:function"')
        words.append(str(as_path(model, "a model")))
    return words
