"""What an evaluation comes to, in sentences and rows."""

from collections.abc import Sequence

from edgekit.data.classes import brief
from edgekit.errors import many
from edgekit.evaluation.accuracy import Flip, Paired, drop_verdict
from edgekit.evaluation.results import Alike, Change, Result, what_decides
from edgekit.evaluation.run import Evaluation
from edgekit.runs import Learned
from edgekit.statistics.figures import Figure
from edgekit.statistics.proportions import Share

LISTED = 8  # unreadable images named where not all are wanted
TELL = {"mIoU": "masks", "mAP": "boxes"}  # what is lost of a figure
WORST = 5  # labels that are named where not all are wanted


def unreadable(found: Evaluation, *, verbose: bool = False) -> list[str]:
    if not found.unreadable:
        return []
    shown = found.unreadable if verbose else found.unreadable[:LISTED]
    rest = len(found.unreadable) - len(shown)
    lines = [
        f"{len(found.unreadable)} of {len(found.unreadable) + found.pictures:,} {found.units} cannot be read and do not count:",
        *(f"  {u.why}" for u in shown),
    ]
    return lines + ([f"  and {rest} more (-v names them)"] if rest else [])


def header(found: Evaluation) -> tuple[str, ...]:
    return ("artifact", "runtime", found.units, *(figure.name for figure in found.results[0].figures))


def result(r: Result) -> tuple[str, ...]:
    """A row under `header`."""
    return r.artifact, r.runtime, f"{r.pictures:,}", *map(percent, r.figures)


def part_header(results: Sequence[Result], first: str) -> tuple[str, ...]:
    """Over `parts` and `sizes`: what a row is of, how many there are, and each file's name."""
    return (first, "of", *(r.artifact for r in results))


def parts(results: Sequence[Result], *, verbose: bool = False) -> list[tuple[str, ...]]:
    """Rows: the labels that fare worst in the first file, or all; each with every file's share."""
    known = [{part.label: part.value for part in r.parts} for r in results]
    worst = sorted(results[0].parts, key=lambda part: part.value)[: None if verbose else WORST]
    return [(brief(part.label), f"{part.of:,}", *(f"{of[part.label]:.1%}" for of in known)) for part in worst]


def confused_header(found: Evaluation) -> tuple[str, ...]:
    return ("label", "named", found.units, "share")


def flip_header(found: Evaluation) -> tuple[str, ...]:
    return (found.units.removesuffix("s"), "label", "", "reference (margin)", "candidate (margin)")


def confused(found: Evaluation, *, verbose: bool = False) -> list[tuple[str, ...]]:
    """Rows under `confused_header`: what the candidate most often takes for what, with the share of the label's images."""
    confusion = found.accuracies[0].confusion
    if confusion is None:
        return []
    shown = confusion.pairs[: None if verbose else WORST]
    labels, totals = [brief(label) for label in confusion.labels], confusion.totals
    return [(labels[right], labels[named], f"{n:,}", f"{n / totals[right]:.1%}") for right, named, n in shown]


