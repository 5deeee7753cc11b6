"""Limits, and what intervals say of them; and what is ruled out before anything is built."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from edgekit import registry, schemes
from edgekit.artifact import Artifact
from edgekit.devices import host
from edgekit.devices.emulated import Emulated
from edgekit.errors import DataError, RequestError
from edgekit.recipe import Recipe
from edgekit.statistics.proportions import least_images
from edgekit.tasks import Classification, name_of
from edgekit.tuning import Figures, Interval, Verdict

FEW = 16  # images of a half, below which no figure is drawn again
# time over fp32's of a scheme that nobody measured for such a network: what unpacks its weights gains none
UNKNOWN = {"fp16": 1.0, "int8-weight-only": 1.0, "int8-dynamic": 0.7, "int8-static": 0.5}
OFF = 2.0  # by how much a forecast may be off: it is of another network of the family
LEAST_SIZE = {"fp32": 0.9, "fp16": 0.45, "int8": 0.2}  # of fp32's bytes: no file of the scheme is smaller


class Budget(msgspec.Struct, frozen=True):
    """None: no matter. max_loss: a share, 0.005 is half a point; keep_latency: time over fp32's."""

    max_loss: float | None = 0.005
    keep_latency: float | None = None
    max_bytes: int | None = None
    devices: tuple[str, ...] = ("local",)

    def check(self) -> None:
        """Raises RequestError for what nothing can meet."""
        if self.max_loss is None and self.keep_latency is None and self.max_bytes is None:
            raise RequestError("there is no budget", hint="--max-loss 0.5, --keep-latency 0.6 or --max-size 5")
        for flag, said, example in (
            ("--max-loss", self.max_loss and 100 * self.max_loss, "0.5: so many points"),
            ("--keep-latency", self.keep_latency, "0.6: so much of fp32's time"),
            ("--max-size", self.max_bytes and self.max_bytes / 1e6, "5: so many MB"),
        ):
            if said is not None and not (0 < said < math.inf):
                why = ": an interval has a width, so that no number of images shows it" if flag == "--max-loss" else ""
                raise RequestError(f"{flag} {said:g} can never be met{why}", hint=f"{flag} {example}")
        if self.max_loss is not None and self.max_loss >= 1:
            raise RequestError(
                f"--max-loss {100 * self.max_loss:g} is met by anything", hint="--max-loss 0.5: half a point of 100"
            )

    def check_size(self, base_bytes: int) -> None:
        """Raises RequestError where no scheme makes a file as small as that."""
        least = min(LEAST_SIZE.values()) * base_bytes
        if self.max_bytes is not None and self.max_bytes < least:
            raise RequestError(
                f"--max-size {self.max_bytes / 1e6:g}: int8 makes about {base_bytes / 4e6:.2g} MB of fp32's {base_bytes / 1e6:.3g}",
                hint="a larger one, or a smaller network: edgekit prune",
            )

    def check_images(self, images: int, of: Artifact) -> None:
        """Whether so many, of which a half chooses and a half reports, can decide anything. Raises DataError."""
        half = images // 2
        counted = isinstance(of.manifest.task, Classification)
        least = least_images(self.max_loss) if counted and self.max_loss else FEW
        if half < least:
            shown = f", or --max-loss {math.ceil(1000 * 1.96 / (half + 2)) / 10:g}" if counted and half >= FEW else ""
            limit = f" a loss of at most {100 * (self.max_loss or 0):g} points" if self.max_loss else " anything"
            raise DataError(
                f"{images:,} images cannot show{limit}: a half of them chooses, and the other reports",
                hint=f"{2 * least:,} images at the very least{shown}",
            )

    def verdicts(self, size: int | None, figures: Figures, tries: int = 1) -> dict[str, Verdict]:
        """ "loss", "size", "time on DEVICE" -> what the intervals say. tries: as Interval.of_tries has it."""
        found: dict[str, Verdict] = {}
        if self.max_loss is not None:
            found["loss"] = verdict(figures.loss, self.max_loss, tries)
        if self.keep_latency is not None:
            found |= {f"time on {on}": verdict(figures.times.get(on), self.keep_latency, tries) for on in self.devices}
        if self.max_bytes is not None and size is not None:
            found["size"] = "met" if size <= self.max_bytes else "missed"
        return found

    def excess(self, size: int | None, figures: Figures) -> float:
        """How far the farthest figure lies above its limit, as a factor; below 1 where all are met."""
        loss = figures.loss.value if figures.loss else math.inf
        return max(
            loss / self.max_loss if self.max_loss else 0.0,
            figures.slowest / self.keep_latency if self.keep_latency else 0.0,
            (size or math.inf) / self.max_bytes if self.max_bytes else 0.0,
        )


def verdict(interval: Interval | None, limit: float, tries: int = 1) -> Verdict:
    if interval is None:
        return "undecided"
    wide = interval.of_tries(tries)
    return "missed" if wide.low > limit else "met" if wide.high <= limit else "undecided"


def worst(verdicts: Mapping[str, Verdict] | Sequence[Verdict]) -> Verdict:
    """Of all; met where there are none."""
    found = [*(verdicts.values() if isinstance(verdicts, Mapping) else verdicts)]
    order: tuple[Literal["missed", "undecided", "met"], ...] = ("missed", "undecided", "met")
    return next((one for one in order if one in found), "met")


class Forecast:
    """What is known of a scheme from networks of the same family (schemes.toml), for the devices at hand."""

    def __init__(self, base: Artifact, devices: Sequence[str]) -> None:
        self.base, m = base, base.manifest
        self.known = (m.family, m.architecture, m.target), name_of(m.task)
        classes = [cpu_class_of(device) for device in devices]
        self.classes = [one for one in classes if one]

    def time(self, scheme: str) -> float | None:
        """Over fp32's, on the device where it gains least; None where that is not known."""
        if scheme == "fp32":
            return 1.0
        gains = [schemes.measured(*self.known[0], scheme, cpu, self.known[1]) for cpu in self.classes]
        known = [gain for gain in gains if gain]
        return 1 / min(known) if known else None

    def guess(self, scheme: str) -> float:
        """The same; where it is not known, as schemes are."""
        known = self.time(scheme)
        return UNKNOWN[scheme] if known is None else known

    def rules_out(self, recipe: Recipe, budget: Budget) -> str:
        """Why it is not worth building; "" where it may be."""
        scheme = recipe.quantize.scheme
        time, least = self.time(scheme), LEAST_SIZE[scheme.partition("-")[0]] * self.base.model_bytes
        if budget.keep_latency is not None and time is not None and time / OFF > budget.keep_latency:
            return f"forecast: {scheme} takes about {time:.2f} of fp32's time in such networks"
        if budget.max_bytes is not None and least > budget.max_bytes:
            return f"forecast: {scheme} takes {least / 1e6:.3g} MB at least"
        return ""


def cpu_class_of(on: str) -> str | None:
    """Of this machine and of emulated cores; None of phones, which tell it when they run."""
    device = registry.device(on)
    if isinstance(device, Emulated):
        flags = frozenset(device.cores[device.which].files["proc/cpuinfo"].split())
        return host.class_of("aarch64" if device.kind == "arm64" else "x86_64", flags)
    return host.cpu_class() if on == "local" else None
