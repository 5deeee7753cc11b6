"""The `model_signing` command: certificates, and Sigstore.

A process of its own, since it cannot live beside every exporter: it wants typing-extensions >= 4.14, LiteRT's converter < 4.13.
(https://github.com/sigstore/model-transparency; 1.1.1 does not say that it needs pyopenssl.)
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgekit.errors import ArtifactError, HubError, MissingExtraError, RequestError
from edgekit.places import output_errors, replacing

INSTALL = "uv tool install model-signing --with pyopenssl"
OFFLINE = re.compile(r"TUF|resolve|connection|timed out", re.IGNORECASE)
Say = Callable[[str], None]


def sign(folder: Path, place: Path, say: Say, kind: str, *options: str) -> None:
    """Write the signature of a folder into `place`. `say` gets what the tool tells its user: where to log in.

    Raises RequestError with what the tool says, MissingExtraError, OutputError.
    """
    with output_errors("--signature another/place"), tempfile.TemporaryDirectory() as fresh:
        made = Path(fresh) / "model.sig"
        said = _run(say, "sign", kind, *options, f"--ignore-paths={place}", f"--signature={made}", str(folder))
        if said:
            raise RequestError(f"{folder} is not signed: {said}", hint="a private key, and its certificate in PEM")
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place, "--signature another/place") as partial:
            partial.write_bytes(made.read_bytes())


def verify(folder: Path, place: Path, kind: str, *options: str) -> None:
    """Whether a folder's signature in `place` is of whom the options name. Raises ArtifactError, MissingExtraError."""
    said = _run(lambda _: None, "verify", kind, *options, f"--signature={place}", str(folder))
    if said:
        raise ArtifactError(f"{place} is not theirs: {said}", hint="whoever signed it: --key, --chain or --identity")


def _run(say: Say, *arguments: str) -> str:
    """What went wrong, in the tool's words; empty where nothing did. Raises MissingExtraError, HubError."""
    beside = Path(sys.executable).with_name("model_signing")
    command = str(beside) if beside.exists() else shutil.which("model_signing")
    if command is None:
        missing = MissingExtraError("model-signing", "sign")
        missing.hint = INSTALL
        raise missing
    lines = [""]
    with subprocess.Popen(
        [command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            lines.append(line.strip())
            if not lines[-1].startswith(("Retrying", "Signing ")):
                say(lines[-1])
    if not process.returncode:
        return ""
    last = next(filter(None, reversed(lines)), f"exit code {process.returncode}")
    said = last.partition("failed with error: ")[2] or last
    if OFFLINE.search(said):
        raise HubError(f"Sigstore is not reachable: {said}", hint="it needs a network; --key FILE needs none")
    return said
