"""How small a pruned network shall be."""

from typing import Literal

import msgspec

from edgekit.errors import RequestError
from edgekit.recipe import Scheme

Measure = Literal["macs", "params", "latency"]


class Goal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    keep            share of the whole network's cost, above 0 and below 1
    of              what is counted
    target, scheme  latency: the file that is measured
    on              latency: a device; one without times of its own counts instructions
    """

    keep: float
    of: Measure = "macs"
    target: str = "tflite"
    scheme: Scheme | Literal["int8"] = "fp32"
    on: str = "local"


def check(goal: Goal) -> Goal:
    """Raises RequestError for what cannot be meant."""
    if not 0 < goal.keep < 1:  # not a number is neither
        raise RequestError(f"--keep-{goal.of} is {goal.keep:g}", hint="a share above 0 and below 1, such as 0.65")
    if goal.of == "latency" and goal.target == "torch":
        raise RequestError(
            "torch is the reference, not what runs on a device", hint="--target tflite, onnx or openvino"
        )
    if goal.on.partition(":")[0] == "adb":
        raise RequestError(
            "a phone opens whole artifacts, and what is tried here is a file alone",
            hint="--on arm64:cortex-a76 counts the instructions of a phone's core",
        )
    return goal


def step(goal: Goal, number: int, steps: int) -> Goal:
    """The goal of step `number` of `steps`, counted from 1: each takes the same share of what is left."""
    return msgspec.structs.replace(goal, keep=goal.keep ** (number / steps))
