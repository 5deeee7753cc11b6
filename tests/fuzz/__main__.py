"""The whole: `python -m fuzz [KIND...] [--share 0.1]`. Goes on where it stopped; ends with 1 where something is not as it
should be. `python -m fuzz --repeat KIND NUMBER` runs one case again and shows all of it.

Without torch, which costs each forked child more than most commands do, the kinds that need none.
"""

import argparse
import importlib.util
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from fuzz.corpus import KINDS
from fuzz.runner import Runner

PLACE = Path(".cache/fuzz").absolute()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    possible = [kind for kind, (_, _, torch) in KINDS.items() if not torch or importlib.util.find_spec("torch")]
    parser.add_argument("kinds", nargs="*", default=possible, metavar="KIND")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each kind")
    parser.add_argument("--repeat", nargs=2, metavar=("KIND", "NUMBER"))
    asked = parser.parse_args()
    if asked.repeat:
        result = Runner(PLACE / "again").run(asked.repeat[0], int(asked.repeat[1]))
        print(result.said, result.what, result.code, f"{result.peak / 1e6:.0f} MB", sep="\n")
        return int(not result.good)
    PLACE.mkdir(parents=True, exist_ok=True)
    for kind in asked.kinds:
        kept = PLACE / f"{kind}.jsonl"
        done = {json.loads(line)["number"] for line in kept.read_text().splitlines()} if kept.is_file() else set()
        left = [n for n in range(round(KINDS[kind][1] * asked.share)) if n not in done]
        if left:
            runner = Runner(PLACE / f"work-{kind}")
            with kept.open("a") as file:
                for number in left:
                    file.write(json.dumps(asdict(runner.run(kind, number))) + "\n")
                    file.flush()
    bad = [kind for kind in asked.kinds if show(kind)]
    return int(bool(bad))


def show(kind: str) -> bool:
    """One line of what came of a kind; whether something is not as it should be."""
    kept = PLACE / f"{kind}.jsonl"
    results = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    counts = Counter[str]()
    for r in results:
        counts[r["what"]] += r["counts"]
    peak = max((r["peak"] for r in results), default=0) / 1e6
    print(f"{kind:14} {sum(counts.values()):6,} inputs  {dict(counts)}  peak {peak:,.0f} MB", flush=True)
    bad = [r for r in results if r["what"] not in ("error", "answer")]
    for r in bad[:20]:
        print(f"  {r['what']} {r['number']}: {r['said'].strip().splitlines()[-1:]}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
