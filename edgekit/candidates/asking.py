"""What a caller says of a benchmark, as plan and making take it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit import registry
from edgekit.candidates import Benchmark
from edgekit.candidates.making import Request, Say, Steps
from edgekit.candidates.making import benchmark as make
from edgekit.candidates.plan import planned


def benchmark(
    models: Sequence[str],
    data: Path | None,
    out: Path | None,
    *,
    targets: Sequence[str] = (),
    schemes: Sequence[str] = (),
    within: float = 1.0,
    split: str | None = None,
    data_labels: str | None = None,
    limit: int | None = None,
    runs: int = 100,
    launches: int = 5,
    retry: bool = False,
    fresh: bool = False,
    say: Say,
    steps: Steps,
    **changes: Any,
) -> Benchmark:
    """changes: fields of recipes, those that are None unsaid. Raises RequestError, DataError, ArtifactError, OutputError."""
    fields = {name: value for name, value in changes.items() if value is not None}
    named = [scheme.strip() for words in schemes for scheme in words.split(",")]
    wanted = planned(models, registry.targets_named(targets or ("all",)), named, fields)
    title = Path(models[0].rpartition(":")[2]).name or "models"
    title = title.removesuffix(".toml") if len(models) == 1 else f"{len(models)} models"
    evals = [*(["--split", split] if split else []), *(["--limit", str(limit)] if limit else [])]
    places = {"truth": Path(data_labels)} if data_labels else {}
    request = Request(
        title=title,
        out=out or Path("build", f"{title.replace(' ', '-')}-benchmark"),
        data=data,
        evals=(*evals, *(["--labels", "{truth}"] if data_labels else [])),
        benches=("--runs", str(runs), "--launches", str(launches)),
        places=places,
        within=within,
        again=retry,
        fresh=fresh,
    )
    return make(wanted, request, say=say, steps=steps)
