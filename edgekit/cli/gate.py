"""edgekit gate"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.look import on_option, runtime_options, warn_of_refused
from edgekit.cli.output import Talk, common, table
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.gate.judging import Judge


@click.command()
@click.argument("candidate", metavar="CANDIDATE")
@click.option("--baseline", required=True, metavar="B", help="ARTIFACT, FILE, git:REF:PATH, or a .json of numbers.")
@click.option("--max-slowdown", type=float, metavar="PERCENT", help="CPU time of an inference.  [default: 5]")
@click.option(
    "--detect", flag_value=True, default=None, type=bool, help="Fail at that slowdown, not only surely above it."
)
@click.option("--max-drop", type=float, metavar="POINTS", help="Of top-1, with --data.  [default: 0.5]")
@click.option(
    "--allow-contract", flag_value=True, default=None, type=bool,
    help="Let inputs, outputs, classes, scores and preprocessing be others.",
)  # fmt: skip
@click.option("--budget", type=float, metavar="SECONDS", help="For the latency test.  [default: 60]")
@click.option("--budgets", metavar="FILE", help="A gate.toml with these and the other limits.")
@click.option("--data", metavar="DIR", help="Pictures, as edgekit eval takes them: top-1 is compared too.")
@click.option("--labels", metavar="FILE", help="What is on the pictures: .csv, .json, .jsonl or .txt.")
@click.option("--runtime", metavar="NAME", help="litert, onnxruntime or openvino.  [default: the first that opens it]")
@on_option
@click.option("--timeout", type=click.FloatRange(1), default=300, show_default=True, help="Seconds that mean a hang.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order of turns.")
@click.option("--allow-absolute", is_flag=True, help="Let times of another machine fail the candidate.")
@click.option("--strict", is_flag=True, help="Exit 5 where a check is inconclusive or could not be made.")
@click.option("--update", is_flag=True, help="Make the candidate the baseline, and say what changes.")
@click.option("--source", metavar="PATH|git:REF:PATH", help="With --update FILE.json: where the file can be had.")
@click.option("--no-times", is_flag=True, help="With --update FILE.json: only what is the same on every machine.")
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
    max_slowdown: float | None,
    detect: bool | None,
    max_drop: float | None,
    allow_contract: bool | None,
    budget: float | None,
    budgets: str | None,
    data: str | None,
    labels: str | None,
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
) -> int:
    """Exit 1 where CANDIDATE is slower, larger or worse than its baseline, or does not fit in its place: takes another
    input, answers other classes.

    Both run side by side in fresh processes, and their CPU times are compared until the test decides; numbers of an
    earlier day are compared only as far as the machine is the same, and the method is said.

    \b
    Examples:
      edgekit gate build/mobilenetv2-tflite-int8 --baseline git:origin/main:models/mobilenetv2-tflite-int8
      edgekit gate new.onnx --baseline old.onnx --max-slowdown 3 --detect
      edgekit gate INT8 --baseline OLD --data photos/ --max-drop 1 --markdown "$GITHUB_STEP_SUMMARY"
      edgekit gate INT8 --baseline benchmarks/baselines/int8.json --update
    """
    import msgspec

    from edgekit import artifact, places, registry
    from edgekit import gate as room
    from edgekit.data import open_data
    from edgekit.gate import baseline as other
    from edgekit.gate import dashboards, rendering
    from edgekit.gate.judging import Judge
    from edgekit.runtimes import Options

    if labels and not data:
        raise RequestError("--labels says what is on the pictures of --data", hint="--data DIR")
    if (source or no_times) and not (update and baseline.endswith(".json")):
        flag = "--source" if source else "--no-times"
        raise RequestError(f"{flag} is for --update with a .json of numbers", hint="leave it out")
    for place, flag in (
        (markdown, "--markdown"),
        (junit, "--junit"),
        (bmf, "--bmf"),
        (benchmark_action, "--benchmark-action"),
    ):
        if place:
            places.check_place(Path(place), f"{flag} another/file")
    model = artifact.open_model(Path(candidate))
    warn_of_refused(talk, model)
    named = room.budgets(Path(budgets)) if budgets else room.Budgets()
    judge = Judge(
        path=Path(candidate),
        model=model,
        runtime=_runtime(runtime, model.target),
        device=registry.device(device),
        limits=named.of(
            model.name,
            max_slowdown=max_slowdown,
            detect=detect,
            max_drop=max_drop,
            allow_contract=allow_contract,
            budget=budget,
        ),
        options=Options(threads, interpreter),
        allow_absolute=allow_absolute,
        timeout=timeout,
        seed=seed,
        say=talk.say,
        warn=talk.warn,
        progress=lambda total, what: talk.progress(total, what, "pictures" if what == "answering" else "launches"),
    )
    if update:
        return _update(talk, judge, baseline, source, times=not no_times, strict=strict)
    if data:
        if not isinstance(model, artifact.Artifact):
            raise RequestError(f"{model.name} says nothing of its pictures", hint="--data needs artifacts")
        judge.data = open_data(Path(data), model.labels(), labels_file=Path(labels) if labels else None)
    with other.opened(baseline) as base:
        verdict = judge.judge(base)
    for note in verdict.notes:
        talk.warn(note)
    if markdown:
        with places.output_errors("--markdown another/file"):
            Path(markdown).parent.mkdir(parents=True, exist_ok=True)
            with Path(markdown).open("a", encoding="utf-8") as file:
                file.write(rendering.markdown(verdict))
    for place, flag, written in (
        (junit, "--junit", rendering.junit([verdict])),
        (bmf, "--bmf", dashboards.bmf(verdict)),
        (benchmark_action, "--benchmark-action", dashboards.benchmark_action(verdict)),
    ):
        if place:
            with places.output_errors(f"{flag} another/file"):
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                Path(place).write_text(written, "utf-8")
    text = table(rendering.rows(verdict), header=rendering.HEADER)
    document: dict[str, Any] = msgspec.to_builtins(verdict)
    document |= {"outcome": verdict.outcome, "exit_code": verdict.exit_code(strict=strict)}
    talk.result(f"{text}\n{verdict.where}\n{rendering.sentence(verdict)}", document)
    return verdict.exit_code(strict=strict)


def _runtime(name: str | None, target: str) -> str:
    from edgekit import registry
    from edgekit.errors import UnsupportedError

    if name is None:
        return registry.runtime_for(target).name
    if target not in registry.runtime(name).targets:
        raise UnsupportedError(f"{name} does not open {target} files", hint="leave --runtime out")
    return name


def _update(talk: Talk, judge: "Judge", where: str, source: str | None, *, times: bool, strict: bool) -> int:
    """The candidate takes the baseline's place. With `strict`, 5 where its times could not be told."""
    import msgspec

    from edgekit.errors import EdgekitError
    from edgekit.gate import baseline

    untold = False
    if where.endswith(".json"):
        old = baseline.read(Path(where)) if Path(where).exists() else None
        new = judge.numbers(source or (old.source if old else None), times=times)
        untold = times and judge.device.timed and new.cpu_ms is None
        new = baseline.complete(new, old, counted=not judge.device.timed)
        baseline.write(Path(where), new)
        changes = baseline.changes(old, new)
        document = {"baseline": where, "changes": changes, "numbers": msgspec.to_builtins(new)}
    else:
        try:
            with baseline.opened(where) as base:
                before = f"{base.model.digest()[:12]}, {base.model.model_bytes:,} bytes" if base.model else "nothing"
        except EdgekitError:
            before = "nothing"
        baseline.replace(where, judge.model)
        changes = [f"{before} -> {judge.model.digest()[:12]}, {judge.model.model_bytes:,} bytes"]
        document = {"baseline": where, "changes": changes}
    lines = [f"  {change}" for change in changes] or ["  nothing changes"]
    talk.result("\n".join([f"{where} is now {judge.model.name}", *lines]), document)
    return 5 if strict and untold else 0
