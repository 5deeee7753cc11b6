"""Every target and scheme of a model, made, proven, timed against each other and evaluated: which file to take.

plan.py     which files there could be, and what decides each
making.py   each step as a cell (edgekit/cells.py): a second run makes nothing
page.py     the table, the best for each wish, and the report
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit.benchmarking.summary import Ratio
from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import Drop


class Candidate(msgspec.Struct, frozen=True):
    """One file that could be taken, or why there is none.

    name       "tflite int8-static"; of an artifact that was there already its folder's
    artifact   its folder; None where none was made
    error      why it was not made, timed or evaluated, and what to do about it in `hint`
    cpu_ms     of one inference, the median; by the wall where a device tells no other time
    ratio      its time over the fastest's, paired inference by inference
    instructions  of one inference, where a device counts them and tells no time
    headline   how often it is right, with a 95 % interval: the first figure of its task
    loss       of the headline against the most accurate candidate, with a 95 % interval: of classes image by image
    proof      how it answers against PyTorch, in words; sqnr_db: its signal to noise; None: equal to the last bit
    oldest     CPU class -> the oldest interpreter known to answer rightly
    """

    name: str
    target: str
    scheme: str
    artifact: str | None = None
    error: str | None = None
    hint: str = ""
    bytes: int | None = None
    cpu_ms: float | None = None
    ratio: Ratio | None = None
    instructions: int | None = None
    headline: Figure | None = None
    loss: Drop | None = None
    proof: str = ""
    sqnr_db: float | None = None
    oldest: dict[str, str] = {}

    def __repr__(self) -> str:
        """In one line."""
        if self.artifact is None:
            return f"Candidate({self.name}: {self.error})"
        said = [f"{self.bytes / 1e6:.2f} MB"] if self.bytes else []
        said += [f"{self.cpu_ms:.2f} ms"] if self.cpu_ms else []
        said += [f"{self.headline.name} {self.headline.value:.1%}"] if self.headline else []
        return f"Candidate({self.name}: {', '.join(said)})"


@dataclass(frozen=True, repr=False)
class Benchmark(Sequence[Candidate]):
    """Candidates, the quickest first, those that were not made last.

    within   how many points of the headline may be lost at most, by the whole interval, for "best within"
    data     the images in words; notes: what to know of the figures
    cut      the user stopped it: what is missing is made by the next call
    report, document  the page, and the same as JSON
    """

    title: str
    candidates: tuple[Candidate, ...]
    within: float
    cpu_class: str
    data: str = ""
    notes: tuple[str, ...] = ()
    cut: bool = False
    report: Path | None = None
    document: Path | None = None

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return self.candidates[at]

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    @property
    def made(self) -> list[Candidate]:
        return [candidate for candidate in self if candidate.artifact is not None]

    @property
    def best(self) -> dict[str, Candidate]:
        """For each wish the candidate that fulfils it best: "smallest", "fastest", "most accurate", "best within 1 point"."""
        sized = [(c.bytes, c) for c in self.made if c.bytes is not None]
        timed = [(c.cpu_ms, c) for c in self.made if c.cpu_ms is not None]
        timed = timed or [(c.instructions, c) for c in self.made if c.instructions is not None]
        right = [(c.headline.value, c) for c in self.made if c.headline is not None]
        found = {}
        if sized:
            found["smallest"] = min(sized, key=_first)[1]
        if timed:
            found["fastest"] = min(timed, key=_first)[1]
        if right:
            most = found["most accurate"] = max(right, key=_first)[1]
            near = [c for _, c in right if c is most or (c.loss and c.loss.high <= self.within / 100 + 1e-9)]
            found[f"best within {self.points}"] = min(near, key=_cost)
        return found

    @property
    def points(self) -> str:
        """`1 point`"""
        return f"{self.within:g} point{'' if self.within == 1 else 's'}"

    @property
    def undecided(self) -> list[Candidate]:
        """Quicker than the best within so many points, and the images do not tell whether they lose more; the quickest first."""
        if "most accurate" not in (best := self.best):
            return []
        taken = list(best.values())[-1]
        quicker = [c for c in self.made if c.loss and _cost(c) < _cost(taken)]
        limit = self.within / 100
        return sorted((c for c in quicker if c.loss and c.loss.low <= limit < c.loss.high), key=_cost)

    def __repr__(self) -> str:
        """In one line: the best for each wish."""
        said = [f"{wish}: {candidate.name}" for wish, candidate in self.best.items()]
        return (
            f"Benchmark({self.title}, {len(self.made)} of {len(self)} files; {'; '.join(said) or 'nothing was made'})"
        )


def _cost(candidate: Candidate) -> tuple[float, int]:
    return candidate.cpu_ms or candidate.instructions or float("inf"), candidate.bytes or 0


def _first(pair: tuple[float, Candidate]) -> float:
    return pair[0]