def sizes(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Rows: things that are small, medium and large, each with every file's share."""
    return [
        (part.label, f"{part.of:,}", *(f"{r.sizes[i].value:.1%}" for r in results))
        for i, part in enumerate(results[0].sizes)
    ]


def change(c: Change) -> list[tuple[str, str]]:
    """Rows: what is lost against the reference, and how far the two agree."""
    rows = []
    if c.drop:
        rows.append(
            (f"{c.figure} lost", f"{points(c.drop.estimate)} points [{points(c.drop.low)}, {points(c.drop.high)}]")
        )
    rows += [(a.name, _value(a)) for a in c.alike]
    p10, p50 = (f"{v:.1f} dB" if v is not None else "equal" for v in (c.sqnr_db_p10, c.sqnr_db_p50))
    return [*rows, ("SQNR", f"median {p50}, lowest tenth below {p10}")]


def _value(a: Alike) -> str:
    return f"{a.value:.4f}" if "cosine" in a.name else f"{a.value:.2%}"


def paired(p: Paired, *, verbose: bool = False) -> list[tuple[str, str]]:
    """Rows: what is lost against the reference, and how far the two agree."""
    rows = []
    if p.drop and p.midp is not None:
        drop = f"{points(p.drop.estimate)} points [{points(p.drop.low)}, {points(p.drop.high)}]"
        rows.append(("top-1 lost", f"{drop}; {p.lost} newly wrong, {p.won} newly right, mid-p {p.midp:.2g}"))
    more = "" if verbose or not p.flips else " (-v lists them, --contact-sheet FILE.png draws them)"
    rows.append(("same top-1", f"{percent(p.agreement)}; {many(len(p.flips), 'predictions')} differ{more}"))
    sure = p.confident_agreement
    rows.append(("confident", f"{percent(sure)} of the {sure.of:,} with a reference probability above 0.3"))
    p10, p50 = (f"{v:.1f} dB" if v is not None else "equal" for v in (p.sqnr_db_p10, p.sqnr_db_p50))
    return [*rows, ("SQNR", f"median {p50}, lowest tenth below {p10}")]


def flip(f: Flip) -> tuple[str, ...]:
    """A row under `flip_header`."""
    return (
        "/".join(f.picture.split("/")[-2:]),
        ", ".join(brief(label) for label in f.truth),
        f.kind,
        f"{brief(f.reference)} ({f.reference_margin:.2f})",
        f"{brief(f.candidate)} ({f.candidate_margin:.2f})",
    )


def sentence(found: Evaluation, max_drop: float) -> str:
    """What it comes to, in plain words."""
    c, limit = found.change, points(max_drop)
    if c is None:
        return _alone(found)
    if c.drop is None:
        return _unlabelled(c, found.paired, max_drop)
    match drop_verdict(found.paired, max_drop) if found.paired else c.verdict(max_drop):
        case "pass":
            bound = "nothing" if c.drop.high <= 0 else f"at most {points(c.drop.high)} points"
            return f"{c.candidate} loses {bound} of {c.figure} against {c.reference} (95 % confidence, limit {limit})."
        case "fail":
            return f"{c.candidate} loses {points(c.drop.estimate)} points of {c.figure} against {c.reference}, more than {limit}."
    way = what_decides(found.paired or c, max_drop)
    return f"{c.pictures:,} {found.units} do not decide whether {c.candidate} loses more than {limit} points: {way}."


def _alone(found: Evaluation) -> str:
    first, learned = found.results[0], found.learned
    figure = first.headline
    said = f"{first.artifact} is right on {figure.value:.1%} of {many(figure.of, found.units)}"
    if not found.accuracies:
        said = f"{first.artifact} has {figure.value:.1%} {figure.name} on {many(figure.of, found.units)}"
    if learned and learned.pictures:
        said += f", of which it was trained on {learned.pictures:,}" if learned.others else ""
        return f"{said} (CPU class {found.cpu_class}): that says nothing of new ones."
    like = (
        _like(figure, found.units)
        if found.accuracies
        else f"{figure.low:.1%} to {figure.high:.1%} on {found.units} like these"
    )
    return f"{said}, and with 95 % confidence {like} (CPU class {found.cpu_class})."


def _unlabelled(c: Change, paired: Paired | None, max_drop: float) -> str:
    """Answers against answers: of classes that bounds what can be lost, of other tasks it says how alike they are."""
    limit = points(max_drop)
    if paired is None:
        said = ", ".join(f"{a.name} {_value(a)}" for a in c.alike)
        return f"{c.candidate} against {c.reference}: {said}. What is lost, only {TELL.get(c.figure, 'classes')} tell."
    most = points(1 - paired.agreement.low)
    if drop_verdict(paired, max_drop) == "pass":
        return f"{c.candidate} loses at most {most} points: no more can be lost than answers differ (limit {limit})."
    return f"Answers alone do not decide: up to {most} points may be lost (limit {limit}); --labels FILE tells more."


def _like(figure: Share | Figure, units: str = "images") -> str:
    return f"{figure.low:.1%} to {figure.high:.1%} of {units} like these"


def learned(learned: Learned, asked: int, units: str) -> str:
    """What a figure on images that were trained on is worth."""
    said = f"careful: {learned.words(asked, units)}."
    if learned.others and learned.others.of:
        said += (
            f" Of the {learned.others.of:,} others it names {learned.others.value:.1%}; 95 %: {_like(learned.others)}."
        )
    return f"{said}\n  try: --split val, which training held out; or {units} that it has not seen"


def percent(share: Share | Figure) -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def points(share: float) -> str:
    return f"{100 * share:.2f}"
