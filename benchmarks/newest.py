"""Do the newest versions of everything still make files that answer like the pinned ones? Some minutes.

    make newest          (weekly on GitHub: .github/workflows/newest.yml)

The newest that fit each other are installed without constraints into environments of their own, one for TFLite and one for
the rest: litert-torch holds torch back. Each exports bundled networks with the proof that every export has, beside the same export
with constraints.txt's versions (.venv), and verifies what these made. The page says what is newer, and what came of it. Exit code
1 where something fails that does not fail with the pinned versions.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from zoo import artifact, exported, table

from edgekit import cells
from edgekit.cells import Cell, Done
from edgekit.devices import host

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / ".cache" / "newest"
PINNED = ROOT / ".venv" / "bin" / "python"
SETS = {"tflite": ("tflite",), "openvino": ("onnx", "openvino")}  # an extra, and what is made with it
CASES = (("mobilenetv2", "int8"), ("vit_micro", "fp32"), ("yolox_micro", "int8"))  # a CNN, a transformer, a detector
VERSIONS = """
import importlib.metadata, json
print(json.dumps({found.name.lower(): found.version for found in importlib.metadata.distributions()}))
"""


class Environment(NamedTuple):
    """python: its interpreter; versions: of what is installed there, by name in lower case; error: why nothing is."""

    python: Path
    versions: dict[str, str]
    error: str = ""

    def run(self, wanted: Cell, *, whole: bool = False) -> Done:
        """What comes of a cell there, made anew where it failed; whole: with what it made."""
        return cells.make(STORE, wanted, whole=whole, again=True, program=(str(self.python), "-m", "edgekit"))

    def cell(self, command: Sequence[str], **places: Path) -> Cell:
        """A command of edgekit whose outcome depends on these versions."""
        content = json.dumps(self.versions, sort_keys=True).encode()
        named = {name: self.versions[name] for name in cells.DEPENDENCIES if name in self.versions}
        return cells.cell(command, places, versions=hashlib.sha256(content).hexdigest(), **named)


class Row(NamedTuple):
    """An export, with the pinned and with the newest versions. opened: the pinned file, verified by the newest ones."""

    name: str
    pinned: Done
    newest: Done
    opened: Done | None

    @property
    def broken(self) -> bool:
        found = [done for done in (self.newest, self.opened) if done and (done.error or done.exit_code)]
        return bool(found) and not self.pinned.error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uv", default="uv", help="the program")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "newest.md")
    given = parser.parse_args()
    pinned = Environment(PINNED, versions(PINNED))
    parts, broken = [], False
    for extra, targets in SETS.items():
        newest = installed(given.uv, extra)
        rows = [] if newest.error else [row(pinned, newest, *case) for case in cases(targets)]
        parts.append(part(extra, pinned, newest, rows))
        broken |= bool(newest.error) or any(row.broken for row in rows)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(page(parts), "utf-8")
    print(given.out.read_text("utf-8"))
    sys.exit(broken)


def installed(uv: str, extra: str) -> Environment:
    """The newest versions of an extra, in an environment made anew."""
    place = ROOT / f".venv-newest-{extra}"
    python = place / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)],
        [uv, "pip", "install", "--quiet", "--upgrade", "--python", str(python), "-e", f"{ROOT}[{extra}]"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            return Environment(python, {}, done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    return Environment(python, versions(python))


def versions(python: Path) -> dict[str, str]:
    done = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def cases(targets: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    return ((network, target, scheme) for target in targets for network, scheme in CASES)


def row(pinned: Environment, newest: Environment, network: str, target: str, scheme: str) -> Row:
    command = ["export", network, "--target", target, "--scheme", scheme, "--weights", "bundled", "-o", cells.OUT]
    asked = pinned.cell(command)
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(pinned.run, asked, whole=True)
        now = newest.run(newest.cell(command))
        was = before.result()
    made = None if was.error else cells.made(STORE, asked.key)
    opened = newest.run(newest.cell(["verify", "{file}"], file=made)) if made else None
    print(f"  {network} {target} {scheme}", file=sys.stderr, flush=True)
    return Row(f"{network}, {target}, {scheme}", was, now, opened)


def part(extra: str, pinned: Environment, newest: Environment, rows: Sequence[Row]) -> str:
    """The page's part of one environment."""
    if newest.error:
        return f"## `{extra}`\n\nNothing fits together:\n\n```text\n{newest.error}\n```\n"
    both = sorted(set(pinned.versions) & set(newest.versions))
    newer = [(name, pinned.versions[name], newest.versions[name]) for name in both]
    newer = [line for line in newer if line[1] != line[2] and not line[0].startswith(("nvidia-", "cuda-"))]
    drift = table(("package", "pinned", "newest"), newer) if newer else "Every package is the pinned one."
    files = table(
        ("file", "with the pinned", "with the newest", "model file", "the pinned file in the newest runtime"),
        [(row.name, told(row.pinned), told(row.newest), kinship(row), verified(row.opened)) for row in rows],
    )
    return f"## `{extra}`\n\n{drift}\n\n{files}\n"


def told(done: Done) -> str:
    """What the export's proof found, or why there is no file."""
    if done.error:
        return f"**failed**: {done.error}"
    file = exported(done)
    sqnr = "exact" if file.sqnr_db is None else f"{file.sqnr_db:.1f} dB"
    agreement = "" if file.agreement is None else f", {100 * file.agreement:.1f} %"
    return f"{file.bytes / 1e6:.2f} MB, {sqnr}{agreement}"


def kinship(row: Row) -> str:
    if row.pinned.error or row.newest.error:
        return ""
    return "the same bytes" if model(row.pinned) == model(row.newest) else "differs"


def model(done: Done) -> dict[str, Any]:
    """Size and digest of the model's own files."""
    files: dict[str, Any] = artifact(done)["manifest"]["files"]
    return {name: record for name, record in files.items() if name.startswith("model.")}


def verified(done: Done | None) -> str:
    if done is None:
        return ""
    return f"**failed**: {done.error}" if done.error else "**answers otherwise**" if done.exit_code else "ok"


def page(parts: Sequence[str]) -> str:
    return f"""# The newest versions

What constraints.txt pins, beside the newest versions that fit each other, installed without constraints: bundled networks
exported with both, each file proven in its runtime against PyTorch: its size, SQNR, and the first of its proof's measures.
CPU class {host.cpu_class()}, Python {sys.version.partition(" ")[0]}. Made by `make newest`; packages of CUDA are left out of the lists.

{chr(10).join(parts)}"""


if __name__ == "__main__":
    main()
