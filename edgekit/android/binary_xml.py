"""AndroidManifest.xml as an APK holds it: Android's binary XML (ResourceTypes.h of Android's source), into the element tree
that a plain one would give."""

import struct
from xml.etree import ElementTree

from edgekit.reading import Malformed

ANDROID = "{http://schemas.android.com/apk/res/android}"
# chunks
STRINGS, XML, START, END, RESOURCES = 0x0001, 0x0003, 0x0102, 0x0103, 0x0180
# kinds of values
REFERENCE, TEXT, DECIMAL, HEXADECIMAL, BOOLEAN = 0x01, 0x03, 0x10, 0x11, 0x12
UTF8 = 1 << 8
NONE = 0xFFFFFFFF
DEPTH = 200
# Attributes by their resource: some shrinkers leave their names out.
NAMES = {
    0x01010003: "name", 0x0101000F: "debuggable", 0x0101020C: "minSdkVersion", 0x0101021B: "versionCode",
    0x0101021C: "versionName", 0x01010270: "targetSdkVersion",
}  # fmt: skip


def parse(blob: bytes) -> ElementTree.Element:
    """The root. Android's own attributes stand in its namespace (`ANDROID`), references as "@7f010001". Raises Malformed."""
    try:
        return _parse(blob)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"not Android's binary XML: {error}") from None


def _parse(blob: bytes) -> ElementTree.Element:
    kind, place, end = struct.unpack_from("<HHI", blob)
    if kind != XML or end > len(blob):
        raise Malformed("not Android's binary XML")
    strings: list[str] = []
    resources: tuple[int, ...] = ()
    root: ElementTree.Element | None = None
    inside: list[ElementTree.Element] = []
    while place < end:
        kind, header, size = struct.unpack_from("<HHI", blob, place)
        if size < max(header, 8) or place + size > end:
            raise Malformed("not Android's binary XML: a chunk is larger than the file")
        chunk = blob[place : place + size]
        if kind == STRINGS:
            strings = _strings(chunk, header)
        elif kind == RESOURCES:
            resources = struct.unpack_from(f"<{(size - header) // 4}I", chunk, header)
        elif kind == START:
            element = _element(chunk, header, strings, resources)
            if inside:
                inside[-1].append(element)
            elif root is None:
                root = element
            inside.append(element)
            if len(inside) > DEPTH:
                raise Malformed("nested too deep")
        elif kind == END:
            inside.pop()
        place += size
    if root is None or inside:
        raise Malformed("not Android's binary XML: it ends too early")
    return root


def _strings(chunk: bytes, header: int) -> list[str]:
    count, _, flags, start = struct.unpack_from("<4I", chunk, 8)
    read = _utf8 if flags & UTF8 else _utf16
    return [read(chunk, start + offset) for offset in struct.unpack_from(f"<{count}I", chunk, header)]


def _utf8(chunk: bytes, place: int) -> str:
    """The length in characters, that in bytes, the bytes; a length of more than 7 bits takes two bytes."""
    place += 2 if chunk[place] & 0x80 else 1
    length, place = chunk[place], place + 1
    if length & 0x80:
        length, place = (length & 0x7F) << 8 | chunk[place], place + 1
    return _whole(chunk, place, length).decode("utf-8", "surrogatepass")


def _utf16(chunk: bytes, place: int) -> str:
    """The length in units of 16 bits, the units; a length of more than 15 bits takes two units."""
    (length,) = struct.unpack_from("<H", chunk, place)
    place += 2
    if length & 0x8000:
        length, place = (length & 0x7FFF) << 16 | struct.unpack_from("<H", chunk, place)[0], place + 2
    return _whole(chunk, place, 2 * length).decode("utf-16-le", "surrogatepass")


def _whole(chunk: bytes, place: int, length: int) -> bytes:
    if place + length > len(chunk):
        raise IndexError("a string ends behind its chunk")
    return chunk[place : place + length]


def _element(chunk: bytes, header: int, strings: list[str], resources: tuple[int, ...]) -> ElementTree.Element:
    _, name, start, size, count = struct.unpack_from("<IIHHH", chunk, header)
    element = ElementTree.Element(strings[name])
    for i in range(count):
        space, named, raw, _, _, kind, value = struct.unpack_from("<IIIHBBI", chunk, header + start + i * size)
        if named < len(resources) and resources[named] in NAMES:
            key = ANDROID + NAMES[resources[named]]
        else:
            key = (f"{{{strings[space]}}}" if space != NONE else "") + strings[named]
        element.set(key, strings[raw] if raw != NONE else _value(kind, value, strings))
    return element


def _value(kind: int, value: int, strings: list[str]) -> str:
    if kind == TEXT:
        return strings[value]
    if kind == BOOLEAN:
        return "true" if value else "false"
    if kind in (DECIMAL, HEXADECIMAL):
        return str(value - (1 << 32) if value >> 31 else value)
    return f"{'@' if kind == REFERENCE else ''}{value:08x}"
