"""`evaluate` and `gate`: how often a file is right, and whether it may take another's place."""

from pathlib import Path
from typing import Literal, TypedDict, Unpack

from edgekit import evaluation, registry, runs
from edgekit.artifact import open_model
from edgekit.errors import as_path
from edgekit.evaluation import Evaluation
from edgekit.gating import Budgets, Verdict
from edgekit.gating import budgets as read_budgets
from edgekit.gating.baseline import opened as opened_baseline
from edgekit.gating.judging import Judge, judged_on
from edgekit.runtimes import Options, check_interpreter
from edgekit.verbs.artifacts import Count, File, Natural, Seconds, Threads, opened_of
from edgekit.verbs.asked import Place, Progress, Say, silent, steps, verb

Ignored = int | Literal["auto", "none"]


class Limited(TypedDict, total=False):
    """The limits of a gate."""

    max_slowdown: float
    detect: bool
    max_drop: float
    max_growth: float
    max_memory: float
    max_load: float
    max_sqnr_loss: float
    max_operators: int
    max_instructions: float
    allow_contract: bool
    budget: float


@verb
def evaluate(
    artifact: File,
    data: Place,
    *,
    reference: File | None = None,
    labels: Place | None = None,
    images: str | None = None,
    masks: str | None = None,
    ignore: Ignored = "auto",
    unlabelled: bool = False,
    split: Literal["test", "val", "train"] | None = None,
    limit: Count | None = None,
    part: str | None = None,
    seed: Natural = 0,
    workers: Count = 2,
    on: str = "local",
    threads: Threads = 1,
    interpreter: str | None = None,
    timeout: Seconds = 60.0,
    state: Place = evaluation.STATE,
    fresh: bool = False,
    save: Place | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """How often a file is right, with 95 % intervals; and, with a reference, what it loses against that: `edgekit eval`.

    data        class folders, idx or parquet files, images, images/ beside masks/, or boxes (COCO, YOLO, VOC)
    labels      a file that says what is on the images: .csv, .json, .jsonl or .txt
    images, masks, ignore  segmentation: folders below data, and the value that does not count (an int, "none", "auto")
    unlabelled  nothing is known of the images: only compare
    limit       a seeded sample of so many images; part: one of some random parts, "1/2" to choose on, "2/2" to report on
    workers     threads that decode
    state       where answers are kept: what an earlier call asked is not asked again, unless `fresh`
    save        a file that the figures are appended to, for `report`: "build/runs.jsonl"
    say, progress  say(line); progress(done, total)

    Raises RequestError, DataError, UnsupportedError, OutputError, WorkerError.
    """
    opened = [opened_of(file) for file in (artifact, reference) if file is not None]
    for one in opened:
        check_interpreter(interpreter, [one.target])
    pictures = evaluation.open_for(
        opened[0],
        Path(data),
        labels_file=None if labels is None else Path(labels),
        split=split,
        unlabelled=unlabelled,
        images=images,
        masks=masks,
        ignore=_ignored(ignore),
    )
    if part is not None:
        pictures = pictures.part(*evaluation.part_of(part), seed)
    if save is not None:
        runs.append(Path(save), [])  # a place that cannot be written is said before anything is measured
    for note in pictures.notes:
        (say or silent)(note)
    found = evaluation.evaluate(
        opened,
        pictures,
        limit=limit,
        seed=seed,
        device=registry.device(on),
        options=Options(threads, interpreter),
        timeout=timeout,
        workers=workers,
        state=Path(state),
        fresh=fresh,
        say=say or silent,
        progress=steps(progress),
    )
    if save is not None:
        runs.append(Path(save), evaluation.evaluated(opened, found, on))
    return found


@verb
def gate(
    candidate: File,
    baseline: File,
    *,
    data: Place | None = None,
    labels: Place | None = None,
    images: str | None = None,
    masks: str | None = None,
    ignore: Ignored = "auto",
    budgets: Place | None = None,
    allow_absolute: bool = False,
    runtime: str | None = None,
    on: str = "local",
    threads: Threads = 1,
    interpreter: str | None = None,
    timeout: Seconds = 300.0,
    seed: Natural = 0,
    say: Say | None = None,
    progress: Progress | None = None,
    **limits: Unpack[Limited],
) -> Verdict:
    """Whether a file is slower, larger or worse than its baseline, or does not fit in its place.

    baseline    an artifact, a file, "git:REF:PATH", or a .json of numbers that `edgekit gate --baseline FILE.json --update` wrote
    data, ...   images, as `evaluate` takes them: accuracy is compared too
    limits      max_slowdown=3, detect=True, ... as edgekit.gating.Limits has them; unsaid: as `budgets` says, or the default
    budgets     a gate.toml with limits
    allow_absolute  times of another machine may fail the candidate

    A missed limit is no exception: `outcome` is "pass", "fail", "inconclusive" or "skipped", and `checks` say why.
    Raises RequestError for files that cannot be compared, ArtifactError, DataError, WorkerError.
    """
    path = as_path(candidate, "candidate")
    model = open_model(path)
    check_interpreter(interpreter, [model.target])
    known = read_budgets(Path(budgets)) if budgets is not None else Budgets()
    judge = Judge(
        path=path,
        model=model,
        runtime=registry.runtime_named(runtime, model.target).name,
        device=registry.device(on),
        limits=known.of(model.name, **limits),
        options=Options(threads, interpreter),
        data=judged_on(model, data, labels=labels, images=images, masks=masks, ignore=_ignored(ignore)),
        allow_absolute=allow_absolute,
        timeout=timeout,
        seed=seed,
        say=say or silent,
        warn=say or silent,
        progress=steps(progress),
    )
    with opened_baseline(str(as_path(baseline, "baseline"))) as base:
        return judge.judge(base)


def _ignored(said: Ignored) -> int | str | None:
    """As `evaluation.open_for` has it."""
    return None if said == "none" else said
