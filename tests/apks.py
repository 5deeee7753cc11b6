"""Small APKs and AARs, made by hand: what `edgekit android doctor` reads."""

import io
import struct
import zipfile
from pathlib import Path

from edgekit.android.binary_xml import ANDROID

XML_IDS = {"name": 0x01010003, "debuggable": 0x0101000F, "minSdkVersion": 0x0101020C, "targetSdkVersion": 0x01010270}
NONE = 0xFFFFFFFF


def chunk(kind: int, head: bytes, body: bytes = b"") -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<HHI", kind, 8 + len(head), 8 + len(head) + len(body)) + head + body


def _string(text: str, utf8: bool) -> bytes:
    if utf8:
        raw = text.encode()
        sizes = [bytes([n]) if n < 128 else bytes([0x80 | n >> 8, n & 0xFF]) for n in (len(text), len(raw))]
        return b"".join(sizes) + raw + b"\0"
    return struct.pack("<H", len(text)) + text.encode("utf-16-le") + b"\0\0"


def binary_xml(
    elements: list[tuple[str, dict[str, str | int | bool]]], *, utf8: bool = False, named: bool = True
) -> bytes:
    """The first element holds the others. `named` False: Android's own attributes without names, as shrinkers leave them."""
    ids = list(XML_IDS)
    words = list(ids) if named else [""] * len(ids)
    place = {name: i for i, name in enumerate(ids)}

    def word(text: str) -> int:
        if text not in place:
            place[text] = len(words)
            words.append(text)
        return place[text]

    space = word("http://schemas.android.com/apk/res/android")
    opened, closed = [], []
    for tag, attributes in elements:
        rows = b""
        for key, value in attributes.items():
            of, local = (space, key.removeprefix(ANDROID)) if key.startswith(ANDROID) else (NONE, key)
            if isinstance(value, bool):
                raw, kind, data = NONE, 0x12, NONE if value else 0
            elif isinstance(value, int):
                raw, kind, data = NONE, 0x10, value
            else:
                raw, kind, data = word(value), 0x03, word(value)
            rows += struct.pack("<IIIHBBI", of, word(local), raw, 8, 0, kind, data)
        named_tag = word(tag)
        opened.append(
            chunk(0x0102, bytes(8), struct.pack("<IIHHHHHH", NONE, named_tag, 20, 20, len(attributes), 0, 0, 0) + rows)
        )
        closed.append(chunk(0x0103, bytes(8), struct.pack("<II", NONE, named_tag)))
    inner = b"".join(a + b for a, b in zip(opened[1:], closed[1:], strict=True))
    strings = [_string(text, utf8) for text in words]
    offsets = [sum(map(len, strings[:i])) for i in range(len(strings))]
    head = struct.pack("<5I", len(strings), 0, 256 * utf8, 28 + 4 * len(strings), 0)
    pool = chunk(0x0001, head, struct.pack(f"<{len(offsets)}I", *offsets) + b"".join(strings))
    resources = chunk(0x0180, b"", struct.pack(f"<{len(ids)}I", *XML_IDS.values()))
    return chunk(0x0003, b"", pool + resources + opened[0] + inner + closed[0])


def manifest(target: int | str = 36, *, permissions: tuple[str, ...] = (), debuggable: bool = False) -> bytes:
    return binary_xml(
        [
            ("manifest", {"package": "org.example.app"}),
            ("uses-sdk", {f"{ANDROID}minSdkVersion": 28, f"{ANDROID}targetSdkVersion": target}),
            *(("uses-permission", {f"{ANDROID}name": p}) for p in permissions),
            ("application", {f"{ANDROID}debuggable": debuggable}),
        ]
    )


def elf(page: int = 16384, *, bits: int = 64, holds: bytes = b"") -> bytes:
    """A library of two loaded segments, the second of which lies on `page` bytes, and one that is not loaded."""
    wide = bits == 64
    start, size = (64, 56) if wide else (52, 32)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    layout = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    header = ident + struct.pack(layout, 3, 183, 1, 0, start, 0, 0, start, size, 3, 0, 0, 0)
    rows = b""
    for kind, align in ((1, 65536), (1, page), (4, 4)):
        rows += (
            struct.pack("<II6Q", kind, 5, 0, 0, 0, 0, 0, align)
            if wide
            else struct.pack("<8I", kind, 0, 0, 0, 0, 0, 5, align)
        )
    return header + rows + holds


LITERT2 = {"libLiteRt.so": elf()}
TFLITE = {"libtensorflowlite_jni.so": elf(4096, holds=b"\0002.16.1\0")}
ORT = {"libonnxruntime.so": elf(holds=b"\0VERS_1.29.0\0https://mobile.events.data.microsoft.com/OneCollector/1.0\0")}


def apk(
    path: Path,
    libraries: dict[str, bytes] | None = None,
    *,
    abis: tuple[str, ...] = ("arm64-v8a",),
    xml: bytes | None = None,
    dex: bytes = b"dex",
    artifacts: tuple[Path, ...] = (),
    aligned: bool = True,
) -> Path:
    """Libraries are stored as they are, and begin on a page where they are `aligned`."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("AndroidManifest.xml", manifest() if xml is None else xml)
        made.writestr("classes.dex", dex)
        for abi in abis:
            for name, blob in (libraries or {}).items():
                info = zipfile.ZipInfo(f"lib/{abi}/{name}")
                pad = (-(made.fp.tell() + 30 + len(info.filename) + 4) + (0 if aligned else 8)) % 16384
                info.extra = struct.pack("<HH", 0xD935, pad) + bytes(pad)
                made.writestr(info, blob)
        for folder in artifacts:
            for file in folder.iterdir():
                made.write(file, f"assets/models/{folder.name}/{file.name}", zipfile.ZIP_DEFLATED)
    return path


def aar(path: Path, libraries: dict[str, bytes], *, code: bytes = b"class") -> Path:
    classes = io.BytesIO()
    with zipfile.ZipFile(classes, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("org/example/Own.class", code)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(
            "AndroidManifest.xml",
            '<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.example.library">'
            '<uses-sdk android:minSdkVersion="26"/></manifest>',
        )
        made.writestr("classes.jar", classes.getvalue())
        for name, blob in libraries.items():
            made.writestr(f"jni/arm64-v8a/{name}", blob)
    return path
