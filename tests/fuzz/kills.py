"""Kills of export and train at random moments: `python -m fuzz.kills [COUNT]`. Needs torch.

Afterwards an artifact must stand where one stood, whole, the older or the newer one; a run must go on to its end.
SIGINT and SIGTERM must end with 130 and leave nothing half-made.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from edgekit import artifact
from edgekit.cli import main

PLACE = Path(".cache/fuzz").absolute()
NET = ["--input-size", "32", "--mean", "0.5", "--std", "0.25"]
EXPORT = ["export", "py:nets:tiny", *NET, "--target", "torch", "-o", "out", "-q"]
TRAIN = ["train", "py:nets:dropping", *NET, "--data", "photos", "--epochs", "4", "--batch", "8", "--workers", "0"]
TRAIN += ["--save-every", "1", "-o", "run", "-q"]
STOPS = (signal.SIGINT, signal.SIGTERM)


def ended(command: list[str], here: Path, number: int | None, after: float) -> tuple[int, float]:
    """The command in a forked child, which gets a signal after some seconds: exit code, and how long it took."""
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.setpgid(0, 0)
            os.chdir(here)
            for stop in STOPS:  # until the command begins, which has its own
                signal.signal(stop, lambda *_: os._exit(130))
            (here / "tmp").mkdir(exist_ok=True)
            tempfile.tempdir = str(here / "tmp")
            log = os.open(here / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1), os.dup2(log, 2)
            main(command)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            code = 98
        finally:
            os._exit(code)
    if number is not None:
        time.sleep(after)
        os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, time.monotonic() - begun


def kill_export(here: Path, random: Random, lasts: float) -> str:
    """An older artifact stands in the place."""
    shutil.copytree(here.parent / "older", here / "out")
    number = random.choice((*STOPS, signal.SIGKILL))
    late = random.random() < 0.3  # around the step that puts it there
    code, _ = ended(EXPORT, here, number, lasts * (random.uniform(0.85, 1.05) if late else random.uniform(0, 1.05)))
    artifact.load(here / "out")  # raises for what is not whole
    if code not in (0, 130, -signal.SIGKILL):
        return f"ended with {code}"
    if code == -signal.SIGKILL and _left(here, "out"):
        again, _ = ended(EXPORT, here, None, 0)
        if again:
            return f"the next export ended with {again}"
    elif code != -signal.SIGKILL and (left := _left(here, "out") + [p.name for p in (here / "tmp").iterdir()]):
        return f"left {left}"
    if left := _left(here, "out"):
        return f"the next export left {left}"
    return "whole"


def _left(here: Path, made: str) -> list[str]:
    """What lies beside what was made."""
    return sorted(p.name for p in here.iterdir() if p.name not in (made, "said", "tmp", "photos"))


def kill_train(here: Path, random: Random, lasts: float) -> str:
    (here / "photos").symlink_to(here.parent / "photos")
    code, _ = ended(TRAIN, here, random.choice((*STOPS, signal.SIGKILL)), lasts * random.uniform(0, 1.05))
    if code not in (0, 130, -signal.SIGKILL):
        return f"ended with {code}"
    begun = (here / "run").is_dir() and any((here / "run" / name).exists() for name in ("training.pt", "run.toml"))
    again, _ = ended([*TRAIN, *(["--resume"] if begun else ["--fresh"])], here, None, 0)
    return "whole" if again == 0 and (here / "run/run.toml").is_file() else f"going on ended with {again}"


def run(count: int) -> int:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import paint

    import edgekit.pipeline
    import edgekit.training.run  # noqa: F401  warm

    work, kept = PLACE / "work-kills", PLACE / "kills.jsonl"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for i, split in enumerate(("train", "val", "test")):
        paint(work / "photos" / split, 4, seed=i)
    (work / "first").mkdir()
    code, exports = ended(EXPORT, work / "first", None, 0)
    assert code == 0, (work / "first/said").read_text()
    (work / "first/out").rename(work / "older")
    (work / "first/photos").symlink_to(work / "photos")
    code, trains = ended(TRAIN, work / "first", None, 0)
    assert code == 0, (work / "first/said").read_text()
    done = {json.loads(line)["number"] for line in kept.read_text().splitlines()} if kept.is_file() else set()
    with kept.open("a") as file:
        for number in [n for n in range(count) if n not in done]:
            here, random = work / f"{number}", Random(f"kill {number}")
            here.mkdir()
            what, lasts = (kill_train, trains) if number % 4 == 3 else (kill_export, exports)
            try:
                came = what(here, random, lasts)
            except Exception as error:
                came = f"not whole: {error}"
            said = "" if came == "whole" else (here / "said").read_text(errors="replace")[-1500:]
            file.write(json.dumps({"number": number, "what": what.__name__, "came": came, "said": said}) + "\n")
            file.flush()
            shutil.rmtree(here, ignore_errors=True)
    results = [json.loads(line) for line in kept.read_text().splitlines()]
    print(dict(Counter((r["what"], r["came"]) for r in results)))
    return int(any(r["came"] != "whole" for r in results))


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
