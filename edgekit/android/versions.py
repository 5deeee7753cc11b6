"""Versions of runtimes, and whether one is new enough for what a manifest states as the oldest."""

import re
from dataclasses import dataclass

# ABI -> how a manifest's CPU classes name it: "arm64"; "ARM, and x86-64 with VNNI"; "any CPU"
CPUS = {"arm64-v8a": ("arm64", "ARM"), "x86_64": ("x86-64",)}
GENERATIONS = {
    "tflite-runtime": 0,
    "TFLite": 0,
    "LiteRT": 1,
    "ONNX Runtime": 0,
}  # LiteRT counts on from TFLite 2.17, at 1.0
_STATED = re.compile(rf"^({'|'.join(GENERATIONS)}) (\d+(?:\.\d+)*)")
_NOT = re.compile(r"\(not LiteRT ([^)]*)\)")


@dataclass(frozen=True)
class Version:
    """`at_least`: this one or a later one; a library does not always say."""

    family: str
    numbers: tuple[int, ...]
    at_least: bool = False

    @property
    def age(self) -> tuple[int, ...]:
        """Compares as time does. Only within TFLite and LiteRT, or within ONNX Runtime."""
        return (GENERATIONS[self.family], *self.numbers)

    def __str__(self) -> str:
        said = f"{self.family} {'.'.join(map(str, self.numbers))}"
        return f"{said} or later (its library does not say)" if self.at_least else said


def floor_of(oldest: dict[str, str], abi: str) -> str:
    """What a manifest states for an ABI; "" where it states nothing."""
    named = ("any CPU", *CPUS.get(abi, ()))
    return next((floor for cpu, floor in oldest.items() if any(name in cpu for name in named)), "")


def new_enough(has: Version | None, floor: str) -> bool | None:
    """Whether a runtime is as new as `floor`, in a manifest's words ("TFLite 2.16.1 (not LiteRT 1.1 and 1.2)"); None: not known."""
    stated = _STATED.match(floor)
    if stated is None or has is None:
        return None
    wanted = Version(stated[1], _numbers(stated[2]))
    if has.age < wanted.age:
        return None if has.at_least else False
    without = _NOT.search(floor)
    excluded = [_numbers(v) for v in re.findall(r"\d+(?:\.\d+)*", without[1])] if without else []
    return not (has.family == "LiteRT" and any(has.numbers[: len(v)] == v for v in excluded))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
