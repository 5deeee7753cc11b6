"""edgekit eval"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.look import on_option, runtime_options, timeout_option, warn_of_refused
from edgekit.cli.output import INTERRUPTED, Talk, common, table
from edgekit.errors import RequestError

if TYPE_CHECKING:
    from edgekit.evaluation import Evaluation
    from edgekit.evaluation.accuracy import Accuracy, Flip, Paired
    from edgekit.runs import Learned
    from edgekit.statistics.proportions import Share

LISTED = 8  # unreadable pictures named without -v
FLIP = ("picture", "label", "", "reference (margin)", "candidate (margin)")


@click.command("eval")
@click.argument("artifact")
@click.option("--data", required=True, metavar="DIR", help="Class folders, idx or parquet files, or pictures.")
@click.option("--reference", metavar="ARTIFACT", help="Compare with another file of the model, picture by picture.")
@click.option("--labels", metavar="FILE", help="What is on the pictures: .csv, .json, .jsonl or .txt.")
@click.option("--unlabelled", is_flag=True, help="Nothing is known of the pictures: only compare.")
@click.option("--split", type=click.Choice(["test", "val", "train"]), help="[default: the first that is there]")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="A seeded sample of so many pictures.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sample.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100, min_open=True),
    default=0.5,
    show_default=True,
    help="Points of top-1 that may be lost against the reference.",
)
@click.option("--contact-sheet", metavar="FILE.png", help="Draw the pictures that the two name differently.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Threads that decode.")
@on_option
@timeout_option
@click.option("--state", default="build/eval", show_default=True, metavar="DIR", help="Where answers are kept.")
@click.option(
    "-o", "--output", default="build/runs.jsonl", show_default=True, metavar="FILE", help="Append figures to it."
)
@click.option("--no-save", is_flag=True, help="Append them nowhere.")
@click.option("--fresh", is_flag=True, help="Forget the answers of an earlier run.")
@runtime_options
@common
def evaluate(
    talk: Talk,
    artifact: str,
    data: str,
    reference: str | None,
    labels: str | None,
    unlabelled: bool,
    split: str | None,
    limit: int | None,
    seed: int,
    max_drop: float,
    contact_sheet: str | None,
    workers: int,
    device: str,
    timeout: float,
    state: str,
    output: str,
    no_save: bool,
    fresh: bool,
    threads: int,
    interpreter: str | None,
) -> int:
    """How often the exported file is right, with 95 % intervals; and, with --reference, what it loses against another.

    An interrupted run goes on where it stopped. Without labels two files are compared by their answers alone.

    \b
    Examples:
      edgekit eval build/mobilenetv2-tflite-int8 --data fashion-mnist/ --reference build/mobilenetv2-tflite-fp32
      edgekit eval build/efficientnet_lite0-tflite-int8 --data imagenet/val --limit 5000
      edgekit eval build/efficientnet_lite0-tflite-int8 --data photos/ --labels photos.csv --json
      edgekit eval INT8 --data photos/ --unlabelled --reference FP32 --contact-sheet flips.png
    """
    if contact_sheet and not reference:
        raise RequestError("--contact-sheet draws what differs from a reference", hint="--reference ARTIFACT")
    import msgspec

    from edgekit import artifact as room
    from edgekit import evaluation, registry, runs
    from edgekit.data import open_data
    from edgekit.evaluation import contact_sheet as sheet
    from edgekit.evaluation.accuracy import drop_verdict, needed
    from edgekit.runtimes import Options

    if contact_sheet:
        sheet.check(Path(contact_sheet))
    opened = [room.load(Path(folder)) for folder in (artifact, reference) if folder]
    for one in opened:
        warn_of_refused(talk, one)
    pictures = open_data(
        Path(data),
        opened[0].labels(),
        labels_file=Path(labels) if labels else None,
        split=split,
        unlabelled=unlabelled,
        trained=opened[0].manifest.trained_on,
    )
    if not no_save:
        runs.append(Path(output), [])  # a place that cannot be written is said before anything is measured
    for note in pictures.notes:
        talk.warn(note)
    try:
        found = evaluation.evaluate(
            opened,
            pictures,
            limit=limit,
            seed=seed,
            device=registry.device(device),
            options=Options(threads, interpreter),
            timeout=timeout,
            workers=workers,
            state=Path(state),
            fresh=fresh,
            say=talk.say,
            progress=lambda total: talk.progress(total, "answering", "pictures"),
        )
    except KeyboardInterrupt:
        talk.warn(f"interrupted; the answers so far are kept in {state}, and the same command goes on from there")
        return INTERRUPTED
    if not no_save:
        runs.append(Path(output), evaluation.evaluated(opened, found, device))
    said = text(found, max_drop / 100, verbose=talk.verbose)
    if contact_sheet and found.paired:
        drawn = sheet.draw(found.paired.flips, pictures, Path(contact_sheet))
        said += f"\n{contact_sheet} shows {drawn} of the {len(found.paired.flips)} pictures that are named differently"
    document = msgspec.to_builtins(found)
    if found.paired:
        document |= {
            "max_drop": max_drop / 100,
            "verdict": drop_verdict(found.paired, max_drop / 100),
            "pictures_needed": needed(found.paired, max_drop / 100),
        }
    talk.result(said, document)
    return 0


def text(found: "Evaluation", max_drop: float = 0.005, *, verbose: bool = False) -> str:
    """All that the command says of an evaluation. `max_drop`: a share."""
    lines = _unreadable(found, verbose)
    if found.accuracies:
        lines.append(_accuracies(found.accuracies))
    if found.paired:
        lines += _paired(found, found.paired, verbose)
    lines.append(sentence(found, max_drop))
    if found.learned and found.learned.pictures:
        lines.append(_learned(found.learned))
    if found.suspicion:
        lines.append(f"careful: {found.suspicion}")
    return "\n".join(lines)


def _unreadable(found: "Evaluation", verbose: bool) -> list[str]:
    if not found.unreadable:
        return []
    shown = found.unreadable if verbose else found.unreadable[:LISTED]
    rest = len(found.unreadable) - len(shown)
    lines = [
        f"{len(found.unreadable)} of {len(found.unreadable) + found.pictures:,} pictures cannot be read and do not count:",
        *(f"  {u.why}" for u in shown),
    ]
    return lines + ([f"  and {rest} more (-v names them)"] if rest else [])


def _accuracies(accuracies: "Sequence[Accuracy]") -> str:
    rows = [
        (a.artifact, a.runtime, f"{a.pictures:,}", percent(a.top1), percent(a.top5) if a.top5 else "")
        for a in accuracies
    ]
    return table(rows, header=("artifact", "runtime", "pictures", "top-1", "top-5"))


def _paired(found: "Evaluation", paired: "Paired", verbose: bool) -> list[str]:
    rows = []
    if paired.drop and paired.midp is not None:
        drop = f"{points(paired.drop.estimate)} points [{points(paired.drop.low)}, {points(paired.drop.high)}]"
        rows.append(("top-1 lost", f"{drop}; lost {paired.lost}, won {paired.won}, mid-p {paired.midp:.2g}"))
    more = "" if verbose or not paired.flips else " (-v lists them, --contact-sheet FILE.png draws them)"
    rows.append(
        ("same top-1", f"{percent(paired.agreement)}; {len(paired.flips)} pictures are named differently{more}")
    )
    sure = paired.confident_agreement
    rows.append(("where sure", f"{percent(sure)} of the {sure.of:,} with a reference probability above 0.3"))
    p10, p50 = (f"{v:.1f} dB" if v is not None else "equal" for v in (paired.sqnr_db_p10, paired.sqnr_db_p50))
    rows.append(("SQNR", f"median {p50}, lowest tenth below {p10}"))
    lines = [f"against {paired.reference}, CPU class {found.cpu_class}", table(rows, indent="  ")]
    if verbose and paired.flips:
        lines.append(table([_flip(f) for f in paired.flips], header=FLIP, indent="  "))
    return lines


def _flip(flip: "Flip") -> tuple[str, ...]:
    from edgekit.data.classes import brief

    return (
        "/".join(flip.picture.split("/")[-2:]),
        ", ".join(brief(label) for label in flip.truth),
        flip.kind,
        f"{brief(flip.reference)} ({flip.reference_margin:.2f})",
        f"{brief(flip.candidate)} ({flip.candidate_margin:.2f})",
    )


def sentence(found: "Evaluation", max_drop: float) -> str:
    """What it comes to, in plain words."""
    from edgekit.evaluation.accuracy import drop_verdict, what_decides

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


def _like(top1: "Share") -> str:
    return f"{top1.low:.1%} to {top1.high:.1%} of pictures like these"


def _learned(learned: "Learned") -> str:
    """What a figure on pictures that were trained on is worth."""
    said = f"careful: {learned.words} were trained on."
    if learned.others and learned.others.of:
        said += (
            f" Of the {learned.others.of:,} others it names {learned.others.value:.1%}; 95 %: {_like(learned.others)}."
        )
    return f"{said}\n  try: --split val, which training held out; or pictures that it has not seen"


def percent(share: "Share") -> str:
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def points(share: float) -> str:
    return f"{100 * share:.2f}"
