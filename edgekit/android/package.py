"""What stands in an APK or AAR: manifest, native libraries and how they are aligned, runtimes, artifacts."""

import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from xml.etree import ElementTree

from edgekit import artifact
from edgekit.android import binary_xml
from edgekit.android.binary_xml import ANDROID
from edgekit.android.versions import Version
from edgekit.errors import ArtifactError, EdgekitError, MissingError, UnsupportedError
from edgekit.manifest import Manifest
from edgekit.reading import Malformed

MB = 1 << 20
MANIFEST_LIMIT = 16 * MB
WHOLE_LIMIT = 8 << 30
HEADERS = MB  # of an ELF file: its program headers lie in its first bytes
LOAD = 1
CHUNK = 4 * MB
OVERLAP = 256
FOLDERS = {"APK": "lib", "AAR": "jni"}

# What ONNX Runtime from 1.29 on holds where it can report, and what an app that forbids it holds.
REPORTS = b"events.data.microsoft.com/OneCollector"
SWITCH = b"ORT_DISABLE_TELEMETRY"
# Library -> how its version stands in it. LiteRT's own library has none.
STATED = {
    "libtensorflowlite": re.compile(rb"\0(\d+\.\d+\.\d+)\0"),
    "libonnxruntime.so": re.compile(rb"VERS_(\d+\.\d+\.\d+)\0"),
}


@dataclass(frozen=True)
class Library:
    """A native library.

    bits   32 or 64; 0: not an ELF file
    page   the smallest alignment of its loaded segments, bytes
    begins where its bytes begin in the APK; None: compressed, so that they are unpacked at installation
    """

    path: str
    abi: str
    bits: int
    page: int
    begins: int | None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Runtime:
    """What opens files of `target`, for one ABI. `version` None: the library does not say."""

    target: str
    abi: str
    library: str
    version: Version | None
    reports: bool


@dataclass(frozen=True)
class Carried:
    """An artifact inside; `fault`: why it cannot be opened, where it cannot."""

    folder: str
    manifest: Manifest | None
    fault: str = ""


@dataclass(frozen=True)
class Package:
    """`target_sdk` None: a preview's name, or an AAR, of which the app decides. `silenced`: its code names the switch that
    keeps ONNX Runtime from reporting."""

    path: Path
    kind: str
    name: str
    version: str
    min_sdk: int | None
    target_sdk: int | None
    debuggable: bool
    permissions: tuple[str, ...]
    libraries: tuple[Library, ...]
    runtimes: tuple[Runtime, ...]
    artifacts: tuple[Carried, ...]
    silenced: bool

    @property
    def abis(self) -> tuple[str, ...]:
        return tuple(sorted({library.abi for library in self.libraries}))


