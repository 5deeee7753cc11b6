"""edgekit reproduce"""

from typing import TYPE_CHECKING

import click

from edgekit.cli.output import Talk, common, table

if TYPE_CHECKING:
    from edgekit.reproduction import Reproduction


@click.command(short_help="Make an artifact again from its manifest.")
@click.argument("artifact")
@click.option("--model", metavar="RUN|py:...", help="Where the model is, if it is a run or a function of yours.")
@click.option("--weights", metavar="FILE", help="Where the weights are, if they came from a file.")
@click.option("--calibration", metavar="DIR", help="Where the images are, if they were yours.")
@common
def reproduce(talk: Talk, artifact: str, model: str | None, weights: str | None, calibration: str | None) -> int:
    """Make an artifact again from its manifest, and say whether it is the same, byte for byte.

    Other versions or another kind of CPU give other bytes, and are named. Exit 1 where it differs and they do not explain
    it. The manifest holds no paths: what came from a file or folder of yours must be named.

    \b
    Examples:
      edgekit reproduce build/mobilenetv2-tflite-int8
      edgekit reproduce build/shoes-tflite-int8 --model runs/shoes
      edgekit reproduce build/net-onnx-int8 --calibration photos/ --json
    """
    talk.loading()
    import msgspec

    from edgekit.reproduction import reproduce as again

    found = again(artifact, model=model, weights=weights, calibration=calibration, say=talk.say)
    document = {
        **{name: msgspec.to_builtins(getattr(found, name)) for name in found.__dataclass_fields__},
        "identical": found.identical,
        "explained": found.explained,
    }
    talk.result("\n".join(_lines(artifact, found)), document)
    return 0 if found.identical or found.explained else 1


def _lines(artifact: str, found: "Reproduction") -> list[str]:
    others = f" although {'; '.join(found.surroundings)}" if found.surroundings else ""
    if found.identical:
        return [f"identical: {artifact} was made again, byte for byte{others}"]
    rows = [("file", f"{name} differs") for name in found.files]
    rows += [("manifest", f"{name} is {now!r:.60}, was {then!r:.60}") for name, then, now in found.fields]
    rows += [("input", said) for said in found.inputs]
    if found.answers is not None:
        rows.append(("answers", f"max |d| {found.answers:.3g} on the golden images"))
    rows += [("reason", said) for said in found.surroundings]
    if found.ort:
        rows.append(("reason", "ONNX Runtime writes the tables of .ort files in an order of its own"))
    verdict = "the reasons above explain it" if found.explained else "versions and CPU do not explain it"
    return [table(rows), f"different: {verdict}"]
