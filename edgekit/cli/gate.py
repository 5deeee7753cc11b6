"""edgekit gate"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.artifacts import warn_of_refused
from edgekit.cli.options import mask_options, on_option, runtime_options, timeout_option
from edgekit.cli.output import Talk, common, table
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.gating import Verdict
    from edgekit.gating.judging import Judge


@click.command(short_help="Fail where a file is slower or worse.")
@click.argument("candidate", metavar="CANDIDATE")
@click.option("--baseline", required=True, metavar="B", help="ARTIFACT, FILE, git:REF:PATH, or a .json of numbers.")
@click.option(
    "--max-slowdown",
    type=click.FloatRange(0, min_open=True),
    metavar="PERCENT",
    help="CPU time that an inference may cost more.  [default: 5]",
)
@click.option(
    "--detect",
    flag_value=True,
    default=None,
    type=bool,
    help="Fail a slowdown of that size, not only one that is surely larger.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100, min_open=True),
    metavar="POINTS",
    help="Points of top-1, mIoU, mAP or 1-NN that may be lost, with --data.  [default: 0.5]",
)
@click.option(
    "--allow-contract", flag_value=True, default=None, type=bool,
    help="Let inputs, outputs, classes, scores and preprocessing differ.",
)  # fmt: skip
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Seconds for the latency test.  [default: 60]",
)
@click.option("--budgets", metavar="FILE", help="A gate.toml with these and the other limits.")
@click.option("--data", metavar="DIR", help="Images, as edgekit eval takes them: accuracy is compared too.")
@click.option("--labels", metavar="FILE", help="What is on the images: .csv, .json, .jsonl or .txt.")
@mask_options
@click.option("--runtime", metavar="NAME", help="litert, onnxruntime or openvino.  [default: the first that opens it]")
@on_option
@timeout_option(300)
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Seed of the order of turns."
)
@click.option("--allow-absolute", is_flag=True, help="Let times of another machine fail the candidate.")
@click.option("--strict", is_flag=True, help="Exit 5 where a check is inconclusive or could not be made.")
@click.option("--update", is_flag=True, help="Make the candidate the baseline, and say what changes.")
@click.option("--source", metavar="PATH|git:REF:PATH", help="With --update of a FILE.json: where the file can be had.")
@click.option("--no-times", is_flag=True, help="With --update of a FILE.json: only what is the same on every machine.")
@click.option("--markdown", metavar="FILE", help="Append the verdict as Markdown ($GITHUB_STEP_SUMMARY).")
@click.option("--junit", metavar="FILE", help="Write the verdict as JUnit XML.")
@click.option("--bmf", metavar="FILE", help="Write ratios and counts as Bencher reads them.")
@click.option("--benchmark-action", metavar="FILE", help="Write them as github-action-benchmark reads them.")
@runtime_options
@common
def gate(
    talk: Talk,
    candidate: str,
    baseline: str,
    budgets: str | None,
    data: str | None,
    labels: str | None,
    images: str | None,
    masks: str | None,
    ignore: int | str | None,
    runtime: str | None,
    device: str,
    timeout: float,
    seed: int,
    allow_absolute: bool,
    strict: bool,
    update: bool,
    source: str | None,
    no_times: bool,
    markdown: str | None,
    junit: str | None,
    bmf: str | None,
    benchmark_action: str | None,
    threads: int,
    interpreter: str | None,
    **limits: Any,
) -> int:
    """Exit 1 where CANDIDATE is slower, larger or worse than its baseline, or cannot take its place: another input, other
    classes.

    Both run side by side in fresh processes until the test of their CPU times decides. Numbers of an earlier day are
    compared only where the machine is the same. The verdict names its method.

    \b
    Examples:
      edgekit gate build/a-tflite-int8 --baseline git:origin/main:models/a
      edgekit gate new.onnx --baseline old.onnx --max-slowdown 3 --detect
      edgekit gate NEW --baseline OLD --markdown "$GITHUB_STEP_SUMMARY"
      edgekit gate INT8 --baseline benchmarks/baselines/int8.json --update
    """
    if (source or no_times) and not (update and baseline.endswith(".json")):
        flag = "--source" if source else "--no-times"
        raise RequestError(f"{flag} is for --update with a .json of numbers", hint="leave it out")
    from edgekit import artifact, registry
    from edgekit.gating import Budgets
    from edgekit.gating import budgets as read_budgets
    from edgekit.gating.baseline import opened
    from edgekit.gating.judging import Judge, judged_on
    from edgekit.gating.outputs import Outputs
    from edgekit.runtimes import Options

    outputs = Outputs(markdown, junit, bmf, benchmark_action)
    outputs.check()
    model = artifact.open_model(Path(candidate))
    warn_of_refused(talk, model)
    named = read_budgets(Path(budgets)) if budgets else Budgets()
    judge = Judge(
        path=Path(candidate),
        model=model,
        runtime=registry.runtime_named(runtime, model.target).name,
        device=registry.device(device),
        limits=named.of(model.name, **limits),
        options=Options(threads, interpreter),
        allow_absolute=allow_absolute,
        timeout=timeout,
        seed=seed,
        say=talk.say,
        warn=talk.warn,
        progress=lambda total, what: talk.progress(
            total, what, judge.data.source.units if judge.data and what == "answering" else "launches at most"
        ),
    )
    judge.data = judged_on(model, data, labels=labels, images=images, masks=masks, ignore=ignore)
    if update:
        return _update(talk, judge, baseline, source, times=not no_times, strict=strict)
    with opened(baseline) as base:
        verdict = judge.judge(base)
    for note in verdict.notes:
        talk.warn(note)
    talk.keep(outputs.write, verdict)
    _tell(talk, verdict, strict=strict)
    return verdict.exit_code(strict=strict)


def _tell(talk: Talk, verdict: "Verdict", *, strict: bool) -> None:
    import msgspec

    from edgekit.gating import rendering

    text = table(rendering.rows(verdict, talk.verbose), header=rendering.header(talk.verbose))
    document: dict[str, Any] = msgspec.to_builtins(verdict)
    document |= {"outcome": verdict.outcome, "exit_code": verdict.exit_code(strict=strict)}
    why = [f"{line}\n" for line in rendering.reasons(verdict, talk.verbose)]
    talk.result(f"{text}\n{''.join(why)}{verdict.where}\n{rendering.sentence(verdict)}", document)


def _update(talk: Talk, judge: "Judge", where: str, source: str | None, *, times: bool, strict: bool) -> int:
    """The candidate takes the baseline's place. With `strict`, 5 where its times could not be told."""
    import msgspec

    from edgekit.gating.judging import update

    done = update(judge, where, source, times=times)
    document = {"baseline": where, "changes": done.changes}
    if done.numbers:
        document["numbers"] = msgspec.to_builtins(done.numbers)
    lines = [f"  {change}" for change in done.changes] or ["  nothing changes"]
    talk.result("\n".join([f"{where} is now {judge.model.name}", *lines]), document)
    return 5 if strict and done.untold else 0
