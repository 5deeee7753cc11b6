"""`make ray`: the engine on Ray itself, beside `local`. 60 rows, of which 5 kill their worker on the first try; then two real rows by the command line.

    python benchmarks/ray_sweep.py

Prints what came of it, and fails where a row's bytes are others than those of `local`, or one is lost.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edgekit.errors import DeviceError
from edgekit.sweep.engines import Engine, Job, Local
from edgekit.sweep.ray import Ray

ROWS, DEADLY = 60, (3, 11, 27, 40, 58)
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
ROW = """
import hashlib, os, pathlib, signal, sys
number, place, deadly = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] == "1"
with (place / "log").open("a") as log: log.write(f"{number}\\n")
if deadly and not (place / f"died-{number}").exists():
    (place / f"died-{number}").touch()
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
(place / f"row-{number}").write_bytes(hashlib.sha256(str(number).encode()).digest() * 1000)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = {name: Path(folder, name) for name in ("local", "ray", "scratch")}
        for place in places.values():
            place.mkdir()
        ran(Local(2), places["local"], places["scratch"], deadly=())
        begin = time.monotonic()
        log = ran(Ray(2), places["ray"], places["scratch"], deadly=DEADLY)
        assert bytes_of(places["ray"]) == bytes_of(places["local"]), "other bytes than local's"
        again = {n for n in log if log.count(n) > 1}
        assert again == set(DEADLY), f"ran more than once: {sorted(again)}"
        print(
            f"{ROWS} rows on Ray, {len(DEADLY)} workers killed: the bytes of local, those rows ran twice; {time.monotonic() - begin:.0f} s"
        )
        try:
            list(Ray(1).run([Job(0, ("true",), "adb:nobody")], places["scratch"]))
        except DeviceError as error:
            print(f"a row that nobody can run: {error}")
        command = [sys.executable, "-m", "edgekit", "sweep", "--engine", "ray", "-o", str(Path(folder, "sweep"))]
        command += [word for name in ("tiny-onnx-int8", "tiny-tflite-int8") for word in ("--model", str(GOLDEN / name))]
        subprocess.run(command, check=True, env=os.environ | {"HOME": folder})
        left = [place.name for place in Path(folder).iterdir() if place.name.startswith(".ray")]
        assert not left, "Ray wrote into the home folder"


def ran(engine: Engine, place: Path, scratch: Path, deadly: tuple[int, ...]) -> list[int]:
    """The rows, and in which order they began."""
    jobs = [
        Job(n, (sys.executable, "-c", ROW, str(n), str(place), str(int(n in deadly))), "local") for n in range(ROWS)
    ]
    ended = {one.number: one for one in engine.run(jobs, scratch)}
    wrong = {n: (one.exit_code, one.said) for n, one in ended.items() if one.exit_code}
    assert not wrong, wrong
    assert len(ended) == ROWS
    return [int(line) for line in (place / "log").read_text("utf-8").split()]


def bytes_of(place: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(place.glob("row-*"))}


if __name__ == "__main__":
    main()