def read(path: Path) -> Package:
    """Raises MissingError, UnsupportedError for an app bundle and a set of APKs, ArtifactError for what is neither an APK nor an AAR, or damaged."""
    with _opened(path) as inside:
        names = inside.namelist()
        if "BundleConfig.pb" in names:
            hint = f"bundletool build-apks --mode universal --bundle {path} --output x.apks; the APK in it"
            raise UnsupportedError(f"{path} is an app bundle, of which a store makes APKs", hint=hint)
        if "AndroidManifest.xml" not in names:
            if apks := [x for x in inside.infolist() if x.filename.endswith(".apk")]:
                largest = max(apks, key=lambda apk: apk.file_size).filename
                hint = f"unzip {path} {largest}; then edgekit android doctor {largest}"
                raise UnsupportedError(f"{path} is a set of APKs", hint=hint)
            raise ArtifactError(f"{path} has no AndroidManifest.xml", hint="an APK or an AAR")
        root = _manifest(_limited(inside, "AndroidManifest.xml"))
        kind = "AAR" if "classes.jar" in names else "APK"
        sdk = root.find("uses-sdk")
        min_sdk = _number(sdk, "minSdkVersion")
        application = root.find("application")
        libraries = tuple(_libraries(inside, FOLDERS[kind]))
        return Package(
            path=path,
            kind=kind,
            name=root.get("package", ""),
            version=root.get(f"{ANDROID}versionName", ""),
            min_sdk=min_sdk,
            target_sdk=_number(sdk, "targetSdkVersion", min_sdk) if kind == "APK" else None,
            debuggable=application is not None and application.get(f"{ANDROID}debuggable") == "true",
            permissions=tuple(sorted({p.get(f"{ANDROID}name", "") for p in root.iter("uses-permission")})),
            libraries=libraries,
            runtimes=tuple(r for library in libraries if (r := _runtime(inside, library))),
            artifacts=tuple(_artifacts(inside)),
            silenced=any(SWITCH in text for text in _code(inside)),
        )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Whatever a zip file can have wrong with it is an ArtifactError."""
    if not path.exists():
        raise MissingError(f"{path} does not exist", hint="an APK or an AAR")
    if not path.is_file():
        raise ArtifactError(f"{path} is not a file", hint="an APK or an AAR")
    try:
        with zipfile.ZipFile(path) as inside:
            if _unpacked(inside) > WHOLE_LIMIT:
                raise Malformed(f"it unpacks to more than {WHOLE_LIMIT >> 30} GB")
            yield inside
    except EdgekitError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError, struct.error) as error:
        raise ArtifactError(f"{path} is not an APK or AAR: {error}", hint="an APK or an AAR; copy it again") from None


def _unpacked(inside: zipfile.ZipFile) -> int:
    """Bytes, as its entries state them; none is read any further."""
    return sum(entry.file_size for entry in inside.infolist())


def _limited(inside: zipfile.ZipFile, name: str) -> bytes:
    if inside.getinfo(name).file_size > MANIFEST_LIMIT:
        raise Malformed(f"{name} is larger than {MANIFEST_LIMIT // MB} MB")
    return inside.read(name)


def _manifest(blob: bytes) -> ElementTree.Element:
    """Binary in an APK, plain in an AAR. Raises Malformed."""
    if not blob.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return binary_xml.parse(blob)
    if b"<!DOCTYPE" in blob:
        raise Malformed("AndroidManifest.xml declares a document type")
    try:
        return ElementTree.fromstring(blob)
    except ElementTree.ParseError as error:
        raise Malformed(f"AndroidManifest.xml: {error}") from None


def _number(element: ElementTree.Element | None, name: str, default: int | None = 1) -> int | None:
    said = element.get(ANDROID + name) if element is not None else None
    if said is None:
        return default
    return int(said) if said.isdecimal() else None


def _libraries(inside: zipfile.ZipFile, folder: str) -> Iterator[Library]:
    for entry in inside.infolist():
        parts = entry.filename.split("/")
        if len(parts) == 3 and parts[0] == folder and parts[2].endswith(".so"):
            with inside.open(entry) as file:
                bits, page = elf_alignment(file.read(HEADERS))
            begins = _begins(inside, entry) if entry.compress_type == zipfile.ZIP_STORED else None
            yield Library(entry.filename, parts[1], bits, page, begins)


def _begins(inside: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: its local header has an extra field of its own."""
    file: IO[bytes] | None = inside.fp
    assert file is not None
    file.seek(entry.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return entry.header_offset + 30 + int(name) + int(extra)


def elf_alignment(head: bytes) -> tuple[int, int]:
    """32 or 64 bits and the smallest alignment of the segments that are loaded, in bytes; 0, 0 of what is no ELF file."""
    if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] != 1:
        return 0, 0
    bits = 32 * head[4]
    start, sizes, at, number = (32, 54, 48, "<Q") if bits == 64 else (28, 42, 28, "<I")
    (first,) = struct.unpack_from(number, head, start)
    size, count = struct.unpack_from("<HH", head, sizes)
    places = [first + i * size for i in range(count)]
    try:
        loaded = [place for place in places if struct.unpack_from("<I", head, place)[0] == LOAD]
        return bits, min((struct.unpack_from(number, head, place + at)[0] for place in loaded), default=0)
    except struct.error:
        return 0, 0


