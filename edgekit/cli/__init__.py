"""The command line: parse, call ONE library function, print. Nothing heavy is imported before a command runs."""

import click

from edgekit import __version__
from edgekit.cli.output import Program

__all__ = ["main"]

# command -> where it is, in the order of work
COMMANDS = {
    "export": "export:export",
    "train": "train:train",
    "prune": "prune:prune",
    "predict": "predict:predict",
    "bench": "bench:bench",
    "benchmark": "benchmark:benchmark",
    "sweep": "sweep:sweep",
    "tune": "tune:tune",
    "eval": "evaluate:evaluate",
    "gate": "gate:gate",
    "history": "history:history",
    "report": "report:report",
    "inspect": "inspect:inspect",
    "verify": "verify:verify",
    "reproduce": "reproduce:reproduce",
    "bundle": "bundle:bundle",
    "sign": "sign:sign",
    "hub": "hub:hub",
    "android": "android:android",
    "list": "machine:list_",
    "doctor": "machine:doctor",
    "completion": "completion:completion",
}


@click.group(
    cls=Program,
    homes=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="edgekit %(version)s")
def main() -> None:
    """Take a PyTorch image model to the device: export, quantize, prove, measure.

    \b
    Examples:
      edgekit export mobilenetv2 --int8 --target tflite
      edgekit predict build/mobilenetv2-tflite-int8 photo.jpg
      edgekit bench build/mobilenetv2-tflite-int8 build/mobilenetv2-tflite-fp32
    """
