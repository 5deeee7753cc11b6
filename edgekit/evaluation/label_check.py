"""Accuracy near chance can mean that the labels are wrong, not the model. This looks for the signs of it."""

from collections import Counter
from collections.abc import Sequence

from edgekit.data.classes import brief
from edgekit.evaluation.accuracy import Accuracy, Paired

ENOUGH = 5  # images of a class, to believe what it is answered as
NAMED = 3  # classes named in a message


def suspicion(
    first: Counter[tuple[int, int]], accuracy: Accuracy, paired: Paired | None, labels: Sequence[str]
) -> str | None:
    """Why the labels of the images seem to mean other classes than the model's; None where they do not.

    first  (right class, class named first) -> images
    """
    if said := exchanged(first, accuracy.top1.hits, labels):
        return said
    if first.total() < ENOUGH or accuracy.top1.low > 1 / len(labels) or _always_one(first):
        return None
    signs = []
    if accuracy.confidence >= 0.5:
        signs.append(f"is sure of its answers (mean probability {accuracy.confidence:.0%})")
    if paired and paired.agreement.value >= 0.8:
        signs.append(f"agrees with {paired.reference} on {paired.agreement.value:.0%}")
    if not signs:
        return None
    return (
        f"{accuracy.artifact} is right as often as chance ({accuracy.top1.value:.1%}, {len(labels)} classes), "
        f"yet {' and '.join(signs)}: the labels of the images probably do not mean its classes"
    )


def exchanged(first: Counter[tuple[int, int]], hits: int, labels: Sequence[str], what: str = "") -> str | None:
    """Why numbers of classes seem to be shifted by one, or to mean each other's names; None where they do not.

    first  (right class, class named) -> how many of `what` is judged, of which `hits` are right
    """
    many = first.total()
    for shift in (1, -1):
        moved = [count for (meant, named), count in first.items() if named == meant + shift]
        if len(moved) > 1 and sum(moved) > max(ENOUGH, many / 2) and 4 * hits < many:
            return (
                f"the labels seem to be shifted by one: counted {'one higher' if shift > 0 else 'one lower'}, "
                f"{sum(moved) / many:.1%}{what} would be right, not {hits / many:.1%}"
            )
    return _permuted(first, hits, labels, what)


def _always_one(first: Counter[tuple[int, int]]) -> bool:
    """Whether nearly every image is answered alike: then it is the model that is wrong."""
    answers: Counter[int] = Counter()
    for (_, named), count in first.items():
        answers[named] += count
    return answers.most_common(1)[0][1] > 0.9 * first.total()


def _permuted(first: Counter[tuple[int, int]], hits: int, labels: Sequence[str], what: str) -> str | None:
    """Classes that are answered as each other: each of them mostly as one other, no two as the same."""
    mostly: dict[int, tuple[int, int]] = {}
    of: Counter[int] = Counter()
    for (meant, named), count in first.items():
        of[meant] += count
        if count > mostly.get(meant, (0, 0))[1]:
            mostly[meant] = named, count
    mostly = {meant: found for meant, found in mostly.items() if of[meant] >= ENOUGH}
    moved = {meant: named for meant, (named, count) in mostly.items() if meant != named and 2 * count > of[meant]}
    if len(moved) < 2 or len({named for named, _ in mostly.values()}) < len(mostly):
        return None
    gained = sum(first[meant, named] - first[meant, meant] for meant, named in moved.items())
    pairs = ", ".join(
        f"'{brief(labels[a])}' is answered as '{brief(labels[b])}'" for a, b in list(moved.items())[:NAMED]
    )
    return (
        f"labels seem to be exchanged ({pairs}{', ...' if len(moved) > NAMED else ''}): put right, "
        f"{(hits + gained) / first.total():.1%}{what} would be right, not {hits / first.total():.1%}"
    )
