"""What an evaluation comes to, in sentences and rows."""

from edgekit.data.classes import brief
from edgekit.evaluation.accuracy import Accuracy, Flip, Paired, drop_verdict, what_decides
from edgekit.evaluation.run import Evaluation
from edgekit.runs import Learned
from edgekit.statistics.proportions import Share

LISTED = 8  # unreadable pictures named where not all are wanted
ACCURACY = ("artifact", "runtime", "pictures", "top-1", "top-5")
FLIP = ("picture", "label", "", "reference (margin)", "candidate (margin)")


def unreadable(found: Evaluation, *, verbose: bool = False) -> list[str]:
    if not found.unreadable:
        return []
    shown = found.unreadable if verbose else found.unreadable[:LISTED]
    rest = len(found.unreadable) - len(shown)
    lines = [
        f"{len(found.unreadable)} of {len(found.unreadable) + found.pictures:,} pictures cannot be read and do not count:",
        *(f"  {u.why}" for u in shown),
    ]
    return lines + ([f"  and {rest} more (-v names them)"] if rest else [])


def accuracy(a: Accuracy) -> tuple[str, ...]:
    """A row under `ACCURACY`."""
    return a.artifact, a.runtime, f"{a.pictures:,}", percent(a.top1), percent(a.top5) if a.top5 else ""


def paired(p: Paired, *, verbose: bool = False) -> list[tuple[str, str]]:
    """Rows: what is lost against the reference, and how far the two agree."""
    rows = []
    if p.drop and p.midp is not None:
        drop = f"{points(p.drop.estimate)} points [{points(p.drop.low)}, {points(p.drop.high)}]"
        rows.append(("top-1 lost", f"{drop}; lost {p.lost}, won {p.won}, mid-p {p.midp:.2g}"))
    more = "" if verbose or not p.flips else " (-v lists them, --contact-sheet FILE.png draws them)"
    rows.append(("same top-1", f"{percent(p.agreement)}; {len(p.flips)} pictures are named differently{more}"))
    sure = p.confident_agreement
    rows.append(("where sure", f"{percent(sure)} of the {sure.of:,} with a reference probability above 0.3"))
    p10, p50 = (f"{v:.1f} dB" if v is not None else "equal" for v in (p.sqnr_db_p10, p.sqnr_db_p50))
    return [*rows, ("SQNR", f"median {p50}, lowest tenth below {p10}")]


def flip(f: Flip) -> tuple[str, ...]:
    """A row under `FLIP`."""
    return (
        "/".join(f.picture.split("/")[-2:]),
        ", ".join(brief(label) for label in f.truth),
        f.kind,
        f"{brief(f.reference)} ({f.reference_margin:.2f})",
        f"{brief(f.candidate)} ({f.candidate_margin:.2f})",
    )


def sentence(found: Evaluation, max_drop: float) -> str:
    """What it comes to, in plain words."""
    paired = found.paired
    if paired is None:
        first, learned = found.accuracies[0], found.learned
        said = f"{first.artifact} names {first.top1.value:.1%} of {first.top1.of:,} pictures rightly"
        if learned and learned.pictures:
            said += f", of which it was trained on {learned.pictures:,}" if learned.others else ""
            return f"{said} (CPU class {found.cpu_class}): that says nothing of new ones."
        return f"{said}, and with 95 % confidence {_like(first.top1)} (CPU class {found.cpu_class})."
    verdict, limit, n = drop_verdict(paired, max_drop), points(max_drop), f"{paired.pictures:,}"
    if paired.drop is None:
        most = points(1 - paired.agreement.low)
        if verdict == "pass":
            return f"{paired.candidate} loses at most {most} points: no more can be lost than answers differ (limit {limit})."
        return (
            f"Answers alone do not decide: up to {most} points may be lost (limit {limit}); --labels FILE tells more."
        )
    if verdict == "pass":
        bound = "nothing" if paired.drop.high <= 0 else f"at most {points(paired.drop.high)} points"
        return f"{paired.candidate} loses {bound} of top-1 against {paired.reference} (95 % confidence, limit {limit})."
    if verdict == "fail":
        return f"{paired.candidate} loses {points(paired.drop.estimate)} points of top-1 against {paired.reference}, more than {limit}."
    way = what_decides(paired, max_drop)
    return f"{n} pictures do not decide whether {paired.candidate} loses more than {limit} points: {way}."


def _like(top1: Share) -> str:
    return f"{top1.low:.1%} to {top1.high:.1%} of pictures like these"


def learned(learned: Learned) -> str:
    """What a figure on pictures that were trained on is worth."""
    said = f"careful: {learned.words} were trained on."
    if learned.others and learned.others.of:
        said += (
            f" Of the {learned.others.of:,} others it names {learned.others.value:.1%}; 95 %: {_like(learned.others)}."
        )
    return f"{said}\n  try: --split val, which training held out; or pictures that it has not seen"


def percent(share: Share) -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def points(share: float) -> str:
    return f"{100 * share:.2f}"
