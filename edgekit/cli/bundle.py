"""edgekit bundle"""

from pathlib import Path

import click

from edgekit.cli.output import Talk, common
from edgekit.errors import RequestError


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
    from edgekit import artifact as artifacts
    from edgekit.bundle import figures, write
    from edgekit.runs import read

    folder = Path(artifact)
    out = Path(output) if output else folder.resolve().with_name(f"{folder.resolve().name}.zip")
    records, warnings = read([Path(runs)]) if runs else ([], [])
    for warning in warnings:
        talk.warn(warning)
    if runs and not any(figure.data for figure in figures(artifacts.load(folder), records)):
        raise RequestError(f"{runs} holds no accuracy of this very file", hint=f"edgekit eval {artifact} --data DIR")
    names = write(folder, out, records, warn=talk.warn)
    size = out.stat().st_size
    document = {"written": str(out), "bytes": size, "files": names}
    talk.result(
        f"{out}  {size / 1e6:.2f} MB\n  {len(names)} files: {', '.join(n for n in names if '/' not in n)}", document
    )
    return 0
