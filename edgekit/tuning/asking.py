"""What a caller says of a tuning, as `tune` takes it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import RequestError
from edgekit.tuning import Tuned
from edgekit.tuning.budget import Budget
from edgekit.tuning.measuring import Say
from edgekit.tuning.space import load
from edgekit.tuning.tune import Request, Steps
from edgekit.tuning.tune import tune as make


def tune(
    models: Sequence[str],
    *,
    data: str | Path,
    out: Path | None,
    targets: Sequence[str] = (),
    max_loss: float | None = None,
    keep_latency: float | None = None,
    max_size: float | None = None,
    devices: Sequence[str] = (),
    evaluations: int = 12,
    hours: float | None = None,
    space: str | os.PathLike[str] | None = None,
    split: str | None = None,
    data_labels: str | None = None,
    limit: int | None = None,
    retry: bool = False,
    say: Say,
    steps: Steps,
    **changes: Any,
) -> tuple[Tuned, Budget]:
    """max_loss: points; max_size: MB; changes: fields of recipes, those that are None unsaid. Raises as `make` does."""
    if max_loss is None and keep_latency is None and max_size is None:
        max_loss = 0.5
    budget = Budget(
        max_loss=None if max_loss is None else max_loss / 100,
        keep_latency=keep_latency,
        max_bytes=None if max_size is None else round(max_size * 1e6),
        devices=_words(devices) or ("local",),
    )
    twice = [on for on in budget.devices if budget.devices.count(on) > 1]
    if twice:
        raise RequestError(f"--on {twice[0]} is named twice", hint="once")
    request = Request(
        models=tuple(models),
        data=Path(data),
        out=out or Path("build"),
        targets=_words(targets) or ("all",),
        budget=budget,
        space=load(Path(space) if space else None),
        builds=evaluations,
        hours=hours,
        split=split,
        truth=Path(data_labels) if data_labels else None,
        limit=limit,
        again=retry,
        changes={name: value for name, value in changes.items() if value is not None},
    )
    if out is None:
        request = Request(**vars(request) | {"out": Path("build", f"{request.title}-tuned")})
    return make(request, say=say, steps=steps), budget


def _words(said: Sequence[str]) -> tuple[str, ...]:
    return tuple(word.strip() for words in said for word in words.split(",") if word.strip())
