"""The best file of a model under a budget: what it may lose, how long it may take, how large it may be.

space.py      what is tried: recipes as data (space.toml, and files of the user's)
budget.py     limits, and whether intervals say that they are met, missed or neither; forecasts
measuring.py  builds and measurements, each a cell (edgekit/cells.py): a second run makes nothing
search.py     of one target: what to build next, what to leave, what to confirm
floats.py     of one file: how few layers in float are enough
tune.py       all targets, the recipe that serves them all
page.py       tables, one sentence, the report

The images are parted in random halves. Files are chosen on the first; the second confirms the few that are left, and its
figures alone are reported: the luckiest of many on the images that chose it looks better than it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgekit.statistics.proportions import widened

Verdict = Literal["met", "missed", "undecided"]


class Interval(msgspec.Struct, frozen=True):
    """A figure, and from where to where it is with 95 % confidence; of counts, which are exact, all three are the same."""

    value: float
    low: float
    high: float

    def of_tries(self, tries: int) -> "Interval":
        """As wide as it must be where the `tries`th file is taken because those before it missed (Bonferroni)."""
        wider = widened(tries)
        low, high = (self.value + wider * (end - self.value) for end in (self.low, self.high))
        return Interval(self.value, low, high)


NONE, SAME = Interval(0.0, 0.0, 0.0), Interval(1.0, 1.0, 1.0)  # what fp32 loses, and its time


class Figures(msgspec.Struct, frozen=True):
    """Of one file against fp32 of its target.

    loss      points of the task's figure as a share, 0.01 is a point; None: not measured
    times     device -> its time, or its instructions, over those of fp32
    images  that the loss is of
    """

    loss: Interval | None
    times: dict[str, Interval]
    images: int = 0

    @property
    def slowest(self) -> float:
        """The ratio on the device where it gains least."""
        return max((time.value for time in self.times.values()), default=float("inf"))


class Tried(msgspec.Struct, frozen=True):
    """One recipe.

    out        why it was left: "loses ...", "refused: SQNR ..."; "" of one that was compared to the end
    chosen_by  figures on the images that chose: for orientation, they are no result
    confirmed  figures on the other half
    """

    name: str
    bytes: int | None
    out: str = ""
    chosen_by: Figures | None = None
    confirmed: Figures | None = None


class Choice(msgspec.Struct, frozen=True):
    """What came of one target.

    name       of the recipe: "int8-static, ranges=minmax"; "" where nothing was made
    artifact   its folder; recipe: its file
    figures    on images and in a session that chose nothing
    verdicts   "loss", "time on DEVICE", "size" -> met, missed or undecided
    quicker    confirmed files that are quicker, of which the budget is undecided -> how many images would decide, as `needed`
    needed     about how many images in all would decide on the loss; None where it is decided
    base_bytes  of fp32
    front      of those that were confirmed, whom none beats in every way
    tried      every recipe that was built, or ruled out
    recipes    how many there are; left: how many were not tried
    error      why there is nothing
    """

    target: str
    name: str
    verdict: Verdict
    artifact: str = ""
    recipe: str = ""
    bytes: int | None = None
    base_bytes: int | None = None
    figures: Figures | None = None
    verdicts: dict[str, Verdict] = {}
    needed: int | None = None
    quicker: dict[str, int | None] = {}
    front: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    recipes: int = 0
    left: int = 0
    error: str = ""

    @property
    def built(self) -> int:
        """Files that were made, fp32 among them."""
        return sum(one.bytes is not None for one in self.tried)


@dataclass(frozen=True, repr=False)
class Tuned(Sequence[Choice]):
    """A choice for each target.

    headline  the name of the task's figure
    one       the recipe that meets every budget in every target, by name; "" where there is none, or one target
    cpu_s     of this process, and of the commands that it ran
    cut       the user stopped it: the next call goes on
    """

    title: str
    choices: tuple[Choice, ...]
    headline: str = ""
    data: str = ""
    cpu_class: str = ""
    one: str = ""
    notes: tuple[str, ...] = ()
    cpu_s: tuple[float, float] = (0.0, 0.0)
    cut: bool = False
    report: Path | None = None
    document: Path | None = None

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return self.choices[at]

    def __len__(self) -> int:
        return len(self.choices)

    def __iter__(self) -> Iterator[Choice]:
        return iter(self.choices)

    @property
    def verdict(self) -> Verdict:
        """The worst of all targets."""
        found = {choice.verdict for choice in self}
        return "missed" if "missed" in found or not found else "undecided" if "undecided" in found else "met"

    def __repr__(self) -> str:
        """In one line."""
        return f"Tuned({self.title}: {'; '.join(f'{c.target} {c.name or c.error} ({c.verdict})' for c in self)})"
