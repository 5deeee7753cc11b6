"""The command line: parse, call ONE library function, print. Nothing heavy is imported before a command runs."""

import click

from edgekit import __version__
from edgekit.cli.android import android
from edgekit.cli.bench import bench
from edgekit.cli.bundle import bundle
from edgekit.cli.evaluate import evaluate
from edgekit.cli.export import export
from edgekit.cli.gate import gate
from edgekit.cli.history import history
from edgekit.cli.hub import hub
from edgekit.cli.inspect import inspect
from edgekit.cli.machine import doctor, list_
from edgekit.cli.output import Program
from edgekit.cli.predict import predict
from edgekit.cli.prune import prune
from edgekit.cli.report import report
from edgekit.cli.reproduce import reproduce
from edgekit.cli.sign import sign
from edgekit.cli.train import train
from edgekit.cli.verify import verify

__all__ = ["main"]


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="edgekit %(version)s")
def main() -> None:
    """Take a PyTorch image model to the device: export, quantize, prove, measure.

    \b
    Examples:
      edgekit export mobilenetv2 --int8 --target tflite
      edgekit predict build/mobilenetv2-tflite-int8 photo.jpg
      edgekit bench build/mobilenetv2-tflite-int8 build/mobilenetv2-tflite-fp32
    """


for command in (
    export,
    train,
    prune,
    predict,
    bench,
    evaluate,
    gate,
    history,
    report,
    inspect,
    verify,
    reproduce,
    bundle,
    sign,
    hub,
    android,
    list_,
    doctor,
):
    main.add_command(command)