def _runtime(inside: zipfile.ZipFile, library: Library) -> Runtime | None:
    name = library.name
    if name.lower().startswith("liblitert"):
        return Runtime("tflite", library.abi, name, Version("LiteRT", (2,), at_least=True), reports=False)
    prefix = next((prefix for prefix in STATED if name.startswith(prefix)), None)
    if prefix is None or (prefix == "libtensorflowlite" and "gpu" in name):
        return None
    said: set[bytes] = set()
    reports = False
    for part in _parts(inside, library.path):
        said |= set(STATED[prefix].findall(part))
        reports |= REPORTS in part
    numbers = tuple(map(int, said.pop().split(b"."))) if len(said) == 1 else None
    target = "onnx" if prefix == "libonnxruntime.so" else "tflite"
    return Runtime(target, library.abi, name, Version(_family(target, numbers), numbers) if numbers else None, reports)


def _family(target: str, numbers: tuple[int, ...]) -> str:
    """LiteRT 1.0 to 1.4 has TFLite's library; LiteRT 2 has its own, and TFLite's first AARs were 1.10 and later."""
    if target == "onnx":
        return "ONNX Runtime"
    return "LiteRT" if (1, 0) <= numbers < (1, 10) else "TFLite"


def _parts(inside: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """An entry in pieces that overlap, so that nothing short is cut in two."""
    before = b""
    with inside.open(name) as file:
        while part := file.read(CHUNK):
            yield before + part
            before = part[-OVERLAP:]


def _code(inside: zipfile.ZipFile) -> Iterator[bytes]:
    """Pieces of an app's code, and of the classes of a library, which lie compressed in .jar files: zip files themselves."""
    left = WHOLE_LIMIT
    for name in inside.namelist():
        if name.endswith(".dex"):
            yield from _parts(inside, name)
        elif name.endswith(".jar"):
            # a copy, for within the other file every step back reads all again
            with inside.open(name) as source, tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(source, copy, CHUNK)
                if not zipfile.is_zipfile(copy):
                    continue
                with zipfile.ZipFile(copy) as classes:
                    left -= _unpacked(classes)
                    if left < 0:
                        raise Malformed(f"{name} unpacks to more than {WHOLE_LIMIT >> 30} GB")
                    for own in classes.namelist():
                        yield from _parts(classes, own)


def _artifacts(inside: zipfile.ZipFile) -> Iterator[Carried]:
    """What lies among the assets and looks like an artifact: a manifest beside a model or golden answers."""
    folders: dict[str, list[zipfile.ZipInfo]] = {}
    for entry in inside.infolist():
        folder, _, name = entry.filename.rpartition("/")
        if folder.startswith("assets/") and name:
            folders.setdefault(folder, []).append(entry)
    for folder, entries in sorted(folders.items()):
        names = {PurePosixPath(entry.filename).name: entry for entry in entries}
        if "manifest.json" in names and any(n == "golden.npz" or n.startswith("model.") for n in names):
            yield _artifact(inside, folder, names)


def _artifact(inside: zipfile.ZipFile, folder: str, names: dict[str, zipfile.ZipInfo]) -> Carried:
    """Opened as every artifact is, which compares its checksums."""
    with tempfile.TemporaryDirectory() as work:
        out = Path(work, PurePosixPath(folder).name)
        out.mkdir()
        for name, entry in names.items():
            with inside.open(entry) as source, (out / name).open("wb") as copy:
                while part := source.read(CHUNK):
                    copy.write(part)
        try:
            return Carried(folder, artifact.load(out).manifest)
        except EdgekitError as error:
            return Carried(folder, None, error.message.removeprefix(f"{out}: ").replace(f"{out}/", ""))
