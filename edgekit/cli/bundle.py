"""edgekit bundle"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.output import Talk, common
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.runs import Record


@click.command(short_help="Pack an artifact with its papers.")
@click.argument("artifact")
@click.option(
    "-o", "--output", metavar="FILE.zip", help="Where the bundle goes.  [default: beside the artifact, NAME.zip]"
)
@click.option("--runs", metavar="FILE", help="Runs with the file's accuracy, as edgekit eval appends them.")
@common
def bundle(talk: Talk, artifact: str, output: str | None, runs: str | None) -> int:
    """Pack an artifact with a bill of materials (CycloneDX), its provenance (in-toto, SLSA) and a model card.

    The same artifact gives the same bytes. Figures carry their intervals; accuracy comes out of --runs, for the same bytes.

    \b
    Examples:
      edgekit bundle build/mobilenetv2-tflite-int8 -o mobilenetv2.zip
      edgekit bundle build/mobilenetv2-tflite-int8 --runs build/runs.jsonl
    """
    from edgekit.bundle import write

    folder = Path(artifact)
    out = Path(output) if output else folder.resolve().with_name(f"{folder.resolve().name}.zip")
    names = write(folder, out, accuracy(talk, artifact, runs), warn=talk.warn)
    size = out.stat().st_size
    document = {"written": str(out), "bytes": size, "files": names}
    talk.result(
        f"{out}  {size / 1e6:.2f} MB\n  {len(names)} files: {', '.join(n for n in names if '/' not in n)}", document
    )
    return 0


def accuracy(talk: Talk, artifact: str, runs: str | None) -> "Sequence[Record]":
    """What --runs holds, of which something must be of this very file."""
    from edgekit import artifact as artifacts
    from edgekit.bundle import figures
    from edgekit.runs import read

    if not runs:
        return ()
    records, warnings = read([Path(runs)])
    for warning in warnings:
        talk.warn(warning)
    if not any(figure.data for figure in figures(artifacts.load(artifact), records)):
        raise RequestError(f"{runs} holds no accuracy of this very file", hint=f"edgekit eval {artifact} --data DIR")
    return records
