"""How often the interval that `edgekit tune` reports holds the loss on fresh images, and the one that chose: 50 resamplings.

    python benchmarks/tune_coverage.py [NETWORK] [TARGET]

Every recipe of tune_truth.py's space has answered 4,000 of Fashion-MNIST's test images there. 50 times a fifth of them is drawn and parted in halves; the
recipe that loses least on the first half is taken (the worst case of choosing: nothing but luck tells many of them apart), its interval on the
second half is reported; the truth is what it loses on the images that were not drawn.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np
from tune_truth import DATA, IMAGES, RESULTS, STORE, every

from edgekit import cells
from edgekit.devices import host
from edgekit.evaluation.answers import Record
from edgekit.statistics.proportions import agresti_min
from edgekit.tuning.measuring import Measuring, Trial

ROUNDS, DRAWN = 50, IMAGES // 5


def main() -> None:
    network, target = [*sys.argv[1:], *("vit_micro", "onnx")[len(sys.argv) - 1 :]]
    lost, won, names = answers(network, target)
    files, images = lost.shape
    held = held_chosen = 0
    excess = []
    for seed in range(ROUNDS):
        order = np.random.default_rng(seed).permutation(images)
        first, second, fresh = order[: DRAWN // 2], order[DRAWN // 2 : DRAWN], order[DRAWN:]
        taken = min(range(files), key=lambda file: lost[file, first].sum() - won[file, first].sum())
        told, chosen = (
            agresti_min(int(lost[taken, part].sum()), int(won[taken, part].sum()), len(part))
            for part in (second, first)
        )
        truth = (lost[taken, fresh].sum() - won[taken, fresh].sum()) / len(fresh)
        held += told.low <= truth <= told.high
        held_chosen += chosen.low <= truth <= chosen.high
        excess.append((truth - chosen.estimate, truth - told.estimate))
    better, honest = 100 * np.mean(excess, axis=0)
    text = f"""# How often the interval that tune reports holds

Made by `python benchmarks/tune_coverage.py {network} {target}` on {host.cpu_class()}. {files} recipes of {network} for {target} ({", ".join(names)}) answered {images:,} of
Fashion-MNIST's test images. {ROUNDS} times {DRAWN:,} were drawn and parted in halves; the recipe that loses least on the first half was taken; the truth is what it loses
on the {images - DRAWN:,} that were not drawn.

| interval (95 %) of | holds the truth | the figure is too good by, points, on average |
|---|---:|---:|
| the half that reports | {held} of {ROUNDS} | {honest:.2f} |
| the half that chose | {held_chosen} of {ROUNDS} | {better:.2f} |
"""
    (RESULTS / f"tune-coverage-{host.cpu_class()}.md").write_text(text, "utf-8")
    print(text)


def answers(network: str, target: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Of each recipe and image whether the file is wrong where fp32 is right, and the reverse."""
    measuring = Measuring(STORE / f"{network}-{target}", DATA, split="test", limit=IMAGES, say=print)
    base, *others = map(Trial, every(network, target))
    measuring.built(base)
    told: dict[str, dict[int, list[bool]]] = {}
    for trial in others:
        if measuring.built(trial) and measuring.loss(trial, base)[0]:
            found = cells.find(measuring.store, measuring._eval(trial, base, "", None).key)
            assert found
            _, *lines = Path(found.answer["answers"]).read_bytes().splitlines()
            records = (msgspec.json.decode(line, type=Record) for line in lines)
            told[trial.point.name] = {r.position: [answer.first in r.truth for answer in r.answers] for r in records}
    shared = sorted(
        set.intersection(*map(set, told.values()))
    )  # some were asked for more images while they were chosen from
    right = np.array([[of[position] for position in shared] for of in told.values()])
    return right[:, :, 1] & ~right[:, :, 0], right[:, :, 0] & ~right[:, :, 1], list(told)


if __name__ == "__main__":
    main()
