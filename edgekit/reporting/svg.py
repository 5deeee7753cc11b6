"""What every chart is made of: a scale with round ticks, marks that differ in shape and colour, escaped text."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log, log10

from edgekit.harmless import harmless

TARGETS = ("tflite", "onnx", "openvino")  # each has a colour and a shape; all others share the last
SHAPES = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True)
class Scale:
    """Values to shares 0..1 of an axis."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Values beyond the ends are drawn at the ends."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return log(value / self.low) / log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, about: int = 6) -> list[float]:
        """Round numbers inside it."""
        if self.log:
            steps = (1, 2, 5) if self.high / self.low < 200 else (1,)
            powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            found = [step * 10.0**power for power in powers for step in steps]
            found = [tick for tick in found if self.low <= tick <= self.high]
            if len(found) > 2:
                return found
        found = self._multiples(_round((self.high - self.low) / about))
        return found if len(found) > 2 else self._multiples(_round((self.high - self.low) / (2 * about)))

    def _multiples(self, step: float) -> list[float]:
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [round(n * step, 12) for n in range(first, last + 1)]


def _round(step: float) -> float:
    """The next of 1, 2, 5, 10, ..."""
    power = 10.0 ** floor(log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def spread(values: Iterable[float], *, margin: float = 0.06) -> Scale:
    """Of positive values: logarithmic where they span a factor of 4 or more; some room at both ends."""
    known = [value for value in values if value > 0] or [1.0]
    low, high = min(known), max(known)
    if high / low >= 4:
        room = (high / low) ** margin
        return Scale(low / room, high * room, log=True)
    room = (high - low) * margin or low * 0.1
    return Scale(low - room, high + room)


def from_zero(values: Iterable[float]) -> Scale:
    """Of sizes; what a file of runs says that is none, below zero, is drawn at zero."""
    return Scale(0, max(0.0, *values, 0.0) * 1.02 or 1.0)


def text(words: object) -> str:
    """Escaped: names come from files. A number and its % stay on one line."""
    return html.escape(harmless(str(words)), quote=True).replace(" %", "&#160;%")


def number(value: float) -> str:
    """A coordinate, as short as it can be."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def label(tick: float) -> str:
    return f"{tick:,.6g}"


def kind(target: str) -> int:
    return TARGETS.index(target) if target in TARGETS else len(TARGETS)


def mark(target: str, x: float, y: float, *, size: float = 5.5, extra: str = "") -> str:
    """The shape of a target, at a place."""
    n = kind(target)
    shape, css = SHAPES[n], f"mark k{n} {extra}".strip()
    if shape == "circle":
        return f'<circle class="{css}" cx="{number(x)}" cy="{number(y)}" r="{number(size)}"/>'
    s = size * {"square": 0.9, "diamond": 1.3, "triangle": 1.2}[shape]
    corners = {
        "square": [(-s, -s), (s, -s), (s, s), (-s, s)],
        "diamond": [(0, -s), (s, 0), (0, s), (-s, 0)],
        "triangle": [(0, -s), (s, s), (-s, s)],
    }[shape]
    points = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners)
    return f'<polygon class="{css}" points="{points}"/>'


def swatch(target: str) -> str:
    """The mark alone, to stand before a name."""
    return f'<svg class="swatch" viewBox="0 0 16 16" aria-hidden="true">{mark(target, 8, 8)}</svg>'


def legend(targets: Sequence[str]) -> str:
    found = sorted(set(targets), key=lambda target: (kind(target), target))
    return "".join(f"<span>{swatch(target)}{text(target)}</span>" for target in found)
