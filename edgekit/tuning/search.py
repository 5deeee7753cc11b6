"""The best file of one target, by rungs of which each costs more than the one before it:

0  forecast     what the table of schemes and arithmetic of sizes rule out by far is not built
1  the proof    export, on 32 images, in the real runtime
2  a look       256 images of the choosing half against fp32, a short duel for the time
3  the whole    all of the choosing half; all that are left timed in turns, in one session
4  confirming   the other half and another session, for the few on the front

A file is left only where an interval says that it misses the budget, or that another one, which meets it, is quicker. Which recipe
is built next is a guess from its neighbours, and only a matter of order.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgekit.tuning import NONE, SAME, Choice, Figures, Tried, Verdict
from edgekit.tuning.budget import Budget, Forecast, worst
from edgekit.tuning.floats import BUILDS, fewest, with_floats
from edgekit.tuning.measuring import CHOOSES, REPORTS, Measuring, Trial
from edgekit.tuning.space import Point

LOOK = 256  # images of rung 2
DUEL, SESSION, CONFIRMING = (3, 30), (5, 100), (10, 200)  # processes of a file, and inferences
FRONT = 5  # files that are confirmed
ALIKE = 1.01  # times within a factor of this are the same: what is lost decides
ORDER: tuple[Verdict, ...] = ("met", "undecided", "missed")


@dataclass
class Search:
    """points: what could be tried; the first is fp32, the reference. builds: how many of the others are built at most."""

    target: str
    points: list[Point]
    budget: Budget
    measuring: Measuring
    builds: int
    floats: bool = True
    late: Callable[[], bool] = lambda: False
    tick: Callable[[], None] = lambda: None
    trials: list[Trial] = field(default_factory=list)
    floated: bool = False

    def __post_init__(self) -> None:
        first, *others = self.points
        self.base = Trial(first, screened=Figures(NONE, {}), chosen_by=Figures(NONE, {}))
        self.waiting = others
        self.built = 0

    def run(self) -> None:
        """Rungs 0 to 3. Raises what concerns all files: RequestError, DataError, OutputError."""
        if not self.measuring.built(self.base):
            return
        base = self.measuring.opened(self.base)
        same = Figures(NONE, dict.fromkeys(self.measuring.devices, SAME))
        self.base.screened = self.base.chosen_by = same
        self.budget.check_size(base.model_bytes)
        self.budget.check_images(self.measuring.count(base), base)
        self.forecast = Forecast(base, self.measuring.devices)
        self._rule_out()
        self._build()
        self._compare()

    # rung 0

    def _rule_out(self) -> None:
        left = []
        for point in self.waiting:
            if why := self.forecast.rules_out(point.recipe, self.budget):
                self.trials.append(Trial(point, out=why))
            else:
                left.append(point)
        self.waiting = left

    def _guess(self, point: Point) -> tuple[bool, float]:
        """Whether it will lose too much, and its time over fp32's: as its nearest neighbour does, else as is known of its scheme."""
        scheme = point.recipe.quantize.scheme
        near = [t for t in self._tried if t.point.recipe.quantize.scheme == scheme and (t.bytes or t.proof)]
        nearest = min(near, key=lambda t: t.point.unlike(point), default=None)
        guessed = self.forecast.guess(scheme)
        if nearest is None:
            return False, guessed
        loses = nearest.proof or nearest.over_loss
        return loses, nearest.screened.slowest if nearest.screened and nearest.screened.times else guessed

    @property
    def _tried(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.key]

    # rungs 1 and 2

    def _build(self) -> None:
        """As many as there may be, the most promising first."""
        while self.built < self.builds and not self.late():
            for_floats = min(BUILDS, self.builds // 2)
            if (not self.waiting or self.builds - self.built <= for_floats) and (blamed := self._blamed()):
                self._with_floats(blamed)
            elif self.waiting:
                point = min(self.waiting, key=self._promise)
                self.waiting.remove(point)
                self._try(point)
            else:
                return

    def _promise(self, point: Point) -> tuple[bool, int, int]:
        loses, guessed = self._guess(point)
        return loses, round(math.log(guessed) / math.log(1.05)) if math.isfinite(guessed) else 99, point.far

    def _try(self, point: Point) -> Trial:
        trial = Trial(point)
        self.trials.append(trial)
        self.built += 1
        if self.measuring.built(trial):
            self._look(trial)
        self.tick()
        return trial

    def _look(self, trial: Trial) -> None:
        if self.budget.max_bytes is not None and (trial.bytes or 0) > self.budget.max_bytes:
            trial.out = f"{(trial.bytes or 0) / 1e6:.2f} MB"
            return
        loss, images = self.measuring.loss(trial, self.base, CHOOSES, LOOK)
        if trial.out:
            return
        (times,) = self.measuring.times([trial], self.base, *DUEL)
        trial.screened = Figures(loss, times, images)
        self._judge(trial, trial.screened)

    def _judge(self, trial: Trial, figures: Figures) -> None:
        """Leave it where an interval excludes a budget."""
        missed = {name for name, one in self.budget.verdicts(trial.bytes, figures).items() if one == "missed"}
        trial.over_loss = missed == {"loss"}
        if missed:
            trial.out = said(figures, missed)

    # layers in float

    def _blamed(self) -> Trial | None:
        """The quickest int8 file that loses too much, or that its proof refused, where nothing as quick does better."""
        if self.floated or not self.floats:
            return None
        at_fault = [
            t for t in self._tried if (t.proof or t.over_loss) and t.point.recipe.quantize.scheme.startswith("int8")
        ]
        blamed = min(at_fault, key=lambda t: (self._time(t), t.point.far), default=None)
        fine = [self.base, *(t for t in self._tried if not t.out)]
        better = min((t.screened.slowest for t in fine if t.screened), default=math.inf)
        return blamed if blamed and self._time(blamed) < better / ALIKE else None

    def _time(self, trial: Trial) -> float:
        if trial.screened:
            return trial.screened.slowest
        return self.forecast.guess(trial.point.recipe.quantize.scheme)

    def _with_floats(self, blamed: Trial) -> None:
        self.floated = True
        order = self.measuring.sensitive(blamed.point)

        def enough(count: int) -> bool | None:
            if self.late():
                return None
            trial = self._try(with_floats(blamed.point, order[:count]))
            if not trial.out:
                self._whole(trial)
            if trial.screened and not trial.over_loss and trial.out:
                return None  # too slow, or too large
            return not trial.out and self.budget.verdicts(trial.bytes, trial.known or SAMES).get("loss", "met") == "met"

        fewest(order, enough, min(BUILDS, self.builds - self.built))

    # rung 3

    def _compare(self) -> None:
        """All that are left on the whole choosing half; in the end all timed in one session."""
        for trial in sorted(self._left, key=lambda t: self._time(t)):
            if not self._beaten(trial):
                self._whole(trial)
        if not self._left and worst(self.budget.verdicts(self.base.bytes, self.base.screened or SAMES)) == "missed":
            self._second_chance()
        left = self._left
        if left:
            for trial, times in zip(left, self.measuring.times(left, self.base, *SESSION), strict=True):
                assert trial.chosen_by
                trial.chosen_by = Figures(trial.chosen_by.loss, times, trial.chosen_by.images)

    @property
    def _left(self) -> list[Trial]:
        return [trial for trial in self._tried if not trial.out]

    def _whole(self, trial: Trial) -> None:
        if trial.chosen_by is None and trial.screened:
            loss, images = self.measuring.loss(trial, self.base, CHOOSES)
            if not trial.out:
                trial.chosen_by = Figures(loss, trial.screened.times, images)
                self._judge(trial, trial.chosen_by)

    def _beaten(self, trial: Trial) -> bool:
        """Whether one that meets the budget is surely quicker everywhere; then it is left."""
        assert trial.screened
        for other in [*self._left, self.base]:
            figures = other.chosen_by
            if other is trial or not figures or worst(self.budget.verdicts(other.bytes, figures)) != "met":
                continue
            mine = trial.screened.times
            if mine and all(on in figures.times and figures.times[on].high < mine[on].low for on in mine):
                trial.out = f"slower than {other.point.name}, which meets the budget"
                return True
        return False

    def _second_chance(self) -> None:
        """Nothing meets the budget: what misses it least is kept."""
        some = [(self.budget.excess(t.bytes, t.screened), t) for t in self._tried if t.screened]
        if some:
            excess, best = min(some, key=lambda pair: pair[0])
            if excess < self.budget.excess(self.base.bytes, self.base.screened or SAMES):
                best.out = ""
                self._whole(best)
                best.out = ""

    # rung 4

    @property
    def ranked(self) -> list[Trial]:
        """What is left, the best first: by what intervals of the choosing half say, then time, loss and size."""
        left = [t for t in [*self._left, self.base] if t.chosen_by and t.bytes]
        verdicts = {id(t): worst(self.budget.verdicts(t.bytes, t.chosen_by)) for t in left if t.chosen_by}
        quickest = {
            verdict: min((t.chosen_by.slowest for t in left if t.chosen_by and verdicts[id(t)] == verdict), default=1.0)
            for verdict in ORDER
        }

        def key(t: Trial) -> tuple[float, ...]:
            assert t.chosen_by
            verdict = verdicts[id(t)]
            if verdict == "missed":
                return ORDER.index(verdict), self.budget.excess(t.bytes, t.chosen_by), 0.0, 0.0
            slow = t.chosen_by.slowest
            loss = t.chosen_by.loss.value if t.chosen_by.loss else 0.0
            return ORDER.index(verdict), 0.0 if slow <= ALIKE * quickest[verdict] else slow, loss, t.bytes or 0

        return sorted(left, key=key)

    def front(self, also: Trial | None = None) -> list[Trial]:
        """What is confirmed: the best, and others that none beats in time, loss and size at once; fp32 in any case."""
        ranked = self.ranked
        first = ranked[:1] + ([also] if also and also is not ranked[0] else [])
        rest = [t for t in ranked if t not in first and not any(_beats(other, t) for other in ranked)]
        found = [t for t in first + rest if t is not self.base][:FRONT]
        return [*found, self.base] if ranked else []

    def confirm(self, also: Trial | None = None) -> list[Trial]:
        """Figures of the front on images and in a session that chose nothing. also: one that other targets like."""
        front = self.front(also)
        if not front:
            return []
        others = [trial for trial in front if trial is not self.base]
        losses = [self.measuring.loss(trial, self.base, REPORTS) for trial in others]
        times = self.measuring.times(others, self.base, *CONFIRMING, reports=True) if others else []
        for trial, (loss, images), ratio in zip(others, losses, times, strict=True):
            trial.confirmed = Figures(loss, ratio, images)
        self.base.confirmed = self.base.chosen_by
        return front

    def taken(self, front: list[Trial]) -> tuple[Trial, Verdict, int]:
        """The first of the front that meets the budget where nothing was chosen, in the order that the choosing half gave; else the
        first that does not miss it. Each that had to be passed over makes the next one's interval wider."""
        judged = []
        for tries, trial in enumerate((t for t in self.ranked if t in front), 1):
            assert trial.confirmed
            verdict = worst(self.budget.verdicts(trial.bytes, trial.confirmed, tries))
            judged.append((trial, verdict, tries))
        return min(judged, key=lambda one: ORDER.index(one[1]))

    def choice(self, front: list[Trial]) -> Choice:
        """All that came of it."""
        tried = tuple(
            Tried(t.point.name, t.bytes, t.out, t.chosen_by or t.screened, t.confirmed)
            for t in [self.base, *self.trials]
        )
        counts = {"tried": tried, "recipes": len(self.trials) + len(self.waiting) + 1, "left": len(self.waiting)}
        if not front:
            return Choice(self.target, "", "missed", error=self.base.out or "nothing was made", **counts)  # type: ignore[arg-type]
        taken, verdict, tries = self.taken(front)
        figures = taken.confirmed
        assert figures
        return Choice(
            target=self.target,
            name=taken.point.name,
            verdict=verdict,
            bytes=taken.bytes,
            base_bytes=self.base.bytes,
            figures=figures if tries == 1 else widened_by(figures, tries),
            verdicts=self.budget.verdicts(taken.bytes, figures, tries),
            needed=self._needed(figures, tries),
            quicker={
                t.point.name: self._needed(t.confirmed)
                for t in front
                if t.confirmed
                and t.confirmed.slowest < figures.slowest
                and worst(self.budget.verdicts(t.bytes, t.confirmed)) == "undecided"
            },
            front=tuple(t.point.name for t in front),
            **counts,  # type: ignore[arg-type]
        )

    def _needed(self, figures: Figures, tries: int = 1) -> int | None:
        """An interval narrows with the square root of the number of images."""
        limit = self.budget.max_loss
        if limit is None or figures.loss is None or self.budget.verdicts(None, figures, tries)["loss"] != "undecided":
            return None
        wide = figures.loss.of_tries(tries)
        away = max(abs(wide.value - limit), 1e-4)
        return round(2 * figures.images * ((wide.high - wide.low) / 2 / away) ** 2)


SAMES = Figures(NONE, {})


def widened_by(figures: Figures, tries: int) -> Figures:
    loss = figures.loss.of_tries(tries) if figures.loss else None
    return Figures(loss, {on: ratio.of_tries(tries) for on, ratio in figures.times.items()}, figures.images)


def _beats(one: Trial, other: Trial) -> bool:
    """In time, loss and size: nowhere worse, somewhere better."""
    if one is other or not (one.chosen_by and other.chosen_by):
        return False
    mine, theirs = (
        (t.chosen_by.slowest, t.chosen_by.loss.value if t.chosen_by.loss else 0.0, t.bytes or 0)
        for t in (one, other)
        if t.chosen_by
    )
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def said(figures: Figures, missed: set[str]) -> str:
    """ "loses 3.1 points [1.2, 5.0] on 256 images; takes 0.93 [0.90, 0.95] of fp32's time on local" """
    parts = []
    if figures.loss and "loss" in missed:
        low, high = 100 * figures.loss.low, 100 * figures.loss.high
        parts.append(
            f"loses {100 * figures.loss.value:.1f} points [{low:.1f}, {high:.1f}] on {figures.images:,} images"
        )
    parts += [
        f"takes {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] of fp32's on {on}"
        for on, ratio in figures.times.items()
        if f"time on {on}" in missed
    ]
    return "; ".join(parts) or "too large"


def until(hours: float | None) -> Callable[[], bool]:
    """Whether so many hours have passed."""
    end = time.monotonic() + (math.inf if hours is None else 3600 * hours)
    return lambda: time.monotonic() > end
