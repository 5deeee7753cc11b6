"""edgekit bench"""

from pathlib import Path
from typing import Any

import click

from edgekit.cli.look import runtime_options
from edgekit.cli.output import Talk, common, megabytes, table


@click.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option("--rounds", type=click.IntRange(2), default=60, show_default=True, help="Inferences of each artifact.")
@click.option("--warmup", type=click.IntRange(0), default=5, show_default=True, help="Inferences that do not count.")
@runtime_options
@common
def bench(
    talk: Talk, artifacts: tuple[str, ...], rounds: int, warmup: int, threads: int, interpreter: str | None
) -> int:
    """Time artifacts against each other, interleaved in one process, so that ratios hold on a busy machine.

    \b
    Examples:
      edgekit bench build/mobilenetv2-tflite-int8 build/mobilenetv2-tflite-fp32
      edgekit bench build/*-tflite-* --rounds 200 --json
    """
    from edgekit.bench import comparison
    from edgekit.devices import host
    from edgekit.runtimes import Options

    with talk.progress(rounds, f"timing {len(artifacts)} artifacts") as tick:
        rows = comparison.compare(
            [Path(a) for a in artifacts], Options(threads, interpreter), rounds=rounds, warmup=warmup, tick=tick
        )
    facts = host.facts()
    lines = [
        (r.name, r.runtime, megabytes(r.bytes), f"{r.cpu_ms:.2f} ms", f"{r.wall_ms:.2f} ms", r.ratio_text) for r in rows
    ]
    text = table(lines, header=("artifact", "runtime", "size", "CPU", "wall", f"CPU / {rows[0].name}"))
    text += f"\nmedians of {rounds} interleaved rounds, {threads} thread{'s' * (threads > 1)}, CPU class {facts['cpu_class']}"
    if len(rows) > 1:
        text += f"\n{comparison.sentence(rows)}"
    document: dict[str, Any] = {
        "host": facts,
        "rounds": rounds,
        "threads": threads,
        "rows": [r.document() for r in rows],
    }
    talk.result(text, document)
    return 0
