"""A stand-in for edgekit as tune calls it: `export`, `eval`, `bench` and `inspect --sensitivity`, in milliseconds, of files that are
as good as FAKE says: a JSON file of scheme, or of scheme and what a recipe has besides -> loss, time, size, or a refused proof.

FAKE also names a file of notes: a line for each command that ended, and one that began.
"""

import json
import os
import shutil
import sys
import time
import tomllib
from pathlib import Path


def main(words):
    fake = json.loads(Path(os.environ["FAKE"]).read_text("utf-8"))
    note, words = Path(fake["note"]), [word for word in words if word != "--json"]
    what = words[0] + " " + " ".join(Path(word).name for word in words[1:] if not word.startswith("/"))
    time.sleep(fake.get("seconds", 0))
    answer, code = {"export": export, "eval": judge, "bench": bench, "inspect": inspect}[words[0]](words[1:], fake)
    with note.open("a", encoding="utf-8") as file:
        file.write(f"{what} {subject(words)}\n")
    print(json.dumps(answer))
    sys.exit(code)


def subject(words):
    """Which files it was about."""
    return " ".join(Path(word).parent.parent.name[:12] + ":" + Path(word).name for word in words if "/out/" in word)


def export(words, fake):
    recipe, out = tomllib.loads(Path(words[0]).read_text("utf-8")), Path(words[words.index("-o") + 1])
    truth = truth_of(recipe, fake)
    if "error" in truth:
        return {"error": truth["error"], "hint": "", "exit_code": 4}, 4
    if truth.get("proof"):
        shutil.copytree(fake["golden"], f"{out}.rejected")
        return {"error": truth["proof"], "hint": "", "exit_code": 4}, 4
    shutil.copytree(fake["golden"], out)
    (out.parent / "truth.json").write_text(json.dumps(truth), "utf-8")
    return [{"bytes": truth["bytes"]}], 0


def truth_of(recipe, fake):
    q = recipe.get("quantize", {})
    scheme, floats = q.get("scheme", "fp32"), len(q.get("keep_float", []))
    if "error" in fake and recipe["target"] in fake["error"]:
        return {"error": "the converter failed"}
    if floats:
        few = floats < fake["floats"]
        return fake["schemes"][scheme] if few else {"loss": 0.0, "time": 0.4 + 0.01 * floats, "bytes": 2700 + floats}
    said = {name: value for name, value in (recipe | q).items() if name in ("ranges", "equalize", "rounding", "seed")}
    if "granularity" in q:
        said["granularity"] = q["granularity"]
    name = ",".join([scheme, *(f"{key}={value}" for key, value in sorted(said.items()))])
    return fake["schemes"].get(name) or fake["schemes"][scheme]


def known(folder):
    return json.loads(Path(folder).parent.joinpath("truth.json").read_text("utf-8"))


def judge(words, fake):
    """Half an interval of 0.5 points on 10,000 pictures."""
    part = words[words.index("--part") + 1]
    many = int(words[words.index("--limit") + 1]) if "--limit" in words else fake["pictures"] // 2
    loss = known(words[0])["loss"] + fake.get("luck", {}).get(part, 0.0)
    half = 0.005 * (10_000 / many) ** 0.5
    drop = {"estimate": loss, "low": loss - half, "high": loss + half}
    change = {"figure": "top-1", "drop": drop, "pictures": many}
    return {"change": change, "data": f"fakes, part {part}", "notes": [], "learned": None}, 0


def bench(words, fake):
    files = [word for word in words if "/out/" in word and word != words[words.index("-o") + 1]]
    launches = int(words[words.index("--launches") + 1])
    times = [known(file)["time"] for file in files]
    half = 0.06 / launches
    ratios = [{"value": t / times[0], "low": (t - half) / times[0], "high": (t + half) / times[0]} for t in times]
    rows = [
        {"time_ratio": r if at else None, "instructions": round(1e6 * t)}
        for at, (r, t) in enumerate(zip(ratios, times, strict=True))
    ]
    return {"rows": rows}, 0


def inspect(words, fake):
    return {"layers": [{"layer": f"layer.{number}"} for number in range(fake["layers"])]}, 0


if __name__ == "__main__":
    main(sys.argv[1:])
